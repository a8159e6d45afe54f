#![allow(clippy::unwrap_used, clippy::expect_used)]
use super::*;

fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        headers.append(*name, value.parse().unwrap());
    }
    headers
}

fn names(headers: &HeaderMap) -> Vec<&str> {
    let mut names: Vec<&str> = headers.keys().map(HeaderName::as_str).collect();
    names.sort_unstable();
    names
}

#[test]
fn headers_of_one_connection_do_not_travel() {
    let mut request = headers(&[
        ("connection", "close, x-mine"),
        ("x-mine", "1"),
        ("x-other", "1"),
        ("keep-alive", "timeout=5"),
        ("proxy-connection", "close"),
        ("transfer-encoding", "chunked"),
        ("upgrade", "h2c"),
        ("http2-settings", "AAMAAABk"),
        ("te", "gzip"),
    ]);
    strip_hop_by_hop(&mut request, false);
    assert_eq!(names(&request), ["x-other"]);
}

#[test]
fn te_trailers_stays() {
    let mut request = headers(&[("te", "gzip, Trailers")]);
    strip_hop_by_hop(&mut request, false);
    assert_eq!(request["te"], "trailers");
}

/// `Connection` must not take away what others rely on.
#[test]
fn connection_cannot_take_end_to_end_headers_away() {
    let kept = [
        "authorization",
        "content-length",
        "cookie",
        "forwarded",
        "host",
        "if-match",
        "origin",
        "range",
        "traceparent",
        "x-forwarded-client-cert",
        "x-forwarded-for",
        "x-real-ip",
        "x-request-id",
    ];
    let mut request = HeaderMap::new();
    request.insert("connection", format!("close, {}", kept.join(", ")).parse().unwrap());
    for name in kept {
        request.insert(name, HeaderValue::from_static("1"));
    }
    strip_hop_by_hop(&mut request, false);
    assert_eq!(names(&request), kept);
}

#[test]
fn upgrades_keep_what_they_need() {
    let mut request =
        headers(&[("connection", "keep-alive, Upgrade"), ("upgrade", "websocket"), ("sec-websocket-key", "x")]);
    assert!(asks_for_websocket(&request));
    strip_hop_by_hop(&mut request, true);
    assert_eq!(names(&request), ["connection", "sec-websocket-key", "upgrade"]);
    assert_eq!(request["connection"], "Upgrade");
}

#[test]
fn only_a_websocket_is_one() {
    for pairs in [
        &[("upgrade", "websocket")][..],
        &[("connection", "upgrade"), ("upgrade", "h2c")],
        &[("connection", "upgrade"), ("upgrade", "websocket, h2c")],
        &[("connection", "upgrade"), ("upgrade", "websocket"), ("upgrade", "foo")],
        &[("connection", "close"), ("upgrade", "websocket")],
    ] {
        assert!(!asks_for_websocket(&headers(pairs)), "{pairs:?}");
    }
    assert!(asks_for_websocket(&headers(&[("connection", "UPGRADE"), ("upgrade", "WebSocket")])));
}

/// The tables are searched by halves.
#[test]
fn tables_are_sorted() {
    assert!(OF_THE_MESSAGE.is_sorted() && STEERING.is_sorted());
}

#[test]
fn trailers_say_nothing_that_a_head_says() {
    let mut trailers = headers(&[
        ("x-checksum", "1"),
        ("grpc-status", "0"),
        ("content-length", "5"),
        ("transfer-encoding", "chunked"),
        ("host", "evil"),
        ("authorization", "a"),
        ("x-forwarded-for", "192.0.2.1"),
        ("x-envoy-retry-on", "5xx"),
        ("proxy-authorization", "a"),
    ]);
    strip_trailers(&mut trailers);
    assert_eq!(names(&trailers), ["grpc-status", "x-checksum"]);
}

