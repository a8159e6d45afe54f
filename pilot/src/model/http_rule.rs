//! One HTTP rule of a VirtualService: for which requests, and what happens to them.

use super::{Cors, Fault, HeaderEdits, Host, HttpMatch, Mirror, ObjectRef, Retries, Rewrite};
use std::sync::Arc;
use std::time::Duration;

/// One `http` rule.
#[derive(Clone, Debug, PartialEq)]
pub struct HttpRule {
    /// The object that it came from, where a VirtualService stands for several; None: the VirtualService's own.
    pub source: Option<Arc<ObjectRef>>,
    /// `http[].name`.
    pub name: Option<Arc<str>>,
    /// Any of these must match; empty matches all.
    pub matches: Vec<HttpMatch>,
    /// What happens.
    pub action: Action,
    /// Change of path or host before the request leaves.
    pub rewrite: Option<Rewrite>,
    /// Longest time for the whole request with its retries; None is without limit.
    pub timeout: Option<Duration>,
    /// When and how often a request is tried again; the mesh default is filled in.
    pub retries: Retries,
    /// Injected delay and error.
    pub fault: Option<Fault>,
    /// Header edits for all destinations; they are applied after the destination's own.
    pub headers: HeaderEdits,
    /// Copies of the request.
    pub mirrors: Vec<Mirror>,
    /// CORS.
    pub cors: Option<Cors>,
}

/// What a rule does with a request.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Send it on; at least one destination, and not all weights 0.
    Route(Vec<WeightedDestination>),
    /// Answer with a redirect.
    Redirect(Redirect),
    /// Answer at once.
    DirectResponse(DirectResponse),
}

/// One destination with its share.
#[derive(Clone, Debug, PartialEq)]
pub struct WeightedDestination {
    /// Where to.
    pub destination: Destination,
    /// Share = weight / sum of weights. A single destination takes all, whatever its weight.
    pub weight: u32,
    /// Header edits for this destination alone.
    pub headers: HeaderEdits,
}

/// A service, a subset of it, and a port.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Destination {
    /// Host of the service.
    pub host: Host,
    /// Subset of the host's DestinationRule.
    pub subset: Option<Arc<str>>,
    /// Port of the service. None: the port that the request came for, or the service's only port.
    pub port: Option<u16>,
}

/// A redirect. At least one of path, authority, scheme and port is set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redirect {
    /// New path.
    pub path: Option<RedirectPath>,
    /// New host.
    pub authority: Option<Arc<str>>,
    /// New scheme.
    pub scheme: Option<Arc<str>>,
    /// New port.
    pub port: Option<RedirectPort>,
    /// 301, 302, 303, 307 or 308.
    pub code: u16,
}

/// The path of a redirect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RedirectPath {
    /// Replaces the whole path.
    Full(Arc<str>),
    /// Replaces the matched prefix.
    Prefix(Arc<str>),
    /// Replaces what the RE2 `pattern` matches by `substitution`.
    Regex {
        /// RE2 expression.
        pattern: Arc<str>,
        /// Replacement.
        substitution: Arc<str>,
    },
}

/// The port of a redirect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RedirectPort {
    /// This one.
    Number(u16),
    /// The usual one of the scheme.
    ProtocolDefault,
    /// The one that the request came for.
    Request,
}

/// A fixed answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirectResponse {
    /// HTTP status.
    pub status: u16,
    /// Body; None for an empty one.
    pub body: Option<Arc<[u8]>>,
}

impl HttpRule {
    /// Whether every request of every client matches.
    pub fn is_catch_all(&self) -> bool {
        self.matches.is_empty() || self.matches.iter().any(HttpMatch::is_catch_all)
    }

    /// The destinations, none for redirects and fixed answers.
    pub fn destinations(&self) -> &[WeightedDestination] {
        match &self.action {
            Action::Route(destinations) => destinations,
            Action::Redirect(_) | Action::DirectResponse(_) => &[],
        }
    }
}
