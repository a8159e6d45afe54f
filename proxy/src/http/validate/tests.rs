#![allow(clippy::unwrap_used, clippy::expect_used)]
use http::Request;
use proptest::prelude::*;

use super::*;

const RULES: Rules = Rules { reject_underscores: true, accept_http10: false };

fn check(version: Version, method: &str, uri: &str, headers: &[(&str, &[u8])]) -> Result<(), (u16, &'static str)> {
    let mut builder = Request::builder().version(version).method(method).uri(uri);
    for (name, value) in headers {
        builder = builder.header(*name, HeaderValue::from_bytes(value).unwrap());
    }
    request(&builder.body(()).unwrap().into_parts().0, RULES)
        .map_err(|refusal| (refusal.status.as_u16(), refusal.details))
}

fn http1(uri: &str, headers: &[(&str, &[u8])]) -> Result<(), (u16, &'static str)> {
    check(Version::HTTP_11, "GET", uri, headers)
}

fn http2(uri: &str, headers: &[(&str, &[u8])]) -> Result<(), (u16, &'static str)> {
    check(Version::HTTP_2, "GET", uri, headers)
}

const HOST_H: (&str, &[u8]) = ("host", b"h");

#[test]
fn ordinary_requests_pass() {
    assert_eq!(http1("/", &[HOST_H]), Ok(()));
    assert_eq!(http1("/a/b?c=d&e=%20", &[("host", b"shop.example:8080")]), Ok(()));
    assert_eq!(http1("http://h/a", &[("host", b"H")]), Ok(()));
    assert_eq!(http1("/", &[HOST_H, ("transfer-encoding", b"Chunked")]), Ok(()));
    assert_eq!(http1("/", &[HOST_H, ("content-length", b"40")]), Ok(()));
    assert_eq!(http1("/", &[HOST_H, ("x-name", "Zoë".as_bytes())]), Ok(()));
    assert_eq!(check(Version::HTTP_11, "OPTIONS", "*", &[HOST_H]), Ok(()));
    assert_eq!(check(Version::HTTP_11, "VERSION-CONTROL", "/", &[HOST_H]), Ok(()));
    assert_eq!(http2("http://shop/a", &[("te", b"trailers")]), Ok(()));
    assert_eq!(http2("https://[::1]:8080/", &[]), Ok(()));
    assert_eq!(http2("/", &[HOST_H]), Ok(()));
}

#[test]
fn hosts() {
    for (headers, details) in [
        (&[][..], "missing_host_header"),
        (&[("host", &b""[..])], "missing_host_header"),
        (&[HOST_H, HOST_H], "duplicate_host_header"),
        (&[HOST_H, ("host", b"evil")], "duplicate_host_header"),
    ] {
        assert_eq!(http1("/", headers), Err((400, details)), "{headers:?}");
    }
    // `h:` has an empty port, which RFC 3986 allows and nobody needs.
    for host in [
        "a@b/c?d#e",
        "u:p@h",
        "a b",
        "a,b",
        "h:",
        "h:99999",
        "h:8o",
        "h:-1",
        "a%20b",
        "a/b",
        "a?b",
        "a#b",
        "::1",
        "[::1",
        "[::1%eth0]",
        "[::1]x",
        "[v1.a]",
        ":80",
        "a\\b",
        "a\"b",
        "<h>",
        "\u{e9}",
    ] {
        assert_eq!(http1("/", &[("host", host.as_bytes())]), Err((400, "invalid_authority")), "{host}");
    }
    assert_eq!(http1("/", &[("host", b"\xff")]), Err((400, "invalid_authority")));
    assert_eq!(http1("/", &[("host", "a".repeat(300).as_bytes())]), Err((400, "invalid_authority")));
}

#[test]
fn one_authority_only() {
    assert_eq!(http1("http://good/", &[("host", b"evil")]), Err((400, "host_differs_from_target")));
    assert_eq!(http1("http://good/", &[]), Err((400, "missing_host_header")));
    assert_eq!(http2("http://good/", &[("host", b"evil")]), Err((400, "host_differs_from_target")));
    assert_eq!(http2("/", &[]), Err((400, "missing_host_header")));
}

#[test]
fn request_targets() {
    assert_eq!(http1("x:80", &[("host", b"x:80")]), Err((400, "invalid_request_target")));
    assert_eq!(http1("a", &[("host", b"a")]), Err((400, "invalid_request_target")));
    assert_eq!(http1("ftp://h/", &[HOST_H]), Err((400, "invalid_scheme")));
    assert_eq!(http1("*", &[HOST_H]), Err((400, "invalid_path")));
    assert_eq!(http1("/a%00b", &[HOST_H]), Err((400, "invalid_path")));
    assert_eq!(http1("http://u:p@h/", &[HOST_H]), Err((400, "host_differs_from_target")));
    assert_eq!(http2("http://u:p@h/", &[]), Err((400, "invalid_authority")));
    for target in ["/\u{e9}", "/?\u{e9}", "http://h/\u{e9}"] {
        assert_eq!(http1(target, &[HOST_H]), Err((400, "invalid_path")), "{target}");
    }
    assert_eq!(http1("/?a=%00", &[HOST_H]), Ok(()));
    assert_eq!(http1("/%0", &[HOST_H]), Ok(()));
    assert_eq!(http1("http://h?a=b", &[HOST_H]), Ok(()));
    assert_eq!(check(Version::HTTP_11, "CONNECT", "h:443", &[("host", b"h:443")]), Err((405, "connect_not_supported")));
}

