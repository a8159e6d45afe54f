#![allow(clippy::unwrap_used, clippy::expect_used)]
use http::request::Parts;
use http::{Method, Request};

use super::*;

fn request(method: &str, uri: &str, headers: &[(&str, &[u8])]) -> Parts {
    let mut builder = Request::builder().method(method).uri(uri);
    for (name, value) in headers {
        builder = builder.header(*name, http::HeaderValue::from_bytes(value).unwrap());
    }
    builder.body(()).unwrap().into_parts().0
}

fn string(kind: StringMatchKind) -> StringMatch {
    StringMatch { kind, ignore_case: false }
}

fn path(path: PathMatch) -> RouteMatch {
    RouteMatch { path, ..RouteMatch::any() }
}

fn takes(matcher: &RouteMatch, parts: &Parts) -> bool {
    matcher.matches(&RequestView::of(parts), 0)
}

/// Envoy, `route_components.proto`, `RouteMatch.path_specifier`; each line was answered alike by Envoy 1.40.
#[test]
fn paths() {
    let regex = |source: &str| PathMatch::Regex(Pattern::new(source).unwrap());
    let cases = [
        (PathMatch::Prefix("/".into()), "/anything", true),
        (PathMatch::Prefix("/api".into()), "/api", true),
        (PathMatch::Prefix("/api".into()), "/apis/x", true),
        (PathMatch::Prefix("/api".into()), "/Api", false),
        (PathMatch::Prefix("/api/".into()), "/api", false),
        (PathMatch::Exact("/api".into()), "/api", true),
        (PathMatch::Exact("/api".into()), "/api/", false),
        (PathMatch::Exact("/api".into()), "/api?query=1", true),
        (PathMatch::SegmentPrefix("/api".into()), "/api", true),
        (PathMatch::SegmentPrefix("/api".into()), "/api/", true),
        (PathMatch::SegmentPrefix("/api".into()), "/api/x", true),
        (PathMatch::SegmentPrefix("/api".into()), "/apis", false),
        (PathMatch::SegmentPrefix("/api".into()), "/api?x", true),
        (regex("/b[io]t"), "/bit", true),
        (regex("/b[io]t"), "/bot?x=/bite", true),
        (regex("/b[io]t"), "/bite", false),
        (regex("/b[io]t"), "/x/bit", false),
        (PathMatch::Connect, "/x", false),
    ];
    for (matcher, target, expected) in cases {
        assert_eq!(takes(&path(matcher.clone()), &request("GET", target, &[])), expected, "{matcher:?} {target}");
    }
}

#[test]
fn case_can_be_ignored_but_not_by_expressions() {
    let insensitive = |matcher| RouteMatch { case_sensitive: false, ..path(matcher) };
    assert!(takes(&insensitive(PathMatch::Prefix("/Api".into())), &request("GET", "/aPI/x", &[])));
    assert!(takes(&insensitive(PathMatch::Exact("/Api".into())), &request("GET", "/aPI", &[])));
    assert!(takes(&insensitive(PathMatch::SegmentPrefix("/Api".into())), &request("GET", "/aPI/x", &[])));
    assert!(!takes(&insensitive(PathMatch::Regex(Pattern::new("/Api").unwrap())), &request("GET", "/api", &[])));
}

#[test]
fn connect_is_known_by_its_method() {
    assert!(takes(&path(PathMatch::Connect), &request("CONNECT", "example.com:443", &[])));
}

const A: &[u8] = b"a";
const B: &[u8] = b"b";

