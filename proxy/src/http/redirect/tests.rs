#![allow(clippy::unwrap_used, clippy::expect_used)]
use http::Request;

use super::*;
use crate::http::matching::PathMatch;
use crate::http::rewrite::Replacement;

fn redirect() -> Redirect {
    Redirect {
        scheme: None,
        host: None,
        port: None,
        path: None,
        strip_query: false,
        status: StatusCode::MOVED_PERMANENTLY,
    }
}

fn location(redirect: &Redirect, matched: &str, host: &str, uri: &str, forwarded_proto: &str) -> String {
    let request = Request::get(uri).header("host", host).header("x-forwarded-proto", forwarded_proto);
    let parts = request.body(()).unwrap().into_parts().0;
    let matcher = RouteMatch { path: PathMatch::Prefix(matched.into()), ..RouteMatch::any() };
    let response = redirect.response(&RequestView::of(&parts), &matcher);
    assert_eq!(response.status(), redirect.status);
    response.headers()[LOCATION].to_str().unwrap().to_owned()
}

/// Each line went through Envoy 1.40 with the same result.
#[test]
fn locations_as_envoy_writes_them() {
    let https = Redirect { scheme: Some("https".into()), ..redirect() };
    let port = Redirect { port: Some(8443), ..redirect() };
    let host = Redirect { host: Some("other".into()), ..redirect() };
    let path = |path: &str| Redirect { path: Some(RedirectPath::Whole(path.into())), ..redirect() };
    let stripped = Redirect { strip_query: true, ..path("/p") };
    let prefix = Redirect {
        path: Some(RedirectPath::Rewrite(PathRewrite::Prefix("/new".into()))),
        strip_query: true,
        status: StatusCode::FOUND,
        ..redirect()
    };
    let cases = [
        (&https, "h", "/rd?a=b", "http", "https://h/rd?a=b"),
        (&https, "h:80", "/rd", "http", "https://h/rd"),
        (&https, "h:443", "/rd", "http", "https://h:443/rd"),
        (&https, "h:8080", "/rd", "http", "https://h:8080/rd"),
        (&https, "[::1]:80", "/rd", "http", "https://[::1]/rd"),
        (&https, "[::1]", "/rd", "http", "https://[::1]/rd"),
        (&https, "h:443", "/rd", "https", "https://h:443/rd"),
        (&port, "h", "/rd", "http", "http://h:8443/rd"),
        (&port, "h:80", "/rd", "http", "http://h:8443/rd"),
        (&port, "[::1]:99", "/rd", "http", "http://[::1]:8443/rd"),
        (&host, "h:80", "/rd/host?x", "http", "http://other/rd/host?x"),
        (&path("/p"), "h", "/rd?x=1", "http", "http://h/p?x=1"),
        (&path("/p"), "h", "/rd", "http", "http://h/p"),
        (&path("/p?x=1"), "h", "/rd?y", "http", "http://h/p?x=1"),
        (&stripped, "h", "/rd?x=1", "http", "http://h/p"),
        (&prefix, "h", "/rd/y?x=1", "http", "http://h/new/y"),
        (&path("/p"), "h:443", "/rd", "https", "https://h:443/p"),
    ];
    for (redirect, host, uri, proto, expected) in cases {
        assert_eq!(location(redirect, "/rd", host, uri, proto), expected);
    }
}

#[test]
fn paths_can_be_rewritten_by_expression() {
    let replacement = Replacement::new("/v1/(.*)", r"/v2/\1").unwrap();
    let redirect = Redirect { path: Some(RedirectPath::Rewrite(PathRewrite::Regex(replacement))), ..redirect() };
    assert_eq!(location(&redirect, "/", "h", "/v1/a?b", "http"), "http://h/v2/a?b");
}
