//! Outbound listeners: one for each port of a service address, one for each port of host-only destinations. They have
//! no socket of their own; `virtualOutbound` hands connections over by their original destination.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use xds::core::TrafficDirection;
use xds::hcm::{Rds, http_connection_manager::RouteSpecifier};
use xds::listener::{Filter, FilterChain, Listener};

use super::hcm::{self, Direction};
use super::names::{BLACK_HOLE_CLUSTER, ClusterName, ListenerName, PASSTHROUGH_CLUSTER, RouteName};
use super::view::View;
use super::wrappers::{address, boolean};
use super::{ads, detection, provenance, route, tcp_route};
use crate::model::{Protocol, Service};

/// The listener of one port of a service address; `None` when no visible service has it.
pub(super) fn of_address(view: &View<'_>, ip: IpAddr, port: u16) -> Option<Listener> {
    let (service, service_port) = match view.service_at(ip, port) {
        Some(service) => (service, port),
        None => view.headless_at(ip, port)?,
    };
    view.shaped_by(&service.source);
    let name = ListenerName::Address(ip, port);
    let mut listener = unbound(&name, ip, port);
    listener.metadata = provenance::of(&service.source);
    let http = || http_filter(&name, &RouteName::Service(service.host.clone(), service_port));
    let tcp = || tcp_route::of_service(view, service, service_port);
    match service.port(service_port)?.protocol {
        Protocol::Http | Protocol::Http2 | Protocol::Grpc => listener.filter_chains = vec![anything(http())],
        Protocol::Tcp => listener.filter_chains = vec![anything(tcp())],
        Protocol::Tls => passed_through(tcp_route::by_sni(view, service, service_port), tcp(), &mut listener),
        Protocol::Unknown => {
            detection::apply(vec![detection::http()], &mut listener);
            listener.filter_chains = vec![detected(http())];
            listener.default_filter_chain = Some(anything(tcp()));
        }
    }
    Some(listener)
}

/// The listener of one port of host-only destinations; `None` when no visible service has it.
pub(super) fn of_port(view: &View<'_>, port: u16) -> Option<Listener> {
    let services = view.host_only(port);
    let first = services.first()?;
    let name = ListenerName::HostOnly(port);
    let mut listener = unbound(&name, Ipv4Addr::UNSPECIFIED.into(), port);
    view.families().stand_for_any(port, &mut listener);
    listener.metadata = provenance::of(&first.source);
    for service in &services {
        view.shaped_by(&service.source);
    }
    detection::apply(vec![detection::tls(), detection::http()], &mut listener);
    listener.filter_chains = by_server_name(view, &services, port);
    if services.iter().any(|service| route::takes_requests(service, port)) {
        listener.filter_chains.push(detected(http_filter(&name, &RouteName::HostOnly(port))));
    }
    let opaque = services.iter().find(|service| protocol(service, port) == Some(Protocol::Tcp));
    let otherwise = match opaque {
        Some(service) => tcp_route::of_service(view, service, port),
        None if view.mesh().allow_any => tcp_route::to_cluster(PASSTHROUGH_CLUSTER),
        None => tcp_route::to_cluster(BLACK_HOLE_CLUSTER),
    };
    listener.default_filter_chain = Some(anything(otherwise));
    Some(listener)
}

/// A listener without a socket of its own.
pub(super) fn unbound(name: &ListenerName, ip: IpAddr, port: u16) -> Listener {
    Listener {
        name: name.to_string(),
        address: address(ip, u32::from(port)),
        bind_to_port: boolean(false),
        traffic_direction: TrafficDirection::Outbound as i32,
        ..Listener::default()
    }
}

/// TLS that is passed through: a chain for each SNI that a rule names, the service for the others.
fn passed_through(by_sni: Vec<FilterChain>, otherwise: Filter, listener: &mut Listener) {
    if by_sni.is_empty() {
        listener.filter_chains = vec![anything(otherwise)];
        return;
    }
    detection::apply(vec![detection::tls()], listener);
    listener.filter_chains = by_sni;
    listener.default_filter_chain = Some(anything(otherwise));
}

/// A chain for each host-only destination that TLS clients can name.
fn by_server_name(view: &View<'_>, services: &[&Arc<Service>], port: u16) -> Vec<FilterChain> {
    let mut chains = Vec::new();
    for service in services {
        if !matches!(protocol(service, port), Some(Protocol::Tls | Protocol::Unknown)) {
            continue;
        }
        let rules = tcp_route::by_sni(view, service, port);
        let own = service.host.to_string();
        let named = rules.iter().any(|chain| {
            chain.filter_chain_match.as_ref().is_some_and(|condition| condition.server_names.contains(&own))
        });
        chains.extend(rules);
        if !named {
            let cluster = ClusterName::outbound(port, &service.host).to_string();
            chains.push(tcp_route::sni_chain(vec![own], tcp_route::to_cluster(&cluster)));
        }
    }
    chains
}

fn protocol(service: &Service, port: u16) -> Option<Protocol> {
    service.port(port).map(|port| port.protocol)
}

fn http_filter(listener: &ListenerName, routes: &RouteName) -> Filter {
    let rds = Rds { config_source: ads::source(), route_config_name: routes.to_string() };
    hcm::filter(Direction::Outbound, format!("outbound_{listener}"), RouteSpecifier::Rds(rds))
}

/// A chain for every connection.
pub(super) fn anything(filter: Filter) -> FilterChain {
    FilterChain { filters: vec![filter], ..FilterChain::default() }
}

/// A chain for connections whose first bytes are HTTP.
fn detected(filter: Filter) -> FilterChain {
    FilterChain {
        name: "http".into(),
        filter_chain_match: Some(detection::plain_http()),
        filters: vec![filter],
        ..FilterChain::default()
    }
}
