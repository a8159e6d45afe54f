#![allow(clippy::unwrap_used, clippy::expect_used)]
use http::Request;
use http::request::Parts;

use super::*;
use crate::http::matching::StringMatchKind;

fn policy() -> Cors {
    Cors {
        origins: vec![StringMatch { kind: StringMatchKind::Exact("http://a".into()), ignore_case: false }],
        methods: Some(HeaderValue::from_static("GET,POST")),
        headers: Some(HeaderValue::from_static("x-a")),
        expose: Some(HeaderValue::from_static("x-e")),
        max_age: Some(HeaderValue::from_static("60")),
        credentials: true,
        ..Cors::default()
    }
}

fn request(method: &str, headers: &[(&str, &str)]) -> Parts {
    let mut builder = Request::builder().method(method).uri("/");
    for (name, value) in headers {
        builder = builder.header(*name, *value);
    }
    builder.body(()).unwrap().into_parts().0
}

fn decide(policy: &Cors, parts: &Parts) -> CorsOutcome {
    policy.decide(&RequestView::of(parts), 0)
}

/// The same policy and requests at Envoy 1.40 gave these headers.
#[test]
fn preflights_of_allowed_origins_are_answered() {
    let parts = request("OPTIONS", &[("origin", "http://a"), ("access-control-request-method", "GET")]);
    let CorsOutcome::Answer(answer) = decide(&policy(), &parts) else { panic!("not answered") };
    assert_eq!(answer.status(), 200);
    let expected = [
        ("access-control-allow-origin", "http://a"),
        ("access-control-allow-credentials", "true"),
        ("access-control-allow-methods", "GET,POST"),
        ("access-control-allow-headers", "x-a"),
        ("access-control-max-age", "60"),
        ("access-control-expose-headers", "x-e"),
    ];
    for (name, value) in expected {
        assert_eq!(answer.headers()[name], value);
    }
    assert_eq!(answer.headers().len(), expected.len());
}

#[test]
fn responses_say_who_may_read_them() {
    let parts = request("GET", &[("origin", "http://a")]);
    let CorsOutcome::Annotate(origin) = decide(&policy(), &parts) else { panic!("not annotated") };
    let mut headers = HeaderMap::new();
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    policy().annotate(&origin, &mut headers);
    assert_eq!(headers[ACCESS_CONTROL_ALLOW_ORIGIN], "http://a");
    assert_eq!(headers[ACCESS_CONTROL_ALLOW_CREDENTIALS], "true");
    assert_eq!(headers[ACCESS_CONTROL_EXPOSE_HEADERS], "x-e");
}

#[test]
fn others_pass() {
    let preflight = [("origin", "http://b"), ("access-control-request-method", "GET")];
    let cases = [
        request("GET", &[]),
        request("GET", &[("origin", "")]),
        request("GET", &[("origin", "http://b")]),
        request("OPTIONS", &preflight),
    ];
    for parts in cases {
        assert!(matches!(decide(&policy(), &parts), CorsOutcome::Pass), "{parts:?}");
    }
    let plain_options = request("OPTIONS", &[("origin", "http://a")]);
    assert!(matches!(decide(&policy(), &plain_options), CorsOutcome::Annotate(_)));
    let strict = Cors { answer_unmatched_preflights: true, ..policy() };
    let CorsOutcome::Answer(answer) = decide(&strict, &request("OPTIONS", &preflight)) else { panic!("not answered") };
    assert!(answer.headers().is_empty());
}

#[test]
fn a_policy_can_hold_for_a_share() {
    let off = Cors { enabled: Some(Fraction::new(0, 100)), ..policy() };
    assert!(matches!(decide(&off, &request("GET", &[("origin", "http://a")])), CorsOutcome::Pass));
}

#[test]
fn private_networks_only_when_asked_and_allowed() {
    let asked = [
        ("origin", "http://a"),
        ("access-control-request-method", "GET"),
        ("access-control-request-private-network", "true"),
    ];
    for (allowed, expected) in [(true, true), (false, false)] {
        let policy = Cors { private_network: allowed, ..policy() };
        let CorsOutcome::Answer(answer) = decide(&policy, &request("OPTIONS", &asked)) else { panic!("not answered") };
        assert_eq!(answer.headers().contains_key(ALLOW_PRIVATE_NETWORK), expected);
    }
}
