//! When a request is tried again, and how long is waited before: `RetryPolicy`.
//!
//! The policy alone decides, as in Envoy: methods make no difference, and what a client asks for in `x-envoy-retry-on`
//! does not count. A policy of the conditions that are safe (the request never reached the application) is safe for
//! every method.

use std::time::Duration;

use http::{HeaderMap, StatusCode};

use super::decide::RequestView;
use super::grpc;
use super::matching::HeaderMatch;

/// The conditions of `retry_on`, a bit set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RetryOn(u32);

impl RetryOn {
    /// `5xx`: such a response, or none at all.
    pub const FIVE_XX: Self = Self(1);
    /// `gateway-error`: 502, 503, 504, or no response at all.
    pub const GATEWAY_ERROR: Self = Self(1 << 1);
    /// `reset`: the upstream did not answer.
    pub const RESET: Self = Self(1 << 2);
    /// `reset-before-request`: it went away before any of the request was sent.
    pub const RESET_BEFORE_REQUEST: Self = Self(1 << 3);
    /// `connect-failure`: no connection came about.
    pub const CONNECT_FAILURE: Self = Self(1 << 4);
    /// `refused-stream`: HTTP/2 REFUSED_STREAM, which says that nothing was processed.
    pub const REFUSED_STREAM: Self = Self(1 << 5);
    /// `retriable-4xx`: 409.
    pub const RETRIABLE_4XX: Self = Self(1 << 6);
    /// `retriable-status-codes`: one of [`RetryPolicy::statuses`].
    pub const RETRIABLE_STATUS_CODES: Self = Self(1 << 7);
    /// `retriable-headers`: one of [`RetryPolicy::response_headers`].
    pub const RETRIABLE_HEADERS: Self = Self(1 << 8);
    /// `envoy-ratelimited`: a response with `x-envoy-ratelimited`, which nothing else retries.
    pub const ENVOY_RATELIMITED: Self = Self(1 << 9);
    /// `cancelled`: gRPC status 1.
    pub const CANCELLED: Self = Self(1 << 10);
    /// `deadline-exceeded`: gRPC status 4.
    pub const DEADLINE_EXCEEDED: Self = Self(1 << 11);
    /// `resource-exhausted`: gRPC status 8.
    pub const RESOURCE_EXHAUSTED: Self = Self(1 << 12);
    /// `internal`: gRPC status 13.
    pub const INTERNAL: Self = Self(1 << 13);
    /// `unavailable`: gRPC status 14.
    pub const UNAVAILABLE: Self = Self(1 << 14);

    const NAMES: [(&str, Self); 15] = [
        ("5xx", Self::FIVE_XX),
        ("gateway-error", Self::GATEWAY_ERROR),
        ("reset", Self::RESET),
        ("reset-before-request", Self::RESET_BEFORE_REQUEST),
        ("connect-failure", Self::CONNECT_FAILURE),
        ("refused-stream", Self::REFUSED_STREAM),
        ("retriable-4xx", Self::RETRIABLE_4XX),
        ("retriable-status-codes", Self::RETRIABLE_STATUS_CODES),
        ("retriable-headers", Self::RETRIABLE_HEADERS),
        ("envoy-ratelimited", Self::ENVOY_RATELIMITED),
        ("cancelled", Self::CANCELLED),
        ("deadline-exceeded", Self::DEADLINE_EXCEEDED),
        ("resource-exhausted", Self::RESOURCE_EXHAUSTED),
        ("internal", Self::INTERNAL),
        ("unavailable", Self::UNAVAILABLE),
    ];

    /// Reads a list with commas; the error is the name that is none of them.
    pub fn parse(list: &str) -> Result<Self, String> {
        let mut set = Self::default();
        for name in list.split(',').map(str::trim).filter(|name| !name.is_empty()) {
            let (_, bit) = Self::NAMES.iter().find(|(known, _)| *known == name).ok_or_else(|| name.to_owned())?;
            set = set | *bit;
        }
        Ok(set)
    }

    /// Whether the two have a condition in common.
    pub fn any(self, of: Self) -> bool {
        self.0 & of.0 != 0
    }

    /// Whether there is no condition.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl std::ops::BitOr for RetryOn {
    type Output = Self;
    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// The waits between tries: each is drawn from zero up to a limit that doubles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BackOff {
    /// Limit of the first.
    pub base: Duration,
    /// Limit of all.
    pub max: Duration,
}

impl Default for BackOff {
    /// Envoy's: 25 ms, and ten times that.
    fn default() -> Self {
        Self { base: Duration::from_millis(25), max: Duration::from_millis(250) }
    }
}

