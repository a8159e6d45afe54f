//! The HTTP connection manager, with every default that decides an outcome: what travels here holds for Envoy and for
//! our proxy alike.

use std::time::Duration;

use xds::core::{Http1ProtocolOptions, HttpProtocolOptions, http_protocol_options::HeadersWithUnderscoresAction};
use xds::google::Any;
use xds::hcm::http_connection_manager::{
    ForwardClientCertDetails, PathWithEscapedSlashesAction, RouteSpecifier, ServerHeaderTransformation,
    SetCurrentClientCertDetails, UpgradeConfig,
};
use xds::hcm::{HttpConnectionManager, HttpFilter, http_filter};
use xds::listener::{Filter, filter};
use xds::pack;
use xds::router::Router;

use super::wrappers::{boolean, duration, uint32};
use super::{cors, fault, http2};

/// Which way requests go through the proxy.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    /// From the application to the mesh.
    Outbound,
    /// From the mesh to the application: the peer is not trusted.
    Inbound,
}

/// Largest head of a request.
const MAX_HEAD_KIB: u32 = 64;
/// Largest number of headers in one block.
const MAX_HEADERS: u32 = 100;
/// How long a client may take for a request's head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a stream, or a connection without streams, may be silent (Istio's limit for connections).
const IDLE_TIMEOUT: Duration = Duration::from_secs(3600);

/// The network filter that speaks HTTP and routes by `routes`.
pub(super) fn filter(direction: Direction, stat_prefix: String, routes: RouteSpecifier) -> Filter {
    let manager = match direction {
        Direction::Outbound => outbound(base(stat_prefix, routes)),
        Direction::Inbound => inbound(base(stat_prefix, routes)),
    };
    Filter {
        name: "envoy.filters.network.http_connection_manager".into(),
        config_type: Some(filter::ConfigType::TypedConfig(pack(&manager))),
    }
}

fn base(stat_prefix: String, routes: RouteSpecifier) -> HttpConnectionManager {
    HttpConnectionManager {
        stat_prefix,
        common_http_protocol_options: Some(limits(HeadersWithUnderscoresAction::Allow)),
        http_protocol_options: Some(Http1ProtocolOptions { accept_http_10: true, ..Http1ProtocolOptions::default() }),
        http2_protocol_options: Some(http2::downstream()),
        server_header_transformation: ServerHeaderTransformation::PassThrough as i32,
        max_request_headers_kb: uint32(MAX_HEAD_KIB),
        stream_idle_timeout: duration(IDLE_TIMEOUT),
        request_headers_timeout: duration(HEAD_TIMEOUT),
        use_remote_address: boolean(false),
        generate_request_id: boolean(true),
        upgrade_configs: vec![UpgradeConfig { upgrade_type: "websocket".into(), ..UpgradeConfig::default() }],
        normalize_path: boolean(true),
        strip_trailing_host_dot: true,
        route_specifier: Some(routes),
        ..HttpConnectionManager::default()
    }
}

/// Outbound: the application's requests, with the policies of its routes. Its paths reach the other side as it wrote
/// them, for they may lead out of the mesh where `%2F` and `//` mean something.
fn outbound(manager: HttpConnectionManager) -> HttpConnectionManager {
    HttpConnectionManager {
        http_filters: vec![
            http_filter(fault::FILTER, pack(&xds::fault::HttpFault::default())),
            http_filter(cors::FILTER, pack(&xds::cors::Cors {})),
            router(),
        ],
        path_with_escaped_slashes_action: PathWithEscapedSlashesAction::KeepUnchanged as i32,
        forward_client_cert_details: ForwardClientCertDetails::Sanitize as i32,
        ..manager
    }
}

/// Inbound: a stranger's requests. Policy, route and application see one form of the path, and header names that
/// some applications read as others are refused.
fn inbound(manager: HttpConnectionManager) -> HttpConnectionManager {
    HttpConnectionManager {
        common_http_protocol_options: Some(limits(HeadersWithUnderscoresAction::RejectRequest)),
        http_filters: vec![router()],
        merge_slashes: true,
        path_with_escaped_slashes_action: PathWithEscapedSlashesAction::UnescapeAndForward as i32,
        forward_client_cert_details: ForwardClientCertDetails::AppendForward as i32,
        set_current_client_cert_details: Some(SetCurrentClientCertDetails {
            subject: boolean(true),
            dns: true,
            uri: true,
            ..SetCurrentClientCertDetails::default()
        }),
        ..manager
    }
}

fn limits(underscores: HeadersWithUnderscoresAction) -> HttpProtocolOptions {
    HttpProtocolOptions {
        idle_timeout: duration(IDLE_TIMEOUT),
        max_headers_count: uint32(MAX_HEADERS),
        headers_with_underscores_action: underscores as i32,
        ..HttpProtocolOptions::default()
    }
}

fn router() -> HttpFilter {
    http_filter("envoy.filters.http.router", pack(&Router::default()))
}

fn http_filter(name: &str, config: Any) -> HttpFilter {
    HttpFilter {
        name: name.into(),
        config_type: Some(http_filter::ConfigType::TypedConfig(config)),
        ..HttpFilter::default()
    }
}
