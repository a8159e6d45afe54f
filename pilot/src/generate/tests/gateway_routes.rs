//! Routes of the Gateway API as data planes get them.

use super::*;

const CATALOG: &str = "outbound|80||catalog.shop.svc.cluster.local";
const RATINGS: &str = "outbound|9000||ratings.shop.svc.cluster.local";
const TO_CATALOG: &str = "backendRefs: [{name: catalog, port: 80}]";
const TO_RATINGS: &str = "backendRefs: [{name: ratings, port: 9000}]";

fn told_of(objects: &str, viewer: &Viewer, name: &str) -> Vec<String> {
    let routes = routes(&shop_with(objects), viewer, name);
    routes.virtual_hosts[0].routes.iter().map(tell).collect()
}

fn told(objects: &str) -> Vec<String> {
    told_of(objects, &frontend(), "catalog.shop.svc.cluster.local:80")
}

fn only_route(rules: &str) -> Route {
    let world = shop_with(&http_route("x", "shop", "catalog", rules));
    let routes = routes(&world, &frontend(), "catalog.shop.svc.cluster.local:80").virtual_hosts.remove(0).routes;
    let [route] = routes.as_slice() else { panic!("one route, not {routes:?}") };
    route.clone()
}

#[test]
fn every_match_becomes_a_route_in_the_order_of_the_api() {
    let rules = format!(
        r#"
  - {{{TO_CATALOG}}}
  - matches:
    - {{path: {{value: /a}}}}
    - {{path: {{value: /a/b/}}}}
    - {{path: {{value: /a}}, method: GET}}
    - {{path: {{value: /a}}, headers: [{{name: X-A, value: '1'}}, {{name: x-b, type: RegularExpression, value: b+}}]}}
    - {{path: {{value: /a}}, headers: [{{name: X-A, value: '1'}}]}}
    - {{path: {{value: /a}}, queryParams: [{{name: q, value: '1'}}]}}
    {TO_CATALOG}
  - matches:
    - {{path: {{type: RegularExpression, value: "/[x-z].*"}}}}
    - {{path: {{type: Exact, value: /a}}}}
    - {{path: {{type: Exact, value: /longer}}}}
    {TO_RATINGS}
"#
    );
    assert_eq!(
        told(&http_route("x", "shop", "catalog", &rules)),
        [
            format!("path /longer => {RATINGS}"),
            format!("path /a => {RATINGS}"),
            format!("regex /[x-z].* => {RATINGS}"),
            format!("below /a/b => {CATALOG}"),
            format!("below /a :method=exact:GET => {CATALOG}"),
            format!("below /a x-a=exact:1 x-b=regex:b+ => {CATALOG}"),
            format!("below /a x-a=exact:1 => {CATALOG}"),
            format!("below /a ?q=exact:1 => {CATALOG}"),
            format!("below /a => {CATALOG}"),
            format!("prefix / => {CATALOG}"),
        ]
    );
}

#[test]
fn routes_of_one_service_are_merged_and_the_older_goes_first() {
    let rule = |path: &str, to: &str| format!("\n  - matches: [{{path: {{value: {path}}}}}]\n    {to}");
    let aged = |name: &str, year: u16, rules: &str| {
        let metadata = format!("name: {name}, creationTimestamp: \"{year}-01-01T00:00:00Z\"");
        http_route(name, "shop", "catalog", rules).replace(&format!("name: {name},"), &format!("{metadata},"))
    };
    let young = aged("a", 2025, &(rule("/same", TO_CATALOG) + &rule("/longer", TO_CATALOG)));
    let old = aged("b", 2020, &rule("/same", TO_RATINGS));
    assert_eq!(
        told(&(young + &old)),
        [
            format!("below /longer => {CATALOG}"),
            format!("below /same => {RATINGS}"),
            format!("below /same => {CATALOG}"),
        ],
        "without a rule for the rest, nothing is left that takes it: 404"
    );
    let same_age = http_route("b", "shop", "catalog", &rule("/same", TO_RATINGS))
        + &http_route("a", "shop", "catalog", &rule("/same", TO_CATALOG));
    assert_eq!(told(&same_age), [format!("below /same => {CATALOG}"), format!("below /same => {RATINGS}")]);
}

