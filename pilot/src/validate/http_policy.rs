//! What an HTTP rule does besides routing: rewrite, retries, faults, mirrors, CORS.

use super::Check;
use crate::api::{AbortSpec, CorsPolicySpec, DelaySpec, FaultSpec, HttpRouteSpec, PercentSpec, RetrySpec, RewriteSpec};
use crate::model::{Abort, AbortStatus, Cors, Delay, Fault, Mirror, Percentage, Retries, Rewrite, UriRewrite};
use crate::yaml::{FieldPath, nearest};
use std::sync::Arc;

/// Conditions of `retryOn` that Envoy knows (x-envoy-retry-on and x-envoy-retry-grpc-on).
const RETRY_ON: &[&str] = &[
    "5xx",
    "gateway-error",
    "reset",
    "reset-before-request",
    "connect-failure",
    "envoy-ratelimited",
    "retriable-4xx",
    "refused-stream",
    "retriable-status-codes",
    "retriable-headers",
    "http3-post-connect-failure",
    "cancelled",
    "deadline-exceeded",
    "internal",
    "resource-exhausted",
    "unavailable",
];

/// gRPC status names by code (grpc/grpc doc/statuscodes.md).
const GRPC_STATUS: &[&str] = &[
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

impl Check<'_> {
    pub(super) fn rewrite(&mut self, at: &FieldPath, spec: &RewriteSpec) -> Option<Rewrite> {
        let authority = spec.authority.as_deref().and_then(|text| self.header_value(&at.key("authority"), text));
        let uri = match (&spec.uri, &spec.uri_regex_rewrite) {
            (Some(_), Some(_)) => {
                self.problems.error(at, "sets both uri and uriRegexRewrite; keep one");
                return None;
            }
            (Some(uri), None) => Some(UriRewrite::Replace(uri.as_str().into())),
            (None, Some(regex)) => {
                let at = at.key("uriRegexRewrite");
                let (Some(pattern), Some(substitution)) = (&regex.pattern, &regex.rewrite) else {
                    self.problems.error(&at, "needs both match and rewrite");
                    return None;
                };
                self.regex(&at.key("match"), pattern)?;
                let (pattern, substitution) = (pattern.as_str().into(), substitution.as_str().into());
                Some(UriRewrite::Regex { pattern, substitution })
            }
            (None, None) => None,
        };
        if uri.is_none() && authority.is_none() {
            self.problems.warning(at, "changes nothing; set uri, uriRegexRewrite or authority");
        }
        Some(Rewrite { uri, authority })
    }

    pub(super) fn retries(&mut self, at: &FieldPath, spec: Option<&RetrySpec>) -> Retries {
        let Some(spec) = spec else { return Retries::default() };
        let mut retries = Retries { attempts: spec.attempts.max(0).unsigned_abs(), ..Retries::default() };
        if spec.attempts < 0 {
            self.problems.error(&at.key("attempts"), format!("{} is negative; 0 turns retries off", spec.attempts));
        }
        let timeout = spec.per_try_timeout.as_deref();
        retries.per_try_timeout = self.duration_if(&at.key("perTryTimeout"), timeout, true).filter(|d| !d.is_zero());
        retries.backoff = self.duration_if(&at.key("backoff"), spec.backoff.as_deref(), false);
        retries.remote_localities = spec.retry_remote_localities.unwrap_or(false);
        retries.ignore_previous_hosts = spec.retry_ignore_previous_hosts.unwrap_or(true);
        if let Some(conditions) = spec.retry_on.as_deref().filter(|text| !text.trim().is_empty()) {
            self.retry_on(&at.key("retryOn"), conditions, &mut retries);
        }
        retries
    }

    fn retry_on(&mut self, at: &FieldPath, conditions: &str, retries: &mut Retries) {
        retries.retry_on.clear();
        for condition in conditions.split(',').map(str::trim) {
            match condition.parse::<i64>() {
                Ok(code) => retries.retriable_status_codes.extend(self.status(at, code)),
                Err(_) if RETRY_ON.contains(&condition) => retries.retry_on.push(condition.into()),
                Err(_) => {
                    let right = match nearest(condition, RETRY_ON.iter().copied()) {
                        Some(known) => format!("did you mean \"{known}\"?"),
                        None => "use Envoy's names or status codes, separated by commas".into(),
                    };
                    self.problems.error(at, format!("\"{condition}\" is not a condition to retry on; {right}"));
                }
            }
        }
        let by_code = retries.retry_on.iter().any(|condition| condition.as_ref() == "retriable-status-codes");
        if !retries.retriable_status_codes.is_empty() && !by_code {
            retries.retry_on.push("retriable-status-codes".into());
        }
    }

    pub(super) fn fault(&mut self, at: &FieldPath, spec: &FaultSpec) -> Option<Fault> {
        if spec.delay.is_none() && spec.abort.is_none() {
            self.problems.error(at, "injects nothing; set delay or abort");
        }
        let delay = spec.delay.as_ref().and_then(|delay| self.delay(&at.key("delay"), delay));
        let abort = spec.abort.as_ref().and_then(|abort| self.abort(&at.key("abort"), abort));
        (delay.is_some() || abort.is_some()).then_some(Fault { delay, abort })
    }

    fn delay(&mut self, at: &FieldPath, spec: &DelaySpec) -> Option<Delay> {
        self.unsupported(at, "exponentialDelay", &spec.exponential_delay);
        let Some(text) = &spec.fixed_delay else {
            self.problems.error(at, "needs fixedDelay, such as 2s");
            return None;
        };
        let fixed = self.duration(&at.key("fixedDelay"), text, false);
        let percentage = match (&spec.percentage, spec.percent) {
            (None, Some(percent)) => {
                let spec = PercentSpec { value: percent.into() };
                self.percentage(&at.key("percent"), &spec)
            }
            (percentage, _) => self.fault_percentage(at, percentage.as_ref()),
        };
        Some(Delay { fixed: fixed?, percentage: percentage? })
    }

    fn abort(&mut self, at: &FieldPath, spec: &AbortSpec) -> Option<Abort> {
        self.unsupported(at, "http2Error", &spec.http2_error);
        let status = match (spec.http_status, &spec.grpc_status) {
            (Some(code), None) => self.status(&at.key("httpStatus"), code.into()).map(AbortStatus::Http),
            (None, Some(name)) => self.grpc_status(&at.key("grpcStatus"), name),
            _ => {
                self.problems.error(at, "needs one of httpStatus and grpcStatus");
                None
            }
        };
        let percentage = self.fault_percentage(at, spec.percentage.as_ref());
        Some(Abort { status: status?, percentage: percentage? })
    }

    /// Without a percentage a fault hits no request (Istio's rule).
    fn fault_percentage(&mut self, at: &FieldPath, spec: Option<&PercentSpec>) -> Option<Percentage> {
        let Some(spec) = spec else {
            self.problems.warning(at, "has no percentage, which means 0: nothing is injected; set percentage.value");
            return Some(Percentage(0));
        };
        self.percentage(&at.key("percentage"), spec)
    }

    fn grpc_status(&mut self, at: &FieldPath, name: &str) -> Option<AbortStatus> {
        let codes: Vec<_> =
            (0u32..).zip(GRPC_STATUS).map(|(code, name)| (*name, Some(AbortStatus::Grpc(code)))).collect();
        self.one_of(at, Some(name), &codes, None)
    }

    /// `mirror` with `mirrorPercentage`, or `mirrors`.
    pub(super) fn mirrors(&mut self, at: &FieldPath, spec: &HttpRouteSpec) -> Vec<Mirror> {
        let mut mirrors = Vec::new();
        if spec.mirror.is_some() && !spec.mirrors.is_empty() {
            self.problems.error(&at.key("mirror"), "is set together with mirrors; keep one");
        }
        if let Some(target) = &spec.mirror {
            let percentage = match (&spec.mirror_percentage, spec.mirror_percent) {
                (None, Some(percent)) => {
                    let spec = PercentSpec { value: percent.into() };
                    self.percentage(&at.key("mirrorPercent"), &spec)
                }
                (Some(spec), _) => self.percentage(&at.key("mirrorPercentage"), spec),
                (None, None) => Some(Percentage::FULL),
            };
            let destination = self.destination(&at.key("mirror"), target);
            mirrors.extend(
                destination.zip(percentage).map(|(destination, percentage)| Mirror { destination, percentage }),
            );
        }
        for (index, mirror) in spec.mirrors.iter().enumerate() {
            let at = at.key("mirrors").index(index);
            let Some(target) = &mirror.destination else {
                self.problems.error(&at, "needs a destination");
                continue;
            };
            let destination = self.destination(&at.key("destination"), target);
            let percentage = match &mirror.percentage {
                Some(spec) => self.percentage(&at.key("percentage"), spec),
                None => Some(Percentage::FULL),
            };
            mirrors.extend(
                destination.zip(percentage).map(|(destination, percentage)| Mirror { destination, percentage }),
            );
        }
        mirrors.retain(|mirror| mirror.percentage > Percentage(0));
        mirrors
    }

    pub(super) fn cors(&mut self, at: &FieldPath, spec: &CorsPolicySpec) -> Cors {
        let texts = |list: &[String]| list.iter().map(|text| Arc::from(text.as_str())).collect::<Vec<_>>();
        let origins = at.key("allowOrigins");
        let listed = spec.allow_origins.iter().enumerate();
        let mut allow_origins: Vec<_> =
            listed.filter_map(|(i, origin)| self.string_match(&origins.index(i), origin, false)).collect();
        if !spec.allow_origin.is_empty() {
            self.problems.warning(&at.key("allowOrigin"), "is deprecated; use allowOrigins with exact");
            let exact = |text: &String| crate::model::StringMatch::Exact(text.as_str().into());
            allow_origins.extend(spec.allow_origin.iter().map(exact));
        }
        let unmatched = [("UNSPECIFIED", true), ("FORWARD", true), ("IGNORE", false)];
        Cors {
            allow_origins,
            allow_methods: texts(&spec.allow_methods),
            allow_headers: texts(&spec.allow_headers),
            expose_headers: texts(&spec.expose_headers),
            max_age: self.duration_if(&at.key("maxAge"), spec.max_age.as_deref(), true),
            allow_credentials: spec.allow_credentials,
            forward_unmatched_preflights: self.one_of(
                &at.key("unmatchedPreflights"),
                spec.unmatched_preflights.as_deref(),
                &unmatched,
                true,
            ),
        }
    }
}
