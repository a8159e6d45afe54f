//! `HttpProtocolOptions` of clusters, and the HTTP/2 settings of both sides.

use std::time::Duration;

use xds::cluster::Cluster;
use xds::cluster::cluster::ClusterProtocolSelection;
use xds::core::{Http2ProtocolOptions, UpstreamHttpProtocolOptions};
use xds::http_protocol_options::HttpProtocolOptions;
use xds::http_protocol_options::http_protocol_options::UpstreamProtocolOptions;
use xds::http_protocol_options::http_protocol_options::explicit_http_config::ProtocolConfig;
use xds::unpack;

use super::field::limit;
use super::reason::{Reason, Under, none_set};
use crate::model::{UpstreamHttp, UpstreamVersion};

/// The key of the settings, and the name of their type.
const KEY: &str = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";
/// Envoy's default.
const IDLE_TIMEOUT: Duration = Duration::from_secs(3600);

/// HTTP/2 flow control and streams.
#[derive(Debug, Clone, Copy)]
pub(super) struct Windows {
    pub(super) stream: u32,
    pub(super) connection: u32,
    pub(super) streams: u32,
}

impl Windows {
    /// What holds without a word: a stream may have 1 MiB under way. The connection's window is large, for h2 takes many small
    /// frames for an attack when it is not; streams are Envoy's 1,024.
    const DEFAULT: Self = Self { stream: 1 << 20, connection: 16 << 20, streams: 1024 };
}

/// Reads HTTP/2 settings.
pub(super) fn windows(options: Option<&Http2ProtocolOptions>) -> Result<Windows, Reason> {
    let default = Windows::DEFAULT;
    let Some(options) = options else { return Ok(default) };
    none_set(&[
        ("allow_connect", options.allow_connect),
        ("allow_metadata", options.allow_metadata),
        ("custom_settings_parameters", !options.custom_settings_parameters.is_empty()),
    ])?;
    let window = |field: &str, value: Option<u32>, default: u32| match value {
        None => Ok(default),
        Some(value) if (65_535..=0x7fff_ffff).contains(&value) => Ok(value),
        Some(value) => Err(Reason::at(field, format!("{value} is not from 65535 to 2147483647"))),
    };
    let streams = match options.max_concurrent_streams.map(|value| value.value) {
        None => default.streams,
        Some(0) => return Err(Reason::at("max_concurrent_streams", "must be at least 1")),
        Some(streams) => streams,
    };
    let value = |value: Option<xds::google::UInt32Value>| value.map(|value| value.value);
    Ok(Windows {
        stream: window("initial_stream_window_size", value(options.initial_stream_window_size), default.stream)?,
        connection: window(
            "initial_connection_window_size",
            value(options.initial_connection_window_size),
            default.connection,
        )?,
        streams,
    })
}

/// What a cluster says of HTTP, in its typed settings or in the older fields; HTTP/1.1 without a word.
#[allow(deprecated)]
pub(super) fn compile(cluster: &Cluster) -> Result<UpstreamHttp, Reason> {
    if let Some(unknown) = cluster.typed_extension_protocol_options.keys().filter(|key| *key != KEY).min() {
        return Err(Reason::unsupported(&format!("typed_extension_protocol_options[{unknown}]")));
    }
    if let Some(any) = cluster.typed_extension_protocol_options.get(KEY) {
        let field = format!("typed_extension_protocol_options[{KEY}]");
        let options: HttpProtocolOptions = unpack(any).under(&field)?;
        return typed(&options).under(field);
    }
    refuse_auto(cluster.upstream_http_protocol_options.as_ref())?;
    let idle = cluster.common_http_protocol_options.as_ref().and_then(|common| common.idle_timeout.as_ref());
    let version = match &cluster.http2_protocol_options {
        _ if cluster.protocol_selection == ClusterProtocolSelection::UseDownstreamProtocol as i32 => {
            UpstreamVersion::Downstream
        }
        Some(_) => UpstreamVersion::Http2,
        None => UpstreamVersion::Http1,
    };
    let windows = windows(cluster.http2_protocol_options.as_ref()).under("http2_protocol_options")?;
    Ok(settings(version, windows, limit("common_http_protocol_options.idle_timeout", idle, IDLE_TIMEOUT)?))
}

fn typed(options: &HttpProtocolOptions) -> Result<UpstreamHttp, Reason> {
    none_set(&[
        ("http_filters", options.http_filters.len() > 1),
        ("header_validation_config", options.header_validation_config.is_some()),
        ("outlier_detection", options.outlier_detection.is_some()),
        ("request_mirror_policies", !options.request_mirror_policies.is_empty()),
        ("retry_policy", options.retry_policy.is_some()),
    ])?;
    refuse_auto(options.upstream_http_protocol_options.as_ref())?;
    let common = options.common_http_protocol_options.as_ref();
    none_set(&[(
        "common_http_protocol_options.max_stream_duration",
        common.is_some_and(|common| common.max_stream_duration.is_some()),
    )])?;
    let idle = common.and_then(|common| common.idle_timeout.as_ref());
    let (version, http2) = version(options.upstream_protocol_options.as_ref())?;
    let windows = windows(http2).under("http2_protocol_options")?;
    Ok(settings(version, windows, limit("common_http_protocol_options.idle_timeout", idle, IDLE_TIMEOUT)?))
}

fn version(
    options: Option<&UpstreamProtocolOptions>,
) -> Result<(UpstreamVersion, Option<&Http2ProtocolOptions>), Reason> {
    match options {
        Some(UpstreamProtocolOptions::ExplicitHttpConfig(explicit)) => match &explicit.protocol_config {
            Some(ProtocolConfig::HttpProtocolOptions(_)) => Ok((UpstreamVersion::Http1, None)),
            Some(ProtocolConfig::Http2ProtocolOptions(http2)) => Ok((UpstreamVersion::Http2, Some(http2))),
            Some(ProtocolConfig::Http3ProtocolOptions(_)) => {
                Err(Reason::unsupported("explicit_http_config.http3_protocol_options"))
            }
            None => Err(Reason::at("explicit_http_config", "names no version")),
        },
        Some(UpstreamProtocolOptions::UseDownstreamProtocolConfig(either)) => {
            Ok((UpstreamVersion::Downstream, either.http2_protocol_options.as_ref()))
        }
        Some(UpstreamProtocolOptions::AutoConfig(_)) => Err(Reason::unsupported("auto_config")),
        None => Err(Reason::at("upstream_protocol_options", "is missing")),
    }
}

/// The name of the server would come from each request, and connections are kept by cluster here.
fn refuse_auto(options: Option<&UpstreamHttpProtocolOptions>) -> Result<(), Reason> {
    let Some(options) = options else { return Ok(()) };
    none_set(&[("auto_sni", options.auto_sni), ("auto_san_validation", options.auto_san_validation)])
        .under("upstream_http_protocol_options")
}

fn settings(version: UpstreamVersion, windows: Windows, idle_timeout: Option<Duration>) -> UpstreamHttp {
    UpstreamHttp {
        version,
        idle_timeout,
        stream_window: windows.stream,
        connection_window: windows.connection,
        max_concurrent_streams: windows.streams,
        multiplex_above: None,
    }
}