#[test]
fn each_route_names_the_object_it_came_from() {
    let rule = |path: &str| format!("\n  - name: n\n    matches: [{{path: {{value: {path}}}}}]\n    {TO_CATALOG}");
    let objects =
        http_route("a", "shop", "catalog", &rule("/a")) + &http_route("b", "shop", "catalog", &rule("/longer"));
    let world = shop_with(&objects);
    let routes = routes(&world, &frontend(), "catalog.shop.svc.cluster.local:80").virtual_hosts.remove(0).routes;
    let from: Vec<_> = routes.iter().map(|route| config_of(&route.metadata)).collect();
    let path = "/apis/gateway.networking.k8s.io/v1/namespaces/shop/http-route";
    assert_eq!(from, [format!("{path}/b"), format!("{path}/a")]);
    assert_eq!(routes[0].name, "n");
    let generated = generate(&world, &frontend(), ResourceType::Route, "catalog.shop.svc.cluster.local:80");
    let told: Vec<_> = generated.sources.iter().map(ToString::to_string).collect();
    assert_eq!(told, ["HTTPRoute shop/a", "HTTPRoute shop/b"], "both are told when a data plane refuses it");
}

#[test]
fn a_consumers_route_is_for_its_own_namespace() {
    let objects = http_route("for-all", "shop", "catalog", &format!("\n  - {TO_CATALOG}"))
        + &http_route(
            "mine",
            "bank",
            "catalog",
            "\n  - matches: [{path: {value: /x}}]\n    backendRefs: [{name: private, port: 80}]",
        );
    let name = "catalog.shop.svc.cluster.local:80";
    assert_eq!(told_of(&objects, &frontend(), name), [format!("prefix / => {CATALOG}")]);
    let bank = viewer("bank", [10, 0, 9, 9]);
    assert_eq!(told_of(&objects, &bank, name), ["below /x => outbound|80||private.bank.svc.cluster.local"]);
}

const TWO_PORTS: &str = "apiVersion: v1\nkind: Service\nmetadata: {name: two, namespace: shop}\nspec:\n  clusterIP: 10.96.1.77\n  \
                         ports: [{name: http-a, port: 81}, {name: http-b, port: 82}]\n---\n";

#[test]
fn a_port_of_the_parent_leaves_the_others_alone() {
    for which in ["port: 82", "sectionName: http-b"] {
        let route = http_route("x", "shop", &format!("two, {which}"), &format!("\n  - {TO_CATALOG}"));
        let objects = format!("{TWO_PORTS}{route}");
        let at = |port: u16| told_of(&objects, &frontend(), &format!("two.shop.svc.cluster.local:{port}"));
        assert_eq!(at(81), ["prefix / => outbound|81||two.shop.svc.cluster.local"], "{which}");
        assert_eq!(at(82), [format!("prefix / => {CATALOG}")], "{which}");
    }
}

#[test]
fn a_consumers_route_for_one_port_keeps_the_producers_at_others() {
    let objects = TWO_PORTS.to_owned()
        + &http_route("all", "shop", "two", &format!("\n  - {TO_CATALOG}"))
        + &http_route("own", "bank", "two, port: 82", "\n  - backendRefs: [{name: private, port: 80}]");
    let at = |port: u16| {
        let name = format!("two.shop.svc.cluster.local:{port}");
        told_of(&objects, &viewer("bank", [10, 0, 9, 9]), &name)
    };
    assert_eq!(at(81), [format!("prefix / => {CATALOG}")]);
    assert_eq!(at(82), ["prefix / => outbound|80||private.bank.svc.cluster.local"]);
}

