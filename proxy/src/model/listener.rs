//! Listeners: where a connection's original destination is looked up, and the filter chains that decide what happens to it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use ipnet::IpNet;

use crate::http::fault::Fault;
use crate::http::normalise::{HostRules, PathRules};
use crate::http::route_table::RouteTable;
use crate::http::weights::Targets;
use crate::model::Retired;

/// One xDS listener.
#[derive(Debug)]
pub struct Listener {
    /// Resource name, e.g. `10.96.3.7_80`.
    pub name: Arc<str>,
    /// The address that it stands for: a socket to bind, or an original destination when `bind` is false.
    pub address: SocketAddr,
    /// More original destinations that it stands for: the service's address of the other family.
    pub others: Vec<SocketAddr>,
    /// Whether a socket is opened for it. Only the capture listeners do.
    pub bind: bool,
    /// Hand the connection to the listener of its original destination, if there is one.
    pub use_original_dst: bool,
    /// Read the first bytes to tell TLS from plaintext.
    pub inspect_tls: bool,
    /// Read the first bytes to tell HTTP from other protocols.
    pub inspect_http: bool,
    /// How long the first bytes are waited for before the connection counts as silent; `None`: forever.
    pub inspect_timeout: Option<Duration>,
    /// Close a connection that stays silent, instead of serving it as plain bytes.
    pub close_silent: bool,
    /// Chains with a match, in configuration order; [`Listener::chain`] finds the most specific.
    pub chains: Vec<Arc<FilterChain>>,
    /// Taken when no chain matches; without one the connection is closed.
    pub default_chain: Option<Arc<FilterChain>>,
    /// The configuration object that it was made from, as a path of the API server.
    pub provenance: Option<Arc<str>>,
}

/// What the first bytes of a connection turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Wire {
    /// No TLS.
    Raw,
    /// A TLS ClientHello.
    Tls,
}

/// The conditions of one chain; an empty list or `None` accepts anything. Field: `FilterChainMatch`.
#[derive(Debug, Default, Clone)]
pub struct ChainMatch {
    /// Original destination port.
    pub destination_port: Option<u16>,
    /// Original destination address.
    pub destination: Vec<IpNet>,
    /// SNI: exact names, or `*.suffix`.
    pub server_names: Vec<Box<str>>,
    /// `transport_protocol`: raw or TLS.
    pub wire: Option<Wire>,
    /// ALPN offers of the client, or `http/1.0`, `http/1.1`, `h2c` as the HTTP inspector found.
    pub application_protocols: Vec<Box<str>>,
}

/// A match, what the connection is decrypted with, and who serves it.
#[derive(Debug)]
pub struct FilterChain {
    /// For logs and the configuration dump.
    pub name: Arc<str>,
    /// When the chain is taken.
    pub matches: ChainMatch,
    /// TLS is terminated here; without it, bytes are taken as they are.
    pub tls: Option<DownstreamTls>,
    /// Who serves the connection.
    pub filter: NetworkFilter,
    /// The encoded configuration: chains with the same are the same chain, in any version of the listener.
    pub fingerprint: Box<[u8]>,
    /// Whether a newer configuration has replaced it.
    pub retired: Retired,
}

/// How mTLS from a downstream peer is terminated.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct DownstreamTls {
    /// Refuse peers without a certificate.
    pub require_client_certificate: bool,
    /// ALPN protocols offered, best first.
    pub alpn: Vec<Box<str>>,
    /// Trust domains whose identities are accepted; empty: the proxy's own.
    pub trust_domains: Vec<Box<str>>,
}

/// The last filter of a chain.
#[derive(Debug, Clone)]
pub enum NetworkFilter {
    /// An HTTP connection manager.
    Http(Arc<HttpSettings>),
    /// A TCP proxy.
    Tcp(Arc<TcpProxy>),
}

/// `TcpProxy`.
#[derive(Debug)]
pub struct TcpProxy {
    /// For statistics.
    pub stat_prefix: Arc<str>,
    /// One cluster or a weighted choice of several.
    pub targets: Targets,
    /// Close after this long without a byte either way; `None`: never.
    pub idle_timeout: Option<Duration>,
    /// How many endpoints are tried before the client is told; at least 1.
    pub connect_attempts: u32,
}

/// Where an HTTP connection manager's routes come from.
#[derive(Debug, Clone)]
pub enum RouteSource {
    /// Part of the listener.
    Inline(Arc<RouteTable>),
    /// A route configuration of this name, by RDS.
    Named(Arc<str>),
}

