//! A route of the Gateway API as its text says, before its parents and backends are looked up; and ReferenceGrants.

use crate::model::{Cors, HeaderEdits, HttpMatch, ObjectRef, ParentRef, Percentage, Retries};
use crate::yaml::FieldPath;
use std::sync::Arc;
use std::time::Duration;

/// An HTTPRoute or GRPCRoute.
#[derive(Debug)]
pub struct GatewayRoute {
    /// The object.
    pub source: Arc<ObjectRef>,
    /// `metadata.creationTimestamp` in seconds since the epoch; 0 when there is none.
    pub creation: i64,
    /// Which of the kinds it is.
    pub protocol: RouteProtocol,
    /// What it is attached to.
    pub parents: Arc<[ParentRef]>,
    /// Its rules.
    pub rules: Vec<RouteRule>,
}

/// The kinds of routes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RouteProtocol {
    /// HTTPRoute.
    Http,
    /// GRPCRoute.
    Grpc,
}

/// One rule.
#[derive(Debug)]
pub struct RouteRule {
    /// `name`.
    pub name: Option<Arc<str>>,
    /// Any of these must match; at least one.
    pub matches: Vec<RankedMatch>,
    /// What happens.
    pub action: RouteAction,
    /// Edits for all backends.
    pub headers: HeaderEdits,
    /// Copies of the request.
    pub mirrors: Vec<(Backend, Percentage)>,
    /// CORS.
    pub cors: Option<Cors>,
    /// Longest time for the whole request.
    pub timeout: Option<Duration>,
    /// When and how often a request is tried again.
    pub retries: Retries,
}

/// A match block with its place in the Gateway API's order.
#[derive(Debug)]
pub struct RankedMatch {
    /// The greater goes first: the path's or service's precision, then the rest in the order of the API.
    pub rank: [usize; 5],
    /// The conditions.
    pub condition: HttpMatch,
}

/// What a rule does.
#[derive(Debug)]
pub enum RouteAction {
    /// Send it to backends, with another path or host.
    Forward {
        /// Change of path or host.
        rewrite: RewriteTo,
        /// Where to; may be empty.
        backends: Vec<WeightedBackend>,
    },
    /// Answer with another address.
    Redirect(RedirectTo),
}

/// The filter `URLRewrite`.
#[derive(Clone, Debug, Default)]
pub struct RewriteTo {
    /// `urlRewrite.path`.
    pub path: Option<PathChange>,
    /// `urlRewrite.hostname`.
    pub hostname: Option<Arc<str>>,
}

/// The filter `RequestRedirect`.
#[derive(Clone, Debug, Default)]
pub struct RedirectTo {
    /// New scheme.
    pub scheme: Option<Arc<str>>,
    /// New host.
    pub hostname: Option<Arc<str>>,
    /// New path.
    pub path: Option<PathChange>,
    /// New port.
    pub port: Option<u16>,
    /// 301, 302, 303, 307 or 308.
    pub code: u16,
}

/// How a path changes.
#[derive(Clone, Debug)]
pub enum PathChange {
    /// Replaces the whole path.
    Full(Arc<str>),
    /// Replaces the matched prefix, by whole segments.
    Prefix(Arc<str>),
}

/// A backend with its share.
#[derive(Debug)]
pub struct WeightedBackend {
    /// Which.
    pub backend: Backend,
    /// Share = weight / sum of weights.
    pub weight: u32,
    /// Edits for this backend alone.
    pub headers: HeaderEdits,
    /// What else happens to this backend's share of the requests alone.
    pub own: OwnFilters,
}

/// The filters of one backend, beside edits of headers.
#[derive(Debug, Default)]
pub struct OwnFilters {
    /// Another path or host.
    pub rewrite: Option<RewriteTo>,
    /// An answer with another address, in place of the backend.
    pub redirect: Option<RedirectTo>,
    /// Copies of the request.
    pub mirrors: Vec<(Backend, Percentage)>,
    /// CORS.
    pub cors: Option<Cors>,
}

impl OwnFilters {
    /// Whether nothing happens.
    pub fn is_empty(&self) -> bool {
        self.rewrite.is_none() && self.redirect.is_none() && self.mirrors.is_empty() && self.cors.is_none()
    }
}

/// What a route sends requests to, by name.
#[derive(Debug)]
pub struct Backend {
    /// The field that names it.
    pub at: FieldPath,
    /// Group and kind, when that is not Service.
    pub other_kind: Option<Arc<str>>,
    /// Namespace.
    pub namespace: Arc<str>,
    /// Name.
    pub name: Arc<str>,
    /// Port of the Service; None for other kinds.
    pub port: Option<u16>,
}

/// A ReferenceGrant: who may name what in its namespace.
#[derive(Debug)]
pub struct ReferenceGrant {
    /// Group, kind and namespace of routes.
    pub from: Vec<(Arc<str>, Arc<str>, Arc<str>)>,
    /// The Services that they may name; None for all of the namespace.
    pub services: Vec<Option<Arc<str>>>,
}
