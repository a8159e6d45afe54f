//! Which HTTP version a cluster speaks.

use std::collections::HashMap;

use xds::cluster::Cluster;
use xds::core::{Http1ProtocolOptions, UpstreamHttpProtocolOptions};
use xds::http_protocol_options::HttpProtocolOptions;
use xds::http_protocol_options::http_protocol_options::{
    ExplicitHttpConfig, UpstreamProtocolOptions, UseDownstreamHttpConfig, explicit_http_config::ProtocolConfig,
};
use xds::{number_value, pack, struct_of};

use super::http2;
use crate::model::Protocol;

/// The name under which a cluster carries its HTTP settings.
const EXTENSION: &str = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";

/// What the service declares; the client's own version where it declares nothing; nothing for opaque bytes. With
/// `names_from_requests` each request's host is the name that the server is asked for and must have.
pub(super) fn declared(protocol: Protocol, names_from_requests: bool, cluster: &mut Cluster) {
    let version = match protocol {
        Protocol::Http => explicit(ProtocolConfig::HttpProtocolOptions(Http1ProtocolOptions::default())),
        Protocol::Http2 | Protocol::Grpc => explicit(ProtocolConfig::Http2ProtocolOptions(http2::upstream())),
        Protocol::Unknown => downstream(),
        Protocol::Tcp | Protocol::Tls => return,
    };
    let names = UpstreamHttpProtocolOptions {
        auto_sni: true,
        auto_san_validation: true,
        ..UpstreamHttpProtocolOptions::default()
    };
    set(version, names_from_requests.then_some(names), cluster);
}

/// More requests of HTTP/1.1 than these under way at an endpoint share connections, if it is a sidecar of ours: below it a
/// connection each costs less, above it fewer system calls do. docs/performance.md has the figures.
const MULTIPLEX_ABOVE: u32 = 8;

/// Lets requests of HTTP/1.1 share connections. Other data planes do not look at this metadata.
pub(super) fn may_share(protocol: Protocol, cluster: &mut Cluster) {
    if matches!(protocol, Protocol::Http | Protocol::Unknown) {
        let settings = struct_of([("multiplex_above", number_value(MULTIPLEX_ABOVE.into()))]);
        cluster.metadata.get_or_insert_default().filter_metadata.insert("meltemi".to_owned(), settings);
    }
}

/// The version in which the request came.
pub(super) fn as_downstream(cluster: &mut Cluster) {
    set(downstream(), None, cluster);
}

fn downstream() -> UpstreamProtocolOptions {
    UpstreamProtocolOptions::UseDownstreamProtocolConfig(UseDownstreamHttpConfig {
        http_protocol_options: Some(Http1ProtocolOptions::default()),
        http2_protocol_options: Some(http2::upstream()),
        http3_protocol_options: None,
    })
}

fn explicit(config: ProtocolConfig) -> UpstreamProtocolOptions {
    UpstreamProtocolOptions::ExplicitHttpConfig(ExplicitHttpConfig { protocol_config: Some(config) })
}

fn set(version: UpstreamProtocolOptions, names: Option<UpstreamHttpProtocolOptions>, cluster: &mut Cluster) {
    let options = HttpProtocolOptions {
        upstream_protocol_options: Some(version),
        upstream_http_protocol_options: names,
        ..HttpProtocolOptions::default()
    };
    cluster.typed_extension_protocol_options = HashMap::from([(EXTENSION.to_owned(), pack(&options))]);
}
