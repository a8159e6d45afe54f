//! The suite's tests of filters: edits of headers, redirects and rewrites.

use super::*;

/// The routes that the suite asks for, once with filters of the rule and once of the backend.
fn modifiers(at_backend: bool) -> String {
    let rules = [
        ("/set", "{set: [{name: X-Header-Set, value: set-overwrites-values}]}"),
        ("/add", "{add: [{name: X-Header-Add, value: add-appends-values}]}"),
        ("/remove", "{remove: [X-Header-Remove]}"),
        (
            "/multiple",
            "{set: [{name: X-Header-Set-1, value: header-set-1}, {name: X-Header-Set-2, value: header-set-2}],
              add: [{name: X-Header-Add-1, value: header-add-1}, {name: X-Header-Add-2, value: header-add-2}],
              remove: [X-Header-Remove-1, X-Header-Remove-2]}",
        ),
    ];
    let rules = rules.map(|(path, modifier)| {
        let filters = format!("filters: [{{type: RequestHeaderModifier, requestHeaderModifier: {modifier}}}]");
        let (of_rule, of_backend) = if at_backend { ("", filters.as_str()) } else { (filters.as_str(), "") };
        let comma = if at_backend { "" } else { "," };
        let backend_comma = if at_backend { "," } else { "" };
        format!(
            "{{matches: [{{path: {{value: {path}}}}}]{comma} {of_rule}, \
             backendRefs: [{{name: echo-v1, port: 8080{backend_comma} {of_backend}}}]}}"
        )
    });
    echo(&format!("[{}]", rules.join(", ")))
}

/// MeshHTTPRouteRequestHeaderModifier and MeshHTTPRouteBackendRequestHeaderModifier.
#[test]
fn headers_are_set_added_and_removed_for_a_rule_or_for_a_backend() {
    for at_backend in [false, true] {
        let route = modifiers(at_backend);
        let table: Vec<(Asked, &[&str])> = vec![
            (get("/set").with("Other", "val"), &["other: val", "x-header-set: set-overwrites-values"]),
            (get("/set").with("X-Header-Set", "some"), &["x-header-set: set-overwrites-values"]),
            (get("/add"), &["x-header-add: add-appends-values"]),
            (get("/add").with("x-header-add", "some"), &["x-header-add: add-appends-values", "x-header-add: some"]),
            (get("/remove").with("X-HEADER-REMOVE", "val"), &[]),
            (
                get("/multiple").with("X-Header-Set-2", "a").with("X-Header-Add-2", "b").with("X-Header-Remove-2", "c"),
                &[
                    "x-header-add-1: header-add-1",
                    "x-header-add-2: b",
                    "x-header-add-2: header-add-2",
                    "x-header-set-1: header-set-1",
                    "x-header-set-2: header-set-2",
                ],
            ),
        ];
        for (asked, expected) in table {
            let Outcome::Sent { headers, cluster, .. } = at_echo(&route, &asked) else { panic!("it is sent") };
            assert_eq!(headers, expected, "{} at_backend: {at_backend}", asked.target);
            assert_eq!(cluster, format!("outbound|8080||echo-v1.{MESH}.svc.cluster.local"));
        }
    }
}

