//! Which of several objects decides.

use crate::fixture::{Fixture, host};
use pilot::model::{LoadBalancer, TlsMode};

fn virtual_service(name: &str, namespace: &str, host: &str, created: &str, extra: &str) -> String {
    format!(
        "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: {name}, namespace: {namespace}, creationTimestamp: {created}}}\nspec:\n  hosts: [\"{host}\"]\n  {extra}\n  http: [{{route: [{{destination: {{host: catalog.shop.svc.cluster.local}}}}]}}]\n---\n"
    )
}

const CATALOG: &str = "catalog.shop.svc.cluster.local";
const OLD: &str = "\"2020-01-01T00:00:00Z\"";
const NEW: &str = "\"2025-01-01T00:00:00Z\"";

/// The VirtualService that decides for catalog, by the client's namespace.
fn decides(fixture: &Fixture, namespace: &str) -> String {
    let world = fixture.world();
    let found = world.virtual_service(namespace, &host("catalog"));
    found.map_or("none".into(), |vs| vs.source.name.to_string())
}

#[test]
fn the_oldest_virtual_service_of_a_host_decides_and_the_other_says_so() {
    let text =
        virtual_service("a-new", "shop", CATALOG, NEW, "") + &virtual_service("b-old", "other", CATALOG, OLD, "");
    let fixture = Fixture::with("x.yaml", &text);
    assert_eq!(decides(&fixture, "shop"), "b-old");
    assert_eq!(
        fixture.status("VirtualService", "shop", "a-new"),
        "VirtualService shop/a-new (x.yaml:1) is not in force: VirtualService other/b-old decides in its place\n  x.yaml:5: spec.hosts[0]: VirtualService other/b-old is older and decides for catalog.shop.svc.cluster.local; put all rules of a host into one object"
    );
    assert_eq!(fixture.status("VirtualService", "other", "b-old"), "VirtualService other/b-old (x.yaml:9) is in force");
}

#[test]
fn without_a_time_the_name_decides() {
    let text = virtual_service("b", "shop", CATALOG, "~", "") + &virtual_service("a", "shop", CATALOG, "~", "");
    assert_eq!(decides(&Fixture::with("x.yaml", &text), "shop"), "a");
}

#[test]
fn the_most_specific_name_decides() {
    let text = virtual_service("all", "shop", "*", OLD, "")
        + &virtual_service("shop", "shop", "*.shop.svc.cluster.local", OLD, "")
        + &virtual_service("exact", "shop", "catalog", NEW, "");
    let fixture = Fixture::with("x.yaml", &text);
    assert!(fixture.findings().is_empty(), "{:?}", fixture.findings());
    assert_eq!(decides(&fixture, "shop"), "exact");
    let world = fixture.world();
    assert_eq!(&*world.virtual_service("shop", &host("reviews")).unwrap().source.name, "shop");
    assert_eq!(&*world.virtual_service("shop", &host("x.example.org")).unwrap().source.name, "all");
}

#[test]
fn private_virtual_services_decide_before_public_ones() {
    let text = virtual_service("public", "shop", CATALOG, OLD, "")
        + &virtual_service("private", "bank", CATALOG, NEW, "exportTo: [\".\"]")
        + &virtual_service("for-bank", "shop", CATALOG, OLD, "exportTo: [bank, lab]");
    let fixture = Fixture::with("x.yaml", &text);
    assert_eq!(decides(&fixture, "shop"), "public");
    assert_eq!(decides(&fixture, "bank"), "private");
    assert_eq!(decides(&fixture, "lab"), "for-bank");
    assert!(fixture.findings().is_empty(), "each decides for somebody: {:?}", fixture.findings());
}

fn destination_rule(name: &str, namespace: &str, spec: &str) -> String {
    format!(
        "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {{name: {name}, namespace: {namespace}}}\nspec:\n  {spec}\n---\n"
    )
}

/// The rule for reviews, by the client's namespace.
fn rule(fixture: &Fixture, namespace: &str) -> String {
    let world = fixture.world();
    let service = world.service(namespace, &host("reviews")).unwrap();
    let found = world.destination_rule(namespace, service);
    found.map_or("none".into(), |rule| {
        rule.sources.iter().map(|source| source.name.to_string()).collect::<Vec<_>>().join("+")
    })
}

const REVIEWS: &str = "host: reviews.shop.svc.cluster.local";

#[test]
fn the_clients_rule_goes_before_the_services_and_that_before_the_root_namespaces() {
    let text = destination_rule("root", "istio-system", REVIEWS)
        + &destination_rule("service", "shop", REVIEWS)
        + &destination_rule("client", "bank", REVIEWS);
    let fixture = Fixture::with("x.yaml", &text);
    assert_eq!(rule(&fixture, "bank"), "client");
    assert_eq!(rule(&fixture, "lab"), "service");
    assert_eq!(rule(&fixture, "istio-system"), "service");
    let private = destination_rule("root", "istio-system", REVIEWS)
        + &destination_rule("service", "shop", &format!("{REVIEWS}\n  exportTo: [\".\"]"));
    let fixture = Fixture::with("x.yaml", &private);
    assert_eq!(rule(&fixture, "shop"), "service");
    assert_eq!(rule(&fixture, "lab"), "root");
}

