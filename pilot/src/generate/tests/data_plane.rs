//! What a data plane does with a route configuration, by Envoy's documentation of the fields that Pilot writes: enough to
//! send requests through it and to say what comes out.

use super::*;
use xds::core::{HeaderValueOption, header_value_option::HeaderAppendAction};
use xds::route::redirect_action::{PathRewriteSpecifier, RedirectResponseCode, SchemeRewriteSpecifier};
use xds::route::weighted_cluster::ClusterWeight;
use xds::route::{RedirectAction, VirtualHost};

/// A request of plain HTTP.
pub(super) struct Asked {
    pub(super) host: &'static str,
    /// With the query.
    pub(super) target: &'static str,
    pub(super) headers: Vec<(&'static str, &'static str)>,
    /// What the data plane draws for it.
    pub(super) random: u64,
}

pub(super) fn get(target: &'static str) -> Asked {
    Asked { host: "echo", target, headers: Vec::new(), random: 0 }
}

impl Asked {
    pub(super) fn with(mut self, name: &'static str, value: &'static str) -> Self {
        self.headers.push((name, value));
        self
    }

    fn path(&self) -> &str {
        self.target.split('?').next().unwrap()
    }

    fn query(&self, name: &str) -> Option<&str> {
        let (_, query) = self.target.split_once('?')?;
        query.split('&').filter_map(|pair| pair.split_once('=')).find(|(key, _)| *key == name).map(|(_, value)| value)
    }

    /// All values of a header, as one text.
    fn header(&self, name: &str) -> Option<String> {
        let values = self.headers.iter().filter(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| *value);
        let values: Vec<_> = values.collect();
        (!values.is_empty()).then(|| values.join(","))
    }
}

/// What becomes of a request.
#[derive(Debug, PartialEq)]
pub(super) enum Outcome {
    /// It goes to a cluster.
    Sent { cluster: String, path: String, host: String, headers: Vec<String>, back: Vec<String> },
    /// It is answered with another address.
    Moved { status: u16, location: String },
    /// It is answered.
    Answered(u16),
}

