//! `filters` of rules and backends of HTTPRoute and GRPCRoute.

use super::Check;
use crate::api::{
    HeaderModifierSpec, HeaderSpec, PathModifierSpec, RequestMirrorSpec, RequestRedirectSpec, RouteFilterSpec,
    UrlRewriteSpec,
};
use crate::gateway_route::{Backend, PathChange, RedirectTo, RewriteTo};
use crate::model::{Cors, HeaderEdits, HeaderOperations, Percentage};
use crate::yaml::{FieldPath, nearest};
use std::sync::Arc;

/// The filters that are known.
const KINDS: &[&str] =
    &["RequestHeaderModifier", "ResponseHeaderModifier", "RequestMirror", "RequestRedirect", "URLRewrite", "CORS"];

/// What the filters of a rule or of one backend say together.
#[derive(Default)]
pub(super) struct Filters {
    pub(super) headers: HeaderEdits,
    pub(super) mirrors: Vec<(Backend, Percentage)>,
    pub(super) cors: Option<Cors>,
    pub(super) rewrite: Option<(FieldPath, RewriteTo)>,
    pub(super) redirect: Option<(FieldPath, RedirectTo)>,
}

impl Filters {
    /// Whether a path's prefix is replaced.
    pub(super) fn replace_prefix(&self) -> bool {
        let rewrite = self.rewrite.as_ref().and_then(|(_, rewrite)| rewrite.path.as_ref());
        let redirect = self.redirect.as_ref().and_then(|(_, redirect)| redirect.path.as_ref());
        rewrite.into_iter().chain(redirect).any(|path| matches!(path, PathChange::Prefix(_)))
    }
}