#[test]
fn rules_of_one_namespace_and_host_are_merged() {
    let text = destination_rule("a", "shop", &format!("{REVIEWS}\n  subsets: [{{name: v1, labels: {{version: v1}}}}]"))
        + &destination_rule(
            "b",
            "shop",
            &format!(
                "{REVIEWS}\n  trafficPolicy: {{tls: {{mode: DISABLE}}}}\n  subsets: [{{name: v2, labels: {{version: v2}}}}]"
            ),
        )
        + &destination_rule("c", "shop", &format!("{REVIEWS}\n  trafficPolicy: {{tls: {{mode: SIMPLE}}}}"));
    let fixture = Fixture::with("x.yaml", &text);
    assert_eq!(rule(&fixture, "shop"), "a+b+c");
    let world = fixture.world();
    let service = world.service("shop", &host("reviews")).unwrap();
    let merged = world.destination_rule("shop", service).unwrap();
    let subsets: Vec<_> = merged.subsets.iter().map(|subset| &*subset.name).collect();
    assert_eq!(subsets, ["v1", "v2"]);
    assert_eq!(merged.effective(80, None).tls.unwrap().mode, TlsMode::Disable);
    assert_eq!(
        fixture.findings(),
        [
            "x.yaml:21: spec.trafficPolicy: has no effect: DestinationRule shop/b is for the same host, older, and decides"
        ]
    );
}

#[test]
fn subset_and_port_levels_override_block_by_block() {
    let text = destination_rule(
        "x",
        "shop",
        &format!(
            "{REVIEWS}
  trafficPolicy:
    tls: {{mode: SIMPLE}}
    loadBalancer: {{simple: RANDOM}}
    portLevelSettings: [{{port: {{number: 80}}, loadBalancer: {{simple: ROUND_ROBIN}}}}]
  subsets:
  - {{name: v1, labels: {{version: v1}}, trafficPolicy: {{tls: {{mode: DISABLE}}}}}}"
        ),
    );
    let fixture = Fixture::with("x.yaml", &text);
    let world = fixture.world();
    let rule = world.destination_rule("shop", world.service("shop", &host("reviews")).unwrap()).unwrap();
    let level = |port, subset| {
        let level = rule.effective(port, subset);
        (level.load_balancer, level.tls.map(|tls| tls.mode))
    };
    assert_eq!(level(81, None), (Some(LoadBalancer::Random), Some(TlsMode::Simple)));
    assert_eq!(level(80, None), (Some(LoadBalancer::RoundRobin), None), "a port level replaces the whole level");
    assert_eq!(level(81, Some("v1")), (Some(LoadBalancer::Random), Some(TlsMode::Disable)));
    assert_eq!(level(80, Some("v1")), (Some(LoadBalancer::RoundRobin), Some(TlsMode::Disable)));
}

#[test]
fn a_port_level_of_a_subset_hides_what_the_host_says() {
    let text = destination_rule(
        "x",
        "shop",
        &format!(
            "{REVIEWS}
  trafficPolicy: {{tls: {{mode: DISABLE}}}}
  subsets:
  - name: v1
    labels: {{version: v1}}
    trafficPolicy: {{portLevelSettings: [{{port: {{number: 80}}, loadBalancer: {{simple: ROUND_ROBIN}}}}]}}"
        ),
    );
    let fixture = Fixture::with("x.yaml", &text);
    let world = fixture.world();
    let rule = world.destination_rule("shop", world.service("shop", &host("reviews")).unwrap()).unwrap();
    let level = rule.effective(80, Some("v1"));
    assert_eq!((level.load_balancer, level.tls), (Some(LoadBalancer::RoundRobin), None));
    assert_eq!(rule.effective(81, Some("v1")).tls.unwrap().mode, TlsMode::Disable);
}

fn entry(name: &str, namespace: &str, extra: &str) -> String {
    format!(
        "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {{name: {name}, namespace: {namespace}}}\nspec:\n  hosts: [api.example.com]\n  ports: [{{number: 443, name: tls, protocol: TLS}}]\n  {extra}\n---\n"
    )
}

#[test]
fn a_namespace_sees_its_own_service_entry_first() {
    let text = entry("a", "shop", "") + &entry("b", "bank", "exportTo: [\".\"]") + &entry("c", "bank", "");
    let fixture = Fixture::with("x.yaml", &text);
    let world = fixture.world();
    let seen = |namespace: &str| world.service(namespace, &host("api.example.com")).unwrap().source.name.to_string();
    assert_eq!((seen("bank"), seen("shop"), seen("lab")), ("b".into(), "a".into(), "a".into()));
    assert!(
        fixture
            .status("ServiceEntry", "bank", "c")
            .contains("is not in force: ServiceEntry bank/b decides in its place")
    );
}

#[test]
fn the_older_peer_authentication_of_a_scope_decides() {
    let policy = |name: &str, mode: &str| {
        format!(
            "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {{name: {name}, namespace: shop}}\nspec: {{mtls: {{mode: {mode}}}}}\n---\n"
        )
    };
    let fixture = Fixture::with("x.yaml", &(policy("b", "STRICT") + &policy("a", "DISABLE")));
    assert_eq!(
        fixture.status("PeerAuthentication", "shop", "b"),
        "PeerAuthentication shop/b (x.yaml:1) is not in force: PeerAuthentication shop/a decides in its place"
    );
}
