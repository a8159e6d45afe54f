//! Where connections go that are not HTTP: the `tcp` and `tls` rules of a VirtualService, else the service itself.

use xds::listener::{Filter, FilterChain, FilterChainMatch, filter};
use xds::pack;
use xds::tcp_proxy::{TcpProxy, tcp_proxy::ClusterSpecifier};

use super::names::ClusterName;
use super::view::View;
use super::weights;
use super::wrappers::uint32;
use crate::model::{Host, L4Match, Service, TcpRule, TlsRule};

/// Connection attempts before the client is told: as many tries as a request gets by default.
const CONNECT_ATTEMPTS: u32 = 3;

/// A filter that forwards connections to one cluster.
pub(super) fn to_cluster(cluster: &str) -> Filter {
    forward(cluster, ClusterSpecifier::Cluster(cluster.to_owned()))
}

/// The filter for connections to a service port: the first `tcp` rule that this client gets, else the service.
pub(super) fn of_service(view: &View<'_>, service: &Service, port: u16) -> Filter {
    let own = ClusterName::outbound(port, &service.host).to_string();
    let Some(virtual_service) = view.virtual_service(&service.host) else { return to_cluster(&own) };
    let wanted = |rule: &&TcpRule| {
        rule.matches.is_empty() || rule.matches.iter().any(|block| decides(view, block, service, port))
    };
    match virtual_service.tcp.iter().find(wanted) {
        None => to_cluster(&own),
        Some(rule) => {
            view.shaped_by(&virtual_service.source);
            forward(&own, weights::connections(view, &rule.destinations, port))
        }
    }
}

/// A chain for each `tls` rule that this client gets at a service port, chosen by SNI.
pub(super) fn by_sni(view: &View<'_>, service: &Service, port: u16) -> Vec<FilterChain> {
    let Some(virtual_service) = view.virtual_service(&service.host) else { return Vec::new() };
    let mut taken: Vec<&Host> = Vec::new();
    let mut chains = Vec::new();
    for rule in &virtual_service.tls {
        let names = sni_names(view, rule, service, port, &mut taken);
        if names.is_empty() {
            continue;
        }
        view.shaped_by(&virtual_service.source);
        let cluster = weights::connections(view, &rule.destinations, port);
        let prefix = ClusterName::outbound(port, &service.host).to_string();
        chains.push(sni_chain(names, forward(&prefix, cluster)));
    }
    chains
}

/// A chain for TLS connections that name one of these servers.
pub(super) fn sni_chain(server_names: Vec<String>, filter: Filter) -> FilterChain {
    FilterChain {
        name: format!("sni;{}", server_names.join(",")),
        filter_chain_match: Some(FilterChainMatch {
            transport_protocol: "tls".into(),
            server_names,
            ..FilterChainMatch::default()
        }),
        filters: vec![filter],
        ..FilterChain::default()
    }
}

/// The names of a rule that no earlier rule has taken.
fn sni_names<'a>(
    view: &View<'_>,
    rule: &'a TlsRule,
    service: &Service,
    port: u16,
    taken: &mut Vec<&'a Host>,
) -> Vec<String> {
    let blocks = rule.matches.iter().filter(|block| decides(view, block, service, port));
    let mut names = Vec::new();
    for host in blocks.flat_map(|block| &block.sni_hosts) {
        if !taken.contains(&host) {
            taken.push(host);
            names.push(host.to_string());
        }
    }
    names
}

/// Whether a match block decides for connections to a service port: port and client fit, and its subnets hold one of
/// the service's addresses.
fn decides(view: &View<'_>, block: &L4Match, service: &Service, port: u16) -> bool {
    let subnets = &block.destination_subnets;
    let there = |subnet: &ipnet::IpNet| service.addresses.iter().any(|address| subnet.contains(address));
    view.gets_connection(block, port) && (subnets.is_empty() || subnets.iter().any(there))
}

fn forward(stat_prefix: &str, cluster: ClusterSpecifier) -> Filter {
    let proxy = TcpProxy {
        stat_prefix: stat_prefix.to_owned(),
        max_connect_attempts: uint32(CONNECT_ATTEMPTS),
        cluster_specifier: Some(cluster),
        ..TcpProxy::default()
    };
    Filter {
        name: "envoy.filters.network.tcp_proxy".into(),
        config_type: Some(filter::ConfigType::TypedConfig(pack(&proxy))),
    }
}
