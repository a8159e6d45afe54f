//! Route configurations: which rules take part, in which order, and where they lead.

use super::*;

const V1: &str = "outbound|80|v1|catalog.shop.svc.cluster.local";
const V2: &str = "outbound|80|v2|catalog.shop.svc.cluster.local";
const ALL: &str = "outbound|80||catalog.shop.svc.cluster.local";

fn with_rules(rules: &str) -> World {
    shop_with(&virtual_service("catalog", rules))
}

fn told(world: &World, viewer: &Viewer) -> Vec<String> {
    routes(world, viewer, "catalog.shop.svc.cluster.local:80").virtual_hosts[0].routes.iter().map(tell).collect()
}

#[test]
fn without_rules_everything_goes_to_the_service() {
    let routes = routes(&shop(), &frontend(), "catalog.shop.svc.cluster.local:80");
    assert_eq!(routes.validate_clusters.as_ref().map(|flag| flag.value), Some(false));
    let [host] = routes.virtual_hosts.as_slice() else { panic!("one virtual host") };
    assert_eq!(host.domains, ["*"], "the address decides, not the Host header");
    assert!(host.include_request_attempt_count);
    let [route] = host.routes.as_slice() else { panic!("one route") };
    assert_eq!(tell(route), format!("prefix / => {ALL}"));
    assert_eq!(config_of(&route.metadata), "/api/v1/namespaces/shop/service/catalog");
}

#[test]
fn rules_are_routes_up_to_the_first_that_takes_everything() {
    let world = with_rules(
        r#"
  - name: beta
    match:
    - {name: header, headers: {x-user: {exact: anna}}}
    - {uri: {prefix: /beta}}
    route: [{destination: {host: catalog, subset: v2}}]
  - route: [{destination: {host: catalog, subset: v1}}]
  - match: [{uri: {exact: /never}}]
    route: [{destination: {host: catalog, subset: v2}}]
"#,
    );
    assert_eq!(
        told(&world, &frontend()),
        [format!("prefix / x-user=exact:anna => {V2}"), format!("prefix /beta => {V2}"), format!("prefix / => {V1}")]
    );
    let routes = routes(&world, &frontend(), "catalog.shop.svc.cluster.local:80").virtual_hosts.remove(0).routes;
    assert_eq!(routes[0].name, "beta.header");
    assert_eq!(config_of(&routes[0].metadata), "/apis/networking.istio.io/v1/namespaces/shop/virtual-service/catalog");
}

#[test]
fn every_condition_is_written() {
    let world = with_rules(
        r#"
  - match:
    - uri: {regex: "/v[0-9]+/.*"}
      ignoreUriCase: true
      method: {exact: GET}
      authority: {prefix: catalog}
      scheme: {exact: http}
      headers: {x-a: {}, x-b: {regex: "b+"}}
      withoutHeaders: {x-c: {exact: c}, x-d: {}}
      queryParams: {page: {regex: "\\d+"}}
    route: [{destination: {host: catalog}}]
"#,
    );
    assert_eq!(
        told(&world, &frontend()),
        [format!(
            "regex /v[0-9]+/.* ignoring case :scheme=exact:http :method=exact:GET :authority=prefix:catalog x-a present \
             x-b=regex:b+ not x-c=exact:c or empty not x-d present ?page=regex:\\d+ => {ALL}"
        )]
    );
}

