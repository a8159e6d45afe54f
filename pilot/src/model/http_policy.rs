//! What a rule may do to requests besides routing them: rewrite, retries, faults, header edits, mirrors, CORS.

use super::{Destination, StringMatch};
use std::sync::Arc;
use std::time::Duration;

/// A share in parts per million, as precise as Envoy's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Percentage(pub u32);

impl Percentage {
    /// All of it.
    pub const FULL: Self = Self(1_000_000);

    /// From percent (0 to 100, already checked).
    pub fn from_percent(percent: f64) -> Self {
        Self((percent * 10_000.0).round() as u32)
    }
}

/// Change of path or host before the request leaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rewrite {
    /// New path.
    pub uri: Option<UriRewrite>,
    /// New `:authority`.
    pub authority: Option<Arc<str>>,
}

/// How the path changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UriRewrite {
    /// Replaces the matched prefix, or the whole path when the match was not a prefix.
    Replace(Arc<str>),
    /// Replaces what the RE2 `pattern` matches by `substitution`, which may use `\1`.
    Regex {
        /// RE2 expression.
        pattern: Arc<str>,
        /// Replacement.
        substitution: Arc<str>,
    },
}

/// When and how often a request is tried again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retries {
    /// Tries after the first; 0 turns retries off.
    pub attempts: u32,
    /// Longest time for one try; None: what is left of the timeout.
    pub per_try_timeout: Option<Duration>,
    /// Envoy's names of conditions, without status codes.
    pub retry_on: Vec<Arc<str>>,
    /// Status codes to retry on.
    pub retriable_status_codes: Vec<u16>,
    /// May go to other localities.
    pub remote_localities: bool,
    /// Avoid hosts that were tried.
    pub ignore_previous_hosts: bool,
    /// Base of the exponential back-off; None: 25 ms.
    pub backoff: Option<Duration>,
}

impl Default for Retries {
    /// What a rule without `retries` gets: two more tries when the request was not processed.
    fn default() -> Self {
        let conditions = ["connect-failure", "refused-stream", "unavailable", "cancelled"];
        Self {
            attempts: 2,
            per_try_timeout: None,
            retry_on: conditions.into_iter().map(Arc::from).collect(),
            retriable_status_codes: Vec::new(),
            remote_localities: false,
            ignore_previous_hosts: true,
            backoff: None,
        }
    }
}

/// Injected faults; each is sampled by itself, the delay comes first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Wait before the request goes on.
    pub delay: Option<Delay>,
    /// Answer with an error.
    pub abort: Option<Abort>,
}

/// An injected delay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delay {
    /// How long.
    pub fixed: Duration,
    /// For which share of the requests.
    pub percentage: Percentage,
}

/// An injected error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Abort {
    /// Which.
    pub status: AbortStatus,
    /// For which share of the requests.
    pub percentage: Percentage,
}

/// The error of an [`Abort`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AbortStatus {
    /// HTTP status, 200 to 599.
    Http(u16),
    /// gRPC status, 0 to 16.
    Grpc(u32),
}

/// Edits of request and response headers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeaderEdits {
    /// On the way up.
    pub request: HeaderOperations,
    /// On the way back.
    pub response: HeaderOperations,
    /// New `:authority`, when `request` sets `:authority` or `host`.
    pub authority: Option<Arc<str>>,
}

/// Edits of one header block. Names are lower-case; values are literal, a `%` in them is only that.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeaderOperations {
    /// Overwrite.
    pub set: Vec<(Arc<str>, Arc<str>)>,
    /// Append.
    pub add: Vec<(Arc<str>, Arc<str>)>,
    /// Remove.
    pub remove: Vec<Arc<str>>,
}

impl HeaderEdits {
    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// A copy of requests, whose answers are dropped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mirror {
    /// Where to.
    pub destination: Destination,
    /// Share of the requests.
    pub percentage: Percentage,
}

/// CORS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cors {
    /// Allowed origins.
    pub allow_origins: Vec<StringMatch>,
    /// Allowed methods.
    pub allow_methods: Vec<Arc<str>>,
    /// Allowed request headers.
    pub allow_headers: Vec<Arc<str>>,
    /// Response headers that scripts may read.
    pub expose_headers: Vec<Arc<str>>,
    /// How long a preflight may be cached.
    pub max_age: Option<Duration>,
    /// Credentials allowed.
    pub allow_credentials: Option<bool>,
    /// Preflights of other origins go to the upstream (default) or are answered here.
    pub forward_unmatched_preflights: bool,
}
