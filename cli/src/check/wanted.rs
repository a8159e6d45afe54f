//! Whether a pod should have a sidecar of this revision, by the labels of its namespace and its own, in Istio's order.

use super::pods::PodFacts;
use crate::names::{DEFAULT_REVISION, INJECTION, REVISION, SYSTEM};
use std::collections::BTreeMap;

const POD_INJECTION: &str = "sidecar.istio.io/inject";
/// Namespaces that no webhook touches.
const NEVER: [&str; 4] = [SYSTEM, "kube-system", "kube-public", "kube-node-lease"];

/// What a pod's labels ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    Sidecar,
    /// A sidecar, which a pod in the node's network cannot have.
    HostNetwork,
    None,
}

/// Whether pods of a namespace with these labels get a sidecar of `revision` without asking.
pub fn namespace_opted_in(labels: &BTreeMap<String, String>, revision: &str) -> bool {
    match (labels.get(INJECTION), labels.get(REVISION)) {
        (Some(injection), _) => injection == "enabled" && revision == DEFAULT_REVISION,
        (None, Some(named)) => named == revision,
        (None, None) => false,
    }
}

/// Whether pods of this namespace may have a sidecar at all.
pub fn may_opt_in(namespace: &str) -> bool {
    !NEVER.contains(&namespace)
}

/// What is wished for one pod.
pub fn wish(namespace: &BTreeMap<String, String>, pod: &PodFacts, revision: &str) -> Wish {
    let own = pod.labels.get(POD_INJECTION).or_else(|| pod.annotations.get(POD_INJECTION)).map(String::as_str);
    if !may_opt_in(&pod.namespace) || own == Some("false") {
        return Wish::None;
    }
    let undecided = !namespace.contains_key(INJECTION) && !namespace.contains_key(REVISION);
    let asks = match pod.labels.get(REVISION) {
        Some(named) => named == revision,
        None => own == Some("true") && revision == DEFAULT_REVISION,
    };
    if namespace_opted_in(namespace, revision) || (undecided && asks) {
        return if pod.host_network { Wish::HostNetwork } else { Wish::Sidecar };
    }
    Wish::None
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::{Wish, wish};
    use crate::check::pods::facts;
    use serde_json::{Value, json};

    fn wished(namespace: &[(&str, &str)], labels: Value, revision: &str) -> Wish {
        let labels_of_namespace =
            namespace.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let pod = json!({ "metadata": { "namespace": "shop", "name": "a", "labels": labels } });
        wish(&labels_of_namespace, &facts(&serde_json::from_value(pod).unwrap()), revision)
    }

    /// Rows of Istio's table of injection labels.
    #[test]
    fn the_namespace_decides_unless_the_pod_declines() {
        let enabled = [("istio-injection", "enabled")];
        assert_eq!(wished(&enabled, json!({}), "default"), Wish::Sidecar);
        assert_eq!(wished(&enabled, json!({ "sidecar.istio.io/inject": "false" }), "default"), Wish::None);
        assert_eq!(wished(&enabled, json!({}), "blue"), Wish::None);
        assert_eq!(wished(&[("istio.io/rev", "blue")], json!({}), "blue"), Wish::Sidecar);
        let both = [("istio-injection", "enabled"), ("istio.io/rev", "blue")];
        assert_eq!(wished(&both, json!({}), "blue"), Wish::None);
        assert_eq!(wished(&both, json!({}), "default"), Wish::Sidecar);
    }

    #[test]
    fn where_the_namespace_says_nothing_the_pod_may_ask() {
        assert_eq!(wished(&[], json!({}), "default"), Wish::None);
        assert_eq!(wished(&[], json!({ "sidecar.istio.io/inject": "true" }), "default"), Wish::Sidecar);
        assert_eq!(wished(&[], json!({ "istio.io/rev": "blue" }), "blue"), Wish::Sidecar);
        let disabled = [("istio-injection", "disabled")];
        assert_eq!(wished(&disabled, json!({ "sidecar.istio.io/inject": "true" }), "default"), Wish::None);
    }
}