#[test]
fn methods() {
    for method in ["get", "GeT", "PRI", &"A".repeat(33)] {
        assert_eq!(check(Version::HTTP_11, method, "/", &[HOST_H]), Err((400, "invalid_method")), "{method}");
    }
}

/// RFC 9112, 6: what two hops could frame in two ways.
#[test]
fn framing() {
    for coding in ["xchunked", "identity", "gzip, chunked", "chunked, chunked", ",chunked", "\tchunked x", "chunked;a"]
    {
        let headers = [HOST_H, ("transfer-encoding", coding.as_bytes())];
        assert_eq!(http1("/", &headers), Err((501, "unsupported_transfer_encoding")), "{coding}");
    }
    let twice = [HOST_H, ("transfer-encoding", &b"cow"[..]), ("transfer-encoding", b"chunked")];
    assert_eq!(http1("/", &twice), Err((501, "unsupported_transfer_encoding")));
    let both = [HOST_H, ("transfer-encoding", &b"chunked"[..]), ("content-length", b"4")];
    assert_eq!(http1("/", &both), Err((400, "content_length_and_transfer_encoding")));
    for length in
        ["+3", "-3", "0x3", "", "003", "3, 3", "3;a", "1_0", "18446744073709551616", "9223372036854775808", "\u{0663}"]
    {
        let headers = [HOST_H, ("content-length", length.as_bytes())];
        assert_eq!(http1("/", &headers), Err((400, "invalid_content_length")), "{length}");
        assert_eq!(http2("http://h/", &headers[1..]), Err((400, "invalid_content_length")), "{length}");
    }
    let two = [HOST_H, ("content-length", &b"3"[..]), ("content-length", b"3")];
    assert_eq!(http1("/", &two), Err((400, "invalid_content_length")));
}

/// Nothing may stand between the head and what follows the switch, and nobody guesses what a list of protocols means.
#[test]
fn upgrades() {
    let ask = |method: &str, more: &[(&str, &[u8])]| {
        let headers = [&[HOST_H, ("connection", &b"upgrade"[..])], more].concat();
        check(Version::HTTP_11, method, "/", &headers).map_err(|(status, _)| status)
    };
    let websocket = ("upgrade", &b"WebSocket"[..]);
    assert_eq!(ask("GET", &[websocket]), Ok(()));
    assert_eq!(ask("GET", &[websocket, ("content-length", b"0")]), Ok(()));
    assert_eq!(ask("GET", &[("upgrade", b"H2C")]), Ok(()));
    assert_eq!(ask("POST", &[("upgrade", b"h2c"), ("content-length", b"3")]), Ok(()));
    for more in [
        &[("upgrade", &b"foo"[..])][..],
        &[("upgrade", b"websocket, h2c")],
        &[("upgrade", b"h2c"), websocket],
        &[websocket, websocket],
        &[websocket, ("content-length", b"3")],
        &[websocket, ("transfer-encoding", b"chunked")],
    ] {
        assert_eq!(ask("GET", more), Err(403), "{more:?}");
    }
    assert_eq!(ask("POST", &[websocket]), Err(403));
}

/// RFC 9113, 8.2.2.
#[test]
fn nothing_of_http1_in_http2() {
    for (name, value) in [
        ("connection", "close"),
        ("transfer-encoding", "chunked"),
        ("upgrade", "websocket"),
        ("keep-alive", "1"),
        ("proxy-connection", "close"),
        ("te", "gzip"),
        ("te", "trailers, gzip"),
    ] {
        assert_eq!(
            http2("http://h/", &[(name, value.as_bytes())]),
            Err((400, "connection_header_in_http2")),
            "{name}: {value}"
        );
    }
}

#[test]
fn old_versions_and_underscores() {
    assert_eq!(check(Version::HTTP_10, "GET", "/", &[HOST_H]), Err((426, "low_version")));
    assert_eq!(http1("/", &[HOST_H, ("x_forwarded_for", b"1")]), Err((400, "unexpected_underscore")));
    let lenient = Rules { reject_underscores: false, accept_http10: true };
    let parts = |coding: Option<&str>| {
        let request = Request::get("/").version(Version::HTTP_10).header("host", "h").header("x_a", "1");
        let request = match coding {
            Some(coding) => request.header("transfer-encoding", coding),
            None => request,
        };
        request.body(()).unwrap().into_parts().0
    };
    assert_eq!(request(&parts(None), lenient), Ok(()));
    assert_eq!(request(&parts(Some("chunked")), lenient).unwrap_err().details, "transfer_encoding_in_http10");
}

proptest! {
    #[test]
    fn an_authority_that_passes_is_one(text in "[a-z0-9.:\\[\\]@%/?#, _-]{0,20}") {
        if is_authority(&text) {
            let parsed: http::uri::Authority = text.parse().unwrap();
            prop_assert_eq!(parsed.as_str(), &text);
            prop_assert!(!parsed.host().is_empty());
            prop_assert!(!text.contains(['@', '/', '?', '#', ' ', ',', '%']));
        }
    }
}
