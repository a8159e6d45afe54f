//! What a decision is made from (the head of a request) and what it says (a route with its policies and its action).
//!
//! Nothing here does I/O: the proxy, its tests and an explanation for people all call the same functions.

use std::fmt;
use std::sync::Arc;

use http::header::HOST;
use http::request::Parts;
use http::{HeaderMap, Method};

use super::cors::Cors;
use super::direct_response::DirectResponse;
use super::fault::Fault;
use super::forwarded::FORWARDED_PROTO;
use super::headers::HeaderEdits;
use super::matching::RouteMatch;
use super::mirror::Mirror;
use super::redirect::Redirect;
use super::retry::RetryPolicy;
use super::rewrite::Rewrite;
use super::timeout::Timeout;
use super::weights::Targets;

/// The head of a request, as routing sees it.
#[derive(Debug, Clone, Copy)]
pub struct RequestView<'a> {
    /// Method.
    pub method: &'a Method,
    /// `http` or `https`: what the client asked with.
    pub scheme: &'a str,
    /// `:authority`, or `Host`; with its port, as sent.
    pub authority: &'a str,
    /// Path without the query; empty for CONNECT.
    pub path: &'a str,
    /// What follows the first `?`.
    pub query: Option<&'a str>,
    /// All headers.
    pub headers: &'a HeaderMap,
}

impl<'a> RequestView<'a> {
    /// The view of a parsed request. The authority is the target's, else the `Host` header's;
    /// without either, or with bytes that are no ASCII, it is empty.
    pub fn of(parts: &'a Parts) -> Self {
        let authority = match parts.uri.authority() {
            Some(authority) => authority.as_str(),
            None => parts.headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default(),
        };
        Self {
            method: &parts.method,
            scheme: scheme(parts),
            authority,
            path: parts.uri.path(),
            query: parts.uri.query(),
            headers: &parts.headers,
        }
    }
}

/// Without a scheme in its target, as HTTP/1.1 has it, a request has the one that an earlier proxy says, else `http`.
fn scheme(parts: &Parts) -> &str {
    let said = || match parts.headers.get(FORWARDED_PROTO)?.as_bytes() {
        b"https" => Some("https"),
        _ => None,
    };
    parts.uri.scheme_str().or_else(said).unwrap_or("http")
}

/// One route: a condition, the policies that hold when it is taken, and what becomes of the request.
#[derive(Debug)]
pub struct Route {
    /// Name in the configuration; may be empty.
    pub name: Arc<str>,
    /// The virtual host that it belongs to.
    pub virtual_host: Arc<str>,
    /// The configuration object that it was made from, as a path of the API server.
    pub provenance: Option<Arc<str>>,
    /// When it is taken.
    pub matcher: RouteMatch,
    /// In the order in which they apply.
    pub policies: Vec<Policy>,
    /// What becomes of the request.
    pub action: Action,
}

impl Route {
    /// Where copies of this request go: each mirror draws for itself.
    pub fn mirrors(&self, mut random: impl FnMut() -> u64) -> impl Iterator<Item = &Mirror> {
        self.policies.iter().filter_map(move |policy| match policy {
            Policy::Mirror(mirror) if mirror.chosen(random()) => Some(mirror),
            _ => None,
        })
    }

    /// Whether it has a fault of its own, which replaces the connection manager's.
    pub fn has_fault(&self) -> bool {
        self.policies.iter().any(|policy| matches!(policy, Policy::Fault(_)))
    }
}

/// Something that a route does to a request or its response, besides its action.
#[derive(Debug)]
pub enum Policy {
    /// Delay and abort a share of the requests.
    Fault(Fault),
    /// Answer preflight requests, and say in responses which origins may read them.
    Cors(Cors),
    /// Edit the request's headers.
    RequestHeaders(HeaderEdits),
    /// Edit the headers of the response, whoever wrote it.
    ResponseHeaders(HeaderEdits),
    /// Change path and authority on the way to the upstream.
    Rewrite(Rewrite),
    /// Send a copy of a share of the requests somewhere else.
    Mirror(Mirror),
}

/// What becomes of a request.
#[derive(Debug)]
pub enum Action {
    /// It goes to an upstream.
    Forward(Forward),
    /// It is sent elsewhere.
    Redirect(Redirect),
    /// It is answered here.
    DirectResponse(DirectResponse),
}

/// `RouteAction`.
#[derive(Debug)]
pub struct Forward {
    /// One cluster, or a weighted choice of several.
    pub targets: Targets,
    /// How long it may take.
    pub timeout: Timeout,
    /// When it is tried again; `None`: never.
    pub retry: Option<RetryPolicy>,
    /// `Upgrade: websocket` is let through; `None`: as the connection manager says.
    pub websocket: Option<bool>,
    /// Tell the upstream in `x-envoy-attempt-count` which try this is, from 1.
    pub attempt_count_in_request: bool,
    /// Tell the downstream in `x-envoy-attempt-count` how many tries were made.
    pub attempt_count_in_response: bool,
}

/// Why no route was found; both are answered 404.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoRoute {
    /// No virtual host of the table serves this authority.
    NoVirtualHost {
        /// The table's name.
        table: Arc<str>,
    },
    /// The virtual host has no route whose condition holds.
    NoMatch {
        /// The table's name.
        table: Arc<str>,
        /// The virtual host's name.
        virtual_host: Arc<str>,
    },
}

impl fmt::Display for NoRoute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoVirtualHost { table } => {
                write!(f, "route configuration {table:?} has no virtual host for this authority")
            }
            Self::NoMatch { table, virtual_host } => {
                write!(f, "no route of virtual host {virtual_host:?} in route configuration {table:?} matches")
            }
        }
    }
}
