//! `timeout`: the longest time for a request with its retries (VirtualService `http[].timeout`).

use std::time::Duration;

use xds::route::{RouteAction, route_action::MaxStreamDuration};

use super::wrappers::duration;

/// Sets the limit. Without one there is none, where Envoy's own default would be 15 s. A client's `grpc-timeout`
/// is honoured up to the same limit.
pub(super) fn apply(timeout: Option<Duration>, action: &mut RouteAction) {
    let limit = duration(timeout.unwrap_or_default());
    action.timeout = limit;
    action.max_stream_duration =
        Some(MaxStreamDuration { grpc_timeout_header_max: limit, ..MaxStreamDuration::default() });
}
