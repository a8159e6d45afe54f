//! `http[].match[]`.

use super::Check;
use crate::api::{HttpMatchSpec, StringMatchSpec};
use crate::model::{HttpMatch, Labels, StringMatch};
use crate::yaml::FieldPath;
use std::collections::BTreeMap;
use std::sync::Arc;

type Named = Vec<(Arc<str>, StringMatch)>;

impl Check<'_> {
    /// One match block; None when it is wrong, or for gateways only.
    pub(super) fn http_match(&mut self, at: &FieldPath, spec: &HttpMatchSpec) -> Option<HttpMatch> {
        if is_empty(spec) {
            self.problems.error(at, "is empty; remove the whole match list to match every request");
            return None;
        }
        self.unsupported(at, "statPrefix", &spec.stat_prefix);
        let key = |name: &str| at.key(name);
        let found = HttpMatch {
            name: spec.name.as_deref().map(Arc::from),
            uri: self.string_match_if(&key("uri"), spec.uri.as_ref()),
            ignore_uri_case: spec.ignore_uri_case,
            scheme: self.string_match_if(&key("scheme"), spec.scheme.as_ref()),
            method: self.string_match_if(&key("method"), spec.method.as_ref()),
            authority: self.string_match_if(&key("authority"), spec.authority.as_ref()),
            headers: self.header_matches(&key("headers"), &spec.headers),
            without_headers: self.header_matches(&key("withoutHeaders"), &spec.without_headers),
            query_params: self.query_matches(&key("queryParams"), &spec.query_params),
            port: spec.port.and_then(|number| self.port(&key("port"), number)),
            share: None,
            source_labels: Labels::new(spec.source_labels.clone()),
            source_namespace: spec.source_namespace.as_deref().filter(|ns| !ns.is_empty()).map(Arc::from),
        };
        for_sidecars(&spec.gateways).then_some(found)
    }

    fn header_matches(&mut self, at: &FieldPath, specs: &BTreeMap<String, StringMatchSpec>) -> Named {
        let mut matches = Vec::new();
        for (name, spec) in specs {
            let at = at.key(name);
            if name.starts_with("@request.auth.claims") {
                self.problems.error(&at, "JWT claims are matched at gateways only, which are not supported yet");
                continue;
            }
            if matches!(name.as_str(), "uri" | "scheme" | "method" | "authority") {
                let message = format!("has no effect; write it as the field \"{name}\" of the match");
                self.problems.warning(&at, message);
                continue;
            }
            let header = self.header_name(&at, name);
            if let (Some(header), Some(found)) = (header, self.string_match(&at, spec, true)) {
                matches.push((header, found));
            }
        }
        matches
    }

    fn query_matches(&mut self, at: &FieldPath, specs: &BTreeMap<String, StringMatchSpec>) -> Named {
        let found = specs.iter().filter_map(|(name, spec)| {
            let found = self.string_match(&at.key(name), spec, true)?;
            Some((Arc::from(name.as_str()), found))
        });
        found.collect()
    }
}

/// Whether `gateways` lets sidecars in: absent, or with the reserved name `mesh`.
pub(super) fn for_sidecars(gateways: &[String]) -> bool {
    gateways.is_empty() || gateways.iter().any(|gateway| gateway == "mesh")
}

fn is_empty(spec: &HttpMatchSpec) -> bool {
    spec.uri.is_none()
        && spec.scheme.is_none()
        && spec.method.is_none()
        && spec.authority.is_none()
        && spec.headers.is_empty()
        && spec.without_headers.is_empty()
        && spec.query_params.is_empty()
        && spec.port.is_none()
        && spec.source_labels.is_empty()
        && spec.source_namespace.is_none()
        && spec.gateways.is_empty()
}
