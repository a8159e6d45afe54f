//! Conditions on an HTTP request.

use super::{Labels, Percentage};
use std::sync::Arc;

/// One match block of a rule; all conditions that are set must hold.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HttpMatch {
    /// `match[].name`, part of the route's name.
    pub name: Option<Arc<str>>,
    /// Path without the query.
    pub uri: Option<StringMatch>,
    /// Exact and prefix matches of the path ignore case.
    pub ignore_uri_case: bool,
    /// `:scheme`.
    pub scheme: Option<StringMatch>,
    /// `:method`.
    pub method: Option<StringMatch>,
    /// `:authority`.
    pub authority: Option<StringMatch>,
    /// Headers (lower-case names) that must match, by name.
    pub headers: Vec<(Arc<str>, StringMatch)>,
    /// Headers that must not match, by name. An absent header counts as empty, except for `Present`.
    pub without_headers: Vec<(Arc<str>, StringMatch)>,
    /// Query parameters that must match, by name.
    pub query_params: Vec<(Arc<str>, StringMatch)>,
    /// The service's port.
    pub port: Option<u16>,
    /// Only this share of the requests that match, drawn for each; the others go on to the rules behind.
    pub share: Option<Percentage>,
    /// Only clients with these labels get the rule; empty means all.
    pub source_labels: Labels,
    /// Only clients of this namespace get the rule.
    pub source_namespace: Option<Arc<str>>,
}

/// A test of one text.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum StringMatch {
    /// Equal, case-sensitive.
    Exact(Arc<str>),
    /// Starts with, case-sensitive.
    Prefix(Arc<str>),
    /// A path that is this one or lies below it: `/a` and `/a/b`, not `/ab`. Without a slash at the end; never `/`.
    Segments(Arc<str>),
    /// RE2 expression that must match the whole text. It compiles and keeps to the size limits.
    Regex(Arc<str>),
    /// There at all, with any value.
    Present,
}

impl HttpMatch {
    /// Whether every request of every client matches, so that no later rule can be reached.
    pub fn is_catch_all(&self) -> bool {
        let any_path = match &self.uri {
            None | Some(StringMatch::Present) => true,
            Some(StringMatch::Prefix(prefix)) => matches!(prefix.as_ref(), "/" | ""),
            Some(StringMatch::Regex(regex)) => regex.as_ref() == ".*",
            Some(StringMatch::Exact(_) | StringMatch::Segments(_)) => false,
        };
        any_path
            && self.scheme.is_none()
            && self.method.is_none()
            && self.authority.is_none()
            && self.headers.is_empty()
            && self.without_headers.is_empty()
            && self.query_params.is_empty()
            && self.port.is_none()
            && self.share.is_none()
            && self.source_labels.is_empty()
            && self.source_namespace.is_none()
    }
}
