//! The time limits of `RouteAction`.

use xds::route::RouteAction;

use super::field::{duration, limit};
use super::reason::{Reason, Under};
use crate::http::timeout::{DEFAULT_ROUTE_TIMEOUT, Timeout};

// `max_grpc_timeout` is deprecated, and what Istio writes.
#[allow(deprecated)]
pub(super) fn compile(action: &RouteAction) -> Result<Timeout, Reason> {
    // With it, Envoy ignores `timeout` and `max_grpc_timeout`.
    let newer = action.max_stream_duration.is_some();
    let stream = action.max_stream_duration.unwrap_or_default();
    no_offset("grpc_timeout_offset", action.grpc_timeout_offset.as_ref())?;
    no_offset("grpc_timeout_header_offset", stream.grpc_timeout_header_offset.as_ref()).under("max_stream_duration")?;
    Ok(Timeout {
        route: if newer { None } else { limit("timeout", action.timeout.as_ref(), DEFAULT_ROUTE_TIMEOUT)? },
        max_grpc: duration("max_grpc_timeout", action.max_grpc_timeout.as_ref())?.filter(|_| !newer),
        stream: limit("max_stream_duration", stream.max_stream_duration.as_ref(), None).under("max_stream_duration")?,
        max_grpc_stream: duration("grpc_timeout_header_max", stream.grpc_timeout_header_max.as_ref())
            .under("max_stream_duration")?,
        idle: duration("idle_timeout", action.idle_timeout.as_ref())?,
    })
}

fn no_offset(field: &str, value: Option<&xds::google::Duration>) -> Result<(), Reason> {
    match duration(field, value)? {
        Some(offset) if !offset.is_zero() => Err(Reason::unsupported(field)),
        _ => Ok(()),
    }
}
