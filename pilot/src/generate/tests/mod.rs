//! Worlds from YAML, resources from worlds: what the generators write, read back as a data plane reads it.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod backend_filters;
mod clusters;
mod data_plane;
mod endpoints;
mod families;
mod gateway_routes;
mod inbound;
mod kubernetes_services;
mod listeners;
mod mesh_conformance;
mod policies;
mod routes;

use super::fixture::{frontend, http_route, shop, shop_with, viewer, virtual_service};
use super::*;
use xds::Message;
use xds::cluster::Cluster;
use xds::core::{Metadata, TransportSocket, address, data_source::Specifier, socket_address, transport_socket};
use xds::endpoint::{ClusterLoadAssignment, lb_endpoint::HostIdentifier};
use xds::hcm::HttpConnectionManager;
use xds::hcm::http_connection_manager::RouteSpecifier;
use xds::http_protocol_options::http_protocol_options::explicit_http_config::ProtocolConfig;
use xds::listener::{Filter, FilterChain, Listener, filter};
use xds::matcher::{StringMatcher, string_matcher::MatchPattern};
use xds::route::header_matcher::HeaderMatchSpecifier;
use xds::route::query_parameter_matcher::QueryParameterMatchSpecifier;
use xds::route::route_action::ClusterSpecifier;
use xds::route::route_match::PathSpecifier;
use xds::route::{HeaderMatcher, Route, RouteAction, RouteConfiguration, RouteMatch, route::Action};
use xds::tcp_proxy::{TcpProxy, tcp_proxy as tcp};
use xds::tls::SubjectAltNameMatcher;
use xds::workload::{Address, AddressType};

fn decoded<M: Message + Default>(world: &World, viewer: &Viewer, kind: ResourceType, name: &str) -> M {
    let resource = generate(world, viewer, kind, name).resource.unwrap_or_else(|| panic!("there is no {kind} {name}"));
    assert_eq!(&*resource.name, name);
    M::decode(resource.any.value.as_slice()).unwrap()
}

fn listener(world: &World, viewer: &Viewer, name: &str) -> Listener {
    decoded(world, viewer, ResourceType::Listener, name)
}

fn routes(world: &World, viewer: &Viewer, name: &str) -> RouteConfiguration {
    decoded(world, viewer, ResourceType::Route, name)
}

fn cluster(world: &World, viewer: &Viewer, name: &str) -> Cluster {
    decoded(world, viewer, ResourceType::Cluster, name)
}

fn endpoints(world: &World, viewer: &Viewer, name: &str) -> ClusterLoadAssignment {
    decoded(world, viewer, ResourceType::Endpoint, name)
}

fn typed<M: Message + xds::Name + Default>(filter: &Filter) -> M {
    let Some(filter::ConfigType::TypedConfig(any)) = &filter.config_type else { panic!("a typed config") };
    xds::unpack(any).unwrap()
}

fn socket_config<M: Message + xds::Name + Default>(socket: &TransportSocket) -> M {
    let Some(transport_socket::ConfigType::TypedConfig(any)) = &socket.config_type else { panic!("a typed config") };
    xds::unpack(any).unwrap()
}

fn manager_of(chain: &FilterChain) -> HttpConnectionManager {
    typed(&chain.filters[0])
}

fn rds_of(chain: &FilterChain) -> String {
    let Some(RouteSpecifier::Rds(rds)) = manager_of(chain).route_specifier else { panic!("RDS") };
    rds.route_config_name
}

fn tcp_of(chain: &FilterChain) -> String {
    let Some(tcp::ClusterSpecifier::Cluster(name)) = typed::<TcpProxy>(&chain.filters[0]).cluster_specifier else {
        panic!("one cluster")
    };
    name
}

fn bound_to(listener: &Listener) -> (String, u32) {
    socket(listener.address.as_ref().unwrap())
}

fn socket(address: &xds::core::Address) -> (String, u32) {
    let Some(address::Address::SocketAddress(socket)) = &address.address else { panic!("a socket address") };
    let Some(socket_address::PortSpecifier::PortValue(port)) = socket.port_specifier else { panic!("a port") };
    (socket.address.clone(), port)
}

fn addresses(assignment: &ClusterLoadAssignment) -> Vec<String> {
    let all = assignment.endpoints.iter().flat_map(|group| &group.lb_endpoints);
    all.map(|endpoint| {
        let Some(HostIdentifier::Endpoint(endpoint)) = &endpoint.host_identifier else { panic!("an endpoint") };
        let (host, port) = socket(endpoint.address.as_ref().unwrap());
        format!("{host}:{port}")
    })
    .collect()
}