/// `HttpConnectionManager`: everything that decides an outcome travels here, not in code.
#[derive(Debug)]
pub struct HttpSettings {
    /// For statistics.
    pub stat_prefix: Arc<str>,
    /// Inbound settings trust nothing that the peer says about itself.
    pub inbound: bool,
    /// Routes.
    pub routes: RouteSource,
    /// Path normalisation, before routing and for the upstream alike.
    pub path: PathRules,
    /// Refuse header names with an underscore.
    pub reject_underscores: bool,
    /// Serve HTTP/1.0; else it is answered with 426.
    pub accept_http10: bool,
    /// Largest head in bytes.
    pub max_head_bytes: usize,
    /// Most headers in a head.
    pub max_headers: usize,
    /// Until a request's head is complete.
    pub head_timeout: Option<Duration>,
    /// A connection without a request is closed after this.
    pub idle_timeout: Option<Duration>,
    /// A stream without a byte either way is reset after this; `None`: never.
    pub stream_idle_timeout: Option<Duration>,
    /// Most streams of one HTTP/2 connection.
    pub max_concurrent_streams: u32,
    /// HTTP/2 stream window in bytes.
    pub stream_window: u32,
    /// HTTP/2 connection window in bytes.
    pub connection_window: u32,
    /// `Upgrade: websocket` is let through.
    pub websocket: bool,
    /// Put an `x-request-id` on requests that have none.
    pub generate_request_id: bool,
    /// What becomes of `x-forwarded-client-cert`.
    pub client_cert_header: ClientCertHeader,
    /// Say the peer's subject in `x-forwarded-client-cert`, too.
    pub client_cert_subject: bool,
    /// What is taken off the authority before routing and for the upstream.
    pub host: HostRules,
    /// `use_remote_address`: this is where requests enter the mesh. `x-forwarded-proto` is overwritten, not believed.
    pub use_remote_address: bool,
    /// Append the downstream address to `x-forwarded-for`; only with `use_remote_address`.
    pub append_forwarded_for: bool,
    /// What becomes of the `server` header of responses.
    pub server_header: ServerHeader,
    /// Do not tell in `x-envoy-upstream-service-time` and the like what the router did.
    pub suppress_envoy_headers: bool,
    /// The fault filter's own configuration: holds for routes without a `Policy::Fault` of their own.
    pub default_fault: Option<Fault>,
}

/// `server_header_transformation`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServerHeader {
    /// Ours, whatever the upstream says.
    Overwrite(HeaderValue),
    /// Ours, if the upstream says nothing.
    AppendIfAbsent(HeaderValue),
    /// The upstream's; our own answers have none.
    PassThrough,
}

/// `forward_client_cert_details`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientCertHeader {
    /// Remove it.
    Sanitize,
    /// Leave it alone when the peer is authenticated, else remove it.
    ForwardOnly,
    /// Add the peer's identity to what an authenticated peer sent.
    AppendForward,
    /// Replace it by the peer's identity.
    SanitizeSet,
}

/// What is known of a connection when its chain is chosen.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// Original destination.
    pub destination: SocketAddr,
    /// TLS or not.
    pub wire: Wire,
    /// SNI.
    pub server_name: Option<&'a str>,
    /// ALPN offers, or what the HTTP inspector found.
    pub application_protocols: &'a [&'a str],
}

impl Listener {
    /// Takes over the chains that an older version of the listener has as well, so that their connections go on.
    pub fn keep_chains_of(&mut self, old: &Listener) {
        for chain in self.chains.iter_mut().chain(&mut self.default_chain) {
            if let Some(same) = old.all_chains().find(|old| old.fingerprint == chain.fingerprint) {
                *chain = same.clone();
            }
        }
    }

    /// Tells the connections of chains that `new` does not have.
    pub fn retire_for(&self, new: Option<&Listener>) {
        let kept =
            |chain: &Arc<FilterChain>| new.is_some_and(|new| new.all_chains().any(|other| Arc::ptr_eq(other, chain)));
        for chain in self.all_chains().filter(|chain| !kept(chain)) {
            chain.retired.set();
        }
    }

    fn all_chains(&self) -> impl Iterator<Item = &Arc<FilterChain>> {
        self.chains.iter().chain(&self.default_chain)
    }

    /// The chain for a connection. Criteria are taken one after the other, the more specific value first, and a choice
    /// is never taken back: Envoy's order (`FilterChainMatch`).
    pub fn chain(&self, facts: &Facts<'_>) -> Option<&Arc<FilterChain>> {
        let mut left: Vec<&Arc<FilterChain>> = self.chains.iter().collect();
        let port = facts.destination.port();
        narrow(&mut left, |m| m.destination_port.map_or(Some(0), |wanted| (wanted == port).then_some(1)));
        let ip = facts.destination.ip();
        narrow(&mut left, |m| {
            if m.destination.is_empty() {
                return Some(0);
            }
            m.destination.iter().filter(|net| net.contains(&ip)).map(|net| u32::from(net.prefix_len()) + 1).max()
        });
        narrow(&mut left, |m| m.server_name_rank(facts.server_name));
        narrow(&mut left, |m| m.wire.map_or(Some(0), |wanted| (wanted == facts.wire).then_some(1)));
        narrow(&mut left, |m| {
            if m.application_protocols.is_empty() {
                return Some(0);
            }
            let offered = |wanted: &str| facts.application_protocols.contains(&wanted);
            m.application_protocols.iter().any(|wanted| offered(wanted)).then_some(1)
        });
        left.first().copied().or(self.default_chain.as_ref())
    }

    /// Every filter that may serve a connection.
    pub fn filters(&self) -> impl Iterator<Item = &NetworkFilter> {
        self.all_chains().map(|chain| &chain.filter)
    }
}

/// Keeps the chains of the highest rank; `None` drops one.
fn narrow(left: &mut Vec<&Arc<FilterChain>>, rank: impl Fn(&ChainMatch) -> Option<u32>) {
    let best = left.iter().filter_map(|chain| rank(&chain.matches)).max();
    left.retain(|chain| best.is_some() && rank(&chain.matches) == best);
}

impl ChainMatch {
    /// Exact names before longer suffixes before shorter ones before no condition.
    fn server_name_rank(&self, sni: Option<&str>) -> Option<u32> {
        if self.server_names.is_empty() {
            return Some(0);
        }
        let sni = sni?.to_ascii_lowercase();
        let rank = |pattern: &str| match pattern.strip_prefix('*') {
            None => (*pattern == sni).then_some(u32::MAX),
            Some(suffix) => sni.ends_with(suffix).then(|| u32::try_from(suffix.len()).unwrap_or(u32::MAX - 1)),
        };
        self.server_names.iter().filter_map(|pattern| rank(pattern)).max()
    }
}
