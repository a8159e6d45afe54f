//! `RetryPolicy`.

use std::time::Duration;

use xds::route::RetryPolicy as Policy;
use xds::route::retry_policy::{RetryBackOff, RetryHostPredicate, retry_host_predicate};

use super::field::{duration, limit, number, status};
use super::reason::{Reason, Under, none_set, type_name};
use super::{each, matchers};
use crate::http::retry::{BackOff, RetryOn, RetryPolicy};

/// Compiles a policy. How often another host is drawn does not matter here: one that was not tried is found at once. `None` if it names no condition, for then nothing is ever tried again.
pub(super) fn compile(policy: &Policy) -> Result<Option<RetryPolicy>, Reason> {
    none_set(&[
        ("per_try_idle_timeout", policy.per_try_idle_timeout.is_some()),
        ("retry_priority", policy.retry_priority.is_some()),
        ("retry_options_predicates", !policy.retry_options_predicates.is_empty()),
        ("rate_limited_retry_back_off", policy.rate_limited_retry_back_off.is_some()),
        ("refresh_cluster_on_retry", policy.refresh_cluster_on_retry),
    ])?;
    let on = RetryOn::parse(&policy.retry_on)
        .map_err(|unknown| Reason::at("retry_on", format!("{unknown:?} is no condition that this proxy knows")))?;
    each("retry_host_predicate", &policy.retry_host_predicate, host_predicate)?;
    let compiled = RetryPolicy {
        on,
        statuses: each("retriable_status_codes", &policy.retriable_status_codes, |code| status(*code))?,
        response_headers: matchers::headers("retriable_headers", &policy.retriable_headers)?,
        request_headers: matchers::headers("retriable_request_headers", &policy.retriable_request_headers)?,
        attempts: number(policy.num_retries.as_ref(), 1),
        per_try_timeout: limit("per_try_timeout", policy.per_try_timeout.as_ref(), None)?,
        back_off: policy.retry_back_off.as_ref().map(back_off).transpose().under("retry_back_off")?.unwrap_or_default(),
        avoid_previous_hosts: !policy.retry_host_predicate.is_empty(),
    };
    Ok((!on.is_empty() && compiled.attempts > 0).then_some(compiled))
}

fn host_predicate(predicate: &RetryHostPredicate) -> Result<(), Reason> {
    const KNOWN: &str = "envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate";
    match &predicate.config_type {
        Some(retry_host_predicate::ConfigType::TypedConfig(any)) if type_name(any) == KNOWN => Ok(()),
        Some(retry_host_predicate::ConfigType::TypedConfig(any)) => Err(Reason::unsupported_type(any)),
        None if predicate.name == "envoy.retry_host_predicates.previous_hosts" => Ok(()),
        None => Err(Reason::at("name", format!("{:?} is not supported by this proxy", predicate.name))),
    }
}

/// Envoy counts in whole milliseconds, and not in less than one.
fn back_off(back_off: &RetryBackOff) -> Result<BackOff, Reason> {
    let least = Duration::from_millis(1);
    let base = match duration("base_interval", back_off.base_interval.as_ref())? {
        Some(base) if !base.is_zero() => base.max(least),
        _ => return Err(Reason::at("base_interval", "must be more than zero")),
    };
    let max = duration("max_interval", back_off.max_interval.as_ref())?.unwrap_or(base.saturating_mul(10)).max(least);
    if max < base {
        return Err(Reason::at("max_interval", "must not be less than base_interval"));
    }
    Ok(BackOff { base, max })
}
