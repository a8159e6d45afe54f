//! `RouteMatch`.

use xds::route::RouteMatch as Match;
use xds::route::route_match::PathSpecifier;

use super::reason::{Reason, Under, none_set};
use super::{each, field, matchers};
use crate::http::matching::{PathMatch, RouteMatch};

/// Conditions of one route.
pub(super) fn compile(route: &Match) -> Result<RouteMatch, Reason> {
    none_set(&[
        ("cookies", !route.cookies.is_empty()),
        ("tls_context", route.tls_context.is_some()),
        ("dynamic_metadata", !route.dynamic_metadata.is_empty()),
        ("filter_state", !route.filter_state.is_empty()),
    ])?;
    Ok(RouteMatch {
        path: path(route.path_specifier.as_ref())?,
        case_sensitive: field::truth(route.case_sensitive.as_ref(), true),
        headers: matchers::headers("headers", &route.headers)?,
        query: each("query_parameters", &route.query_parameters, matchers::query)?,
        grpc: route.grpc.is_some(),
        fraction: route.runtime_fraction.as_ref().map(field::runtime_fraction).transpose().under("runtime_fraction")?,
    })
}

fn path(specifier: Option<&PathSpecifier>) -> Result<PathMatch, Reason> {
    Ok(match specifier {
        Some(PathSpecifier::Prefix(prefix)) => PathMatch::Prefix(prefix.as_str().into()),
        Some(PathSpecifier::Path(path)) => PathMatch::Exact(path.as_str().into()),
        Some(PathSpecifier::SafeRegex(regex)) => PathMatch::Regex(matchers::pattern(regex).under("safe_regex")?),
        Some(PathSpecifier::PathSeparatedPrefix(prefix)) => segment_prefix(prefix).under("path_separated_prefix")?,
        Some(PathSpecifier::ConnectMatcher(_)) => PathMatch::Connect,
        Some(PathSpecifier::PathMatchPolicy(_)) => return Err(Reason::unsupported("path_match_policy")),
        None => return Err(Reason::new("says nothing about the path")),
    })
}

fn segment_prefix(prefix: &str) -> Result<PathMatch, Reason> {
    if !prefix.starts_with('/') || prefix.ends_with('/') || prefix.contains(['?', '#']) {
        return Err(Reason::new(format!("{prefix:?} must begin with a `/`, not end with one, and have no query")));
    }
    Ok(PathMatch::SegmentPrefix(prefix.into()))
}