impl Check<'_> {
    /// The filters of a rule or of one backend; each kind but mirrors may be there once.
    pub(super) fn gateway_filters(&mut self, at: &FieldPath, specs: &[RouteFilterSpec]) -> Filters {
        let mut filters = Filters::default();
        for (index, spec) in specs.iter().enumerate() {
            let at = at.index(index);
            if spec.kind != "RequestMirror" && specs[..index].iter().any(|before| before.kind == spec.kind) {
                self.problems.error(&at.key("type"), format!("{} is there a second time; keep one", spec.kind));
                continue;
            }
            self.gateway_filter(&at, spec, &mut filters);
        }
        filters
    }

    fn gateway_filter(&mut self, at: &FieldPath, spec: &RouteFilterSpec, filters: &mut Filters) {
        let missing = |field: &str| (at.key(field), format!("is missing: the filter is of type {}", spec.kind));
        let (field, found) = match spec.kind.as_str() {
            "RequestHeaderModifier" | "ResponseHeaderModifier" => return self.modifier(at, spec, &mut filters.headers),
            "RequestMirror" => (
                "requestMirror",
                spec.request_mirror.as_ref().map(|mirror| {
                    filters.mirrors.extend(self.gateway_mirror(&at.key("requestMirror"), mirror));
                }),
            ),
            "RequestRedirect" => (
                "requestRedirect",
                spec.request_redirect.as_ref().map(|redirect| {
                    let change = self.gateway_redirect(&at.key("requestRedirect"), redirect);
                    filters.redirect = Some((at.clone(), change));
                }),
            ),
            "URLRewrite" => (
                "urlRewrite",
                spec.url_rewrite.as_ref().map(|rewrite| {
                    let change = self.gateway_rewrite(&at.key("urlRewrite"), rewrite);
                    filters.rewrite = Some((at.clone(), change));
                }),
            ),
            "CORS" => (
                "cors",
                spec.cors.as_ref().map(|cors| {
                    filters.cors = Some(self.gateway_cors(&at.key("cors"), cors));
                }),
            ),
            other => return self.unknown_filter(at, other),
        };
        if found.is_none() {
            let (at, message) = missing(field);
            self.problems.error(&at, message);
        }
    }

    fn unknown_filter(&mut self, at: &FieldPath, kind: &str) {
        let message = match (kind, nearest(kind, KINDS.iter().copied())) {
            ("ExtensionRef" | "ExternalAuth", _) => format!("{kind} is not supported yet; remove the filter"),
            (_, Some(known)) => format!("\"{kind}\" is no filter; did you mean {known}?"),
            (_, None) => format!("\"{kind}\" is no filter; use {}", KINDS.join(", ")),
        };
        self.problems.error(&at.key("type"), message);
    }

    fn modifier(&mut self, at: &FieldPath, spec: &RouteFilterSpec, edits: &mut HeaderEdits) {
        let request = spec.kind == "RequestHeaderModifier";
        let (field, modifier) = match request {
            true => ("requestHeaderModifier", &spec.request_header_modifier),
            false => ("responseHeaderModifier", &spec.response_header_modifier),
        };
        let at = at.key(field);
        let Some(modifier) = modifier else {
            return self.problems.error(&at, format!("is missing: the filter is of type {}", spec.kind));
        };
        match request {
            true => (edits.request, edits.authority) = self.header_operations(&at, modifier),
            false => edits.response = self.header_operations(&at, modifier).0,
        }
    }

    /// The edits, and the host that they set. Values are literal.
    fn header_operations(&mut self, at: &FieldPath, spec: &HeaderModifierSpec) -> (HeaderOperations, Option<Arc<str>>) {
        let mut authority = None;
        let set = self.header_values(&at.key("set"), &spec.set, &mut authority);
        let add = self.header_values(&at.key("add"), &spec.add, &mut authority);
        let mut remove = Vec::new();
        for (index, name) in spec.remove.iter().enumerate() {
            let at = at.key("remove").index(index);
            match name.eq_ignore_ascii_case("host") {
                true => self.problems.warning(&at, "a request cannot be without Host; this has no effect"),
                false => remove.extend(self.header_name(&at, name)),
            }
        }
        (HeaderOperations { set, add, remove }, authority)
    }

    fn header_values(
        &mut self,
        at: &FieldPath,
        specs: &[HeaderSpec],
        authority: &mut Option<Arc<str>>,
    ) -> Vec<(Arc<str>, Arc<str>)> {
        let mut values = Vec::<(Arc<str>, Arc<str>)>::new();
        for (index, spec) in specs.iter().enumerate() {
            let at = at.index(index);
            let Some(name) = self.header_name(&at.key("name"), &spec.name) else { continue };
            if spec.value.chars().any(|c| c.is_control() && c != '\t') {
                let message = "has a control character; a header's value is one line of text";
                self.problems.error(&at.key("value"), message);
            } else if values.iter().any(|(known, _)| *known == name) {
                self.problems.warning(&at, format!("names {name} a second time; the first counts"));
            } else if &*name == "host" {
                authority.get_or_insert_with(|| spec.value.as_str().into());
            } else {
                values.push((name, spec.value.as_str().into()));
            }
        }
        values
    }

    fn gateway_mirror(&mut self, at: &FieldPath, spec: &RequestMirrorSpec) -> Option<(Backend, Percentage)> {
        let share = match (&spec.percent, &spec.fraction) {
            (None, None) => 1.0,
            (Some(percent), None) => f64::from(*percent) / 100.0,
            (None, Some(fraction)) => f64::from(fraction.numerator) / f64::from(fraction.denominator.unwrap_or(100)),
            (Some(_), Some(_)) => {
                self.problems.error(at, "sets both percent and fraction; keep one");
                return None;
            }
        };
        if !(0.0..=1.0).contains(&share) {
            self.problems.error(at, "has a share that is none; use a percent from 0 to 100, or a fraction up to 1");
            return None;
        }
        let Some(backend) = &spec.backend_ref else {
            self.problems.error(at, "needs a backendRef");
            return None;
        };
        let backend = self.backend(&at.key("backendRef"), backend)?;
        Some((backend, Percentage::from_percent(share * 100.0)))
    }

    fn gateway_redirect(&mut self, at: &FieldPath, spec: &RequestRedirectSpec) -> RedirectTo {
        let schemes = [("http", Some("http")), ("https", Some("https"))];
        let scheme = self.one_of(&at.key("scheme"), spec.scheme.as_deref(), &schemes, None);
        let code = spec.status_code.unwrap_or(302);
        if !matches!(code, 301 | 302 | 303 | 307 | 308) {
            let message = format!("{code} is not a redirect; use 301, 302, 303, 307 or 308");
            self.problems.error(&at.key("statusCode"), message);
        }
        let change = self.gateway_rewrite(at, &UrlRewriteSpec { hostname: spec.hostname.clone(), path: None });
        RedirectTo {
            path: spec.path.as_ref().and_then(|path| self.path_change(&at.key("path"), path)),
            scheme: scheme.map(Arc::from),
            port: spec.port.and_then(|port| self.port(&at.key("port"), port)),
            code: code.try_into().unwrap_or(302),
            hostname: change.hostname,
        }
    }

    fn gateway_rewrite(&mut self, at: &FieldPath, spec: &UrlRewriteSpec) -> RewriteTo {
        let hostname = spec.hostname.as_deref().and_then(|text| {
            let host = crate::model::Host::parse(text);
            let host = self.problems.ok(&at.key("hostname"), host)?;
            if host.is_wildcard() {
                self.problems.error(&at.key("hostname"), "is a wildcard; name one host");
            }
            Some(host.shared())
        });
        let path = spec.path.as_ref().and_then(|path| self.path_change(&at.key("path"), path));
        RewriteTo { path, hostname }
    }

    fn path_change(&mut self, at: &FieldPath, spec: &PathModifierSpec) -> Option<PathChange> {
        let values = [("ReplaceFullPath", Some(true)), ("ReplacePrefixMatch", Some(false))];
        let full = self.one_of(&at.key("type"), Some(&spec.how), &values, None)?;
        let (field, other, value, unused) = match full {
            true => ("replaceFullPath", "replacePrefixMatch", &spec.replace_full_path, &spec.replace_prefix_match),
            false => ("replacePrefixMatch", "replaceFullPath", &spec.replace_prefix_match, &spec.replace_full_path),
        };
        if unused.is_some() {
            self.problems.error(&at.key(other), format!("does not go with the type {}", spec.how));
        }
        let Some(value) = value.as_deref() else {
            self.problems.error(&at.key(field), format!("is missing: the type is {}", spec.how));
            return None;
        };
        let legal = value.starts_with('/') || (!full && value.is_empty());
        if !legal || value.chars().any(|c| c.is_control() || c.is_whitespace() || c == '#') {
            self.problems.error(&at.key(field), format!("\"{value}\" is not a path; it starts with \"/\""));
            return None;
        }
        Some(if full { PathChange::Full(value.into()) } else { PathChange::Prefix(value.into()) })
    }
}
