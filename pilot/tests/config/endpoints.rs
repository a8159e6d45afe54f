//! The endpoints of services.

use crate::fixture::{Fixture, host};
use pilot::model::{EndpointAddress, EndpointState, Labels};
use std::net::IpAddr;

/// Address, port and mTLS of each endpoint of a service port and subset.
fn endpoints(fixture: &Fixture, name: &str, port: u16, subset: &[(&str, &str)]) -> Vec<(String, u16, bool)> {
    let world = fixture.world();
    let service = world.service("shop", &host(name)).expect("no such service");
    let subset: Labels = subset.iter().copied().collect();
    let found = world.endpoints_of(service, port, &subset).map(|(endpoint, port)| {
        let address = match &endpoint.address {
            EndpointAddress::Ip(ip) => ip.to_string(),
            EndpointAddress::Name(name) => name.to_string(),
        };
        (address, port, endpoint.mtls)
    });
    found.collect()
}

fn entry(spec: &str) -> Fixture {
    let text = format!(
        "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {{name: x, namespace: shop}}\nspec:\n  hosts: [api.example.com]\n{spec}"
    );
    let fixture = Fixture::with("x.yaml", &text);
    assert!(fixture.findings().is_empty(), "{:?}", fixture.findings());
    fixture
}

#[test]
fn slices_give_ports_by_name_and_pods_by_address_or_name() {
    let fixture = Fixture::new(&[("shop.yaml", crate::fixture::SHOP)]);
    let both = [("10.44.1.21".to_owned(), 8080, true), ("10.44.1.22".to_owned(), 8080, false)];
    assert_eq!(endpoints(&fixture, "catalog", 80, &[]), both);
    assert_eq!(endpoints(&fixture, "catalog", 80, &[("version", "v2")]), both[1..]);
    assert_eq!(endpoints(&fixture, "catalog", 9000, &[("version", "v1")]), [("10.44.1.21".to_owned(), 9001, true)]);
    assert!(endpoints(&fixture, "catalog", 80, &[("version", "v3")]).is_empty());
    assert!(endpoints(&fixture, "reviews", 80, &[]).is_empty());
    let world = fixture.world();
    let service = world.service("shop", &host("catalog")).unwrap();
    let identities: Vec<_> = world.identities(service).into_iter().collect();
    assert_eq!(identities, ["spiffe://cluster.local/ns/shop/sa/catalog"]);
}

#[test]
fn conditions_say_who_takes_requests() {
    let slice = "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: r, namespace: shop, labels: {kubernetes.io/service-name: reviews}}\naddressType: IPv4\nports: [{name: http, port: 80}]\nendpoints:\n- {addresses: [10.0.0.1]}\n- {addresses: [10.0.0.2], conditions: {ready: false}}\n- {addresses: [10.0.0.3], conditions: {ready: false, serving: true, terminating: true}}\n- {addresses: [10.0.0.4], conditions: {ready: false, serving: false, terminating: true}}\n- {addresses: [10.0.0.5], conditions: {ready: false, terminating: true}}\n";
    let fixture = Fixture::with("x.yaml", slice);
    let world = fixture.world();
    let service = world.service("shop", &host("reviews")).unwrap();
    let states: Vec<_> = world.endpoints(service).iter().map(|endpoint| endpoint.state).collect();
    use EndpointState::{Draining, NotReady, Ready};
    assert_eq!(states, [Ready, NotReady, Draining, NotReady, Draining]);
}

#[test]
fn service_entries_list_resolve_or_select() {
    let ports = "  ports: [{number: 443, name: tls, protocol: TLS, targetPort: 8443}]\n";
    let listed = entry(&format!(
        "  resolution: STATIC\n  endpoints:\n  - {{address: 10.9.0.1}}\n  - {{address: 10.9.0.2, ports: {{tls: 9443}}, labels: {{security.istio.io/tlsMode: istio}}}}\n{ports}"
    ));
    assert_eq!(
        endpoints(&listed, "api.example.com", 443, &[]),
        [("10.9.0.1".to_owned(), 8443, false), ("10.9.0.2".to_owned(), 9443, true)]
    );
    let resolved = entry(&format!("  resolution: DNS\n{ports}"));
    assert_eq!(endpoints(&resolved, "api.example.com", 443, &[]), [("api.example.com".to_owned(), 8443, false)]);
    let selected = entry(&format!(
        "  location: MESH_INTERNAL\n  resolution: STATIC\n  workloadSelector: {{labels: {{version: v1}}}}\n{ports}"
    ));
    assert_eq!(endpoints(&selected, "api.example.com", 443, &[]), [("10.44.1.21".to_owned(), 8443, true)]);
    let as_dialled = entry(ports);
    assert!(endpoints(&as_dialled, "api.example.com", 443, &[]).is_empty());
}

#[test]
fn services_are_found_by_address_and_host_only_ones_by_port() {
    let fixture = entry("  ports: [{number: 443, name: tls, protocol: TLS}]\n");
    let world = fixture.world();
    let catalog: IpAddr = "10.96.1.20".parse().unwrap();
    let at = |port| world.service_at("shop", catalog, port).map(|service| service.host.to_string());
    assert_eq!(at(80).as_deref(), Some("catalog.shop.svc.cluster.local"));
    assert_eq!(at(81), None);
    let host_only: Vec<_> = world.host_only("shop", 443).map(|service| service.host.to_string()).collect();
    assert_eq!(host_only, ["api.example.com"]);
    assert!(world.host_only("shop", 80).next().is_none());
    assert_eq!(world.host_only_ports("shop").into_iter().collect::<Vec<_>>(), [443]);
}
