//! Clusters: where requests of a service port or subset can go, and how connections there are made.

use std::time::Duration;

use xds::cluster::cluster::{ClusterDiscoveryType, DiscoveryType, EdsClusterConfig, LbPolicy};
use xds::cluster::{CircuitBreakers, Cluster, circuit_breakers::Thresholds};
use xds::endpoint::ClusterLoadAssignment;

use super::families::Families;
use super::names::ClusterName;
use super::view::View;
use super::wrappers::{duration, uint32};
use super::{ads, auto_mtls, endpoint, load_balancer, provenance, upstream_protocol, workload};
use crate::model::{DestinationRule, Host, LoadBalancer, ObjectRef, PolicyLevel, Protocol, Resolution, Service};

/// How long a connection may take to be made (MeshConfig `connectTimeout`).
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How often names are resolved again (MeshConfig `dnsRefreshRate`); a shorter TTL goes before it.
const DNS_REFRESH: Duration = Duration::from_secs(60);

/// The cluster with this name; `None` when there is no such service, port or subset.
pub(super) fn generate(view: &View<'_>, name: &ClusterName) -> Option<Cluster> {
    match name {
        ClusterName::Outbound { port, subset, host } => outbound(view, name, *port, subset.as_deref(), host),
        ClusterName::Workload(ip, port) => workload::cluster(view, name, *ip, *port),
        ClusterName::Inbound(port) => inbound(view, name, *port),
        ClusterName::Passthrough => Some(passthrough(name)),
        ClusterName::InboundPassthrough => Some(to_the_workload(view, original_destination(name))),
        ClusterName::BlackHole => Some(discovered(name, DiscoveryType::Static)),
    }
}

/// How the endpoints of a service port are found: as the service says, unless a DestinationRule asks for the address
/// that the client dialled.
pub(super) fn discovery(service: &Service, policy: &PolicyLevel) -> DiscoveryType {
    match service.resolution() {
        _ if policy.load_balancer == Some(LoadBalancer::Passthrough) => DiscoveryType::OriginalDst,
        Resolution::None => DiscoveryType::OriginalDst,
        Resolution::Static => DiscoveryType::Eds,
        Resolution::Dns => DiscoveryType::StrictDns,
        Resolution::DnsRoundRobin => DiscoveryType::LogicalDns,
    }
}

fn outbound(view: &View<'_>, name: &ClusterName, port: u16, subset: Option<&str>, host: &Host) -> Option<Cluster> {
    let service = view.service(host)?;
    let protocol = service.port(port)?.protocol;
    let rule = view.destination_rule(service);
    let policy = rule.map(|rule| rule.effective(port, subset)).unwrap_or_default();
    let source = source(view, service, rule.map(AsRef::as_ref), subset)?;
    let (discovery, addresses) = found(view, name, discovery(service, &policy));
    let mut cluster = match discovery {
        DiscoveryType::OriginalDst => original_destination(name),
        other => discovered(name, other),
    };
    match discovery {
        DiscoveryType::Eds => cluster.eds_cluster_config = Some(endpoints_over_ads()),
        DiscoveryType::StrictDns | DiscoveryType::LogicalDns => {
            resolved(view.families(), &mut cluster);
            cluster.load_assignment = addresses;
        }
        DiscoveryType::Static | DiscoveryType::OriginalDst => {}
    }
    if discovery != DiscoveryType::OriginalDst {
        load_balancer::apply(policy.load_balancer.unwrap_or_default(), &mut cluster);
    }
    if let Some(limit) = policy.connection_pool.as_ref().and_then(|pool| pool.connect_timeout) {
        cluster.connect_timeout = duration(limit);
    }
    cluster.metadata = provenance::of_cluster(source, service);
    upstream_protocol::declared(protocol, auto_mtls::names_come_from_requests(service, &policy), &mut cluster);
    upstream_protocol::may_share(protocol, &mut cluster);
    auto_mtls::apply(view, service, (port, subset, protocol), &policy, &mut cluster);
    Some(cluster)
}

