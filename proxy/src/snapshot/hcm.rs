//! `HttpConnectionManager`.

use std::time::Duration;

use http::HeaderValue;
use xds::core::http_protocol_options::HeadersWithUnderscoresAction;
use xds::core::{Http1ProtocolOptions, HttpProtocolOptions};
use xds::hcm::HttpConnectionManager;
use xds::hcm::http_connection_manager::{
    CodecType, ForwardClientCertDetails, ForwardClientCertFormat, PathWithEscapedSlashesAction, RouteSpecifier,
    ServerHeaderTransformation, SetCurrentClientCertDetails, StripPortMode, UpgradeConfig,
};

use super::field::{limit, number, truth};
use super::http_filters;
use super::per_filter::Filters;
use super::reason::{Reason, Under, none_set, type_name};
use super::{route, upstream_http};
use crate::http::normalise::{EscapedSlashes, HostRules, PathRules, StripPort};
use crate::model::listener::ServerHeader;
use crate::model::{ClientCertHeader, HttpSettings, RouteSource};

/// A request's head: Envoy has no limit without a word, and a slow client would hold a connection for ever.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// Envoy's defaults.
const IDLE_TIMEOUT: Duration = Duration::from_secs(3600);
const STREAM_IDLE_TIMEOUT: Duration = Duration::from_secs(300);
const MAX_HEAD_KIB: u32 = 60;
const MAX_HEADERS: u32 = 100;

/// Compiles a connection manager of an inbound or outbound listener.
pub(super) fn compile(manager: &HttpConnectionManager, inbound: bool) -> Result<HttpSettings, Reason> {
    refuse_unknown(manager)?;
    let common = manager.common_http_protocol_options.unwrap_or_default();
    let http2 = upstream_http::windows(manager.http2_protocol_options.as_ref()).under("http2_protocol_options")?;
    let filters = http_filters::compile(&manager.http_filters)?;
    let (client_cert_header, client_cert_subject) = client_cert(manager)?;
    let use_remote_address = truth(manager.use_remote_address.as_ref(), false);
    Ok(HttpSettings {
        stat_prefix: manager.stat_prefix.as_str().into(),
        inbound,
        routes: routes(manager, filters.present)?,
        path: path_rules(manager)?,
        reject_underscores: underscores(&common).under("common_http_protocol_options")?,
        accept_http10: accepts_http10(manager.http_protocol_options.as_ref()).under("http_protocol_options")?,
        max_head_bytes: number(manager.max_request_headers_kb.as_ref(), MAX_HEAD_KIB) as usize * 1024,
        max_headers: number(common.max_headers_count.as_ref(), MAX_HEADERS) as usize,
        head_timeout: limit("request_headers_timeout", manager.request_headers_timeout.as_ref(), HEAD_TIMEOUT)?,
        idle_timeout: limit("common_http_protocol_options.idle_timeout", common.idle_timeout.as_ref(), IDLE_TIMEOUT)?,
        stream_idle_timeout: limit("stream_idle_timeout", manager.stream_idle_timeout.as_ref(), STREAM_IDLE_TIMEOUT)?,
        max_concurrent_streams: http2.streams,
        stream_window: http2.stream,
        connection_window: http2.connection,
        websocket: websocket(&manager.upgrade_configs)?,
        generate_request_id: truth(manager.generate_request_id.as_ref(), true),
        client_cert_header,
        client_cert_subject,
        host: host_rules(manager),
        use_remote_address,
        append_forwarded_for: use_remote_address && !manager.skip_xff_append,
        server_header: server_header(manager)?,
        suppress_envoy_headers: filters.suppress_envoy_headers,
        default_fault: filters.default_fault,
    })
}

