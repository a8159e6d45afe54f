#![allow(clippy::unwrap_used, clippy::expect_used)]
use http::Request;

use super::*;

fn prefix(prefix: &str) -> RouteMatch {
    RouteMatch { path: PathMatch::Prefix(prefix.into()), ..RouteMatch::any() }
}

fn with(path: PathMatch) -> RouteMatch {
    RouteMatch { path, ..RouteMatch::any() }
}

fn to(path: &str) -> Rewrite {
    Rewrite { path: Some(PathRewrite::Prefix(path.into())), ..Rewrite::default() }
}

fn parts(uri: &str) -> Parts {
    Request::get(uri).header("host", "h").body(()).unwrap().into_parts().0
}

/// Each line went through Envoy 1.40 with the same result.
#[test]
fn paths_as_envoy_rewrites_them() {
    let regex = |pattern: &str, substitution: &str| Rewrite {
        path: Some(PathRewrite::Regex(Replacement::new(pattern, substitution).unwrap())),
        ..Rewrite::default()
    };
    let cases = [
        (to("/x/"), prefix("/rw/prefix/"), "/rw/prefix/a?x=1", "/x/a?x=1"),
        (to("/"), prefix("/rw/noslash"), "/rw/noslash/a", "//a"),
        (to("/"), prefix("/rw/noslash"), "/rw/noslash", "/"),
        (to("/new"), with(PathMatch::Exact("/rw/exact".into())), "/rw/exact?q", "/new?q"),
        (to("/new"), with(PathMatch::Regex(Pattern::new("/rw/re/.*").unwrap())), "/rw/re/abc?q=1", "/new?q=1"),
        (regex("/rw/regex/([^/]+)", r"/\1/z\\"), prefix("/"), "/rw/regex/aa/bb/rw/regex/cc?d", r"/aa/z\/bb/cc/z\?d"),
        (to("/v2"), with(PathMatch::SegmentPrefix("/v1".into())), "/v1/a", "/v2/a"),
    ];
    for (rewrite, matcher, uri, expected) in cases {
        let mut parts = parts(uri);
        rewrite.apply(&mut parts, &matcher).unwrap();
        assert_eq!(parts.uri, expected);
        assert_eq!(parts.headers[ORIGINAL_PATH], uri);
    }
}

/// Envoy, `regex_rewrite`: the examples of its documentation.
#[test]
fn documented_substitutions() {
    let cases = [
        ("^/service/([^/]+)(/.*)$", r"\2/instance/\1", "/service/foo/v1/api", "/v1/api/instance/foo"),
        ("one", "two", "/xxx/one/yyy/one/zzz", "/xxx/two/yyy/two/zzz"),
        ("^(.*?)one(.*)$", r"\1two\2", "/xxx/one/yyy/one/zzz", "/xxx/two/yyy/one/zzz"),
        ("(?i)/xxx/", "/yyy/", "/aaa/XxX/bbb", "/aaa/yyy/bbb"),
        ("a(b)?", r"[\1\0]", "/a", "/[a]"),
    ];
    for (pattern, substitution, path, expected) in cases {
        assert_eq!(Replacement::new(pattern, substitution).unwrap().apply(path), expected);
    }
}

#[test]
fn bad_substitutions_are_refused() {
    assert!(Replacement::new("a", r"\1").unwrap_err().contains("no group 1"));
    assert!(Replacement::new("a", r"\x").unwrap_err().contains('\\'));
    assert!(Replacement::new("a", r"a\").is_err());
    assert!(Replacement::new("(", "a").is_err());
}

#[test]
fn a_path_that_no_request_can_have_is_refused() {
    for path in ["nolead", "/with space", "*"] {
        let refusal = to(path).apply(&mut parts("/a"), &prefix("/a")).unwrap_err();
        assert_eq!(
            (refusal.status, refusal.details),
            (StatusCode::INTERNAL_SERVER_ERROR, "rewrite_made_invalid_path"),
            "{path}"
        );
    }
}

#[test]
fn authorities() {
    let literal = |host: &'static str| Rewrite {
        authority: Some(AuthorityRewrite::Literal(HeaderValue::from_static(host))),
        append_forwarded_host: true,
        ..Rewrite::default()
    };
    let mut http1 = parts("/a");
    literal("new:8080").apply(&mut http1, &prefix("/")).unwrap();
    assert_eq!(http1.headers[HOST], "new:8080");
    assert_eq!(http1.headers[ORIGINAL_HOST], "h");
    assert_eq!(http1.headers[FORWARDED_HOST], "h");
    assert_eq!(http1.uri, "/a");

    let mut http2 = Request::get("http://old/a?b").body(()).unwrap().into_parts().0;
    literal("new").apply(&mut http2, &prefix("/")).unwrap();
    assert_eq!(http2.uri, "http://new/a?b");
    assert!(!http2.headers.contains_key(HOST));
    assert_eq!(http2.headers[ORIGINAL_HOST], "old");

    let mut same = parts("/a");
    literal("h").apply(&mut same, &prefix("/")).unwrap();
    assert!(!same.headers.contains_key(FORWARDED_HOST));
}

#[test]
fn authorities_from_the_request() {
    let by_header =
        Rewrite { authority: Some(AuthorityRewrite::Header(HeaderName::from_static("x-to"))), ..Rewrite::default() };
    let mut without = parts("/a");
    by_header.apply(&mut without, &prefix("/")).unwrap();
    assert_eq!(without.headers[HOST], "h");
    let mut with = parts("/a");
    with.headers.insert("x-to", "there".parse().unwrap());
    by_header.apply(&mut with, &prefix("/")).unwrap();
    assert_eq!(with.headers[HOST], "there");
    let mut hostile = parts("/a");
    hostile.headers.insert("x-to", "user@there".parse().unwrap());
    assert_eq!(by_header.apply(&mut hostile, &prefix("/")).unwrap_err().details, "rewrite_made_invalid_authority");

    let replacement = Replacement::new("^/([^/]*)/.*", r"\1.svc").unwrap();
    let by_path =
        Rewrite { authority: Some(AuthorityRewrite::Path(replacement)), path: to("/").path, ..Rewrite::default() };
    let mut request = parts("/shop/x?q");
    by_path.apply(&mut request, &prefix("/shop/")).unwrap();
    assert_eq!(request.headers[HOST], "shop.svc");
    assert_eq!(request.uri, "/x?q");
}
