//! One rule of `http[]`.

use super::Check;
use super::http_match::for_sidecars;
use crate::api::HttpRouteSpec;
use crate::model::{Action, HttpRule};
use crate::yaml::FieldPath;
use std::sync::Arc;

impl Check<'_> {
    /// One rule; None when it is wrong, or for gateways only.
    pub(super) fn http_rule(&mut self, at: &FieldPath, spec: &HttpRouteSpec) -> Option<HttpRule> {
        let match_at = at.key("match");
        let listed = spec.matches.iter().enumerate();
        let matches: Vec<_> = listed.filter_map(|(i, block)| self.http_match(&match_at.index(i), block)).collect();
        let action = self.action(at, spec);
        if !matches!(action, None | Some(Action::Route(_))) {
            self.only_with_route(at, spec);
        }
        let rewrite = spec.rewrite.as_ref().and_then(|rewrite| self.rewrite(&at.key("rewrite"), rewrite));
        let timeout = self.duration_if(&at.key("timeout"), spec.timeout.as_deref(), true);
        let retries = self.retries(&at.key("retries"), spec.retries.as_ref());
        let fault = spec.fault.as_ref().and_then(|fault| self.fault(&at.key("fault"), fault));
        let headers = self.header_edits(&at.key("headers"), spec.headers.as_ref());
        let mirrors = self.mirrors(at, spec);
        let cors = spec.cors_policy.as_ref().map(|cors| self.cors(&at.key("corsPolicy"), cors));
        let gateways_only = !spec.matches.is_empty() && !spec.matches.iter().any(|m| for_sidecars(&m.gateways));
        (!gateways_only).then_some(HttpRule {
            source: None,
            name: spec.name.as_deref().filter(|name| !name.is_empty()).map(Arc::from),
            matches,
            action: action?,
            rewrite,
            timeout: timeout.filter(|timeout| !timeout.is_zero()),
            retries,
            fault,
            headers,
            mirrors,
            cors,
        })
    }

    /// A rule that does not route has nothing to rewrite, retry or delay.
    fn only_with_route(&mut self, at: &FieldPath, spec: &HttpRouteSpec) {
        for (field, set) in [("fault", spec.fault.is_some()), ("rewrite", spec.rewrite.is_some())] {
            if set {
                self.problems.error(&at.key(field), "works with route only; this rule answers by itself");
            }
        }
        let ignored = [
            ("retries", spec.retries.is_some()),
            ("timeout", spec.timeout.is_some()),
            ("mirror", spec.mirror.is_some()),
            ("mirrors", !spec.mirrors.is_empty()),
        ];
        for (field, _) in ignored.into_iter().filter(|(_, set)| *set) {
            self.problems.warning(&at.key(field), "has no effect: this rule answers by itself");
        }
    }
}
