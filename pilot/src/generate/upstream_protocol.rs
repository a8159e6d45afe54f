//! Which HTTP version a cluster speaks.

use std::collections::HashMap;

use xds::cluster::Cluster;
use xds::core::Http1ProtocolOptions;
use xds::http_protocol_options::HttpProtocolOptions;
use xds::http_protocol_options::http_protocol_options::{
    ExplicitHttpConfig, UpstreamProtocolOptions, UseDownstreamHttpConfig, explicit_http_config::ProtocolConfig,
};
use xds::pack;

use super::http2;
use crate::model::Protocol;

/// The name under which a cluster carries its HTTP settings.
const EXTENSION: &str = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";

/// What the service declares; the client's own version where it declares nothing; nothing for opaque bytes.
pub(super) fn declared(protocol: Protocol, cluster: &mut Cluster) {
    match protocol {
        Protocol::Http => explicit(ProtocolConfig::HttpProtocolOptions(Http1ProtocolOptions::default()), cluster),
        Protocol::Http2 | Protocol::Grpc => explicit(ProtocolConfig::Http2ProtocolOptions(http2::upstream()), cluster),
        Protocol::Unknown => as_downstream(cluster),
        Protocol::Tcp | Protocol::Tls => {}
    }
}

/// The version in which the request came.
pub(super) fn as_downstream(cluster: &mut Cluster) {
    set(
        UpstreamProtocolOptions::UseDownstreamProtocolConfig(UseDownstreamHttpConfig {
            http_protocol_options: Some(Http1ProtocolOptions::default()),
            http2_protocol_options: Some(http2::upstream()),
            http3_protocol_options: None,
        }),
        cluster,
    );
}

fn explicit(config: ProtocolConfig, cluster: &mut Cluster) {
    let config = ExplicitHttpConfig { protocol_config: Some(config) };
    set(UpstreamProtocolOptions::ExplicitHttpConfig(config), cluster);
}

fn set(options: UpstreamProtocolOptions, cluster: &mut Cluster) {
    let options =
        HttpProtocolOptions { upstream_protocol_options: Some(options), ..HttpProtocolOptions::default() };
    cluster.typed_extension_protocol_options = HashMap::from([(EXTENSION.to_owned(), pack(&options))]);
}
