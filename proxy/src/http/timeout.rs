//! How long a request may take: `RouteAction.timeout`, `max_grpc_timeout`, `max_stream_duration`.

use std::time::Duration;

use http::HeaderMap;

use super::grpc;

/// Envoy's default for routes that say nothing.
pub const DEFAULT_ROUTE_TIMEOUT: Duration = Duration::from_secs(15);

/// The time limits of a route.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Timeout {
    /// From the end of the request until the end of the response, over all tries; `None`: no limit.
    pub route: Option<Duration>,
    /// gRPC requests may choose their own limit with `grpc-timeout`, up to this (zero: whatever they like);
    /// `None`: that header does not count.
    pub max_grpc: Option<Duration>,
    /// From the start of the request until the end of the response; `None`: no limit.
    pub stream: Option<Duration>,
    /// A request with `grpc-timeout` has that for its stream's limit instead, up to this (zero: whatever it likes);
    /// `None`: that header does not count.
    pub max_grpc_stream: Option<Duration>,
    /// Without a byte either way, in place of the connection manager's `stream_idle_timeout`; zero: no limit.
    pub idle: Option<Duration>,
}

impl Timeout {
    /// The limit that holds for a request with these headers; `None`: none.
    pub fn effective(&self, headers: &HeaderMap) -> Option<Duration> {
        let asked = grpc::timeout(headers).filter(|asked| !asked.is_zero());
        let route = match self.max_grpc {
            Some(most) if grpc::is_grpc(headers) => shorter(asked, unless_zero(most)),
            _ => self.route,
        };
        let stream = match (asked, self.max_grpc_stream) {
            (Some(asked), Some(most)) => shorter(Some(asked), unless_zero(most)),
            _ => self.stream,
        };
        shorter(route, stream)
    }
}

fn unless_zero(limit: Duration) -> Option<Duration> {
    (!limit.is_zero()).then_some(limit)
}

fn shorter(a: Option<Duration>, b: Option<Duration>) -> Option<Duration> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn grpc_request(timeout: Option<&str>) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert("content-type", "application/grpc".parse().unwrap());
        if let Some(timeout) = timeout {
            headers.insert("grpc-timeout", timeout.parse().unwrap());
        }
        headers
    }

    /// Envoy, `route_components.proto`, `max_grpc_timeout`.
    #[test]
    fn grpc_requests_choose_up_to_the_cap() {
        let second = Duration::from_secs(1);
        let cases = [
            (None, Some("3S"), Some(2 * second)),
            (Some(second), Some("3S"), Some(second)),
            (Some(5 * second), Some("3S"), Some(3 * second)),
            (Some(5 * second), None, Some(5 * second)),
            (Some(5 * second), Some("nonsense"), Some(5 * second)),
            (Some(5 * second), Some("0S"), Some(5 * second)),
            (Some(Duration::ZERO), Some("3S"), Some(3 * second)),
            (Some(Duration::ZERO), None, None),
        ];
        for (max_grpc, asked, expected) in cases {
            let timeout = Timeout { route: Some(2 * second), max_grpc, ..Timeout::default() };
            assert_eq!(timeout.effective(&grpc_request(asked)), expected, "{max_grpc:?} {asked:?}");
        }
    }

    #[test]
    fn other_requests_have_the_routes_limit() {
        let timeout =
            Timeout { route: Some(Duration::from_secs(2)), max_grpc: Some(Duration::ZERO), ..Timeout::default() };
        let mut headers = grpc_request(Some("1S"));
        headers.insert("content-type", "application/json".parse().unwrap());
        assert_eq!(timeout.effective(&headers), Some(Duration::from_secs(2)));
    }

    #[test]
    fn the_stream_limit_cuts_everything() {
        let stream = Some(Duration::from_millis(500));
        let timeout = Timeout { stream, ..Timeout::default() };
        assert_eq!(timeout.effective(&HeaderMap::new()), stream);
    }

    /// Envoy, `route_components.proto`, `grpc_timeout_header_max`: the route's own limit stays.
    #[test]
    fn grpc_timeout_can_limit_the_stream() {
        let second = Duration::from_secs(1);
        let cases = [
            (None, Some(Duration::ZERO), Some("3S"), Some(3 * second)),
            (None, Some(2 * second), Some("3S"), Some(2 * second)),
            (Some(2 * second), Some(2 * second), Some("1S"), Some(second)),
            (Some(2 * second), Some(2 * second), None, Some(2 * second)),
            (None, Some(2 * second), None, None),
            (None, None, Some("3S"), None),
        ];
        for (route, max_grpc_stream, asked, expected) in cases {
            let timeout = Timeout { route, max_grpc_stream, ..Timeout::default() };
            assert_eq!(timeout.effective(&grpc_request(asked)), expected, "{route:?} {max_grpc_stream:?} {asked:?}");
        }
    }
}
