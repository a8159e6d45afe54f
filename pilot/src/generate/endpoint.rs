//! Endpoints: the addresses behind a cluster, grouped by where they run.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use xds::cluster::cluster::DiscoveryType;
use xds::core::{self, Metadata};
use xds::endpoint::endpoint::AdditionalAddress;
use xds::endpoint::lb_endpoint::HostIdentifier;
use xds::endpoint::{ClusterLoadAssignment, LbEndpoint, LocalityLbEndpoints};
use xds::{string_value, struct_of};

use super::names::ClusterName;
use super::view::View;
use super::wrappers::{address, uint32};
use super::{auto_mtls, cluster};
use crate::model::{Endpoint, EndpointAddress, EndpointState, Labels, Locality, Service, TargetPort};

/// The endpoints of an outbound cluster, none of them for a service without any. `None`: there is no such service,
/// port or subset, or its addresses are not Pilot's to know.
pub(super) fn generate(view: &View<'_>, name: &ClusterName) -> Option<ClusterLoadAssignment> {
    let ClusterName::Outbound { port, subset, host } = name else { return None };
    let service = view.service(host)?;
    service.port(*port)?;
    let rule = view.destination_rule(service);
    let labels = match subset {
        Some(subset) => rule?.subset(subset)?.labels.clone(),
        None => Labels::default(),
    };
    let policy = rule.map(|rule| rule.effective(*port, subset.as_deref())).unwrap_or_default();
    let endpoints = match cluster::discovery(service, &policy) {
        DiscoveryType::OriginalDst | DiscoveryType::Static => return None,
        DiscoveryType::Eds => addresses(view, service, *port, &labels),
        DiscoveryType::StrictDns => names(view, service, *port, &labels),
        DiscoveryType::LogicalDns => names(view, service, *port, &labels).into_iter().take(1).collect(),
    };
    Some(ClusterLoadAssignment {
        cluster_name: name.to_string(),
        endpoints: by_locality(view, endpoints),
        ..ClusterLoadAssignment::default()
    })
}

/// An endpoint that takes part, with its own port.
enum Target<'a> {
    Known(&'a Arc<Endpoint>, u16),
    /// The service's host itself, to be resolved.
    Host(String, u16),
}

/// Ready endpoints; those that are terminating and still serve only when nothing else is left.
fn addresses<'a>(view: &View<'a>, service: &Service, port: u16, labels: &Labels) -> Vec<Target<'a>> {
    let all = view.endpoints_of(service, port, labels);
    let in_state = |state: EndpointState| -> Vec<Target<'a>> {
        let wanted = all
            .iter()
            .filter(|(endpoint, _)| endpoint.state == state && matches!(endpoint.address, EndpointAddress::Ip(_)));
        wanted.map(|(endpoint, number)| Target::Known(endpoint, *number)).collect()
    };
    let ready = in_state(EndpointState::Ready);
    if ready.is_empty() { in_state(EndpointState::Draining) } else { ready }
}

/// The names or addresses that the data plane resolves: the declared endpoints, else the host.
fn names<'a>(view: &View<'a>, service: &Service, port: u16, labels: &Labels) -> Vec<Target<'a>> {
    if view.endpoints(service).is_empty() {
        let number = match service.port(port).map(|port| &port.target) {
            Some(TargetPort::Number(number)) => *number,
            _ => port,
        };
        return vec![Target::Host(service.host.to_string(), number)];
    }
    let all = view.endpoints_of(service, port, labels).into_iter();
    all.filter(|(endpoint, _)| endpoint.state == EndpointState::Ready)
        .map(|(endpoint, number)| Target::Known(endpoint, number))
        .collect()
}

fn by_locality(view: &View<'_>, targets: Vec<Target<'_>>) -> Vec<LocalityLbEndpoints> {
    let mut groups: BTreeMap<Locality, Vec<LbEndpoint>> = BTreeMap::new();
    for target in targets {
        let (locality, endpoint) = match target {
            Target::Known(endpoint, number) => (endpoint.locality.clone(), known(view, endpoint, number)),
            Target::Host(host, number) => (Locality::default(), named(host, number)),
        };
        groups.entry(locality).or_default().push(endpoint);
    }
    groups
        .into_iter()
        .map(|(locality, lb_endpoints)| LocalityLbEndpoints {
            locality: Some(core::Locality {
                region: locality.region.to_string(),
                zone: locality.zone.to_string(),
                sub_zone: locality.sub_zone.to_string(),
            }),
            lb_endpoints,
            ..LocalityLbEndpoints::default()
        })
        .collect()
}

fn known(view: &View<'_>, endpoint: &Endpoint, number: u16) -> LbEndpoint {
    let host = match &endpoint.address {
        EndpointAddress::Ip(ip) => ip.to_string(),
        EndpointAddress::Name(name) => name.to_string(),
    };
    LbEndpoint {
        metadata: metadata(view, endpoint, number),
        load_balancing_weight: uint32(endpoint.weight.max(1)),
        ..at(host, endpoint.other, number)
    }
}

fn named(host: String, number: u16) -> LbEndpoint {
    at(host, None, number)
}

/// An address or a name, and the address of the other family.
fn at(host: String, other: Option<IpAddr>, number: u16) -> LbEndpoint {
    let port = u32::from(number);
    let more = |ip| AdditionalAddress { address: address(ip, port) };
    let endpoint = xds::endpoint::Endpoint {
        address: address(host, port),
        additional_addresses: other.map(more).into_iter().collect(),
        ..xds::endpoint::Endpoint::default()
    };
    LbEndpoint { host_identifier: Some(HostIdentifier::Endpoint(endpoint)), ..LbEndpoint::default() }
}

/// Whether mesh mTLS leads there, and who it is (Istio's convention).
fn metadata(view: &View<'_>, endpoint: &Endpoint, number: u16) -> Option<Metadata> {
    let security = auto_mtls::endpoint_can(view, endpoint, number)
        .then(|| (auto_mtls::MATCH_METADATA.to_owned(), auto_mtls::able()));
    let identity = endpoint.workload.as_ref().map(|workload| {
        let who = [&workload.name, &workload.namespace, &workload.canonical_service, &workload.canonical_revision];
        let who = who.map(AsRef::as_ref).join(";");
        let text = format!("{who};{}", view.mesh().cluster_id);
        ("istio".to_owned(), struct_of([("workload", string_value(text))]))
    });
    if security.is_none() && identity.is_none() {
        return None;
    }
    Some(Metadata { filter_metadata: security.into_iter().chain(identity).collect(), ..Metadata::default() })
}