/// How endpoints are found, and the names that the data plane resolves. A data plane refuses a cluster whose one name is
/// missing, which that of a subset without endpoints is: such a cluster leads nowhere.
fn found(
    view: &View<'_>,
    name: &ClusterName,
    discovery: DiscoveryType,
) -> (DiscoveryType, Option<ClusterLoadAssignment>) {
    match discovery {
        DiscoveryType::StrictDns | DiscoveryType::LogicalDns => {
            let named = endpoint::generate(view, name).filter(|assignment| !assignment.endpoints.is_empty());
            (if named.is_some() { discovery } else { DiscoveryType::Static }, named)
        }
        DiscoveryType::Static | DiscoveryType::Eds | DiscoveryType::OriginalDst => (discovery, None),
    }
}

/// The object that a cluster came from: the DestinationRule if there is one. `None`: there is no such subset.
fn source<'a>(
    view: &View<'_>,
    service: &'a Service,
    rule: Option<&'a DestinationRule>,
    subset: Option<&str>,
) -> Option<&'a ObjectRef> {
    let source = match (subset, rule) {
        (Some(subset), rule) => &rule?.subset(subset)?.source,
        (None, Some(rule)) => rule.sources.first().unwrap_or(&service.source),
        (None, None) => &service.source,
    };
    view.shaped_by(source);
    Some(source)
}

/// A port of the workload itself, in the HTTP version of the request.
fn inbound(view: &View<'_>, name: &ClusterName, port: u16) -> Option<Cluster> {
    let info = view.own_workload()?;
    let declared = info.inbound.iter().find(|inbound| inbound.number == port)?;
    let mut cluster = to_the_workload(view, original_destination(name));
    let source = declared.services.first().and_then(|first| view.service(&first.host)).map(|service| &service.source);
    if let Some(source) = source {
        view.shaped_by(source);
    }
    cluster.metadata = provenance::of_services(source.map(AsRef::as_ref), &declared.services);
    if !matches!(declared.protocol, Protocol::Tcp | Protocol::Tls) {
        upstream_protocol::as_downstream(&mut cluster);
    }
    Some(cluster)
}

/// Goes where the client dialled, in the client's own HTTP version where requests lead there.
fn passthrough(name: &ClusterName) -> Cluster {
    let mut cluster = original_destination(name);
    upstream_protocol::as_downstream(&mut cluster);
    cluster
}

fn to_the_workload(view: &View<'_>, cluster: Cluster) -> Cluster {
    Cluster { upstream_bind_config: Some(view.families().inbound_source()), ..cluster }
}

/// Goes where the client dialled.
pub(super) fn original_destination(name: &ClusterName) -> Cluster {
    Cluster { lb_policy: LbPolicy::ClusterProvided as i32, ..discovered(name, DiscoveryType::OriginalDst) }
}

fn discovered(name: &ClusterName, discovery: DiscoveryType) -> Cluster {
    Cluster {
        name: name.to_string(),
        connect_timeout: duration(CONNECT_TIMEOUT),
        circuit_breakers: Some(no_limits()),
        cluster_discovery_type: Some(ClusterDiscoveryType::Type(discovery as i32)),
        ..Cluster::default()
    }
}

/// The API's defaults for `connectionPool`: no limits, where Envoy's own would be 1,024 requests and 3 retries.
fn no_limits() -> CircuitBreakers {
    let none = uint32(u32::MAX);
    let thresholds = Thresholds {
        max_connections: none,
        max_pending_requests: none,
        max_requests: none,
        max_retries: none,
        ..Thresholds::default()
    };
    CircuitBreakers { thresholds: vec![thresholds], per_host_thresholds: Vec::new() }
}

fn endpoints_over_ads() -> EdsClusterConfig {
    EdsClusterConfig { eds_config: ads::source(), service_name: String::new() }
}

// Envoy prefers an extension to these fields, but has not taken them away and every data plane knows them.
#[allow(deprecated)]
fn resolved(families: Families, cluster: &mut Cluster) {
    cluster.dns_lookup_family = families.of_names() as i32;
    cluster.dns_refresh_rate = duration(DNS_REFRESH);
    cluster.respect_dns_ttl = true;
}