/// What Envoy 1.40 answers for the headers of each column: none, `a`, `b`, `a`+`a`, `a`+`b`, `b`+`a`, `a,b`, empty, `2`, `2`+`9`.
/// Rows: the test, whether it is inverted, whether a missing header counts as empty.
#[test]
fn headers_as_envoy_matches_them() {
    let columns: [&[&[u8]]; 10] =
        [&[], &[A], &[B], &[A, A], &[A, B], &[B, A], &[b"a,b"], &[b""], &[b"2"], &[b"2", b"9"]];
    let exact = |text: &str| HeaderTest::Value(string(StringMatchKind::Exact(text.into())));
    let regex = |text: &str| HeaderTest::Value(string(StringMatchKind::Regex(Pattern::new(text).unwrap())));
    let rows = [
        (exact("a"), false, false, ".Y.YYY...."),
        (exact("a"), true, false, "..Y...YYYY"),
        (exact("a"), false, true, ".Y.YYY...."),
        (exact("a"), true, true, "Y.Y...YYYY"),
        (exact("a,b"), false, false, "......Y..."),
        (exact("a,b"), true, false, ".YYYYY.YYY"),
        (HeaderTest::Value(string(StringMatchKind::Prefix("a".into()))), false, false, ".Y.YYYY..."),
        (HeaderTest::Value(string(StringMatchKind::Prefix("a".into()))), true, true, "Y.Y....YYY"),
        (HeaderTest::Value(string(StringMatchKind::Suffix("a".into()))), false, false, ".Y.YYY...."),
        (HeaderTest::Value(string(StringMatchKind::Contains(",b".into()))), false, false, "......Y..."),
        (HeaderTest::Value(string(StringMatchKind::Contains(",b".into()))), true, false, ".YYYYY.YYY"),
        (regex("b"), false, false, "..Y.YY...."),
        (regex("b"), true, false, ".Y.Y..YYYY"),
        (HeaderTest::Range(1, 3), false, false, "........YY"),
        (HeaderTest::Range(1, 3), true, false, ".YYYYYYY.."),
        (HeaderTest::Range(1, 3), true, true, "YYYYYYYY.."),
        (HeaderTest::Present(true), false, false, ".YYYYYYYYY"),
        (HeaderTest::Present(true), true, false, "Y........."),
        (HeaderTest::Present(true), false, true, "YYYYYYYYYY"),
        (HeaderTest::Present(true), true, true, ".........."),
        (HeaderTest::Present(false), false, false, "Y........."),
        (HeaderTest::Present(false), true, false, ".YYYYYYYYY"),
        (HeaderTest::Present(false), false, true, ".........."),
        (HeaderTest::Present(false), true, true, "YYYYYYYYYY"),
    ];
    for (test, invert, missing_is_empty, expected) in rows {
        let matcher = HeaderMatch { name: HeaderKey::parse("x-h").unwrap(), test, invert, missing_is_empty };
        let answers: String = columns
            .iter()
            .map(|values| {
                let headers: Vec<(&str, &[u8])> = values.iter().map(|value| ("x-h", *value)).collect();
                let parts = request("GET", "/", &headers);
                if matcher.matches(&RequestView::of(&parts)) { 'Y' } else { '.' }
            })
            .collect();
        assert_eq!(answers, expected, "{matcher:?}");
    }
}

/// Stricter than Envoy on purpose: what is no text must not fulfil a condition by failing to match.
#[test]
fn bytes_that_are_no_text_fulfil_no_inverted_condition() {
    let test = HeaderTest::Value(string(StringMatchKind::Exact("guest".into())));
    let matcher = HeaderMatch { name: HeaderKey::parse("x-role").unwrap(), test, invert: true, missing_is_empty: true };
    assert!(matcher.matches(&RequestView::of(&request("GET", "/", &[("x-role", b"admin")]))));
    assert!(!matcher.matches(&RequestView::of(&request("GET", "/", &[("x-role", b"\xff")]))));
    assert!(!matcher.matches(&RequestView::of(&request("GET", "/", &[("x-role", b"admin"), ("x-role", b"\xff")]))));
}

#[test]
fn range_reads_signed_decimals_only() {
    let matcher = HeaderMatch {
        name: HeaderKey::parse("n").unwrap(),
        test: HeaderTest::Range(-1, 10),
        invert: false,
        missing_is_empty: false,
    };
    for (value, expected) in
        [("-1", true), ("9", true), ("10", false), ("+9", true), ("09", true), ("9a", false), ("1.0", false)]
    {
        let parts = request("GET", "/", &[("n", value.as_bytes())]);
        assert_eq!(matcher.matches(&RequestView::of(&parts)), expected, "{value}");
    }
}

#[test]
fn pseudo_headers() {
    let parts = request("POST", "/a?b=c", &[("host", b"shop:80"), ("x-forwarded-proto", b"https")]);
    let cases = [
        (":method", "POST", true),
        (":method", "post", false),
        (":authority", "shop:80", true),
        ("host", "shop:80", true),
        ("Host", "shop", false),
        (":path", "/a?b=c", true),
        (":path", "/a", false),
        (":scheme", "https", true),
    ];
    for (name, value, expected) in cases {
        let test = HeaderTest::Value(string(StringMatchKind::Exact(value.into())));
        let matcher =
            HeaderMatch { name: HeaderKey::parse(name).unwrap(), test, invert: false, missing_is_empty: false };
        assert_eq!(matcher.matches(&RequestView::of(&parts)), expected, "{name} {value}");
    }
    assert_eq!(HeaderKey::parse(":unknown"), None);
    assert_eq!(HeaderKey::parse("not a name"), None);
}