fn refuse_unknown(manager: &HttpConnectionManager) -> Result<(), Reason> {
    let transformed =
        manager.scheme_header_transformation.as_ref().is_some_and(|scheme| scheme.transformation.is_some());
    none_set(&[
        ("codec_type", manager.codec_type == CodecType::Http3 as i32),
        ("add_user_agent", truth(manager.add_user_agent.as_ref(), false)),
        ("scheme_header_transformation", transformed),
        ("request_timeout", manager.request_timeout.is_some_and(|limit| limit.seconds != 0 || limit.nanos != 0)),
        ("original_ip_detection_extensions", !manager.original_ip_detection_extensions.is_empty()),
        ("early_header_mutation_extensions", !manager.early_header_mutation_extensions.is_empty()),
        ("via", !manager.via.is_empty()),
        ("forward_client_cert_matcher", manager.forward_client_cert_matcher.is_some()),
        ("local_reply_config", manager.local_reply_config.is_some()),
        ("path_normalization_options", manager.path_normalization_options.is_some()),
        ("typed_header_validation_config", manager.typed_header_validation_config.is_some()),
        ("append_x_forwarded_port", manager.append_x_forwarded_port),
        ("forward_proto_config", manager.forward_proto_config.is_some()),
        (
            "common_http_protocol_options.max_stream_duration",
            manager.common_http_protocol_options.as_ref().is_some_and(|common| common.max_stream_duration.is_some()),
        ),
    ])?;
    let request_id = manager.request_id_extension.as_ref().and_then(|extension| extension.typed_config.as_ref());
    match request_id {
        Some(any) if type_name(any) != "envoy.extensions.request_id.uuid.v3.UuidRequestIdConfig" => {
            Err(Reason::unsupported_type(any)).under("request_id_extension.typed_config")
        }
        _ => Ok(()),
    }
}

fn accepts_http10(options: Option<&Http1ProtocolOptions>) -> Result<bool, Reason> {
    let Some(options) = options else { return Ok(false) };
    none_set(&[
        ("default_host_for_http_10", !options.default_host_for_http_10.is_empty()),
        ("allow_chunked_length", options.allow_chunked_length),
        ("send_fully_qualified_url", options.send_fully_qualified_url),
    ])?;
    Ok(options.accept_http_10)
}

fn routes(manager: &HttpConnectionManager, filters: Filters) -> Result<RouteSource, Reason> {
    match &manager.route_specifier {
        Some(RouteSpecifier::Rds(rds)) if rds.route_config_name.is_empty() => {
            Err(Reason::at("rds.route_config_name", "is missing"))
        }
        Some(RouteSpecifier::Rds(rds)) => Ok(RouteSource::Named(rds.route_config_name.as_str().into())),
        Some(RouteSpecifier::RouteConfig(config)) => {
            let table = route::compile(&config.name, config, filters).under("route_config")?;
            Ok(RouteSource::Inline(table.into()))
        }
        Some(RouteSpecifier::ScopedRoutes(_)) => Err(Reason::unsupported("scoped_routes")),
        None => Err(Reason::at("route_specifier", "is missing")),
    }
}

fn path_rules(manager: &HttpConnectionManager) -> Result<PathRules, Reason> {
    let action = manager.path_with_escaped_slashes_action;
    let escaped_slashes = match PathWithEscapedSlashesAction::try_from(action) {
        Ok(
            PathWithEscapedSlashesAction::ImplementationSpecificDefault | PathWithEscapedSlashesAction::KeepUnchanged,
        ) => EscapedSlashes::Keep,
        Ok(PathWithEscapedSlashesAction::RejectRequest) => EscapedSlashes::Reject,
        Ok(PathWithEscapedSlashesAction::UnescapeAndRedirect) => EscapedSlashes::UnescapeRedirect,
        Ok(PathWithEscapedSlashesAction::UnescapeAndForward) => EscapedSlashes::Unescape,
        Err(_) => {
            return Err(Reason::at("path_with_escaped_slashes_action", format!("{action} is none of those known")));
        }
    };
    Ok(PathRules {
        normalize: truth(manager.normalize_path.as_ref(), false),
        merge_slashes: manager.merge_slashes,
        escaped_slashes,
    })
}

