//! Who has an address, which ports it serves, and which of them take plain text.

use crate::fixture::{Fixture, SHOP};
use pilot::model::{Labels, MtlsMode, Protocol};

#[test]
fn pods_become_workloads_with_the_ports_that_services_lead_to() {
    let fixture = Fixture::new(&[("shop.yaml", SHOP)]);
    let world = fixture.world();
    let info = world.workload_info("10.44.1.21".parse().unwrap()).unwrap();
    let workload = &info.workload;
    assert_eq!((&*workload.name, &*workload.namespace, &*workload.service_account), ("catalog-v1", "shop", "catalog"));
    assert_eq!((&*workload.canonical_service, &*workload.canonical_revision), ("catalog", "v1"));
    let ports: Vec<_> = info.inbound.iter().map(|port| (port.number, port.protocol, port.services[0].port)).collect();
    assert_eq!(ports, [(8080, Protocol::Http, 80), (9001, Protocol::Grpc, 9000)]);
    // The second pod has no port of the name "grpc".
    let ports: Vec<_> = world.inbound_ports("10.44.1.22".parse().unwrap()).iter().map(|port| port.number).collect();
    assert_eq!(ports, [8080]);
    assert!(world.workload("10.44.1.99".parse().unwrap()).is_none());
}

#[test]
fn names_come_from_labels_and_controllers() {
    let pod = "apiVersion: v1\nkind: Pod\nmetadata:\n  name: web-6d4cf56db6-x7x2k\n  namespace: shop\n  labels:\n    pod-template-hash: 6d4cf56db6\n    app.kubernetes.io/name: front\n    app.kubernetes.io/version: '7'\n  ownerReferences:\n  - {apiVersion: apps/v1, kind: ReplicaSet, name: web-6d4cf56db6, uid: x, controller: true}\nstatus: {podIP: 10.44.9.9}\n";
    let fixture = Fixture::with("x.yaml", pod);
    let world = fixture.world();
    let workload = world.workload("10.44.9.9".parse().unwrap()).unwrap();
    assert_eq!((&*workload.name, &*workload.instance), ("web", "web-6d4cf56db6-x7x2k"));
    assert_eq!((&*workload.canonical_service, &*workload.canonical_revision), ("front", "7"));
    assert_eq!(&*workload.service_account, "default");
}

#[test]
fn the_narrowest_peer_authentication_wins() {
    let policy = |name: &str, namespace: &str, spec: &str| {
        format!(
            "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {{name: {name}, namespace: {namespace}}}\nspec: {spec}\n---\n"
        )
    };
    let text = policy("mesh", "istio-system", "{mtls: {mode: STRICT}}")
        + &policy("default", "shop", "{mtls: {mode: PERMISSIVE}}")
        + &policy("default", "bank", "{mtls: {mode: UNSET}}")
        + &policy(
            "a",
            "shop",
            "{selector: {matchLabels: {app: a}}, mtls: {mode: STRICT}, portLevelMtls: {9090: {mode: DISABLE}, 9091: {mode: UNSET}}}",
        )
        + &policy("b", "shop", "{selector: {matchLabels: {app: b}}, portLevelMtls: {9090: {mode: STRICT}}}");
    let fixture = Fixture::with("x.yaml", &text);
    assert!(fixture.findings().is_empty(), "{:?}", fixture.findings());
    let world = fixture.world();
    let mode = |namespace: &str, app: &str, port| {
        world.mtls_mode(namespace, &[("app", app)].into_iter().collect::<Labels>(), port)
    };
    for (namespace, app, port, expected) in [
        ("elsewhere", "a", 80, MtlsMode::Strict),
        ("bank", "a", 80, MtlsMode::Strict),
        ("shop", "c", 80, MtlsMode::Permissive),
        ("shop", "a", 80, MtlsMode::Strict),
        ("shop", "a", 9090, MtlsMode::Disable),
        ("shop", "a", 9091, MtlsMode::Strict),
        ("shop", "b", 9090, MtlsMode::Strict),
        ("shop", "b", 80, MtlsMode::Permissive),
    ] {
        assert_eq!(mode(namespace, app, port), expected, "{namespace} {app} {port}");
    }
    let nothing = Fixture::new(&[("shop.yaml", SHOP)]);
    assert_eq!(nothing.world().mtls_mode("shop", &Labels::default(), 80), MtlsMode::Permissive);
}
