//! `timeout`: the longest time for a request with its retries (VirtualService `http[].timeout`).

use std::time::Duration;

use xds::route::RouteAction;

use super::wrappers::duration;

/// Sets the limit. Without one there is none, where Envoy's own default would be 15 s. A client's `grpc-timeout`
/// is honoured up to the same limit, by the deprecated field: with `max_stream_duration` Envoy ignores `timeout`.
#[expect(deprecated)]
pub(super) fn apply(timeout: Option<Duration>, action: &mut RouteAction) {
    let limit = duration(timeout.unwrap_or_default());
    action.timeout = limit;
    action.max_grpc_timeout = limit;
}
