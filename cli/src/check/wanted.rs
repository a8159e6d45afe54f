//! Whether a pod should have a sidecar: asked of the very function by which the injector decides.

use k8s_openapi::api::core::v1::Pod;
use pilot::inject::{Decision, InjectorConfig, Namespace, decide};
use std::collections::BTreeMap;

/// What is wished for a pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    Sidecar,
    /// A sidecar, which a pod in its node's network cannot have.
    HostNetwork,
    None,
}

/// Whether the injector of `revision` would give this pod a sidecar.
pub fn gets_sidecar(pod: &Pod, namespace: &str, labels: &BTreeMap<String, String>, revision: &str) -> bool {
    let namespace = Namespace { name: namespace.to_owned(), labels: labels.clone(), selected: false };
    let config = InjectorConfig { revision: revision.to_owned(), ..InjectorConfig::default() };
    decide(pod, &namespace, &config) == Decision::Inject
}

/// Whether pods of a namespace get one without asking.
pub fn namespace_opted_in(namespace: &str, labels: &BTreeMap<String, String>, revision: &str) -> bool {
    gets_sidecar(&Pod::default(), namespace, labels, revision)
}

/// What is wished for a pod, by one of these revisions.
pub fn wish(pod: &Pod, labels: &BTreeMap<String, String>, revisions: &[&str]) -> Wish {
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    let wished = |pod: &Pod| revisions.iter().any(|revision| gets_sidecar(pod, namespace, labels, revision));
    if wished(pod) {
        return Wish::Sidecar;
    }
    let mut elsewhere = pod.clone();
    match elsewhere.spec.as_mut().and_then(|spec| spec.host_network.take()) {
        Some(true) if wished(&elsewhere) => Wish::HostNetwork,
        _ => Wish::None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::{Wish, wish};
    use serde_json::json;

    #[test]
    fn a_pod_in_its_nodes_network_is_told_only_where_a_sidecar_is_wished() {
        let enabled = [("istio-injection".to_owned(), "enabled".to_owned())].into();
        let pod = |host_network: bool| {
            let spec = json!({ "hostNetwork": host_network, "containers": [] });
            serde_json::from_value(json!({ "metadata": { "namespace": "shop" }, "spec": spec })).unwrap()
        };
        assert_eq!(wish(&pod(false), &enabled, &["default"]), Wish::Sidecar);
        assert_eq!(wish(&pod(true), &enabled, &["default"]), Wish::HostNetwork);
        assert_eq!(wish(&pod(true), &[].into(), &["default"]), Wish::None);
        assert_eq!(wish(&pod(false), &enabled, &["blue"]), Wish::None);
    }
}
