//! `timeouts`, `retry` and the CORS filter of HTTPRoute.

use super::Check;
use crate::api::{CorsFilterSpec, RouteRetrySpec, RouteTimeoutsSpec};
use crate::model::{Cors, Retries, StringMatch};
use crate::yaml::FieldPath;
use std::sync::Arc;
use std::time::Duration;

/// How long a preflight may be cached when nothing is said (Gateway API), in seconds.
const MAX_AGE: i32 = 5;

impl Check<'_> {
    /// The limit of a whole request, and the retries with the limit of one try. What is not said is the mesh's default,
    /// as for a VirtualService.
    pub(super) fn gateway_timing(
        &mut self,
        at: &FieldPath,
        timeouts: Option<&RouteTimeoutsSpec>,
        retry: Option<&RouteRetrySpec>,
    ) -> (Option<Duration>, Retries) {
        let mut retries = retry.map_or_else(Retries::default, |retry| self.gateway_retry(&at.key("retry"), retry));
        let Some(timeouts) = timeouts else { return (None, retries) };
        let at = at.key("timeouts");
        let mut limit = |field: &str, text: &Option<String>| {
            self.duration_if(&at.key(field), text.as_deref(), true).filter(|limit| !limit.is_zero())
        };
        let request = limit("request", &timeouts.request);
        let one_try = limit("backendRequest", &timeouts.backend_request);
        if request.zip(one_try).is_some_and(|(request, one_try)| one_try > request) {
            self.problems.error(&at.key("backendRequest"), "is longer than the whole request may take");
        }
        if retries.attempts == 0 {
            return (one_try.or(request), retries);
        }
        retries.per_try_timeout = one_try;
        (request, retries)
    }

    /// Without `attempts` as many as by default. Connections that fail are tried again whatever the codes.
    fn gateway_retry(&mut self, at: &FieldPath, spec: &RouteRetrySpec) -> Retries {
        let mut retries = Retries::default();
        match spec.attempts.map(u32::try_from) {
            Some(Ok(attempts)) => retries.attempts = attempts,
            Some(Err(_)) => self.problems.error(&at.key("attempts"), "is negative; 0 turns retries off"),
            None => {}
        }
        retries.backoff = self.duration_if(&at.key("backoff"), spec.backoff.as_deref(), false);
        for (index, code) in spec.codes.iter().enumerate() {
            match u16::try_from(*code).ok().filter(|code| (400..600).contains(code)) {
                Some(code) => retries.retriable_status_codes.push(code),
                None => {
                    let message = format!("{code} is not the status of an error; use 400 to 599");
                    self.problems.error(&at.key("codes").index(index), message);
                }
            }
        }
        if !retries.retriable_status_codes.is_empty() {
            retries.retry_on.push("retriable-status-codes".into());
        }
        retries
    }

    /// The CORS filter. Preflights of other origins are answered here, without the headers that would allow them.
    pub(super) fn gateway_cors(&mut self, at: &FieldPath, spec: &CorsFilterSpec) -> Cors {
        let texts = |list: &[String]| list.iter().map(|text| Arc::from(text.as_str())).collect::<Vec<_>>();
        let max_age = spec.max_age.unwrap_or(MAX_AGE);
        if max_age < 1 {
            self.problems.error(&at.key("maxAge"), format!("{max_age} is too short; use at least 1 second"));
        }
        Cors {
            allow_origins: spec.allow_origins.iter().map(|origin| origin_match(origin)).collect(),
            allow_methods: texts(&spec.allow_methods),
            allow_headers: texts(&spec.allow_headers),
            expose_headers: texts(&spec.expose_headers),
            max_age: Some(Duration::from_secs(u64::from(max_age.max(0).unsigned_abs()))),
            allow_credentials: spec.allow_credentials,
            forward_unmatched_preflights: false,
        }
    }
}

/// An origin; `*` stands for any text within it.
fn origin_match(origin: &str) -> StringMatch {
    if !origin.contains('*') {
        return StringMatch::Exact(origin.into());
    }
    let parts: Vec<_> = origin.split('*').map(regex::escape).collect();
    StringMatch::Regex(parts.join(".*").into())
}