#[test]
fn weights_share_requests_and_what_is_missing_is_answered_with_an_error() {
    let of = |backends: &str| told(&http_route("x", "shop", "catalog", &format!("\n  - backendRefs: [{backends}]")));
    let catalog = |weight: u32| format!("{{name: catalog, port: 80, weight: {weight}}}");
    let ratings = |weight: u32| format!("{{name: ratings, port: 9000, weight: {weight}}}");
    let gone = |weight: u32| format!("{{name: gone, port: 80, weight: {weight}}}");
    for (backends, expected) in [
        (format!("{}, {}", catalog(70), ratings(30)), vec![format!("prefix / => {CATALOG} 70, {RATINGS} 30")]),
        (format!("{}, {}", catalog(1), ratings(0)), vec![format!("prefix / => {CATALOG}")]),
        (
            format!("{}, {}, {}", catalog(2), ratings(1), gone(1)),
            vec![
                "prefix / 250000 of a million => status 500".to_owned(),
                format!("prefix / => {CATALOG} 2, {RATINGS} 1"),
            ],
        ),
        (gone(1), vec!["prefix / => status 500".to_owned()]),
        (catalog(0), vec!["prefix / => status 500".to_owned()]),
        (String::new(), vec!["prefix / => status 500".to_owned()]),
        ("{name: catalog, port: 8080}".to_owned(), vec!["prefix / => status 500".to_owned()]),
        ("{name: private, namespace: bank, port: 80}".to_owned(), vec!["prefix / => status 500".to_owned()]),
        ("{group: acme.com, kind: Bucket, name: b}".to_owned(), vec!["prefix / => status 500".to_owned()]),
    ] {
        assert_eq!(of(&backends), expected, "{backends}");
    }
}

#[test]
fn a_reference_grant_opens_another_namespace() {
    let grant = |from: &str, to: &str| {
        format!(
            "apiVersion: gateway.networking.k8s.io/v1beta1\nkind: ReferenceGrant\nmetadata: {{name: g, namespace: bank}}\nspec:\n  \
             from: [{{group: gateway.networking.k8s.io, {from}}}]\n  to: [{{group: '', kind: {to}}}]\n---\n"
        )
    };
    let route = http_route("x", "shop", "catalog", "\n  - backendRefs: [{name: private, namespace: bank, port: 80}]");
    let open = ["prefix / => outbound|80||private.bank.svc.cluster.local"];
    let closed = ["prefix / => status 500"];
    for (from, to, expected) in [
        ("kind: HTTPRoute, namespace: shop", "Service", open),
        ("kind: HTTPRoute, namespace: shop", "Service, name: private", open),
        ("kind: HTTPRoute, namespace: shop", "Service, name: other", closed),
        ("kind: HTTPRoute, namespace: shop", "Secret", closed),
        ("kind: HTTPRoute, namespace: lab", "Service", closed),
        ("kind: GRPCRoute, namespace: shop", "Service", closed),
    ] {
        assert_eq!(told(&format!("{}{route}", grant(from, to))), expected, "{from} {to}");
    }
}

/// What a rewrite makes of paths (the table of the API's documentation), by the fields that data planes get.
#[test]
fn rewrites_keep_whole_segments() {
    let rewrite = |matched: &str, path: &str| {
        let filter = format!("{{type: URLRewrite, urlRewrite: {{path: {path}}}}}");
        let action = action_of(&only_route(&format!(
            "\n  - matches: [{{path: {{value: {matched}}}}}]\n    filters: [{filter}]\n    {TO_CATALOG}"
        )));
        let regex = action.regex_rewrite.map(|regex| (regex.pattern.unwrap().regex, regex.substitution));
        (action.prefix_rewrite, regex)
    };
    let prefix = |text: &str| format!("{{type: ReplacePrefixMatch, replacePrefixMatch: '{text}'}}");
    let regex = |pattern: &str, to: &str| (String::new(), Some((pattern.to_owned(), to.to_owned())));
    for (matched, with, expected) in [
        ("/foo", prefix("/xyz"), ("/xyz".to_owned(), None)),
        ("/foo/", prefix("/xyz/"), ("/xyz".to_owned(), None)),
        ("/foo", prefix("/"), regex("^/foo/?", "/")),
        ("/f.o", prefix(""), regex(r"^/f\.o/?", "/")),
        ("/", prefix("/xyz"), ("/xyz/".to_owned(), None)),
        ("/", prefix("/"), (String::new(), None)),
        ("/foo", "{type: ReplaceFullPath, replaceFullPath: '/a\\1'}".to_owned(), regex("^/.*", r"/a\\1")),
    ] {
        assert_eq!(rewrite(matched, &with), expected, "{matched} {with}");
    }
}

