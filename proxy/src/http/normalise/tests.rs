#![allow(clippy::unwrap_used, clippy::expect_used)]
use proptest::prelude::*;

use super::*;

const NORMALIZE: PathRules = PathRules { normalize: true, merge_slashes: false, escaped_slashes: EscapedSlashes::Keep };
const STRICT: PathRules = PathRules { normalize: true, merge_slashes: true, escaped_slashes: EscapedSlashes::Unescape };

fn normal(rules: PathRules, path: &str) -> Result<String, u16> {
    rules.path(path).map(Cow::into_owned).map_err(|refusal| refusal.status.as_u16())
}

/// Each line is what Envoy 1.40 makes of the path with `normalize_path`.
#[test]
fn paths_as_envoy_normalises_them() {
    let cases = [
        ("/", "/"),
        ("/a/b", "/a/b"),
        ("/a/../b%41", "/bA"),
        ("/./admin", "/admin"),
        ("/x/../admin", "/admin"),
        ("/%61dmin", "/admin"),
        ("/%2e%2e/admin", "/admin"),
        ("/a%2f..%2fadmin", "/a%2f..%2fadmin"),
        ("/a%2F..%2Fadmin", "/a%2F..%2Fadmin"),
        ("/%5C..%5Ca", "/%5C..%5Ca"),
        ("/..", "/"),
        ("/a/..", "/"),
        ("/a/.", "/a/"),
        ("/a/b/.", "/a/b/"),
        ("/a/b/..", "/a/"),
        ("/a//../b", "/a/b"),
        ("//admin", "//admin"),
        ("/a\\b", "/a/b"),
        ("/a\\..\\b", "/b"),
        ("/...", "/..."),
        ("/.hidden", "/.hidden"),
        ("/^|`\"<>{}", "/%5E%7C%60%22%3C%3E%7B%7D"),
        ("/!$&'()*+,;=:@[]~_-", "/!$&'()*+,;=:@[]~_-"),
        ("/%21%24%7e%5f", "/%21%24~_"),
        ("/%zz%", "/%zz%"),
        ("/%252e", "/%252e"),
        ("/%01%7f", "/%01%7f"),
        ("/%c0%ae", "/%c0%ae"),
        ("/a;x/../b", "/b"),
        ("/a/..%3bx/b", "/a/..%3bx/b"),
        ("/;/admin", "/;/admin"),
        ("/a/...;x", "/a/...;x"),
        ("/%2%61", "/%252a"),
        ("/%%34%31", "/%2541"),
        ("/%%341", "/%2541"),
        ("/%%4%31", "/%%2541"),
        ("/%%41", "/%A"),
        ("/%25%34%31", "/%2541"),
        ("/é", "/%C3%A9"),
    ];
    for (path, expected) in cases {
        assert_eq!(normal(NORMALIZE, path).as_deref(), Ok(expected), "{path}");
    }
    assert_eq!(normal(NORMALIZE, "/a%00b"), Err(400));
}

/// With `merge_slashes` and UNESCAPE_AND_FORWARD, again as Envoy 1.40.
#[test]
fn slashes_as_envoy_merges_and_unescapes_them() {
    let cases = [
        ("/a%2fb", "/a/b"),
        ("/a%5Cb", "/a/b"),
        ("/a%2f..%2fadmin", "/admin"),
        ("/a//b///c", "/a/b/c"),
        ("/a/%2f/b", "/a/b"),
        ("/a/", "/a/"),
        ("/a//", "/a/"),
    ];
    for (path, expected) in cases {
        assert_eq!(normal(STRICT, path).as_deref(), Ok(expected), "{path}");
    }
}

/// What Envoy 1.40 resolves or leaves, and whoever cuts parameters off reads in another way: refused.
#[test]
fn stricter_than_envoy_on_purpose() {
    for path in ["/user/..;a=b/admin", "/user/..;/admin", "/a/.;x/b", "/a/..;", "/a/.;", "/a/%2e%2e;x/b", "/..;"] {
        assert_eq!(normal(NORMALIZE, path), Err(400), "{path}");
        assert_eq!(normal(STRICT, path), Err(400), "{path}");
    }
    for path in ["/;/admin", "/a/;x/admin", "/;", "/a%2f;/b", "/a//;/b"] {
        assert_eq!(normal(STRICT, path), Err(400), "{path}");
    }
    for path in ["/a;x/b", "/a/b;", "/a;..", "/a..;b/c"] {
        assert_eq!(normal(STRICT, path).as_deref(), Ok(path));
    }
    assert_eq!(normal(STRICT, "/a/..%2f;x/b"), Err(400));
    assert_eq!(normal(STRICT, "//").as_deref(), Ok("/"));
}

