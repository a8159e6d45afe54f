//! `rewrite`: another path or host before the request leaves (VirtualService `http[].rewrite`).

use xds::matcher::RegexMatchAndSubstitute;
use xds::route::{RouteAction, route_action::HostRewriteSpecifier};

use super::matching::regex;
use crate::model::{HeaderEdits, Rewrite, UriRewrite};

/// Rewrites the path. Envoy's `prefix_rewrite` replaces what the route matched: the prefix, or the whole path of an
/// exact or regex match.
pub(super) fn apply(rewrite: Option<&Rewrite>, action: &mut RouteAction) {
    match rewrite.and_then(|rewrite| rewrite.uri.as_ref()) {
        None => {}
        Some(UriRewrite::Replace(path)) => action.prefix_rewrite = path.to_string(),
        Some(UriRewrite::Regex { pattern, substitution }) => {
            action.regex_rewrite =
                Some(RegexMatchAndSubstitute { pattern: Some(regex(pattern)), substitution: substitution.to_string() });
        }
    }
}

/// The host that a whole rule puts into requests: its `rewrite.authority`, else the `host` that its header edits set.
pub(super) fn authority<'a>(rewrite: Option<&'a Rewrite>, headers: &'a HeaderEdits) -> Option<&'a str> {
    rewrite.and_then(|rewrite| rewrite.authority.as_deref()).or(headers.authority.as_deref())
}

/// Rewrites the host for all destinations of a rule.
pub(super) fn apply_authority(authority: Option<&str>, action: &mut RouteAction) {
    action.host_rewrite_specifier =
        authority.map(|authority| HostRewriteSpecifier::HostRewriteLiteral(authority.to_owned()));
}
