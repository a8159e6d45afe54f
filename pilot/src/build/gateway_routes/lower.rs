//! One rule and one match of a route as rules of the model.

use super::backends::Backends;
use crate::gateway_route::{
    Backend, GatewayRoute, OwnFilters, PathChange, RankedMatch, RedirectTo, RewriteTo, RouteAction, RouteProtocol,
    RouteRule, WeightedBackend,
};
use crate::model::{
    Action, DirectResponse, HttpMatch, HttpRule, Mirror, Percentage, Redirect, RedirectPath, RedirectPort, Rewrite,
    StringMatch, UriRewrite, WeightedDestination,
};

/// The rules for one match. More than one when a share of the requests has a backend that is none, or filters of its
/// own: the shares are drawn first.
pub(super) fn rules(
    route: &GatewayRoute,
    rule: &RouteRule,
    ranked: &RankedMatch,
    backends: &Backends<'_>,
) -> Vec<HttpRule> {
    let condition = &ranked.condition;
    match &rule.action {
        RouteAction::Redirect(to) => {
            let action = Action::Redirect(redirect(to, condition));
            vec![HttpRule { action, ..template(route, rule, condition) }]
        }
        RouteAction::Forward { rewrite, backends: wanted } => {
            let template = template(route, rule, condition);
            let template = HttpRule {
                rewrite: rewritten(rewrite, condition),
                mirrors: mirrors(route, &rule.mirrors, backends),
                ..template
            };
            forward(route, template, wanted, backends)
        }
    }
}

fn forward(
    route: &GatewayRoute,
    template: HttpRule,
    wanted: &[WeightedBackend],
    backends: &Backends<'_>,
) -> Vec<HttpRule> {
    let (mut plain, mut own, mut missing) = (Vec::new(), Vec::new(), 0u64);
    for entry in wanted.iter().filter(|entry| entry.weight > 0) {
        match backends.resolve(route, &entry.backend) {
            Ok(destination) => {
                let (weight, headers) = (entry.weight, entry.headers.clone());
                let to = WeightedDestination { destination, weight, headers };
                match entry.own.is_empty() {
                    true => plain.push(to),
                    false => own.push((u64::from(weight), with_own(route, &template, to, &entry.own, backends))),
                }
            }
            Err(_) => missing += u64::from(entry.weight),
        }
    }
    let total: u64 = wanted.iter().map(|entry| u64::from(entry.weight)).sum();
    let error = HttpRule { action: no_backend(route.protocol), rewrite: None, mirrors: Vec::new(), ..template.clone() };
    if plain.is_empty() && own.is_empty() {
        return vec![error];
    }
    let mut shares: Vec<_> = (missing > 0).then_some((missing, error)).into_iter().chain(own).collect();
    if !plain.is_empty() {
        let rest = plain.iter().map(|to: &WeightedDestination| u64::from(to.weight)).sum();
        shares.push((rest, HttpRule { action: Action::Route(plain), ..template }));
    }
    drawn(shares, total)
}

/// Rules with shares of the requests as rules of which the first that a request hits is its own. A data plane draws once
/// for each request, so that each rule's share ends where the next one's begins; the last takes what is left.
fn drawn(shares: Vec<(u64, HttpRule)>, total: u64) -> Vec<HttpRule> {
    let (last, mut up_to) = (shares.len().saturating_sub(1), 0);
    let draw = |(index, (weight, mut rule)): (usize, (u64, HttpRule))| {
        up_to += weight;
        let share = Percentage::from_percent(up_to as f64 / total as f64 * 100.0);
        for block in rule.matches.iter_mut().filter(|_| index < last) {
            block.share = Some(share);
        }
        rule
    };
    shares.into_iter().enumerate().map(draw).collect()
}

/// The rule for the share of a backend with filters of its own.
fn with_own(
    route: &GatewayRoute,
    template: &HttpRule,
    to: WeightedDestination,
    own: &OwnFilters,
    backends: &Backends<'_>,
) -> HttpRule {
    let everything = HttpMatch::default();
    let condition = template.matches.first().unwrap_or(&everything);
    let mut rule = template.clone();
    rule.mirrors.extend(mirrors(route, &own.mirrors, backends));
    rule.rewrite = own.rewrite.as_ref().and_then(|to| rewritten(to, condition)).or(rule.rewrite);
    rule.cors = own.cors.clone().or(rule.cors);
    rule.action = match &own.redirect {
        Some(to) => Action::Redirect(redirect(to, condition)),
        None => Action::Route(vec![WeightedDestination { weight: 1, ..to }]),
    };
    rule
}

/// The copies that lead somewhere.
fn mirrors(route: &GatewayRoute, wanted: &[(Backend, Percentage)], backends: &Backends<'_>) -> Vec<Mirror> {
    let wanted = wanted.iter().filter(|(_, percentage)| *percentage > Percentage(0));
    let found = wanted.filter_map(|(to, percentage)| {
        Some(Mirror { destination: backends.resolve(route, to).ok()?, percentage: *percentage })
    });
    found.collect()
}

fn rewritten(to: &RewriteTo, condition: &HttpMatch) -> Option<Rewrite> {
    let uri = to.path.as_ref().and_then(|change| rewrite_path(change, condition));
    (uri.is_some() || to.hostname.is_some()).then(|| Rewrite { uri, authority: to.hostname.clone() })
}

fn redirect(to: &RedirectTo, condition: &HttpMatch) -> Redirect {
    let RedirectTo { scheme, hostname, path, port, code } = to;
    let path = path.as_ref().and_then(|change| redirect_path(change, condition));
    // Without a port of its own a redirect leads to its scheme's, or else to the one that was asked.
    let port = match (port, scheme) {
        (Some(port), _) => RedirectPort::Number(*port),
        (None, Some(_)) => RedirectPort::ProtocolDefault,
        (None, None) => RedirectPort::Request,
    };
    Redirect { path, authority: hostname.clone(), scheme: scheme.clone(), port: Some(port), code: *code }
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
