//! What is reported of objects of the Gateway API, word by word.

use crate::fixture::{each_gives, findings_of};

/// An HTTPRoute for catalog whose `spec.rules[0]` starts on line 6.
fn rule(yaml: &str) -> String {
    let indented: String = yaml.lines().map(|line| format!("    {line}\n")).collect();
    let head = "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {name: x, namespace: shop}\nspec:\n  parentRefs: [{group: '', kind: Service, name: catalog}]\n  rules:\n";
    format!("{head}  - {}", indented.trim_start())
}

fn rules_give(table: &[(&str, &str)]) {
    for (yaml, expected) in table {
        assert_eq!(findings_of(&rule(yaml)), [*expected], "of\n{}", rule(yaml));
    }
}

#[test]
fn matches_are_checked() {
    rules_give(&[
        (
            "matches: [{path: {value: foo}}]",
            "x.yaml:7: spec.rules[0].matches[0].path.value: \"foo\" is not a path; it starts with \"/\" and has no segments . and ..",
        ),
        (
            "matches: [{path: {value: '/a?b'}}]",
            "x.yaml:7: spec.rules[0].matches[0].path.value: \"/a?b\" is not a path; it must not contain \"?\"",
        ),
        (
            "matches: [{queryParams: [{value: b}]}]",
            "x.yaml:7: spec.rules[0].matches[0].queryParams[0].name: is missing; name a query parameter",
        ),
        (
            "matches: [{path: {value: /a//b}}]",
            "x.yaml:7: spec.rules[0].matches[0].path.value: \"/a//b\" is not a path; it must not contain \"//\"",
        ),
        (
            "matches: [{path: {type: Prefix, value: /a}}]",
            "x.yaml:7: spec.rules[0].matches[0].path.type: \"Prefix\" is none of its values; use Exact, PathPrefix, RegularExpression",
        ),
        (
            "matches:\n- headers:\n  - {name: a b, value: c}",
            "x.yaml:9: spec.rules[0].matches[0].headers[0].name: \"a b\" is not a header name; use letters, digits and \"-\"",
        ),
        (
            "matches: [{headers: [{name: A, value: b}, {name: a, value: c}]}]",
            "x.yaml:7: spec.rules[0].matches[0].headers[1]: names a a second time; the first counts",
        ),
        (
            "matches: [{method: get}]",
            "x.yaml:7: spec.rules[0].matches[0].method: \"get\" is none; use GET, HEAD, POST, PUT, DELETE, CONNECT, OPTIONS, TRACE, PATCH",
        ),
        ("matchs: []", "x.yaml:7: spec.rules[0].matchs: no such field; did you mean \"matches\"?"),
    ]);
}