/// When a request is tried again.
#[derive(Debug, Clone)]
pub struct RetryPolicy {
    /// The conditions.
    pub on: RetryOn,
    /// For [`RetryOn::RETRIABLE_STATUS_CODES`].
    pub statuses: Vec<StatusCode>,
    /// For [`RetryOn::RETRIABLE_HEADERS`].
    pub response_headers: Vec<HeaderMatch>,
    /// Only requests with one of these; empty: all.
    pub request_headers: Vec<HeaderMatch>,
    /// Most tries after the first.
    pub attempts: u32,
    /// Limit of each try; `None`: the route's.
    pub per_try_timeout: Option<Duration>,
    /// Waits between tries.
    pub back_off: BackOff,
    /// Prefer endpoints that have not been tried.
    pub avoid_previous_hosts: bool,
}

/// How a try ended, as far as nothing of a response has gone downstream.
#[derive(Debug, Clone, Copy)]
pub enum Outcome<'a> {
    /// No connection came about, TLS included.
    ConnectFailure,
    /// HTTP/2 REFUSED_STREAM, or a GOAWAY that leaves the stream out.
    RefusedStream,
    /// The stream or its connection ended before a complete response head.
    Reset {
        /// Any byte of the request may have been sent.
        request_sent: bool,
        /// The head of a response has gone downstream.
        response_started: bool,
    },
    /// `per_try_timeout` went by.
    PerTryTimeout,
    /// The head of a response.
    Response {
        /// Its status.
        status: StatusCode,
        /// Its headers; `grpc-status` counts when it is among them.
        headers: &'a HeaderMap,
    },
}

impl RetryPolicy {
    /// Whether the policy is for this request at all: `retriable_request_headers`.
    pub fn covers(&self, view: &RequestView<'_>) -> bool {
        self.request_headers.is_empty() || self.request_headers.iter().any(|header| header.matches(view))
    }

    /// Whether to try once more after `retries` (0 after the first try) have been made.
    pub fn should_retry(&self, outcome: Outcome<'_>, retries: u32) -> bool {
        retries < self.attempts && self.is_retriable(outcome)
    }

    fn is_retriable(&self, outcome: Outcome<'_>) -> bool {
        // A request without a response counts as a 5xx, for the downstream would get one.
        let no_response = RetryOn::FIVE_XX | RetryOn::GATEWAY_ERROR;
        match outcome {
            Outcome::ConnectFailure => {
                self.on.any(no_response | RetryOn::RESET | RetryOn::RESET_BEFORE_REQUEST | RetryOn::CONNECT_FAILURE)
            }
            Outcome::RefusedStream => self.on.any(no_response | RetryOn::RESET | RetryOn::REFUSED_STREAM),
            Outcome::Reset { response_started: true, .. } => false,
            Outcome::Reset { request_sent: false, .. } => {
                self.on.any(no_response | RetryOn::RESET | RetryOn::RESET_BEFORE_REQUEST)
            }
            Outcome::Reset { request_sent: true, .. } | Outcome::PerTryTimeout => {
                self.on.any(no_response | RetryOn::RESET)
            }
            Outcome::Response { status, headers } => self.is_retriable_response(status, headers),
        }
    }

    fn is_retriable_response(&self, status: StatusCode, headers: &HeaderMap) -> bool {
        if headers.contains_key("x-envoy-ratelimited") {
            return self.on.any(RetryOn::ENVOY_RATELIMITED);
        }
        let code = status.as_u16();
        (self.on.any(RetryOn::FIVE_XX) && status.is_server_error())
            || (self.on.any(RetryOn::GATEWAY_ERROR) && matches!(code, 502..=504))
            || (self.on.any(RetryOn::RETRIABLE_4XX) && code == 409)
            || (self.on.any(RetryOn::RETRIABLE_STATUS_CODES) && self.statuses.contains(&status))
            || (self.on.any(RetryOn::RETRIABLE_HEADERS)
                && self.response_headers.iter().any(|header| header.matches_headers(headers)))
            || self.is_retriable_grpc(headers)
    }

    fn is_retriable_grpc(&self, headers: &HeaderMap) -> bool {
        let condition = match grpc::status(headers) {
            Some(grpc::CANCELLED) => RetryOn::CANCELLED,
            Some(grpc::DEADLINE_EXCEEDED) => RetryOn::DEADLINE_EXCEEDED,
            Some(grpc::RESOURCE_EXHAUSTED) => RetryOn::RESOURCE_EXHAUSTED,
            Some(grpc::INTERNAL) => RetryOn::INTERNAL,
            Some(grpc::UNAVAILABLE) => RetryOn::UNAVAILABLE,
            _ => return false,
        };
        self.on.any(condition)
    }

    /// How long to wait before the next try, after `retries` (0 after the first try) have been made.
    pub fn back_off(&self, retries: u32, random: u64) -> Duration {
        let doubled = self.back_off.base.saturating_mul(1_u32.checked_shl(retries).unwrap_or(u32::MAX));
        let limit = u64::try_from(doubled.min(self.back_off.max).as_nanos()).unwrap_or(u64::MAX);
        Duration::from_nanos(random.checked_rem(limit).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests;