/// Envoy 1.40 looks at the first parameter of a name, and decodes neither name nor value.
#[test]
fn query_parameters() {
    let value = QueryTest::Value(string(StringMatchKind::Exact("b".into())));
    let cases = [
        (Some("a=b"), true),
        (Some("x&a=b"), true),
        (Some("a=c&a=b"), false),
        (Some("A=b"), false),
        (Some("a=%62"), false),
        (Some("%61=b"), false),
        (Some("a"), false),
        (Some(""), false),
        (None, false),
    ];
    for (query, expected) in cases {
        let matcher = QueryMatch { name: "a".into(), test: value.clone() };
        assert_eq!(matcher.matches(query), expected, "{query:?}");
    }
    let present = |wanted| QueryMatch { name: "a".into(), test: QueryTest::Present(wanted) };
    assert!(present(true).matches(Some("b=1&a")));
    assert!(!present(true).matches(Some("b=a")));
    assert!(present(false).matches(None));
}

#[test]
fn strings() {
    let insensitive = |kind| StringMatch { kind, ignore_case: true };
    assert!(insensitive(StringMatchKind::Exact("AbC".into())).matches("aBc"));
    assert!(insensitive(StringMatchKind::Prefix("AB".into())).matches("abc"));
    assert!(insensitive(StringMatchKind::Suffix("BC".into())).matches("abc"));
    assert!(insensitive(StringMatchKind::Contains("B".into())).matches("abc"));
    assert!(!string(StringMatchKind::Contains("B".into())).matches("abc"));
    assert!(string(StringMatchKind::Contains("".into())).matches(""));
    assert!(!string(StringMatchKind::Suffix("longer".into())).matches("er"));
}

#[test]
fn grpc_and_a_share_of_requests() {
    let grpc = RouteMatch { grpc: true, ..RouteMatch::any() };
    assert!(takes(&grpc, &request("POST", "/", &[("content-type", b"application/grpc+proto")])));
    assert!(!takes(&grpc, &request("POST", "/", &[("content-type", b"application/grpc-web")])));
    let third = RouteMatch { fraction: Some(Fraction::new(30, 100)), ..RouteMatch::any() };
    let parts = request("GET", "/", &[]);
    let taken = (0..100).filter(|random| third.matches(&RequestView::of(&parts), *random)).count();
    assert_eq!(taken, 30);
}

#[test]
fn expressions_match_whole_and_are_bounded() {
    assert!(Pattern::new("a|bc").unwrap().matches("bc"));
    assert!(!Pattern::new("a|bc").unwrap().matches("xbc"));
    assert!(!Pattern::new("a|bc").unwrap().matches("ax"));
    assert!(!Pattern::new("a").unwrap().matches("a\n"));
    for broken in ["a)|(b", "(", "[", "(?x)a # comment", r"(?=look)a", r"(a)\1"] {
        assert!(Pattern::new(broken).is_err() || !Pattern::new(broken).unwrap().matches("xa"), "{broken}");
    }
    assert!(Pattern::new("a)|(b").unwrap_err().contains("regular expression"));
    assert!(Pattern::new(&"a".repeat(5000)).unwrap_err().contains("at most 4096"));
    assert!(Pattern::new(r"(\w{500}){500}").unwrap_err().contains("size"));
    assert!(Pattern::new(&"(".repeat(2000)).is_err());
}

#[test]
fn everyday_expressions_are_within_bounds() {
    let uuid = "[0-9a-fA-F]{8}-([0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}";
    for source in [
        ".*",
        r"(?i).*(android|iphone|mobile).*",
        r"^/api/v\d+/users/[^/]+/orders/?$",
        r"/[\w-]+/[\w-]+\.(?:js|css|png|jpe?g|svg)",
        r"^([a-z0-9]+(-[a-z0-9]+)*\.)+[a-z]{2,}$",
        r"session=([^;]+);.*user=\w{1,8}",
        &format!("/orders/{uuid}/items/{uuid}"),
    ] {
        assert!(Pattern::new(source).is_ok(), "{source}: {:?}", Pattern::new(source).err());
    }
}

#[test]
fn methods_are_told_apart() {
    let parts = request("GET", "/", &[]);
    assert_eq!(RequestView::of(&parts).method, Method::GET);
}
