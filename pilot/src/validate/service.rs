//! Kubernetes Service.

use super::{Check, creation};
use crate::model::{ExportTo, Host, Labels, Port, Protocol, Service, ServiceKind, TargetPort};
use crate::object::Content;
use crate::yaml::FieldPath;
use k8s_openapi::api::core::v1::{Service as Object, ServicePort, ServiceSpec};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use std::net::IpAddr;
use std::sync::Arc;

/// Istio's annotation for the visibility of a Kubernetes service.
const EXPORT_TO: &str = "networking.istio.io/exportTo";

pub(super) fn check(object: &Object, check: &mut Check<'_>) -> Option<Content> {
    let at = FieldPath::of("spec");
    let Some(spec) = &object.spec else {
        check.problems.error(&at, "is missing");
        return None;
    };
    let kind = check.service_kind(&at, spec);
    let headless = spec.cluster_ip.as_deref() == Some("None") && kind == ServiceKind::Kubernetes;
    let dialled_by_name = headless || kind != ServiceKind::Kubernetes;
    let addresses = if dialled_by_name { Vec::new() } else { check.cluster_ips(&at, spec) };
    let specs = spec.ports.as_deref().unwrap_or_default();
    // Names need no ports: what is dialled there is what is there.
    if specs.is_empty() && !dialled_by_name {
        check.problems.error(&at.key("ports"), "is missing; list the ports that clients use");
    }
    let ports = check.service_ports(&at.key("ports"), specs);
    let annotation = object.metadata.annotations.as_ref().and_then(|all| all.get(EXPORT_TO));
    let export_to = match annotation {
        None => ExportTo::All,
        Some(text) => {
            let at = FieldPath::of("metadata").key("annotations").key(EXPORT_TO);
            let entries: Vec<_> = text.split(',').map(|entry| entry.trim().to_owned()).collect();
            check.export_to(&at, &entries)
        }
    };
    let selector = spec.selector.clone().filter(|labels| !labels.is_empty()).map(Labels::new);
    let source = check.reference.clone();
    Some(Content::Service(Arc::new(Service {
        host: Host::of_service(&source.name, &source.namespace, &check.settings.mesh.domain),
        namespace: source.namespace.clone(),
        name: source.name.clone(),
        kind,
        addresses,
        ports,
        subject_alt_names: Vec::new(),
        export_to,
        selector,
        creation: creation(&object.metadata),
        source,
        headless,
    })))
}

impl Check<'_> {
    fn service_kind(&mut self, at: &FieldPath, spec: &ServiceSpec) -> ServiceKind {
        if spec.type_.as_deref() != Some("ExternalName") {
            return ServiceKind::Kubernetes;
        }
        let name = spec.external_name.as_deref().unwrap_or_default();
        let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
        if name.is_empty() {
            self.problems.error(&at.key("externalName"), "is missing; it names the host that this is another name for");
        }
        ServiceKind::ExternalName(name.into())
    }

    fn cluster_ips(&mut self, at: &FieldPath, spec: &ServiceSpec) -> Vec<IpAddr> {
        let listed = spec.cluster_ips.as_deref().unwrap_or_default();
        let ips_at = at.key("clusterIPs");
        let mut fields: Vec<_> = listed.iter().enumerate().map(|(i, text)| (ips_at.index(i), text)).collect();
        if fields.is_empty() {
            fields.extend(
                spec.cluster_ip.as_ref().filter(|text| !text.is_empty()).map(|text| (at.key("clusterIP"), text)),
            );
        }
        if fields.is_empty() {
            let message =
                "is missing: no API server assigns one here; write an address, or None for a headless service";
            self.problems.error(&at.key("clusterIP"), message);
        }
        fields.into_iter().filter_map(|(at, text)| self.address(&at, text)).collect()
    }

    fn service_ports(&mut self, at: &FieldPath, specs: &[ServicePort]) -> Vec<Port> {
        let mut ports: Vec<Port> = Vec::new();
        for (index, spec) in specs.iter().enumerate() {
            let at = at.index(index);
            let Some(port) = self.service_port(&at, spec, specs.len() > 1) else { continue };
            if ports.iter().any(|known| known.number == port.number) {
                self.problems.error(&at.key("port"), format!("{} occurs twice; keep one", port.number));
            } else if ports.iter().any(|known| known.name == port.name) {
                self.problems.error(&at.key("name"), format!("\"{}\" occurs twice; names tell ports apart", port.name));
            }
            ports.push(port);
        }
        ports.sort_by_key(|port| port.number);
        ports
    }

    /// One port; None when it is wrong, or UDP.
    fn service_port(&mut self, at: &FieldPath, spec: &ServicePort, name_needed: bool) -> Option<Port> {
        let number = self.signed_port(&at.key("port"), spec.port)?;
        let name = spec.name.as_deref().unwrap_or_default();
        if name.is_empty() && name_needed {
            self.problems.error(&at.key("name"), "is missing; a service with several ports must name each");
        }
        let target = match &spec.target_port {
            None => TargetPort::Number(number),
            Some(IntOrString::Int(target)) => TargetPort::Number(self.signed_port(&at.key("targetPort"), *target)?),
            Some(IntOrString::String(target)) => TargetPort::Name(target.as_str().into()),
        };
        let transport = spec.protocol.as_deref().unwrap_or_default();
        let protocol = Protocol::declared(transport, spec.app_protocol.as_deref(), name, number)?;
        Some(Port { number, name: name.into(), target, protocol })
    }
}
