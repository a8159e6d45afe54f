//! `matches` of HTTPRoute and GRPCRoute, and their rank among all others.

use super::Check;
use crate::api::{GatewayGrpcMatchSpec, GatewayHttpMatchSpec, GrpcMethodMatchSpec, NamedMatchSpec};
use crate::gateway_route::RankedMatch;
use crate::model::{HttpMatch, StringMatch};
use crate::yaml::FieldPath;
use std::sync::Arc;

type Named = Vec<(Arc<str>, StringMatch)>;

/// Methods that the API knows.
const METHODS: &[&str] = &["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"];

/// How a value is compared.
#[derive(Clone, Copy, PartialEq)]
enum How {
    Exact,
    Prefix,
    Regex,
}

/// Whether a match is one of a path by its first segments.
pub(super) fn is_prefix(condition: &HttpMatch) -> bool {
    matches!(condition.uri, None | Some(StringMatch::Segments(_)))
}

impl Check<'_> {
    /// One match of an HTTPRoute.
    pub(super) fn gateway_http_match(&mut self, at: &FieldPath, spec: &GatewayHttpMatchSpec) -> Option<RankedMatch> {
        let uri = self.gateway_path(&at.key("path"), spec)?;
        if let Some(method) = spec.method.as_deref().filter(|method| !METHODS.contains(method)) {
            self.problems.error(&at.key("method"), format!("\"{method}\" is none; use {}", METHODS.join(", ")));
        }
        let headers = self.named_matches(&at.key("headers"), &spec.headers, true);
        let query_params = self.named_matches(&at.key("queryParams"), &spec.query_params, false);
        // How a regular expression ranks is left open by the API; behind prefixes it would never be reached where a
        // rule for all paths is merged with it.
        let (kind, length) = match &uri {
            Some(StringMatch::Exact(path)) => (3, path.len()),
            Some(StringMatch::Regex(path)) => (2, path.len()),
            Some(StringMatch::Segments(path)) => (1, path.len()),
            _ => (1, 1),
        };
        let rank = [kind, length, usize::from(spec.method.is_some()), headers.len(), query_params.len()];
        let method = spec.method.as_deref().map(|method| StringMatch::Exact(method.into()));
        Some(RankedMatch { rank, condition: HttpMatch { uri, method, headers, query_params, ..HttpMatch::default() } })
    }

    /// The path; `Some(None)` for all paths.
    fn gateway_path(&mut self, at: &FieldPath, spec: &GatewayHttpMatchSpec) -> Option<Option<StringMatch>> {
        let Some(path) = &spec.path else { return Some(None) };
        let values = [("Exact", How::Exact), ("PathPrefix", How::Prefix), ("RegularExpression", How::Regex)];
        let how = self.one_of(&at.key("type"), path.how.as_deref(), &values, How::Prefix);
        let value = path.value.as_deref().unwrap_or("/");
        let at = at.key("value");
        if how == How::Regex {
            self.regex(&at, value)?;
            return Some(Some(StringMatch::Regex(value.into())));
        }
        if let Some(reason) = not_a_path(value) {
            self.problems.error(&at, format!("\"{value}\" is not a path; {reason}"));
            return None;
        }
        if how == How::Exact {
            return Some(Some(StringMatch::Exact(value.into())));
        }
        let segments = value.trim_end_matches('/');
        Some((!segments.is_empty()).then(|| StringMatch::Segments(segments.into())))
    }

    /// Headers or query parameters. Of several with one name the first counts.
    fn named_matches(&mut self, at: &FieldPath, specs: &[NamedMatchSpec], headers: bool) -> Named {
        let mut matches = Named::new();
        for (index, spec) in specs.iter().enumerate() {
            let at = at.index(index);
            let values = [("Exact", How::Exact), ("RegularExpression", How::Regex)];
            let how = self.one_of(&at.key("type"), spec.how.as_deref(), &values, How::Exact);
            let name = match headers {
                true => self.header_name(&at.key("name"), &spec.name),
                false if spec.name.is_empty() => {
                    self.problems.error(&at.key("name"), "is missing; name a query parameter");
                    None
                }
                false => Some(Arc::from(spec.name.as_str())),
            };
            let value = match how {
                How::Regex => self.regex(&at.key("value"), &spec.value).map(|()| StringMatch::Regex(value(spec))),
                How::Exact | How::Prefix => Some(StringMatch::Exact(value(spec))),
            };
            let Some((name, value)) = name.zip(value) else { continue };
            if matches.iter().any(|(known, _)| *known == name) {
                self.problems.warning(&at, format!("names {name} a second time; the first counts"));
                continue;
            }
            matches.push((name, value));
        }
        matches
    }

    /// One match of a GRPCRoute: a service and a method are the two segments of the path.
    pub(super) fn gateway_grpc_match(&mut self, at: &FieldPath, spec: &GatewayGrpcMatchSpec) -> Option<RankedMatch> {
        let headers = self.named_matches(&at.key("headers"), &spec.headers, true);
        let all = GrpcMethodMatchSpec::default();
        let method = spec.method.as_ref().unwrap_or(&all);
        if spec.method.is_some() && method.service.is_none() && method.method.is_none() {
            self.problems.error(&at.key("method"), "names neither service nor method; set one");
        }
        let uri = self.grpc_path(&at.key("method"), method)?;
        let length = |text: &Option<String>| text.as_deref().map_or(0, str::len);
        let rank = [0, length(&method.service), length(&method.method), headers.len(), 0];
        Some(RankedMatch { rank, condition: HttpMatch { uri, headers, ..HttpMatch::default() } })
    }

    fn grpc_path(&mut self, at: &FieldPath, spec: &GrpcMethodMatchSpec) -> Option<Option<StringMatch>> {
        let values = [("Exact", How::Exact), ("RegularExpression", How::Regex)];
        let how = self.one_of(&at.key("type"), spec.how.as_deref(), &values, How::Exact);
        let parts = [("service", &spec.service), ("method", &spec.method)];
        for (field, text) in parts.into_iter().filter_map(|(field, text)| Some((field, text.as_deref()?))) {
            match how {
                How::Regex => self.regex(&at.key(field), text)?,
                How::Exact | How::Prefix if !is_grpc_name(text) => {
                    self.problems.error(&at.key(field), format!("\"{text}\" is not the name of a {field}"));
                    return None;
                }
                How::Exact | How::Prefix => {}
            }
        }
        let any = || "[^/]+".to_owned();
        let regex = |text: &Option<String>| text.as_ref().map_or_else(any, |text| format!("(?:{text})"));
        Some(match (how, &spec.service, &spec.method) {
            (_, None, None) => None,
            (How::Regex, service, method) => {
                Some(StringMatch::Regex(format!("/{}/{}", regex(service), regex(method)).into()))
            }
            (_, Some(service), Some(method)) => Some(StringMatch::Exact(format!("/{service}/{method}").into())),
            (_, Some(service), None) => Some(StringMatch::Prefix(format!("/{service}/").into())),
            (_, None, Some(method)) => Some(StringMatch::Regex(format!("/[^/]+/{}", regex::escape(method)).into())),
        })
    }
}

/// Whether a text may name a service or method: protobuf's identifiers, with dots.
fn is_grpc_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.'))
}

/// Why a text is no path to compare with (the API's rules); None when it is one.
fn not_a_path(text: &str) -> Option<String> {
    let legal = |c: char| c.is_ascii_alphanumeric() || "-/._~!$&'()*+,;=:@%".contains(c);
    if let Some(illegal) = text.chars().find(|c| !legal(*c)) {
        return Some(format!("it must not contain \"{illegal}\""));
    }
    if let Some(illegal) = ["//", "/./", "/../", "%2f", "%2F"].into_iter().find(|illegal| text.contains(illegal)) {
        return Some(format!("it must not contain \"{illegal}\""));
    }
    let right = text.starts_with('/') && !text.ends_with("/..") && !text.ends_with("/.");
    (!right).then(|| "it starts with \"/\" and has no segments . and ..".into())
}

fn value(spec: &NamedMatchSpec) -> Arc<str> {
    spec.value.as_str().into()
}