fn underscores(common: &HttpProtocolOptions) -> Result<bool, Reason> {
    match HeadersWithUnderscoresAction::try_from(common.headers_with_underscores_action) {
        Ok(HeadersWithUnderscoresAction::Allow) => Ok(false),
        Ok(HeadersWithUnderscoresAction::RejectRequest) => Ok(true),
        Ok(HeadersWithUnderscoresAction::DropHeader) | Err(_) => Err(Reason::at(
            "headers_with_underscores_action",
            "only ALLOW and REJECT_REQUEST are supported by this proxy",
        )),
    }
}

fn websocket(upgrades: &[UpgradeConfig]) -> Result<bool, Reason> {
    let mut websocket = false;
    for (index, upgrade) in upgrades.iter().enumerate() {
        let enabled = truth(upgrade.enabled.as_ref(), true);
        let known = upgrade.upgrade_type.eq_ignore_ascii_case("websocket");
        if enabled && (!known || !upgrade.filters.is_empty()) {
            let why =
                format!("{:?} with filters of its own or not is not supported by this proxy", upgrade.upgrade_type);
            return Err(Reason::at(format!("upgrade_configs[{index}]"), why));
        }
        websocket |= enabled && known;
    }
    Ok(websocket)
}

/// How `x-forwarded-client-cert` is treated, and whether it tells the subject. It always tells the SPIFFE id, when it tells
/// anything; workload certificates have no DNS names to tell.
fn client_cert(manager: &HttpConnectionManager) -> Result<(ClientCertHeader, bool), Reason> {
    let mode = match ForwardClientCertDetails::try_from(manager.forward_client_cert_details) {
        Ok(ForwardClientCertDetails::Sanitize) => ClientCertHeader::Sanitize,
        Ok(ForwardClientCertDetails::ForwardOnly) => ClientCertHeader::ForwardOnly,
        Ok(ForwardClientCertDetails::AppendForward) => ClientCertHeader::AppendForward,
        Ok(ForwardClientCertDetails::SanitizeSet) => ClientCertHeader::SanitizeSet,
        Ok(ForwardClientCertDetails::AlwaysForwardOnly) | Err(_) => {
            let why = "only modes that do not believe peers without a certificate are supported by this proxy";
            return Err(Reason::at("forward_client_cert_details", why));
        }
    };
    let none = SetCurrentClientCertDetails::default();
    let details = manager.set_current_client_cert_details.as_ref().unwrap_or(&none);
    none_set(&[
        ("cert", details.cert),
        ("chain", details.chain),
        ("issuer", details.issuer),
        ("format", details.format != ForwardClientCertFormat::Text as i32),
    ])
    .under("set_current_client_cert_details")?;
    Ok((mode, truth(details.subject.as_ref(), false)))
}

fn host_rules(manager: &HttpConnectionManager) -> HostRules {
    let strip_port = match manager.strip_port_mode {
        Some(StripPortMode::StripAnyHostPort(true)) => StripPort::Any,
        _ if manager.strip_matching_host_port => StripPort::Matching,
        _ => StripPort::Never,
    };
    HostRules { strip_port, strip_trailing_dot: manager.strip_trailing_host_dot }
}

fn server_header(manager: &HttpConnectionManager) -> Result<ServerHeader, Reason> {
    let name = if manager.server_name.is_empty() { "meltemi" } else { &manager.server_name };
    let name =
        HeaderValue::from_str(name).map_err(|_| Reason::at("server_name", format!("{name:?} is no header value")))?;
    Ok(match ServerHeaderTransformation::try_from(manager.server_header_transformation) {
        Ok(ServerHeaderTransformation::Overwrite) => ServerHeader::Overwrite(name),
        Ok(ServerHeaderTransformation::AppendIfAbsent) => ServerHeader::AppendIfAbsent(name),
        Ok(ServerHeaderTransformation::PassThrough) => ServerHeader::PassThrough,
        Err(_) => return Err(Reason::at("server_header_transformation", "is none of those known")),
    })
}
