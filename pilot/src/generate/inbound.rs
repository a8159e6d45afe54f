//! `virtualInbound`: the socket that captured inbound connections arrive at. A set of filter chains for each port, by
//! what PeerAuthentication accepts there and what the services that lead to it declare.

use std::collections::{BTreeMap, BTreeSet};

use xds::core::TrafficDirection;
use xds::hcm::http_connection_manager::RouteSpecifier;
use xds::listener::{Filter, FilterChain, FilterChainMatch, Listener, ListenerFilter};
use xds::route::{RouteConfiguration, VirtualHost};

use super::hcm::{self, Direction};
use super::names::{
    BLACK_HOLE_CLUSTER, ClusterName, INBOUND_CAPTURE_PORT, INBOUND_PASSTHROUGH_CLUSTER, VIRTUAL_INBOUND,
};
use super::view::View;
use super::wrappers::uint32;
use super::{detection, mtls, provenance, route, tcp_route};
use crate::model::{InboundPort, MtlsMode, Protocol};

/// A port number that no policy can name: its mode is that of all other ports.
const ANY_OTHER_PORT: u16 = 0;

/// The listener. The original destination selects a chain and not another listener, so `use_original_dst` is off: an
/// inbound connection must never be handed to an outbound listener of the same port.
pub(super) fn generate(view: &View<'_>) -> Listener {
    let ports = ports(view);
    let mut chains = vec![to_itself()];
    for (number, protocol) in &ports {
        let port = Port { number: Some(*number), protocol: *protocol, cluster: cluster(*number, *protocol) };
        chains.extend(port.chains(view, mode(view, *number)));
    }
    let others = Port { number: None, protocol: Some(Protocol::Tcp), cluster: INBOUND_PASSTHROUGH_CLUSTER.into() };
    chains.extend(others.chains(view, mode(view, ANY_OTHER_PORT)));
    let mut listener = Listener {
        name: VIRTUAL_INBOUND.into(),
        traffic_direction: TrafficDirection::Inbound as i32,
        filter_chains: chains,
        metadata: view.first_source().and_then(|policy| provenance::of(&policy)),
        ..Listener::default()
    };
    view.families().stand_for_any(INBOUND_CAPTURE_PORT, &mut listener);
    detection::apply(filters(&ports), &mut listener);
    listener
}

/// The ports that have chains of their own: those that services lead to with their protocol, and those that a policy
/// names.
fn ports(view: &View<'_>) -> BTreeMap<u16, Option<Protocol>> {
    let declared: &[InboundPort] = view.own_workload().map_or(&[], |info| &info.inbound);
    let named: BTreeSet<u16> = view.mtls_ports(view.namespace(), view.own_labels());
    let mut ports: BTreeMap<u16, Option<Protocol>> = named.into_iter().map(|number| (number, None)).collect();
    ports.extend(declared.iter().map(|port| (port.number, Some(port.protocol))));
    ports
}

fn mode(view: &View<'_>, port: u16) -> MtlsMode {
    view.mtls_mode(view.namespace(), view.own_labels(), port)
}

fn cluster(number: u16, protocol: Option<Protocol>) -> String {
    match protocol {
        Some(_) => ClusterName::Inbound(number).to_string(),
        None => INBOUND_PASSTHROUGH_CLUSTER.into(),
    }
}

fn filters(ports: &BTreeMap<u16, Option<Protocol>>) -> Vec<ListenerFilter> {
    let unknown: Vec<u16> =
        ports.iter().filter(|(_, protocol)| **protocol == Some(Protocol::Unknown)).map(|(number, _)| *number).collect();
    let mut filters = vec![detection::original_destination(), detection::tls()];
    if !unknown.is_empty() {
        filters.push(detection::http_on(&unknown));
    }
    filters
}

/// One port with chains of its own, or all the others together.
struct Port {
    number: Option<u16>,
    /// `None`: no service declares the port.
    protocol: Option<Protocol>,
    cluster: String,
}

/// What a chain is for.
#[derive(Clone, Copy)]
enum Content {
    Http,
    Tcp,
}

impl Port {
    fn chains(&self, view: &View<'_>, mode: MtlsMode) -> Vec<FilterChain> {
        match (mode, self.protocol.unwrap_or(Protocol::Tcp)) {
            (MtlsMode::Strict, protocol) => self.strict(view, protocol),
            (MtlsMode::Permissive, protocol) => self.permissive(view, protocol),
            (MtlsMode::Disable, protocol) => self.disabled(protocol),
        }
    }

    /// Mesh mTLS only: whatever else has no chain and is closed.
    fn strict(&self, view: &View<'_>, protocol: Protocol) -> Vec<FilterChain> {
        match protocol {
            Protocol::Http | Protocol::Http2 | Protocol::Grpc => vec![self.terminated(view, Content::Http, &[])],
            Protocol::Tcp | Protocol::Tls => vec![self.terminated(view, Content::Tcp, &[])],
            Protocol::Unknown => vec![
                self.terminated(view, Content::Http, &mtls::MESH_HTTP_ALPN),
                self.terminated(view, Content::Tcp, &[]),
            ],
        }
    }