#[test]
fn without_rules_nothing_changes() {
    for path in ["/a/../b", "//", "/%2F", "/%41", "*", "\\"] {
        assert!(matches!(PathRules::default().path(path), Ok(Cow::Borrowed(same)) if same == path));
    }
}

#[test]
fn normal_paths_are_not_copied() {
    for path in ["/", "/api/v1/products/42", "/a-b_c~d.e;f=g", "/a/", "//a", "*", "/%2f%c3", "/.a", "/...;b"] {
        assert!(matches!(NORMALIZE.path(path), Ok(Cow::Borrowed(_))), "{path}");
    }
}

#[test]
fn escaped_slashes_can_be_refused_or_redirected() {
    let with = |escaped_slashes| PathRules { escaped_slashes, ..STRICT };
    let refusal = with(EscapedSlashes::Reject).path("/a%2fb").unwrap_err();
    assert_eq!((refusal.status, refusal.location), (StatusCode::BAD_REQUEST, None));
    let redirect = with(EscapedSlashes::UnescapeRedirect).path("/x/%2fa%5C../b").unwrap_err();
    assert_eq!((redirect.status, redirect.location.as_deref()), (StatusCode::TEMPORARY_REDIRECT, Some("/x/b")));
    assert_eq!(with(EscapedSlashes::Reject).path("/a/b").unwrap(), "/a/b");
    assert_eq!(with(EscapedSlashes::Keep).path("/a%2fb").unwrap(), "/a%2fb");
}

#[test]
fn targets_that_are_no_path_are_refused() {
    for path in ["", "a", "http:"] {
        assert_eq!(normal(NORMALIZE, path), Err(400), "{path}");
    }
}

#[test]
fn authorities() {
    let any = HostRules { strip_port: StripPort::Any, strip_trailing_dot: true };
    let matching = HostRules { strip_port: StripPort::Matching, strip_trailing_dot: false };
    let dot = HostRules { strip_port: StripPort::Never, strip_trailing_dot: true };
    let cases = [
        (any, "shop:80", "shop"),
        (any, "shop.:80", "shop"),
        (any, "[::1]:80", "[::1]"),
        (any, "[::1]", "[::1]"),
        (matching, "shop:80", "shop"),
        (matching, "shop:81", "shop:81"),
        (matching, "shop.", "shop."),
        (dot, "shop.:80", "shop:80"),
        (dot, "shop.", "shop"),
        (dot, "shop:80", "shop:80"),
        (HostRules::default(), "shop.:80", "shop.:80"),
    ];
    for (rules, authority, expected) in cases {
        assert_eq!(rules.authority(authority, 80), expected, "{rules:?}");
    }
}

/// Pieces that normalisation treats in its own way, so that random paths meet them often.
fn tricky_path() -> impl Strategy<Value = String> {
    let piece = proptest::sample::select(vec![
        "/", ".", "..", ";", "a", "%", "%2", "%%", "%2e", "%2E", "%41", "%61", "%2f", "%5C", "%25", "34", "31", "\\",
        "é", "^", "%c3",
    ]);
    proptest::collection::vec(piece, 0..12).prop_map(|pieces| format!("/{}", pieces.concat()))
}

proptest! {
    #[test]
    fn what_is_normal_stays(path in tricky_path(), merge_slashes: bool, unescape: bool) {
        let escaped_slashes = if unescape { EscapedSlashes::Unescape } else { EscapedSlashes::Keep };
        let rules = PathRules { normalize: true, merge_slashes, escaped_slashes };
        if let Ok(once) = rules.path(&path) {
            let twice = rules.path(&once);
            prop_assert_eq!(twice.as_deref().ok(), Some(&*once));
        }
    }

    #[test]
    fn no_dot_segment_is_left(path in tricky_path()) {
        if let Ok(normal) = STRICT.path(&path) {
            prop_assert!(normal.starts_with('/'));
            for segment in normal.split('/') {
                prop_assert!(!matches!(segment.split(';').next(), Some("." | "..")), "{}", normal);
            }
            prop_assert!(!normal.contains("//") && !normal.contains('\\'));
        }
    }

    #[test]
    fn no_path_is_too_odd(path in ".*", normalize: bool, merge_slashes: bool) {
        for escaped_slashes in [EscapedSlashes::Keep, EscapedSlashes::Unescape, EscapedSlashes::UnescapeRedirect] {
            let _ = PathRules { normalize, merge_slashes, escaped_slashes }.path(&path);
        }
        let _ = HostRules { strip_port: StripPort::Matching, strip_trailing_dot: true }.authority(&path, 80);
    }
}