/// An authority means the same however it is spelt.
#[test]
fn authorities_are_compared_as_hosts_are() {
    let of = |test: &str| {
        let world = with_rules(&format!(
            "\n  - match: [{{authority: {test}}}]\n    route: [{{destination: {{host: catalog}}}}]\n"
        ));
        let routes = routes(&world, &frontend(), "catalog.shop.svc.cluster.local:80").virtual_hosts.remove(0).routes;
        let matcher = &routes[0].r#match.as_ref().unwrap().headers[0];
        match matcher.header_match_specifier.as_ref().unwrap() {
            HeaderMatchSpecifier::StringMatch(test) => format!("{} {}", header(matcher), test.ignore_case),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(of("{exact: a.example}"), r":authority=regex:(?i)a\.example(:80)? false");
    assert_eq!(of("{exact: a.example.}"), r":authority=regex:(?i)a\.example(:80)? false");
    assert_eq!(of("{exact: \"a.example:8080\"}"), ":authority=exact:a.example:8080 true");
    assert_eq!(of("{prefix: a.}"), ":authority=prefix:a. true");
    assert_eq!(of("{regex: a.*}"), ":authority=regex:a.* false");
}

#[test]
fn conditions_on_the_client_select_who_gets_a_route() {
    let world = with_rules(
        r#"
  - match: [{sourceLabels: {tier: canary}}]
    route: [{destination: {host: catalog, subset: v2}}]
  - match: [{sourceNamespace: bank}]
    route: [{destination: {host: catalog}}]
  - match: [{port: 81}]
    route: [{destination: {host: catalog}}]
  - route: [{destination: {host: catalog, subset: v1}}]
"#,
    );
    assert_eq!(told(&world, &frontend()), [format!("prefix / => {V1}")]);
    let canary = Viewer { labels: [("tier", "canary")].into_iter().collect(), ..frontend() };
    assert_eq!(told(&world, &canary), [format!("prefix / => {V2}")]);
    assert_eq!(told(&world, &viewer("bank", [10, 0, 9, 9])), [format!("prefix / => {ALL}")]);

    let generated = generate(&world, &frontend(), ResourceType::Route, "catalog.shop.svc.cluster.local:80");
    assert_eq!(generated.varies, Varies { by_labels: true, ..Varies::default() });
    let plain = generate(&shop(), &frontend(), ResourceType::Route, "catalog.shop.svc.cluster.local:80");
    assert_eq!(plain.varies, Varies::default());
}

#[test]
fn a_client_that_no_rule_is_for_gets_the_service() {
    let world =
        with_rules("\n  - match: [{sourceNamespace: bank}]\n    route: [{destination: {host: catalog, subset: v2}}]\n");
    assert_eq!(told(&world, &frontend()), [format!("prefix / => {ALL}")]);
}

#[test]
fn weights_share_requests_out_and_zero_gets_none() {
    let world = with_rules(
        r"
  - route:
    - {destination: {host: catalog, subset: v1}, weight: 90}
    - {destination: {host: catalog, subset: v2}, weight: 10}
    - {destination: {host: catalog}, weight: 0}
",
    );
    assert_eq!(told(&world, &frontend()), [format!("prefix / => {V1} 90, {V2} 10")]);
}

#[test]
fn a_destination_without_a_port_uses_the_services_only_one() {
    let world = with_rules("\n  - route: [{destination: {host: ratings}}]\n");
    assert_eq!(told(&world, &frontend()), ["prefix / => outbound|9000||ratings.shop.svc.cluster.local"]);
}

#[test]
fn host_only_destinations_are_told_apart_by_host() {
    let routes = routes(&shop(), &frontend(), "80");
    assert!(routes.ignore_port_in_host_matching);
    let told: Vec<_> = routes
        .virtual_hosts
        .iter()
        .map(|host| (host.name.as_str(), host.domains.join(" "), tell(&host.routes[0])))
        .collect();
    assert_eq!(
        told,
        [
            ("api.example.com:80", "api.example.com".to_owned(), "prefix / => outbound|80||api.example.com".to_owned()),
            ("allow_any", "*".to_owned(), "prefix / => PassthroughCluster".to_owned()),
        ]
    );
}

#[test]
fn ports_that_are_not_http_have_no_routes() {
    for name in ["stock.shop.svc.cluster.local:7000", "catalog.shop.svc.cluster.local:81", "443", "none.shop:80"] {
        assert!(generate(&shop(), &frontend(), ResourceType::Route, name).resource.is_none(), "{name}");
    }
}