/// The addresses beside those of [`addresses`].
fn others(assignment: &ClusterLoadAssignment) -> Vec<String> {
    let all = assignment.endpoints.iter().flat_map(|group| &group.lb_endpoints);
    let more = all.flat_map(|endpoint| match &endpoint.host_identifier {
        Some(HostIdentifier::Endpoint(endpoint)) => endpoint.additional_addresses.as_slice(),
        _ => &[],
    });
    more.map(|more| {
        let (host, port) = socket(more.address.as_ref().unwrap());
        format!("{host}:{port}")
    })
    .collect()
}

fn metadata<'a>(metadata: &'a Metadata, namespace: &str, field: &str) -> Option<&'a str> {
    xds::string_field(metadata.filter_metadata.get(namespace)?, field)
}

fn config_of(metadata: &Option<Metadata>) -> &str {
    self::metadata(metadata.as_ref().unwrap(), "istio", "config").unwrap()
}

fn sans(matchers: &[SubjectAltNameMatcher]) -> Vec<String> {
    matchers.iter().map(|san| pattern(san.matcher.as_ref().unwrap()).replacen(':', " ", 1)).collect()
}

fn action_of(route: &Route) -> RouteAction {
    let Some(Action::Route(action)) = route.action.clone() else { panic!("a route that forwards") };
    action
}

/// A route in one line: conditions => where to.
fn tell(route: &Route) -> String {
    let target = match route.action.as_ref().unwrap() {
        Action::Route(action) => match action.cluster_specifier.as_ref().unwrap() {
            ClusterSpecifier::Cluster(name) => name.clone(),
            ClusterSpecifier::WeightedClusters(weighted) => {
                let shares =
                    weighted.clusters.iter().map(|c| format!("{} {}", c.name, c.weight.as_ref().unwrap().value));
                shares.collect::<Vec<_>>().join(", ")
            }
            other => panic!("{other:?}"),
        },
        Action::DirectResponse(response) => format!("status {}", response.status),
        other => panic!("{other:?}"),
    };
    format!("{} => {target}", conditions(route.r#match.as_ref().unwrap()))
}

fn conditions(matching: &RouteMatch) -> String {
    let mut told = vec![match matching.path_specifier.as_ref().unwrap() {
        PathSpecifier::Prefix(prefix) => format!("prefix {prefix}"),
        PathSpecifier::Path(path) => format!("path {path}"),
        PathSpecifier::PathSeparatedPrefix(path) => format!("below {path}"),
        PathSpecifier::SafeRegex(regex) => format!("regex {}", regex.regex),
        other => panic!("{other:?}"),
    }];
    if matching.case_sensitive.as_ref().is_some_and(|flag| !flag.value) {
        told.push("ignoring case".into());
    }
    told.extend(matching.runtime_fraction.iter().map(|fraction| {
        let share = fraction.default_value.unwrap();
        format!("{} of a million", share.numerator)
    }));
    told.extend(matching.headers.iter().map(header));
    told.extend(matching.query_parameters.iter().map(|query| match &query.query_parameter_match_specifier {
        Some(QueryParameterMatchSpecifier::StringMatch(test)) => format!("?{}={}", query.name, pattern(test)),
        _ => format!("?{} present", query.name),
    }));
    told.join(" ")
}

fn header(header: &HeaderMatcher) -> String {
    let not = if header.invert_match { "not " } else { "" };
    let or_empty = if header.treat_missing_header_as_empty { " or empty" } else { "" };
    match header.header_match_specifier.as_ref().unwrap() {
        HeaderMatchSpecifier::PresentMatch(true) => format!("{not}{} present", header.name),
        HeaderMatchSpecifier::StringMatch(test) => format!("{not}{}={}{or_empty}", header.name, pattern(test)),
        other => panic!("{other:?}"),
    }
}

fn pattern(matcher: &StringMatcher) -> String {
    match matcher.match_pattern.as_ref().unwrap() {
        MatchPattern::Exact(text) => format!("exact:{text}"),
        MatchPattern::Prefix(text) => format!("prefix:{text}"),
        MatchPattern::Suffix(text) => format!("suffix:{text}"),
        MatchPattern::SafeRegex(regex) => format!("regex:{}", regex.regex),
        other => panic!("{other:?}"),
    }
}