#[test]
fn filters_are_checked() {
    rules_give(&[
        (
            "filters: [{type: RequestHeadersModifier}]",
            "x.yaml:7: spec.rules[0].filters[0].type: \"RequestHeadersModifier\" is no filter; did you mean RequestHeaderModifier?",
        ),
        (
            "filters: [{type: RequestHeaderModifier, requestHeaderModifier: {remove: [Host]}}]\nbackendRefs: [{name: catalog, port: 80}]",
            "x.yaml:7: spec.rules[0].filters[0].requestHeaderModifier.remove[0]: a request cannot be without Host; this has no effect",
        ),
        (
            "filters: [{type: ExtensionRef, extensionRef: {group: a, kind: B, name: c}}]",
            "x.yaml:7: spec.rules[0].filters[0].type: ExtensionRef is not supported yet; remove the filter",
        ),
        (
            "filters: [{type: URLRewrite}]",
            "x.yaml:7: spec.rules[0].filters[0].urlRewrite: is missing: the filter is of type URLRewrite",
        ),
        (
            "filters:\n- {type: RequestRedirect, requestRedirect: {port: 8080}}\nbackendRefs: [{name: catalog, port: 80}]",
            "x.yaml:9: spec.rules[0].backendRefs: cannot stand beside a RequestRedirect, which answers by itself",
        ),
        (
            "filters:\n- {type: RequestRedirect, requestRedirect: {port: 8080}}\n- {type: URLRewrite, urlRewrite: {hostname: a.b}}",
            "x.yaml:9: spec.rules[0].filters[1]: cannot stand beside a RequestRedirect; keep one",
        ),
        (
            "matches: [{path: {type: Exact, value: /a}}]\nfilters:\n- type: URLRewrite\n  urlRewrite: {path: {type: ReplacePrefixMatch, replacePrefixMatch: /}}",
            "x.yaml:8: spec.rules[0].filters: uses ReplacePrefixMatch, which needs exactly one match, of a path of type PathPrefix",
        ),
        (
            "filters: [{type: RequestRedirect, requestRedirect: {path: {type: ReplaceFullPath, replaceFullPath: a}}}]",
            "x.yaml:7: spec.rules[0].filters[0].requestRedirect.path.replaceFullPath: \"a\" is not a path; it starts with \"/\"",
        ),
        (
            "filters: [{type: RequestRedirect, requestRedirect: {statusCode: 300}}]",
            "x.yaml:7: spec.rules[0].filters[0].requestRedirect.statusCode: 300 is not a redirect; use 301, 302, 303, 307 or 308",
        ),
        (
            "filters: [{type: RequestMirror, requestMirror: {percent: 101, backendRef: {name: reviews, port: 80}}}]",
            "x.yaml:7: spec.rules[0].filters[0].requestMirror: has a share that is none; use a percent from 0 to 100, or a fraction up to 1",
        ),
        (
            "filters: [{type: RequestMirror, requestMirror: {backendRef: {name: gone, port: 80}}}]\nbackendRefs: [{name: catalog, port: 80}]",
            "x.yaml:7: spec.rules[0].filters[0].requestMirror.backendRef: there is no Service shop/gone; no requests are copied to it",
        ),
        (
            "timeouts: {request: 1s, backendRequest: 2s}\nbackendRefs: [{name: catalog, port: 80}]",
            "x.yaml:7: spec.rules[0].timeouts.backendRequest: is longer than the whole request may take",
        ),
        (
            "retry: {codes: [200]}\nbackendRefs: [{name: catalog, port: 80}]",
            "x.yaml:7: spec.rules[0].retry.codes[0]: 200 is not the status of an error; use 400 to 599",
        ),
        (
            "sessionPersistence: {}\nbackendRefs: [{name: catalog, port: 80}]",
            "x.yaml:7: spec.rules[0].sessionPersistence: is not supported yet and has no effect",
        ),
        (
            "filters: [{type: URLRewrite, urlRewrite: {hostname: a.b}}]\nbackendRefs:\n- {name: catalog, port: 80, filters: [{type: URLRewrite, urlRewrite: {hostname: c.d}}]}",
            "x.yaml:9: spec.rules[0].backendRefs[0].filters[0]: is there for the whole rule too; keep one",
        ),
        (
            "matches: [{path: {type: Exact, value: /a}}]\nbackendRefs:\n- name: catalog\n  port: 80\n  filters: [{type: URLRewrite, urlRewrite: {path: {type: ReplacePrefixMatch, replacePrefixMatch: /}}}]",
            "x.yaml:11: spec.rules[0].backendRefs[0].filters: uses ReplacePrefixMatch, which needs exactly one match, of a path of type PathPrefix",
        ),
        (
            "backendRefs: [{name: catalog, port: 80, weight: -1}]",
            "x.yaml:7: spec.rules[0].backendRefs[0].weight: -1 is not a weight; use 0 to 1000000",
        ),
    ]);
}

#[test]
fn the_other_objects_are_checked() {
    each_gives(&[
        (
            "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {name: x, namespace: shop}\nspec:\n  parentRefs: [{group: '', kind: Service, name: catalog}]\n  hostnames: [a.example]\n",
            &[
                "x.yaml:6: spec.hostnames: has no effect at a Service: its address decides, whatever the Host header says",
            ],
        ),
        (
            "apiVersion: gateway.networking.k8s.io/v1\nkind: GRPCRoute\nmetadata: {name: x, namespace: shop}\nspec:\n  parentRefs: [{group: '', kind: Service, name: catalog}]\n  rules:\n  - filters: [{type: URLRewrite, urlRewrite: {hostname: a.b}}]\n",
            &["x.yaml:7: spec.rules[0].filters[0].type: URLRewrite is no filter of a GRPCRoute"],
        ),
        (
            "apiVersion: gateway.networking.k8s.io/v1\nkind: GRPCRoute\nmetadata: {name: x, namespace: shop}\nspec:\n  parentRefs: [{group: '', kind: Service, name: catalog}]\n  rules:\n  - backendRefs: [{name: catalog, port: 80, filters: [{type: CORS, cors: {allowOrigins: ['https://a.b']}}]}]\n",
            &["x.yaml:7: spec.rules[0].backendRefs[0].filters[0].type: CORS is no filter of a GRPCRoute"],
        ),
        (
            "apiVersion: gateway.networking.k8s.io/v1\nkind: GRPCRoute\nmetadata: {name: x, namespace: shop}\nspec:\n  parentRefs: [{group: '', kind: Service, name: catalog}]\n  rules:\n  - matches: [{method: {service: a/b}}]\n",
            &["x.yaml:7: spec.rules[0].matches[0].method.service: \"a/b\" is not the name of a service"],
        ),
        (
            "apiVersion: gateway.networking.k8s.io/v1beta1\nkind: ReferenceGrant\nmetadata: {name: x, namespace: shop}\nspec:\n  from: [{group: gateway.networking.k8s.io, kind: HTTPRoute}]\n  to: []\n",
            &["x.yaml:5: spec.from[0].namespace: is missing", "x.yaml:6: spec.to: is missing; name at least one"],
        ),
        (
            "apiVersion: gateway.networking.k8s.io/v1alpha2\nkind: HTTPRoute\nmetadata: {name: x, namespace: shop}\n",
            &["x.yaml:2: kind: HTTPRoute has no version \"v1alpha2\"; write gateway.networking.k8s.io/v1"],
        ),
    ]);
}