    /// Mesh mTLS is known by its ALPN; plain text is served; other TLS is the application's own, where it may be one.
    fn permissive(&self, view: &View<'_>, protocol: Protocol) -> Vec<FilterChain> {
        match protocol {
            Protocol::Http | Protocol::Http2 | Protocol::Grpc => {
                vec![self.terminated(view, Content::Http, &mtls::MESH_ALPN), self.plaintext(Content::Http, raw())]
            }
            Protocol::Tcp | Protocol::Tls => vec![
                self.terminated(view, Content::Tcp, &mtls::MESH_ALPN),
                self.passed_through(),
                self.plaintext(Content::Tcp, raw()),
            ],
            Protocol::Unknown => vec![
                self.terminated(view, Content::Http, &mtls::MESH_HTTP_ALPN),
                self.terminated(view, Content::Tcp, &["istio-peer-exchange", "istio"]),
                self.passed_through(),
                self.plaintext(Content::Http, detection::plain_http()),
                self.plaintext(Content::Tcp, raw()),
            ],
        }
    }

    /// No mesh mTLS: all TLS is the application's own.
    fn disabled(&self, protocol: Protocol) -> Vec<FilterChain> {
        match protocol {
            Protocol::Http | Protocol::Http2 | Protocol::Grpc => {
                vec![self.passed_through(), self.plaintext(Content::Http, raw())]
            }
            Protocol::Tcp | Protocol::Tls => vec![self.plaintext(Content::Tcp, FilterChainMatch::default())],
            Protocol::Unknown => vec![
                self.plaintext(Content::Http, detection::plain_http()),
                self.plaintext(Content::Tcp, FilterChainMatch::default()),
            ],
        }
    }

    /// TLS that ends here, for clients that offer one of these ALPN names (none: for all).
    fn terminated(&self, view: &View<'_>, content: Content, alpn: &[&str]) -> FilterChain {
        let condition = FilterChainMatch {
            transport_protocol: "tls".into(),
            application_protocols: alpn.iter().map(ToString::to_string).collect(),
            ..FilterChainMatch::default()
        };
        let http = matches!(content, Content::Http);
        FilterChain {
            transport_socket: Some(mtls::downstream(http, &view.mesh().trust_domain)),
            ..self.chain("mtls", content, condition)
        }
    }

    /// TLS that the application ends.
    fn passed_through(&self) -> FilterChain {
        let condition = FilterChainMatch { transport_protocol: "tls".into(), ..FilterChainMatch::default() };
        self.chain("tls", Content::Tcp, condition)
    }

    fn plaintext(&self, content: Content, condition: FilterChainMatch) -> FilterChain {
        self.chain("plaintext", content, condition)
    }

    fn chain(&self, security: &str, content: Content, condition: FilterChainMatch) -> FilterChain {
        let (filter, content) = match content {
            Content::Http => (self.http_filter(), "http"),
            Content::Tcp => (tcp_route::to_cluster(&self.cluster), "tcp"),
        };
        let port = self.number.map_or_else(|| VIRTUAL_INBOUND.to_owned(), |number| format!("0.0.0.0_{number}"));
        FilterChain {
            name: format!("{port};{security};{content}"),
            filter_chain_match: Some(FilterChainMatch {
                destination_port: self.number.and_then(|number| uint32(u32::from(number))),
                ..condition
            }),
            filters: vec![filter],
            ..FilterChain::default()
        }
    }

    fn http_filter(&self) -> Filter {
        let number = self.number.unwrap_or_default();
        let host = VirtualHost {
            name: format!("inbound|http|{number}"),
            domains: vec!["*".into()],
            routes: vec![route::straight_to(self.cluster.clone(), "default")],
            ..VirtualHost::default()
        };
        let routes = RouteConfiguration {
            name: self.cluster.clone(),
            virtual_hosts: vec![host],
            ..RouteConfiguration::default()
        };
        hcm::filter(Direction::Inbound, format!("inbound_0.0.0.0_{number}"), RouteSpecifier::RouteConfig(routes))
    }
}

fn raw() -> FilterChainMatch {
    FilterChainMatch { transport_protocol: "raw_buffer".into(), ..FilterChainMatch::default() }
}

/// A connection to the capture port itself would come back for ever.
fn to_itself() -> FilterChain {
    FilterChain {
        name: "virtualInbound-blackhole".into(),
        filter_chain_match: Some(FilterChainMatch {
            destination_port: uint32(u32::from(INBOUND_CAPTURE_PORT)),
            ..FilterChainMatch::default()
        }),
        filters: vec![tcp_route::to_cluster(BLACK_HOLE_CLUSTER)],
        ..FilterChain::default()
    }
}