/// Sends a request through the only virtual host.
pub(super) fn send(configuration: &RouteConfiguration, asked: &Asked) -> Outcome {
    let [VirtualHost { domains, routes, .. }] = configuration.virtual_hosts.as_slice() else { panic!("one host") };
    assert_eq!(domains, &["*"], "the address decides, whatever the Host header says");
    let Some(route) = routes.iter().find(|route| takes(route.r#match.as_ref().unwrap(), asked)) else {
        return Outcome::Answered(404);
    };
    match route.action.as_ref().unwrap() {
        Action::Redirect(to) => moved(to, route.r#match.as_ref().unwrap(), asked),
        Action::DirectResponse(response) => Outcome::Answered(response.status.try_into().unwrap()),
        Action::Route(action) => sent(route, action, asked),
        other => panic!("{other:?}"),
    }
}

fn takes(condition: &RouteMatch, asked: &Asked) -> bool {
    let path = asked.path();
    let path_fits = match condition.path_specifier.as_ref().unwrap() {
        PathSpecifier::Prefix(prefix) => path.starts_with(prefix),
        PathSpecifier::Path(exact) => path == exact,
        PathSpecifier::PathSeparatedPrefix(prefix) => {
            path.strip_prefix(prefix.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        }
        other => panic!("{other:?}"),
    };
    let exact = |test: &StringMatcher, value: Option<&str>| match test.match_pattern.as_ref().unwrap() {
        MatchPattern::Exact(text) => value == Some(text),
        other => panic!("{other:?}"),
    };
    let headers = condition.headers.iter().all(|header| match header.header_match_specifier.as_ref().unwrap() {
        HeaderMatchSpecifier::StringMatch(test) => exact(test, asked.header(&header.name).as_deref()),
        other => panic!("{other:?}"),
    });
    let mut queries = condition.query_parameters.iter();
    let queries = queries.all(|query| match query.query_parameter_match_specifier.as_ref().unwrap() {
        QueryParameterMatchSpecifier::StringMatch(test) => exact(test, asked.query(&query.name)),
        other => panic!("{other:?}"),
    });
    let share = condition.runtime_fraction.as_ref().map(|fraction| fraction.default_value.unwrap().numerator);
    path_fits && headers && queries && share.is_none_or(|share| asked.random % 1_000_000 < u64::from(share))
}

/// The path with what matched replaced.
fn replaced(condition: &RouteMatch, path: &str, replacement: &str) -> String {
    let matched = match condition.path_specifier.as_ref().unwrap() {
        PathSpecifier::Prefix(text) | PathSpecifier::PathSeparatedPrefix(text) => text.len(),
        _ => path.len(),
    };
    format!("{replacement}{}", &path[matched..])
}

fn substituted(rewrite: &xds::matcher::RegexMatchAndSubstitute, path: &str) -> String {
    let pattern = ::regex::Regex::new(&rewrite.pattern.as_ref().unwrap().regex).unwrap();
    pattern.replace_all(path, rewrite.substitution.as_str()).into_owned()
}

fn query_of(asked: &Asked) -> String {
    asked.target.split_once('?').map_or_else(String::new, |(_, query)| format!("?{query}"))
}

fn moved(to: &RedirectAction, condition: &RouteMatch, asked: &Asked) -> Outcome {
    let scheme = match &to.scheme_rewrite_specifier {
        Some(SchemeRewriteSpecifier::SchemeRedirect(scheme)) => scheme.as_str(),
        None => "http",
        other => panic!("{other:?}"),
    };
    let host = if to.host_redirect.is_empty() { asked.host } else { &to.host_redirect };
    let host = match to.port_redirect {
        0 => host.to_owned(),
        port => format!("{}:{port}", host.split(':').next().unwrap()),
    };
    let path = match &to.path_rewrite_specifier {
        None => asked.path().to_owned(),
        Some(PathRewriteSpecifier::PathRedirect(path)) => path.clone(),
        Some(PathRewriteSpecifier::PrefixRewrite(prefix)) => replaced(condition, asked.path(), prefix),
        Some(PathRewriteSpecifier::RegexRewrite(rewrite)) => substituted(rewrite, asked.path()),
        Some(other) => panic!("{other:?}"),
    };
    let status = match RedirectResponseCode::try_from(to.response_code).unwrap() {
        RedirectResponseCode::MovedPermanently => 301,
        RedirectResponseCode::Found => 302,
        RedirectResponseCode::SeeOther => 303,
        RedirectResponseCode::TemporaryRedirect => 307,
        RedirectResponseCode::PermanentRedirect => 308,
    };
    Outcome::Moved { status, location: format!("{scheme}://{host}{path}{}", query_of(asked)) }
}

fn sent(route: &Route, action: &RouteAction, asked: &Asked) -> Outcome {
    let (cluster, own) = match action.cluster_specifier.as_ref().unwrap() {
        ClusterSpecifier::Cluster(name) => (name.clone(), ClusterWeight::default()),
        ClusterSpecifier::WeightedClusters(weighted) => {
            let weight = |cluster: &ClusterWeight| u64::from(cluster.weight.as_ref().unwrap().value);
            let mut left = asked.random % weighted.clusters.iter().map(weight).sum::<u64>();
            let hit = weighted.clusters.iter().find(|cluster| {
                let hit = left < weight(cluster);
                left = left.saturating_sub(weight(cluster));
                hit
            });
            hit.map(|cluster| (cluster.name.clone(), cluster.clone())).unwrap()
        }
        other => panic!("{other:?}"),
    };
    let path = match (&action.regex_rewrite, action.prefix_rewrite.as_str()) {
        (Some(rewrite), _) => substituted(rewrite, asked.path()),
        (None, "") => asked.path().to_owned(),
        (None, prefix) => replaced(route.r#match.as_ref().unwrap(), asked.path(), prefix),
    };
    let host = match action.host_rewrite_specifier.as_ref() {
        Some(xds::route::route_action::HostRewriteSpecifier::HostRewriteLiteral(host)) => host.clone(),
        None => asked.host.to_owned(),
        other => panic!("{other:?}"),
    };
    let mut headers: Vec<_> =
        asked.headers.iter().map(|(name, value)| (name.to_lowercase(), (*value).to_owned())).collect();
    edit(&mut headers, &own.request_headers_to_remove, &own.request_headers_to_add);
    edit(&mut headers, &route.request_headers_to_remove, &route.request_headers_to_add);
    let mut back = Vec::new();
    edit(&mut back, &own.response_headers_to_remove, &own.response_headers_to_add);
    edit(&mut back, &route.response_headers_to_remove, &route.response_headers_to_add);
    let path = path + &query_of(asked);
    Outcome::Sent { cluster, path, host, headers: told(headers), back: told(back) }
}

/// Removals go before additions.
fn edit(headers: &mut Vec<(String, String)>, remove: &[String], add: &[HeaderValueOption]) {
    headers.retain(|(name, _)| !remove.contains(name));
    for option in add {
        let header = option.header.clone().unwrap();
        if option.append_action == HeaderAppendAction::OverwriteIfExistsOrAdd as i32 {
            headers.retain(|(name, _)| *name != header.key);
        }
        headers.push((header.key, header.value));
    }
}

fn told(headers: Vec<(String, String)>) -> Vec<String> {
    let mut headers: Vec<_> = headers.into_iter().map(|(name, value)| format!("{name}: {value}")).collect();
    headers.sort();
    headers
}
