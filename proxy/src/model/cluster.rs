//! Clusters and endpoints: the upstream side of the configuration.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use record::{Service, Workload};

/// One xDS cluster.
#[derive(Debug)]
pub struct Cluster {
    /// Resource name, e.g. `outbound|80|v1|catalog.shop.svc.cluster.local`.
    pub name: Arc<str>,
    /// The service that metrics name; from the cluster's metadata or, failing that, from its name.
    pub service: Arc<Service>,
    /// Where endpoints come from.
    pub discovery: Discovery,
    /// Which addresses of names count; for [`Discovery::Dns`] alone.
    pub dns_family: DnsFamily,
    /// How one is chosen.
    pub lb: LbPolicy,
    /// TCP and TLS handshake together.
    pub connect_timeout: Duration,
    /// How bytes travel: first match of the endpoint's metadata, else the cluster's own.
    pub transports: Vec<(TransportMatch, Transport)>,
    /// What holds when no match does.
    pub transport: Transport,
    /// HTTP version and settings towards the upstream.
    pub http: UpstreamHttp,
    /// Source addresses of upstream connections, one for each family (Istio: 127.0.0.6 and ::6 on the way to the
    /// application). Where there are any, an address of another family cannot be connected to. None: the system's choice.
    pub bind: Vec<IpAddr>,
    /// The configuration object that it was made from.
    pub provenance: Option<Arc<str>>,
}

/// Where a cluster's endpoints come from.
#[derive(Debug, Clone)]
pub enum Discovery {
    /// EDS under this name.
    Eds(Arc<str>),
    /// Part of the cluster.
    Static(Arc<Assignment>),
    /// The address that the downstream connection was made for.
    OriginalDst,
    /// Names looked up every `refresh`; every address is an endpoint (`STRICT_DNS`) or one at a time (`LOGICAL_DNS`).
    Dns {
        /// Names or addresses, with ports.
        hosts: Vec<(Arc<str>, u16)>,
        /// Time between two lookups.
        refresh: Duration,
        /// One address at a time.
        logical: bool,
    },
}

/// `dns_lookup_family`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DnsFamily {
    /// IPv6 addresses, or IPv4 where there are none.
    #[default]
    V6Preferred,
    /// IPv4 addresses, or IPv6 where there are none.
    V4Preferred,
    /// IPv4 alone.
    V4,
    /// IPv6 alone.
    V6,
    /// All.
    All,
}

impl DnsFamily {
    /// The addresses of one name that count.
    pub fn choose(self, addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
        let (v4, v6): (Vec<_>, Vec<_>) = addresses.iter().copied().partition(SocketAddr::is_ipv4);
        match self {
            Self::V4 => v4,
            Self::V6 => v6,
            Self::V4Preferred if v4.is_empty() => v6,
            Self::V4Preferred => v4,
            Self::V6Preferred if v6.is_empty() => v4,
            Self::V6Preferred => v6,
            Self::All => addresses,
        }
    }
}

/// `lb_policy`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LbPolicy {
    /// Each in turn.
    RoundRobin,
    /// Of so many at random the one with the fewest active requests.
    LeastRequest {
        /// How many are compared; at least 2.
        choices: u32,
    },
    /// Any.
    Random,
}

/// The part of an endpoint's metadata that a transport asks for: `envoy.transport_socket_match`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransportMatch(pub Vec<(Box<str>, Box<str>)>);

/// How bytes travel to an endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Transport {
    /// As they are.
    Raw,
    /// In TLS.
    Tls(Arc<UpstreamTls>),
}

/// `UpstreamTlsContext`.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct UpstreamTls {
    /// Present the workload's certificate.
    pub mutual: bool,
    /// ALPN protocols offered, best first.
    pub alpn: Vec<Box<str>>,
    /// SNI.
    pub sni: Option<Box<str>>,
    /// Exact subject alternative names of which the peer must have one; empty: any of the trust domains.
    pub peer_names: Vec<Box<str>>,
    /// Trust domains of which the peer may be anybody, when there are no `peer_names`; empty: the proxy's own.
    pub trust_domains: Vec<Box<str>>,
    /// CA file for TLS that is not the mesh's; `None`: the mesh's roots when `mutual`, else the system's.
    pub ca_file: Option<Box<str>>,
    /// Do not check the peer at all.
    pub insecure: bool,
}

/// HTTP towards the upstream: `HttpProtocolOptions`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpstreamHttp {
    /// Which version.
    pub version: UpstreamVersion,
    /// Close idle pooled connections after this; `None`: never.
    pub idle_timeout: Option<Duration>,
    /// HTTP/2 stream window in bytes.
    pub stream_window: u32,
    /// HTTP/2 connection window in bytes.
    pub connection_window: u32,
    /// Most streams that we open on one HTTP/2 connection.
    pub max_concurrent_streams: u32,
    /// With more requests of HTTP/1.1 than this under way at an endpoint that is a sidecar of ours, others share few
    /// connections; `None`: each has one of its own.
    pub multiplex_above: Option<u32>,
}

/// Which HTTP version the upstream is spoken to in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum UpstreamVersion {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2 with prior knowledge.
    Http2,
    /// What the downstream speaks.
    Downstream,
}

/// The endpoints of a cluster.
#[derive(Debug, Default)]
pub struct Assignment {
    /// Endpoints of the best priority that has any; weights are relative.
    pub endpoints: Vec<Arc<Endpoint>>,
}

/// One address that serves a cluster.
#[derive(Debug)]
pub struct Endpoint {
    /// Where.
    pub address: SocketAddr,
    /// The same in the other address family, tried when nobody answers at `address`.
    pub other: Option<SocketAddr>,
    /// Share relative to the others; at least 1.
    pub weight: u32,
    /// Who it is, for metrics.
    pub workload: Arc<Workload>,
    /// `envoy.transport_socket_match` metadata.
    pub transport_match: Vec<(Box<str>, Box<str>)>,
}

impl Cluster {
    /// Whether connections made for `self` would be made alike for `other`.
    pub fn same_connections(&self, other: &Self) -> bool {
        self.transports == other.transports
            && self.transport == other.transport
            && self.http == other.http
            && self.bind == other.bind
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// Envoy, `Cluster.DnsLookupFamily`.
    #[test]
    fn addresses_that_count() {
        let addresses =
            |texts: &[&str]| -> Vec<SocketAddr> { texts.iter().map(|text| text.parse().unwrap()).collect() };
        let both = || addresses(&["10.0.0.1:80", "[::1]:80"]);
        let (v4, v6) = (|| addresses(&["10.0.0.1:80"]), || addresses(&["[::1]:80"]));
        let rows = [
            (DnsFamily::V4, v4(), vec![]),
            (DnsFamily::V6, v6(), v6()),
            (DnsFamily::V4Preferred, v4(), v6()),
            (DnsFamily::V6Preferred, v6(), v6()),
            (DnsFamily::All, both(), v6()),
        ];
        for (family, of_both, of_v6) in rows {
            assert_eq!(family.choose(both()), of_both, "{family:?}");
            assert_eq!(family.choose(v6()), of_v6, "{family:?}");
        }
        assert_eq!(DnsFamily::V6Preferred.choose(v4()), v4());
    }
}
