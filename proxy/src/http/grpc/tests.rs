#![allow(clippy::unwrap_used, clippy::expect_used)]
use super::*;

fn one(name: &'static str, value: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(name, value.parse().unwrap());
    headers
}

#[test]
fn content_types() {
    for (value, expected) in [
        ("application/grpc", true),
        ("application/grpc+proto", true),
        ("application/grpc+json;charset=utf-8", true),
        ("application/grpc-web", false),
        ("application/grpc-web+proto", false),
        ("application/grpcx", false),
        ("application/json", false),
        ("", false),
    ] {
        assert_eq!(is_grpc(&one("content-type", value)), expected, "{value}");
    }
    assert!(!is_grpc(&HeaderMap::new()));
}

#[test]
fn statuses() {
    for (value, expected) in
        [("0", Some(0)), ("14", Some(14)), ("", None), ("-1", None), ("1x", None), ("123456", None), ("+1", None)]
    {
        assert_eq!(status(&one("grpc-status", value)), expected, "{value}");
    }
    assert_eq!(status(&HeaderMap::new()), None);
}

/// gRPC over HTTP/2: TimeoutValue is at most eight digits, TimeoutUnit one of H M S m u n.
#[test]
fn timeouts() {
    for (value, expected) in [
        ("1H", Some(Duration::from_secs(3600))),
        ("2M", Some(Duration::from_secs(120))),
        ("3S", Some(Duration::from_secs(3))),
        ("4m", Some(Duration::from_millis(4))),
        ("5u", Some(Duration::from_micros(5))),
        ("6n", Some(Duration::from_nanos(6))),
        ("99999999H", Some(Duration::from_secs(99_999_999 * 3600))),
        ("123456789S", None),
        ("S", None),
        ("", None),
        ("1", None),
        ("1s", None),
        ("-1S", None),
        ("1.5S", None),
        (" 1S", None),
        ("1 S", None),
    ] {
        assert_eq!(timeout(&one("grpc-timeout", value)), expected, "{value:?}");
    }
}

/// gRPC, "HTTP to gRPC Status Code Mapping".
#[test]
fn http_statuses() {
    for (http, grpc) in
        [(400, 13), (401, 16), (403, 7), (404, 12), (429, 14), (502, 14), (503, 14), (504, 14), (500, 2), (418, 2)]
    {
        assert_eq!(http_to_grpc(StatusCode::from_u16(http).unwrap()), grpc, "{http}");
    }
}

#[test]
fn errors_are_trailers_only() {
    let reply = error_reply(UNAVAILABLE, "no upstream: 100 %, «é»\n");
    assert_eq!(reply.status(), 200);
    assert_eq!(reply.headers()["content-type"], "application/grpc");
    assert_eq!(reply.headers()["grpc-status"], "14");
    assert_eq!(reply.headers()["grpc-message"], "no upstream: 100 %25, %C2%AB%C3%A9%C2%BB%0A");
    assert!(!error_reply(UNKNOWN, "").headers().contains_key("grpc-message"));
}
