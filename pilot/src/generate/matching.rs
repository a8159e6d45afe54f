//! `match`: which requests a route takes (VirtualService `http[].match`).

use xds::matcher::{RegexMatcher, StringMatcher, string_matcher::MatchPattern};
use xds::route::header_matcher::HeaderMatchSpecifier;
use xds::route::query_parameter_matcher::QueryParameterMatchSpecifier;
use xds::route::{HeaderMatcher, QueryParameterMatcher, RouteMatch, route_match::PathSpecifier};

use super::wrappers::{boolean, runtime_fraction};
use crate::model::{HttpMatch, Labels, StringMatch};

/// The match of a route that takes every request.
pub(super) fn everything() -> RouteMatch {
    RouteMatch { path_specifier: Some(PathSpecifier::Prefix("/".into())), ..RouteMatch::default() }
}

/// The conditions on the request itself. Port and source conditions select listeners and clients instead. `port` is the
/// service's.
pub(super) fn route_match(condition: &HttpMatch, port: u16) -> RouteMatch {
    RouteMatch {
        path_specifier: Some(path(condition.uri.as_ref())),
        case_sensitive: if condition.ignore_uri_case { boolean(false) } else { None },
        headers: headers(condition, port),
        runtime_fraction: condition.share.and_then(runtime_fraction),
        query_parameters: condition.query_params.iter().map(|(name, value)| query(name, value)).collect(),
        ..RouteMatch::default()
    }
}

/// Whether a block that applies takes every request, so that nothing after it can be reached.
pub(super) fn takes_everything(condition: &HttpMatch) -> bool {
    let request_only =
        HttpMatch { port: None, source_labels: Labels::default(), source_namespace: None, ..condition.clone() };
    request_only.is_catch_all()
}

/// A test of one text; [`StringMatch::Present`] takes any.
pub(super) fn string_matcher(test: &StringMatch) -> StringMatcher {
    let pattern = match test {
        StringMatch::Exact(text) => MatchPattern::Exact(text.to_string()),
        StringMatch::Prefix(text) => MatchPattern::Prefix(text.to_string()),
        StringMatch::Segments(path) => MatchPattern::SafeRegex(regex(&format!("{}(/.*)?", ::regex::escape(path)))),
        StringMatch::Regex(text) => MatchPattern::SafeRegex(regex(text)),
        StringMatch::Present => MatchPattern::SafeRegex(regex(".*")),
    };
    StringMatcher { match_pattern: Some(pattern), ignore_case: false }
}

/// An RE2 expression; Envoy matches it against the whole text.
pub(super) fn regex(expression: &str) -> RegexMatcher {
    RegexMatcher { regex: expression.to_owned(), engine_type: None }
}

fn path(test: Option<&StringMatch>) -> PathSpecifier {
    match test {
        None | Some(StringMatch::Present) => PathSpecifier::Prefix("/".into()),
        Some(StringMatch::Exact(path)) => PathSpecifier::Path(path.to_string()),
        Some(StringMatch::Prefix(prefix)) => PathSpecifier::Prefix(prefix.to_string()),
        Some(StringMatch::Segments(path)) => PathSpecifier::PathSeparatedPrefix(path.to_string()),
        Some(StringMatch::Regex(expression)) => PathSpecifier::SafeRegex(regex(expression)),
    }
}

fn headers(condition: &HttpMatch, port: u16) -> Vec<HeaderMatcher> {
    let pseudo = [(":scheme", &condition.scheme), (":method", &condition.method)];
    let pseudo = pseudo.into_iter().filter_map(|(name, test)| test.as_ref().map(|test| header(name, test)));
    let authority = condition.authority.as_ref().map(|test| authority(test, port));
    let wanted = condition.headers.iter().map(|(name, test)| header(name, test));
    let unwanted = condition.without_headers.iter().map(|(name, test)| without(name, test));
    pseudo.chain(authority).chain(wanted).chain(unwanted).collect()
}

/// All spellings of one authority get one answer: in upper or lower case, with the service's port or without (RFC 9110,
/// 4.2.3). A dot at the end is taken off before.
fn authority(test: &StringMatch, port: u16) -> HeaderMatcher {
    let matcher = match test {
        StringMatch::Exact(name) if !has_port(name) => {
            let pattern = format!("(?i){}(:{port})?", ::regex::escape(name.strip_suffix('.').unwrap_or(name)));
            StringMatcher { match_pattern: Some(MatchPattern::SafeRegex(regex(&pattern))), ignore_case: false }
        }
        StringMatch::Exact(_) | StringMatch::Prefix(_) => StringMatcher { ignore_case: true, ..string_matcher(test) },
        StringMatch::Segments(_) | StringMatch::Regex(_) | StringMatch::Present => return header(":authority", test),
    };
    HeaderMatcher {
        name: ":authority".to_owned(),
        header_match_specifier: Some(HeaderMatchSpecifier::StringMatch(matcher)),
        ..HeaderMatcher::default()
    }
}

fn has_port(authority: &str) -> bool {
    authority.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok())
}

fn header(name: &str, test: &StringMatch) -> HeaderMatcher {
    let specifier = match test {
        StringMatch::Present => HeaderMatchSpecifier::PresentMatch(true),
        other => HeaderMatchSpecifier::StringMatch(string_matcher(other)),
    };
    HeaderMatcher { name: name.to_owned(), header_match_specifier: Some(specifier), ..HeaderMatcher::default() }
}

/// `withoutHeaders`: an absent header counts as empty, except for a test of presence.
fn without(name: &str, test: &StringMatch) -> HeaderMatcher {
    let treat_missing_header_as_empty = *test != StringMatch::Present;
    HeaderMatcher { invert_match: true, treat_missing_header_as_empty, ..header(name, test) }
}

fn query(name: &str, test: &StringMatch) -> QueryParameterMatcher {
    let specifier = match test {
        StringMatch::Present => QueryParameterMatchSpecifier::PresentMatch(true),
        other => QueryParameterMatchSpecifier::StringMatch(string_matcher(other)),
    };
    QueryParameterMatcher { name: name.to_owned(), query_parameter_match_specifier: Some(specifier) }
}