/// MeshHTTPRouteRedirectHostAndStatus, -Path, -Port, -Scheme, and those of the status 303, 307 and 308.
#[test]
fn redirects_lead_exactly_where_the_api_says() {
    let prefix = "path: {type: ReplacePrefixMatch, replacePrefixMatch: /replacement-prefix}";
    let full = "path: {type: ReplaceFullPath, replaceFullPath: /replacement-full}";
    let table: Vec<(&str, String, &'static str, u16, &str)> = vec![
        (
            "/hostname-redirect",
            "hostname: example.org".into(),
            "/hostname-redirect",
            302,
            "http://example.org/hostname-redirect",
        ),
        ("/host", "statusCode: 301, hostname: example.org".into(), "/host", 301, "http://example.org/host"),
        ("/original-prefix", prefix.into(), "/original-prefix/lemon", 302, "http://echo/replacement-prefix/lemon"),
        ("/original-prefix", prefix.into(), "/original-prefix?q=1", 302, "http://echo/replacement-prefix?q=1"),
        ("/full", full.into(), "/full/path/original", 302, "http://echo/replacement-full"),
        ("/path", format!("hostname: example.org, {prefix}"), "/path", 302, "http://example.org/replacement-prefix"),
        ("/path", format!("{prefix}, statusCode: 301"), "/path", 301, "http://echo/replacement-prefix"),
        ("/full", format!("hostname: example.org, {full}"), "/full", 302, "http://example.org/replacement-full"),
        ("/full", format!("{full}, statusCode: 301"), "/full", 301, "http://echo/replacement-full"),
        ("/port", "port: 8083".into(), "/port", 302, "http://echo:8083/port"),
        ("/port", "hostname: example.org, port: 8083".into(), "/port", 302, "http://example.org:8083/port"),
        ("/port", "port: 8083, statusCode: 301".into(), "/port", 301, "http://echo:8083/port"),
        ("/scheme", "scheme: https".into(), "/scheme", 302, "https://echo/scheme"),
        ("/scheme", "scheme: https, hostname: example.org".into(), "/scheme", 302, "https://example.org/scheme"),
        ("/scheme", "scheme: https, statusCode: 301".into(), "/scheme", 301, "https://echo/scheme"),
        ("/redirect", "statusCode: 303".into(), "/redirect", 303, "http://echo/redirect"),
        ("/temporary", "statusCode: 307".into(), "/temporary", 307, "http://echo/temporary"),
        ("/permanent", "statusCode: 308".into(), "/permanent", 308, "http://echo/permanent"),
    ];
    for (path, redirect, target, status, location) in table {
        let route = echo(&format!(
            "[{{matches: [{{path: {{value: {path}}}}}], \
             filters: [{{type: RequestRedirect, requestRedirect: {{{redirect}}}}}]}}]"
        ));
        let expected = Outcome::Moved { status, location: location.to_owned() };
        assert_eq!(at_echo(&route, &get(target)), expected, "{redirect}");
    }
}

/// MeshHTTPRouteRewritePath.
#[test]
fn rewrites_make_exactly_the_paths_that_the_api_says() {
    let rule = |path: &str, change: &str, more: &str| {
        format!(
            "{{matches: [{{path: {{value: {path}}}}}], filters: [{{type: URLRewrite, urlRewrite: {{path: {change}}}}}{more}], \
             backendRefs: [{{name: echo-v1, port: 80}}]}}"
        )
    };
    let edits = ", {type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: X-Header-Set, value: new}], \
                 add: [{name: X-Header-Add, value: header-val-1}, {name: X-Header-Add-Append, value: header-val-2}], \
                 remove: [X-Header-Remove]}}";
    let rules = [
        rule("/prefix/one", "{type: ReplacePrefixMatch, replacePrefixMatch: /one}", ""),
        rule("/strip-prefix", "{type: ReplacePrefixMatch, replacePrefixMatch: /}", ""),
        rule("/full/one", "{type: ReplaceFullPath, replaceFullPath: /one}", ""),
        rule("/full/rewrite-path-and-modify-headers", "{type: ReplaceFullPath, replaceFullPath: /test}", edits),
        rule(
            "/prefix/rewrite-path-and-modify-headers",
            "{type: ReplacePrefixMatch, replacePrefixMatch: /prefix}",
            edits,
        ),
    ];
    let route = echo(&format!("[{}]", rules.join(", ")));
    for (asked, rewritten) in [
        ("/prefix/one/two", "/one/two"),
        ("/prefix/one", "/one"),
        ("/strip-prefix/three", "/three"),
        ("/strip-prefix/three?q=1", "/three?q=1"),
        ("/strip-prefix", "/"),
        ("/full/one/two", "/one"),
        ("/full/rewrite-path-and-modify-headers/test", "/test"),
        ("/prefix/rewrite-path-and-modify-headers/one", "/prefix/one"),
    ] {
        let request =
            get(asked).with("X-Header-Remove", "val").with("X-Header-Add-Append", "append").with("X-Header-Set", "val");
        let Outcome::Sent { path, headers, .. } = at_echo(&route, &request) else { panic!("it is sent") };
        assert_eq!(path, rewritten, "{asked}");
        if asked.contains("modify-headers") {
            assert_eq!(
                headers,
                [
                    "x-header-add-append: append",
                    "x-header-add-append: header-val-2",
                    "x-header-add: header-val-1",
                    "x-header-set: new"
                ]
            );
        }
    }
}