#[test]
fn clients_do_not_steer() {
    let mut request = headers(&[
        ("x-envoy-retry-on", "5xx"),
        ("x-envoy-max-retries", "100"),
        ("x-envoy-upstream-rq-timeout-ms", "1"),
        ("x-envoy-peer-metadata", "x"),
        ("x-envoy-attempt-count", "1"),
        ("x-envoy-original-path", "/a"),
    ]);
    strip_untrusted(&mut request);
    assert_eq!(names(&request), ["x-envoy-attempt-count", "x-envoy-original-path"]);
}

#[test]
fn forwarded_for_is_one_list() {
    let mut request = HeaderMap::new();
    append_forwarded_for(&mut request, [10, 0, 0, 1].into());
    assert_eq!(request["x-forwarded-for"], "10.0.0.1");
    request.append("x-forwarded-for", HeaderValue::from_static("192.0.2.1"));
    append_forwarded_for(&mut request, "2001:db8::1".parse().unwrap());
    assert_eq!(request.get_all("x-forwarded-for").iter().collect::<Vec<_>>(), ["10.0.0.1,192.0.2.1,2001:db8::1"]);
}

#[test]
fn forwarded_proto_is_believed_or_not() {
    let mut request = HeaderMap::new();
    set_forwarded_proto(&mut request, false, false);
    assert_eq!(request["x-forwarded-proto"], "http");
    set_forwarded_proto(&mut request, true, false);
    assert_eq!(request["x-forwarded-proto"], "http");
    set_forwarded_proto(&mut request, true, true);
    assert_eq!(request["x-forwarded-proto"], "https");
}

/// RFC 9562, 5.4: version 4, variant 10.
#[test]
fn request_ids_are_uuids_and_kept() {
    let mut request = HeaderMap::new();
    ensure_request_id(&mut request, || u128::MAX);
    assert_eq!(request["x-request-id"], "ffffffff-ffff-4fff-bfff-ffffffffffff");
    ensure_request_id(&mut request, || panic!("there is one"));
    let mut empty = headers(&[("x-request-id", "")]);
    ensure_request_id(&mut empty, || 0);
    assert_eq!(empty["x-request-id"], "00000000-0000-4000-8000-000000000000");
}

const PEER: ClientCert<'static> =
    ClientCert { by: "spiffe://td/ns/a/sa/me", hash: "ab12", subject: Some(""), uri: "spiffe://td/ns/b/sa/peer" };
const ELEMENT: &str = "By=spiffe://td/ns/a/sa/me;Hash=ab12;Subject=\"\";URI=spiffe://td/ns/b/sa/peer";

/// Envoy, HTTP header manipulation, `x-forwarded-client-cert`.
#[test]
fn client_certificates() {
    let sent = || headers(&[("x-forwarded-client-cert", "By=x"), ("x-forwarded-client-cert", "By=y")]);
    let cases = [
        (ClientCertHeader::Sanitize, Some(PEER), None),
        (ClientCertHeader::ForwardOnly, Some(PEER), Some("By=x".to_owned())),
        (ClientCertHeader::AppendForward, Some(PEER), Some(format!("By=x,By=y,{ELEMENT}"))),
        (ClientCertHeader::SanitizeSet, Some(PEER), Some(ELEMENT.to_owned())),
        (ClientCertHeader::Sanitize, None, None),
        (ClientCertHeader::ForwardOnly, None, None),
        (ClientCertHeader::AppendForward, None, None),
        (ClientCertHeader::SanitizeSet, None, None),
    ];
    for (mode, peer, expected) in cases {
        let mut request = sent();
        client_cert(&mut request, mode, peer);
        let value = request.get(&CLIENT_CERT).map(|value| value.to_str().unwrap().to_owned());
        assert_eq!(value, expected, "{mode:?}");
    }
}

#[test]
fn subjects_are_quoted() {
    let mut request = HeaderMap::new();
    client_cert(&mut request, ClientCertHeader::SanitizeSet, Some(ClientCert { subject: Some(r#"CN="a\b""#), ..PEER }));
    assert!(request[&CLIENT_CERT].to_str().unwrap().contains(r#";Subject="CN=\"a\\b\"";"#));
}
