//! `retries`: when a request is tried again, and where (VirtualService `http[].retries`).

use xds::pack;
use xds::previous_hosts::PreviousHostsPredicate;
use xds::route::retry_policy::{RetryBackOff, RetryHostPredicate, retry_host_predicate};
use xds::route::{RetryPolicy, RouteAction};

use super::wrappers::{duration, uint32};
use crate::model::Retries;

/// How often another host is drawn when the predicate refuses one (Istio's figure).
const HOST_SELECTION_ATTEMPTS: i64 = 5;

/// Sets the policy; no attempts, no policy. All localities share one priority, so a retry may go to any of them,
/// which is what `retryRemoteLocalities` asks for.
pub(super) fn apply(retries: &Retries, action: &mut RouteAction) {
    if retries.attempts == 0 {
        return;
    }
    action.retry_policy = Some(RetryPolicy {
        retry_on: conditions(retries),
        num_retries: uint32(retries.attempts),
        per_try_timeout: retries.per_try_timeout.and_then(duration),
        retry_host_predicate: if retries.ignore_previous_hosts { vec![not_the_same_host()] } else { Vec::new() },
        host_selection_retry_max_attempts: HOST_SELECTION_ATTEMPTS,
        retriable_status_codes: retries.retriable_status_codes.iter().map(|code| u32::from(*code)).collect(),
        retry_back_off: retries.backoff.map(|base| RetryBackOff { base_interval: duration(base), max_interval: None }),
        ..RetryPolicy::default()
    });
}

fn conditions(retries: &Retries) -> String {
    let mut names: Vec<&str> = retries.retry_on.iter().map(AsRef::as_ref).collect();
    if !retries.retriable_status_codes.is_empty() && !names.contains(&"retriable-status-codes") {
        names.push("retriable-status-codes");
    }
    names.join(",")
}

fn not_the_same_host() -> RetryHostPredicate {
    RetryHostPredicate {
        name: "envoy.retry_host_predicates.previous_hosts".into(),
        config_type: Some(retry_host_predicate::ConfigType::TypedConfig(pack(&PreviousHostsPredicate {}))),
    }
}
