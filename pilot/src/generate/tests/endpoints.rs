//! Endpoints: who takes part, and what is said of each.

use super::*;

const CATALOG: &str = "outbound|80||catalog.shop.svc.cluster.local";

fn slice(conditions: &[&str]) -> World {
    let endpoints: String = conditions
        .iter()
        .enumerate()
        .map(|(index, conditions)| format!("- {{addresses: [10.0.3.{index}], conditions: {{{conditions}}}}}\n"))
        .collect();
    shop_with(&format!(
        "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\n\
         metadata: {{name: ratings-1, namespace: shop, labels: {{kubernetes.io/service-name: ratings}}}}\n\
         addressType: IPv4\nports: [{{name: grpc, port: 9000}}]\nendpoints:\n{endpoints}"
    ))
}

fn ratings(world: &World) -> Vec<String> {
    addresses(&endpoints(world, &frontend(), "outbound|9000||ratings.shop.svc.cluster.local"))
}

#[test]
fn endpoints_say_who_they_are_and_whether_mesh_tls_leads_there() {
    let world = shop();
    let assignment = endpoints(&world, &frontend(), CATALOG);
    assert_eq!(assignment.cluster_name, CATALOG);
    assert_eq!(addresses(&assignment), ["10.0.1.1:8080", "10.0.1.2:8080"]);
    let first = assignment.endpoints[0].lb_endpoints[0].metadata.as_ref().unwrap();
    assert_eq!(metadata(first, "istio", "workload"), Some("catalog-v1-0;shop;catalog;v1;Kubernetes"));
    assert_eq!(metadata(first, "envoy.transport_socket_match", "tlsMode"), Some("istio"));

    let plain = endpoints(&world, &frontend(), "outbound|9999||legacy.shop.svc.cluster.local");
    let first = plain.endpoints[0].lb_endpoints[0].metadata.as_ref().unwrap();
    assert_eq!(metadata(first, "envoy.transport_socket_match", "tlsMode"), None, "it has no sidecar");
}

#[test]
fn a_policy_that_turns_mtls_off_is_heeded_by_clients() {
    let world = shop_with(
        "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {name: default, namespace: shop}\n\
         spec: {mtls: {mode: DISABLE}}\n",
    );
    let assignment = endpoints(&world, &frontend(), CATALOG);
    let first = assignment.endpoints[0].lb_endpoints[0].metadata.as_ref().unwrap();
    assert_eq!(metadata(first, "envoy.transport_socket_match", "tlsMode"), None);
}

#[test]
fn subsets_are_chosen_by_labels() {
    let world = shop();
    let v2 = endpoints(&world, &frontend(), "outbound|80|v2|catalog.shop.svc.cluster.local");
    assert_eq!(addresses(&v2), ["10.0.1.2:8080"]);
}

#[test]
fn those_that_are_not_ready_are_left_out() {
    let world = slice(&["ready: true", "ready: false", "ready: false, serving: true, terminating: true"]);
    assert_eq!(ratings(&world), ["10.0.3.0:9000"]);
}

#[test]
fn those_that_terminate_serve_when_nothing_else_is_left() {
    let world = slice(&[
        "ready: false",
        "ready: false, serving: true, terminating: true",
        "ready: false, serving: false, terminating: true",
    ]);
    assert_eq!(ratings(&world), ["10.0.3.1:9000"]);
}

#[test]
fn a_service_without_endpoints_has_an_empty_assignment() {
    let assignment = endpoints(&shop(), &frontend(), "outbound|9000||ratings.shop.svc.cluster.local");
    assert!(assignment.endpoints.is_empty());
    assert!(generate(&shop(), &frontend(), ResourceType::Endpoint, "outbound|80||nobody.shop").resource.is_none());
    assert!(generate(&shop(), &frontend(), ResourceType::Endpoint, "PassthroughCluster").resource.is_none());
}

#[test]
fn equal_worlds_make_equal_versions() {
    let version = || generate(&shop(), &frontend(), ResourceType::Endpoint, CATALOG).resource.unwrap().version.clone();
    let first = version();
    assert!((0..10).all(|_| version() == first));
}

#[test]
fn an_address_says_who_is_there() {
    let generated = generate(&shop(), &frontend(), ResourceType::Address, "/10.0.1.2");
    let address = Address::decode(generated.resource.unwrap().any.value.as_slice()).unwrap();
    let Some(AddressType::Workload(workload)) = address.r#type else { panic!("a workload") };
    assert_eq!((workload.name.as_str(), workload.namespace.as_str()), ("catalog-v2-0", "shop"));
    assert_eq!((workload.canonical_name.as_str(), workload.canonical_revision.as_str()), ("catalog", "v2"));
    assert_eq!(workload.service_account, "catalog-next");
    assert!(generate(&shop(), &frontend(), ResourceType::Address, "/10.9.9.9").resource.is_none());
}