#[test]
fn redirects_lead_to_the_port_that_the_api_says() {
    let redirect = |filter: &str| {
        let filter = format!("{{type: RequestRedirect, requestRedirect: {{{filter}}}}}");
        match only_route(&format!("\n  - matches: [{{path: {{value: /foo}}}}]\n    filters: [{filter}]")).action {
            Some(Action::Redirect(action)) => action,
            other => panic!("{other:?}"),
        }
    };
    use xds::route::redirect_action::{PathRewriteSpecifier, RedirectResponseCode, SchemeRewriteSpecifier};
    let plain = redirect("hostname: example.org");
    assert_eq!(
        (plain.host_redirect.as_str(), plain.port_redirect),
        ("example.org", 0),
        "port 80 of http is not written"
    );
    assert_eq!(plain.response_code, RedirectResponseCode::Found as i32, "302 by default");
    let other = redirect("port: 8443, statusCode: 308, path: {type: ReplaceFullPath, replaceFullPath: /x}");
    assert_eq!((other.port_redirect, other.response_code), (8443, RedirectResponseCode::PermanentRedirect as i32));
    assert_eq!(other.path_rewrite_specifier, Some(PathRewriteSpecifier::PathRedirect("/x".into())));
    let scheme = redirect("scheme: https, path: {type: ReplacePrefixMatch, replacePrefixMatch: /bar}");
    assert_eq!(scheme.scheme_rewrite_specifier, Some(SchemeRewriteSpecifier::SchemeRedirect("https".into())));
    assert_eq!(scheme.path_rewrite_specifier, Some(PathRewriteSpecifier::PrefixRewrite("/bar".into())));
    let stripped = redirect("path: {type: ReplacePrefixMatch, replacePrefixMatch: /}").path_rewrite_specifier;
    let Some(PathRewriteSpecifier::RegexRewrite(regex)) = stripped else { panic!("a regex, so that no // is left") };
    assert_eq!((regex.pattern.unwrap().regex.as_str(), regex.substitution.as_str()), ("^/foo/?", "/"));
}

#[test]
fn a_redirect_to_the_usual_port_replaces_another_port_of_the_host() {
    let port_of = |service_port: &str, filter: &str| {
        let rules = format!("\n  - filters: [{{type: RequestRedirect, requestRedirect: {{{filter}}}}}]");
        let world = shop_with(&(TWO_PORTS.to_owned() + &http_route("x", "shop", "two", &rules)));
        let name = format!("two.shop.svc.cluster.local:{service_port}");
        match routes(&world, &frontend(), &name).virtual_hosts[0].routes[0].action.clone() {
            Some(Action::Redirect(action)) => action.port_redirect,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(port_of("81", "scheme: https"), 443, "the client wrote Host: two:81");
    assert_eq!(port_of("81", "port: 80"), 80);
    assert_eq!(port_of("81", "scheme: https, hostname: a.b"), 0);
    assert_eq!(port_of("81", "hostname: a.b"), 81, "without scheme and port it is the one that was asked");
}

#[test]
fn rules_of_grpc_routes_go_before_those_of_http_routes() {
    let http = http_route(
        "h",
        "shop",
        "ratings",
        &format!("\n  - matches: [{{path: {{type: Exact, value: /a/b}}}}]\n    {TO_CATALOG}"),
    );
    let grpc =
        http_route("g", "shop", "ratings", &format!("\n  - matches: [{{method: {{service: a}}}}]\n    {TO_RATINGS}"));
    let objects = http + &grpc.replace("HTTPRoute", "GRPCRoute");
    assert_eq!(
        told_of(&objects, &frontend(), "ratings.shop.svc.cluster.local:9000"),
        [format!("prefix /a/ => {RATINGS}"), format!("path /a/b => {CATALOG}")]
    );
}

#[test]
fn filters_and_limits_are_written() {
    let route = only_route(
        r#"
  - filters:
    - type: RequestHeaderModifier
      requestHeaderModifier: {set: [{name: X-Set, value: "100%"}], add: [{name: x-add, value: a}], remove: [x-gone]}
    - type: ResponseHeaderModifier
      responseHeaderModifier: {add: [{name: x-back, value: b}]}
    - type: RequestMirror
      requestMirror: {backendRef: {name: ratings, port: 9000}, fraction: {numerator: 1, denominator: 8}}
    - type: CORS
      cors: {allowOrigins: ["https://*.example.com", "https://a.b"], allowMethods: [GET], maxAge: 60}
    - type: URLRewrite
      urlRewrite: {hostname: other.example}
    timeouts: {request: 10s, backendRequest: 2s}
    retry: {attempts: 3, codes: [503], backoff: 100ms}
    backendRefs:
    - name: catalog
      port: 80
      filters:
      - {type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: x-own, value: c}]}}
"#,
    );
    let pairs = |options: &[xds::core::HeaderValueOption]| {
        let header = |option: &xds::core::HeaderValueOption| option.header.clone().unwrap();
        options.iter().map(header).map(|header| format!("{}={}", header.key, header.value)).collect::<Vec<_>>()
    };
    assert_eq!(pairs(&route.request_headers_to_add), ["x-set=100%%", "x-add=a"]);
    assert_eq!(route.request_headers_to_remove, ["x-gone"]);
    assert_eq!(pairs(&route.response_headers_to_add), ["x-back=b"]);
    let action = action_of(&route);
    let Some(ClusterSpecifier::WeightedClusters(weighted)) = &action.cluster_specifier else { panic!("weighted") };
    assert_eq!(pairs(&weighted.clusters[0].request_headers_to_add), ["x-own=c"]);
    let mirror = &action.request_mirror_policies[0];
    assert_eq!(mirror.cluster, RATINGS);
    assert_eq!(mirror.runtime_fraction.as_ref().unwrap().default_value.unwrap().numerator, 125_000);
    let retry = action.retry_policy.as_ref().unwrap();
    assert_eq!((retry.num_retries.as_ref().unwrap().value, retry.per_try_timeout.unwrap().seconds), (3, 2));
    assert_eq!(retry.retriable_status_codes, [503]);
    assert_eq!(action.timeout.unwrap().seconds, 10);
    let cors: xds::cors::CorsPolicy = xds::unpack(&route.typed_per_filter_config["envoy.filters.http.cors"]).unwrap();
    let origins: Vec<_> = cors.allow_origin_string_match.iter().map(pattern).collect();
    assert_eq!(origins, [r"regex:https://.*\.example\.com", "exact:https://a.b"]);
    assert_eq!((cors.allow_methods.as_str(), cors.max_age.as_str()), ("GET", "60"));
}

