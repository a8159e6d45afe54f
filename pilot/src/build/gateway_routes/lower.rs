//! One rule and one match of a route as rules of the model.

use super::backends::Backends;
use crate::gateway_route::{
    GatewayRoute, PathChange, RankedMatch, RouteAction, RouteProtocol, RouteRule, WeightedBackend,
};
use crate::model::{
    Action, DirectResponse, HttpMatch, HttpRule, Mirror, Percentage, Redirect, RedirectPath, RedirectPort, Rewrite,
    StringMatch, UriRewrite, WeightedDestination,
};

/// The rules for one match. Two when a share of the requests has a backend that is none: that share is drawn first and
/// answered with an error.
pub(super) fn rules(
    route: &GatewayRoute,
    rule: &RouteRule,
    ranked: &RankedMatch,
    backends: &Backends<'_>,
) -> Vec<HttpRule> {
    let condition = &ranked.condition;
    match &rule.action {
        RouteAction::Redirect { scheme, hostname, path, port, code } => {
            let path = path.as_ref().and_then(|change| redirect_path(change, condition));
            // Without a port of its own a redirect leads to its scheme's, or else to the one that was asked.
            let port = match (port, scheme) {
                (Some(port), _) => RedirectPort::Number(*port),
                (None, Some(_)) => RedirectPort::ProtocolDefault,
                (None, None) => RedirectPort::Request,
            };
            let (authority, scheme) = (hostname.clone(), scheme.clone());
            let redirect = Redirect { path, authority, scheme, port: Some(port), code: *code };
            vec![HttpRule { action: Action::Redirect(redirect), ..template(route, rule, condition) }]
        }
        RouteAction::Forward { path, hostname, backends: wanted } => {
            let uri = path.as_ref().and_then(|change| rewrite_path(change, condition));
            let rewrite = (uri.is_some() || hostname.is_some()).then(|| Rewrite { uri, authority: hostname.clone() });
            forward(route, rule, condition, rewrite, wanted, backends)
        }
    }
}

fn forward(
    route: &GatewayRoute,
    rule: &RouteRule,
    condition: &HttpMatch,
    rewrite: Option<Rewrite>,
    wanted: &[WeightedBackend],
    backends: &Backends<'_>,
) -> Vec<HttpRule> {
    let error =
        |condition: &HttpMatch| HttpRule { action: no_backend(route.protocol), ..template(route, rule, condition) };
    let (mut found, mut missing, mut total) = (Vec::new(), 0u64, 0u64);
    for entry in wanted.iter().filter(|entry| entry.weight > 0) {
        total += u64::from(entry.weight);
        match backends.resolve(route, &entry.backend) {
            Ok(destination) => {
                let (weight, headers) = (entry.weight, entry.headers.clone());
                found.push(WeightedDestination { destination, weight, headers });
            }
            Err(_) => missing += u64::from(entry.weight),
        }
    }
    if found.is_empty() {
        return vec![error(condition)];
    }
    let mirrors =
        rule.mirrors.iter().filter(|(_, percentage)| *percentage > Percentage(0)).filter_map(|(to, percentage)| {
            Some(Mirror { destination: backends.resolve(route, to).ok()?, percentage: *percentage })
        });
    let mirrors = mirrors.collect();
    let route_rule = HttpRule { action: Action::Route(found), rewrite, mirrors, ..template(route, rule, condition) };
    if missing == 0 {
        return vec![route_rule];
    }
    let share = Percentage::from_percent(missing as f64 / total as f64 * 100.0);
    vec![error(&HttpMatch { share: Some(share), ..condition.clone() }), route_rule]
}

/// Everything of a rule that does not depend on its action; the action is an error until it is replaced.
fn template(route: &GatewayRoute, rule: &RouteRule, condition: &HttpMatch) -> HttpRule {
    HttpRule {
        source: Some(route.source.clone()),
        name: rule.name.clone(),
        matches: vec![condition.clone()],
        action: no_backend(route.protocol),
        rewrite: None,
        timeout: rule.timeout,
        retries: rule.retries.clone(),
        fault: None,
        headers: rule.headers.clone(),
        mirrors: Vec::new(),
        cors: rule.cors.clone(),
    }
}

/// The answer in place of a backend that is none: 500, for gRPC UNAVAILABLE, which 503 becomes.
fn no_backend(protocol: RouteProtocol) -> Action {
    let status = match protocol {
        RouteProtocol::Http => 500,
        RouteProtocol::Grpc => 503,
    };
    Action::DirectResponse(DirectResponse { status, body: None })
}

/// How to write a prefix in place of the one that a match has, so that segments stay segments.
enum Replacement {
    /// The data plane replaces exactly what matched.
    Matched(String),
    /// The prefix goes, with the slash behind it.
    Removed { pattern: String },
    /// The path stays.
    Nothing,
}

fn replacement(prefix: &str, condition: &HttpMatch) -> Replacement {
    let prefix = prefix.trim_end_matches('/');
    match (&condition.uri, prefix) {
        (Some(StringMatch::Segments(matched)), "") => {
            Replacement::Removed { pattern: format!("^{}/?", regex::escape(matched)) }
        }
        (Some(StringMatch::Segments(_)), prefix) => Replacement::Matched(prefix.to_owned()),
        (_, "") => Replacement::Nothing,
        (_, prefix) => Replacement::Matched(format!("{prefix}/")),
    }
}

fn rewrite_path(change: &PathChange, condition: &HttpMatch) -> Option<UriRewrite> {
    let regex = |pattern: String, substitution: &str| {
        let substitution = substitution.replace('\\', r"\\").into();
        Some(UriRewrite::Regex { pattern: pattern.into(), substitution })
    };
    match change {
        PathChange::Full(path) => regex("^/.*".to_owned(), path),
        PathChange::Prefix(prefix) => match replacement(prefix, condition) {
            Replacement::Matched(text) => Some(UriRewrite::Replace(text.into())),
            Replacement::Removed { pattern } => regex(pattern, "/"),
            Replacement::Nothing => None,
        },
    }
}

fn redirect_path(change: &PathChange, condition: &HttpMatch) -> Option<RedirectPath> {
    match change {
        PathChange::Full(path) => Some(RedirectPath::Full(path.clone())),
        PathChange::Prefix(prefix) => match replacement(prefix, condition) {
            Replacement::Matched(text) => Some(RedirectPath::Prefix(text.into())),
            Replacement::Removed { pattern } => {
                Some(RedirectPath::Regex { pattern: pattern.into(), substitution: "/".into() })
            }
            Replacement::Nothing => None,
        },
    }
}
