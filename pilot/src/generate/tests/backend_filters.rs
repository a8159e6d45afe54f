//! Filters of one backend beyond edits of headers: they happen to its share of the requests alone.

use super::data_plane::{Asked, Outcome, get, send};
use super::*;

const REWRITES: &str = "filters: [{type: URLRewrite, urlRewrite: {hostname: other.example, path: {type: ReplacePrefixMatch, replacePrefixMatch: /new}}}]";
const REDIRECTS: &str = "filters: [{type: RequestRedirect, requestRedirect: {hostname: example.org, statusCode: 307}}]";

fn routes_with(backends: &str) -> RouteConfiguration {
    let rules = format!("\n  - matches: [{{path: {{value: /old}}}}]\n    backendRefs: [{backends}]");
    routes(&shop_with(&http_route("x", "shop", "catalog", &rules)), &frontend(), "catalog.shop.svc.cluster.local:80")
}

/// What becomes of each hundredth of the requests.
fn outcomes(backends: &str) -> Vec<Outcome> {
    let routes = routes_with(backends);
    (0..100).map(|share| send(&routes, &Asked { random: share * 10_000, ..get("/old/x") })).collect()
}

fn count(outcomes: &[Outcome], wanted: impl Fn(&Outcome) -> bool) -> usize {
    outcomes.iter().filter(|outcome| wanted(outcome)).count()
}

fn goes_to(outcome: &Outcome, service: &str, path: &str, host: &str) -> bool {
    matches!(outcome, Outcome::Sent { cluster, path: p, host: h, .. } if cluster.contains(service) && p == path && h == host)
}

#[test]
fn each_share_gets_its_own_filters() {
    let all = outcomes(&format!(
        "{{name: catalog, port: 80, weight: 40}}, {{name: ratings, port: 9000, weight: 30, {REWRITES}}}, \
         {{name: stock, port: 7000, weight: 20, {REDIRECTS}}}, {{name: gone, port: 80, weight: 10}}"
    ));
    assert_eq!(count(&all, |outcome| goes_to(outcome, "catalog", "/old/x", "echo")), 40);
    assert_eq!(count(&all, |outcome| goes_to(outcome, "ratings", "/new/x", "other.example")), 30);
    let moved = Outcome::Moved { status: 307, location: "http://example.org/old/x".into() };
    assert_eq!(count(&all, |outcome| *outcome == moved), 20);
    assert_eq!(count(&all, |outcome| *outcome == Outcome::Answered(500)), 10);
}

#[test]
fn the_last_share_is_what_is_left() {
    let all = outcomes(&format!(
        "{{name: catalog, port: 80, weight: 1, {REWRITES}}}, {{name: ratings, port: 9000, weight: 3, {REWRITES}}}"
    ));
    assert_eq!(count(&all, |outcome| goes_to(outcome, "catalog", "/new/x", "other.example")), 25);
    assert_eq!(count(&all, |outcome| goes_to(outcome, "ratings", "/new/x", "other.example")), 75);
    let told: Vec<_> = routes_with(&format!("{{name: catalog, port: 80, {REWRITES}}}")).virtual_hosts[0]
        .routes
        .iter()
        .map(tell)
        .collect();
    assert_eq!(told, ["below /old => outbound|80||catalog.shop.svc.cluster.local"], "alone it needs no share");
}

#[test]
fn copies_and_cors_belong_to_their_backend() {
    let filters = "filters: [{type: RequestMirror, requestMirror: {backendRef: {name: stock, port: 7000}}}, \
                   {type: CORS, cors: {allowOrigins: ['https://a.b']}}, \
                   {type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: x-own, value: c}]}}]";
    let routes = routes_with(&format!(
        "{{name: catalog, port: 80, weight: 1, {filters}}}, {{name: ratings, port: 9000, weight: 1}}"
    ));
    let [own, plain] = routes.virtual_hosts[0].routes.as_slice() else { panic!("two shares") };
    let copies = |route: &Route| action_of(route).request_mirror_policies.len();
    assert_eq!((copies(own), copies(plain)), (1, 0));
    assert_eq!((own.typed_per_filter_config.len(), plain.typed_per_filter_config.len()), (1, 0));
    let Outcome::Sent { headers, .. } = send(&routes, &get("/old")) else { panic!("it is sent") };
    assert_eq!(headers, ["x-own: c"]);
}