#[test]
fn grpc_methods_are_paths() {
    let route = |rules: &str| http_route("g", "shop", "ratings", rules).replace("HTTPRoute", "GRPCRoute");
    let rules = format!(
        r"
  - matches:
    - {{method: {{service: shop.Ratings}}}}
    - {{method: {{method: Get}}}}
    - {{method: {{service: shop.Ratings, method: Get}}, headers: [{{name: x-a, value: '1'}}]}}
    - {{method: {{type: RegularExpression, service: 'shop\..*', method: 'Get|List'}}}}
    {TO_RATINGS}
  - backendRefs: [{{name: gone, port: 80}}]
"
    );
    assert_eq!(
        told_of(&route(&rules), &frontend(), "ratings.shop.svc.cluster.local:9000"),
        [
            format!("path /shop.Ratings/Get x-a=exact:1 => {RATINGS}"),
            format!("prefix /shop.Ratings/ => {RATINGS}"),
            format!(r"regex /(?:shop\..*)/(?:Get|List) => {RATINGS}"),
            format!("regex /[^/]+/Get => {RATINGS}"),
            "prefix / => status 503".to_owned(),
        ]
    );
}

/// As in Istio: the client's own namespace goes first, elsewhere the oldest decides.
#[test]
fn beside_a_virtual_service_the_clients_own_routes_decide() {
    let old = virtual_service("catalog", "\n  - route: [{destination: {host: catalog, subset: v1}}]\n")
        .replace("name: catalog,", "name: catalog, creationTimestamp: \"2020-01-01T00:00:00Z\",");
    let route = http_route("x", "shop", "catalog", &format!("\n  - {TO_RATINGS}"))
        .replace("name: x,", "name: x, creationTimestamp: \"2025-01-01T00:00:00Z\",");
    let objects = format!("{old}\n---\n{route}");
    assert_eq!(told(&objects), [format!("prefix / => {RATINGS}")]);
    let bank = viewer("bank", [10, 0, 9, 9]);
    let name = "catalog.shop.svc.cluster.local:80";
    assert_eq!(told_of(&objects, &bank, name), ["prefix / => outbound|80|v1|catalog.shop.svc.cluster.local"]);
}
