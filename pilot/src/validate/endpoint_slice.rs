//! Kubernetes EndpointSlice.

use super::Check;
use crate::model::{EndpointState, Host};
use crate::object::{Content, EndpointSlice, SliceEndpoint};
use crate::yaml::FieldPath;
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointConditions, EndpointPort, EndpointSlice as Object};
use std::sync::Arc;

/// The label that names the service.
const SERVICE: &str = "kubernetes.io/service-name";

pub(super) fn check(object: &Object, check: &mut Check<'_>) -> Option<Content> {
    let label = object.metadata.labels.as_ref().and_then(|labels| labels.get(SERVICE));
    if label.is_none() && check.settings.from_cluster {
        // A slice of somebody's own, who reads it himself.
        return Some(Content::Inert);
    }
    let label_at = FieldPath::of("metadata").key("labels").key(SERVICE);
    if label.is_none() {
        check.problems.error(&label_at, "is missing; it names the service whose endpoints these are");
    }
    if !matches!(object.address_type.as_str(), "IPv4" | "IPv6") {
        let message = format!("\"{}\" is not supported; use IPv4 or IPv6", object.address_type);
        check.problems.error(&FieldPath::of("addressType"), message);
    }
    let ports = check.slice_ports(&FieldPath::of("ports"), object.ports.as_deref().unwrap_or_default());
    let at = FieldPath::of("endpoints");
    let listed = object.endpoints.iter().enumerate();
    let endpoints = listed.map(|(index, endpoint)| check.slice_endpoint(&at.index(index), endpoint)).collect();
    let host = Host::of_service(label?, check.namespace(), &check.settings.mesh.domain);
    Some(Content::EndpointSlice(EndpointSlice { host, ports, endpoints }))
}

impl Check<'_> {
    fn slice_ports(&mut self, at: &FieldPath, specs: &[EndpointPort]) -> Vec<(Arc<str>, u16)> {
        let mut ports = Vec::new();
        for (index, spec) in specs.iter().enumerate() {
            let at = at.index(index);
            if spec.protocol.as_deref().is_some_and(|protocol| protocol != "TCP") {
                continue;
            }
            match spec.port {
                Some(number) => {
                    let name = spec.name.as_deref().unwrap_or_default();
                    ports.extend(self.signed_port(&at.key("port"), number).map(|port| (Arc::from(name), port)));
                }
                None => self.problems.error(&at.key("port"), "is missing"),
            }
        }
        ports
    }

    fn slice_endpoint(&mut self, at: &FieldPath, spec: &Endpoint) -> SliceEndpoint {
        let addresses_at = at.key("addresses");
        if spec.addresses.is_empty() {
            self.problems.error(&addresses_at, "is missing");
        }
        let addresses = spec.addresses.iter().enumerate();
        let pod = spec.target_ref.as_ref().filter(|target| target.kind.as_deref() == Some("Pod"));
        SliceEndpoint {
            addresses: addresses.filter_map(|(i, text)| self.address(&addresses_at.index(i), text)).collect(),
            state: state(spec.conditions.as_ref()),
            pod: pod.and_then(|target| target.name.as_deref()).map(Arc::from),
            node: spec.node_name.as_deref().unwrap_or_default().into(),
            zone: spec.zone.as_deref().unwrap_or_default().into(),
        }
    }
}

/// `ready` unknown counts as ready; a terminating endpoint that still serves drains.
fn state(conditions: Option<&EndpointConditions>) -> EndpointState {
    let Some(conditions) = conditions else { return EndpointState::Ready };
    let terminating = conditions.terminating.unwrap_or(false);
    let ready = conditions.ready.unwrap_or(!terminating);
    match (ready, terminating) {
        (true, _) => EndpointState::Ready,
        (false, true) if conditions.serving.unwrap_or(true) => EndpointState::Draining,
        (false, _) => EndpointState::NotReady,
    }
}
