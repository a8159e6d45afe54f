//! Kubernetes Pod: who runs behind an address.

use super::Check;
use crate::model::{Labels, Locality, Workload};
use crate::object::{Content, Pod};
use crate::yaml::FieldPath;
use k8s_openapi::api::core::v1::{Pod as Object, PodSpec, PodStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

/// Set by an injector on pods that have a sidecar.
const TLS_MODE: &str = "security.istio.io/tlsMode";
const INJECTED: &str = "sidecar.istio.io/status";
/// Set by people on pods that should have one or none.
const INJECT: &str = "sidecar.istio.io/inject";
const TEMPLATE_HASH: &str = "pod-template-hash";

/// Istio's label rules (the injection template sets the first of each list).
pub(crate) const CANONICAL_NAME: &[&str] = &["service.istio.io/canonical-name", "app.kubernetes.io/name", "app"];
pub(crate) const CANONICAL_REVISION: &[&str] =
    &["service.istio.io/canonical-revision", "app.kubernetes.io/version", "version"];

pub(super) fn check(object: &Object, check: &mut Check<'_>) -> Option<Content> {
    let spec = object.spec.clone().unwrap_or_default();
    let status = object.status.clone().unwrap_or_default();
    let addresses = check.pod_addresses(&FieldPath::of("status"), &status);
    let ended = matches!(status.phase.as_deref(), Some("Succeeded" | "Failed"));
    if addresses.is_empty() || ended {
        return Some(Content::Inert);
    }
    let host_network = spec.host_network.unwrap_or(false);
    let workload = Arc::new(workload(&object.metadata, &spec, host_network, check));
    Some(Content::Pod(Pod { addresses, workload, ports: named_ports(&spec), host_network }))
}

impl Check<'_> {
    fn pod_addresses(&mut self, at: &FieldPath, status: &PodStatus) -> Vec<IpAddr> {
        let listed = status.pod_ips.as_deref().unwrap_or_default();
        let ips_at = at.key("podIPs");
        let mut fields: Vec<_> =
            listed.iter().enumerate().map(|(i, ip)| (ips_at.index(i).key("ip"), ip.ip.as_str())).collect();
        if let Some(ip) = status.pod_ip.as_deref().filter(|_| fields.is_empty()) {
            fields.push((at.key("podIP"), ip));
        }
        fields.into_iter().filter_map(|(at, text)| self.address(&at, text)).collect()
    }
}

fn workload(metadata: &ObjectMeta, spec: &PodSpec, host_network: bool, check: &Check<'_>) -> Workload {
    let labels = Labels::new(metadata.labels.clone().unwrap_or_default());
    let name = workload_name(metadata, &labels, &check.reference.name);
    let first = |names: &[&str]| names.iter().find_map(|name| labels.get(name)).map(Arc::<str>::from);
    let account = spec.service_account_name.as_deref().filter(|name| !name.is_empty());
    Workload {
        instance: check.reference.name.clone(),
        namespace: check.namespace().clone(),
        service_account: account.unwrap_or("default").into(),
        canonical_service: first(CANONICAL_NAME).unwrap_or_else(|| name.clone()),
        canonical_revision: first(CANONICAL_REVISION).unwrap_or_else(|| "latest".into()),
        node: spec.node_name.as_deref().unwrap_or_default().into(),
        locality: Locality::default(),
        mtls: !host_network && has_sidecar(metadata, &labels, check.settings.assume_sidecars),
        name,
        labels,
    }
}

/// The controller's name; for a ReplicaSet that of its Deployment, which is its name without the template hash, and for
/// a Job of a CronJob that one's, which is its name without the time.
pub(crate) fn workload_name(metadata: &ObjectMeta, labels: &Labels, pod: &Arc<str>) -> Arc<str> {
    let owners = metadata.owner_references.as_deref().unwrap_or_default();
    let Some(owner) = owners.iter().find(|owner| owner.controller == Some(true)).or(owners.first()) else {
        return pod.clone();
    };
    let of_owner = match owner.kind.as_str() {
        "ReplicaSet" => labels.get(TEMPLATE_HASH).and_then(|hash| owner.name.strip_suffix(hash)?.strip_suffix('-')),
        "Job" => owner.name.rsplit_once('-').filter(|(_, time)| is_time(time)).map(|(name, _)| name),
        _ => None,
    };
    of_owner.unwrap_or(&owner.name).into()
}

/// The minutes since 1970 that the CronJob controller appends (Istio's rule: eight to ten digits).
fn is_time(text: &str) -> bool {
    (8..=10).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit())
}

fn has_sidecar(metadata: &ObjectMeta, labels: &Labels, assumed: bool) -> bool {
    let annotation = |name: &str| metadata.annotations.as_ref().and_then(|all| all.get(name)).map(String::as_str);
    if let Some(mode) = labels.get(TLS_MODE) {
        return mode == "istio";
    }
    if annotation(INJECTED).is_some() {
        return true;
    }
    assumed && labels.get(INJECT).or(annotation(INJECT)) != Some("false")
}

fn named_ports(spec: &PodSpec) -> BTreeMap<Arc<str>, u16> {
    let containers = spec.containers.iter().chain(spec.init_containers.iter().flatten());
    let ports = containers.flat_map(|container| container.ports.iter().flatten());
    let ports = ports.filter(|port| port.protocol.as_deref().is_none_or(|protocol| protocol == "TCP"));
    let named = ports.filter_map(|port| {
        let name = port.name.as_deref().filter(|name| !name.is_empty())?;
        Some((Arc::from(name), u16::try_from(port.container_port).ok()?))
    });
    named.collect()
}
