#![allow(clippy::unwrap_used, clippy::expect_used)]
use http::Request;
use proptest::prelude::*;

use super::*;
use crate::http::matching::{HeaderKey, HeaderTest};

fn policy(on: &str) -> RetryPolicy {
    RetryPolicy {
        on: RetryOn::parse(on).unwrap(),
        statuses: Vec::new(),
        response_headers: Vec::new(),
        request_headers: Vec::new(),
        attempts: 2,
        per_try_timeout: None,
        back_off: BackOff::default(),
        avoid_previous_hosts: false,
    }
}

fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
    pairs.iter().map(|(name, value)| (http::HeaderName::from_static(name), value.parse().unwrap())).collect()
}

fn response(status: u16, headers: &HeaderMap) -> Outcome<'_> {
    Outcome::Response { status: StatusCode::from_u16(status).unwrap(), headers }
}

/// Envoy, router filter, `x-envoy-retry-on`: what each condition covers when there is no response.
#[test]
fn tries_without_a_response() {
    let before = Outcome::Reset { request_sent: false, response_started: false };
    let after = Outcome::Reset { request_sent: true, response_started: false };
    // connect failure, refused stream, reset before the request, reset after it, per-try timeout
    let rows = [
        ("5xx", "YYYYY"),
        ("gateway-error", "YYYYY"),
        ("reset", "YYYYY"),
        ("reset-before-request", "Y.Y.."),
        ("connect-failure", "Y...."),
        ("refused-stream", ".Y..."),
        ("retriable-4xx", "....."),
        ("retriable-status-codes", "....."),
        ("cancelled,unavailable", "....."),
        ("connect-failure,refused-stream,unavailable,cancelled,retriable-status-codes", "YY..."),
    ];
    for (on, expected) in rows {
        let outcomes = [Outcome::ConnectFailure, Outcome::RefusedStream, before, after, Outcome::PerTryTimeout];
        let answers: String =
            outcomes.into_iter().map(|outcome| if policy(on).should_retry(outcome, 0) { 'Y' } else { '.' }).collect();
        assert_eq!(answers, expected, "{on}");
    }
}

#[test]
fn nothing_is_repeated_once_a_response_has_started() {
    let started = Outcome::Reset { request_sent: true, response_started: true };
    assert!(!policy("5xx,reset,gateway-error,reset-before-request").should_retry(started, 0));
}

#[test]
fn responses_by_status() {
    let none = HeaderMap::new();
    let rows: [(&str, &[u16], &[u16]); 4] = [
        ("5xx", &[500, 501, 503, 599], &[200, 404, 409]),
        ("gateway-error", &[502, 503, 504], &[500, 501, 505]),
        ("retriable-4xx", &[409], &[400, 404, 429, 503]),
        ("connect-failure,refused-stream,reset", &[], &[500, 503]),
    ];
    for (on, yes, no) in rows {
        assert!(yes.iter().all(|status| policy(on).should_retry(response(*status, &none), 0)), "{on}");
        assert!(!no.iter().any(|status| policy(on).should_retry(response(*status, &none), 0)), "{on}");
    }
    let listed = RetryPolicy { statuses: vec![StatusCode::SERVICE_UNAVAILABLE], ..policy("retriable-status-codes") };
    assert!(listed.should_retry(response(503, &none), 0));
    assert!(!listed.should_retry(response(500, &none), 0));
    let not_on = RetryPolicy { statuses: vec![StatusCode::SERVICE_UNAVAILABLE], ..policy("reset") };
    assert!(!not_on.should_retry(response(503, &none), 0));
}

/// Envoy, router filter, `x-envoy-retry-grpc-on`.
#[test]
fn responses_by_grpc_status() {
    let rows = [
        ("cancelled", "1"),
        ("deadline-exceeded", "4"),
        ("resource-exhausted", "8"),
        ("internal", "13"),
        ("unavailable", "14"),
    ];
    for (on, status) in rows {
        for (_, other) in rows {
            let headers = headers(&[("grpc-status", other)]);
            assert_eq!(policy(on).should_retry(response(200, &headers), 0), other == status, "{on} {other}");
        }
    }
    for odd in ["0", "", "014x", "-1", "99999999"] {
        let headers = headers(&[("grpc-status", odd)]);
        assert!(!policy("unavailable,internal").should_retry(response(200, &headers), 0), "{odd}");
    }
}

#[test]
fn rate_limited_responses_need_their_own_condition() {
    let limited = headers(&[("x-envoy-ratelimited", "true")]);
    assert!(!policy("5xx").should_retry(response(503, &limited), 0));
    assert!(policy("envoy-ratelimited").should_retry(response(429, &limited), 0));
}

#[test]
fn headers_of_response_and_request() {
    let header = |name: &str| HeaderMatch {
        name: HeaderKey::parse(name).unwrap(),
        test: HeaderTest::Present(true),
        invert: false,
        missing_is_empty: false,
    };
    let on_response = RetryPolicy { response_headers: vec![header("x-again")], ..policy("retriable-headers") };
    assert!(on_response.should_retry(response(200, &headers(&[("x-again", "1")])), 0));
    assert!(!on_response.should_retry(response(200, &HeaderMap::new()), 0));

    let on_request = RetryPolicy { request_headers: vec![header("x-idempotent")], ..policy("5xx") };
    let plain = Request::get("/").body(()).unwrap().into_parts().0;
    let marked = Request::get("/").header("x-idempotent", "1").body(()).unwrap().into_parts().0;
    assert!(!on_request.covers(&RequestView::of(&plain)));
    assert!(on_request.covers(&RequestView::of(&marked)));
    assert!(policy("5xx").covers(&RequestView::of(&plain)));
}

#[test]
fn no_more_often_than_written() {
    let none = HeaderMap::new();
    let answers: Vec<bool> = (0..4).map(|retries| policy("5xx").should_retry(response(503, &none), retries)).collect();
    assert_eq!(answers, [true, true, false, false]);
}

#[test]
fn unknown_conditions_are_named() {
    assert_eq!(RetryOn::parse(" 5xx , reset,"), Ok(RetryOn::FIVE_XX | RetryOn::RESET));
    assert_eq!(RetryOn::parse("5xx,sometimes"), Err("sometimes".to_owned()));
    assert!(RetryOn::parse("").unwrap().is_empty());
}

/// Envoy, router filter, "Retries": full jitter from a base of 25 ms, at most ten times that.
#[test]
fn waits_double_up_to_a_limit() {
    let nanosecond = Duration::from_nanos(1);
    for (retries, limit) in
        [(0, 25), (1, 50), (2, 100), (3, 200), (4, 250), (5, 250), (31, 250), (32, 250), (u32::MAX, 250)]
    {
        let limit = Duration::from_millis(limit);
        let nanos = u64::try_from(limit.as_nanos()).unwrap();
        assert_eq!(policy("5xx").back_off(retries, nanos - 1), limit - nanosecond, "{retries}");
        assert_eq!(policy("5xx").back_off(retries, nanos), Duration::ZERO, "{retries}");
    }
}

proptest! {
    #[test]
    fn waits_stay_below_their_limit(base in 0_u64..1 << 40, max in 0_u64..1 << 40, retries: u32, random: u64) {
        let back_off = BackOff { base: Duration::from_nanos(base), max: Duration::from_nanos(max) };
        let policy = RetryPolicy { back_off, ..policy("5xx") };
        prop_assert!(policy.back_off(retries, random) <= Duration::from_nanos(max));
    }
}
