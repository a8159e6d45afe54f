//! A mesh of 5,000 services is read and changed in little time.

use crate::fixture::Fixture;
use pilot::diff::Key;
use pilot::model::Host;
use std::fmt::Write;
use std::sync::Arc;
use std::time::Instant;

const SERVICES: usize = 5_000;

/// One service with one endpoint and its pod.
fn service(i: usize) -> String {
    let (a, b) = (i / 250, i % 250 + 1);
    let mut text = String::new();
    write!(
        text,
        "apiVersion: v1\nkind: Service\nmetadata: {{name: s{i}, namespace: mesh}}\nspec:\n  clusterIP: 10.100.{a}.{b}\n  selector: {{app: s{i}}}\n  ports: [{{name: http, port: 80, targetPort: 8080}}]\n---\n\
         apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {{name: s{i}, namespace: mesh, labels: {{kubernetes.io/service-name: s{i}}}}}\naddressType: IPv4\nports: [{{name: http, port: 8080}}]\nendpoints: [{{addresses: [10.101.{a}.{b}]}}]\n---\n\
         apiVersion: v1\nkind: Pod\nmetadata: {{name: s{i}, namespace: mesh, labels: {{app: s{i}}}}}\nspec: {{serviceAccountName: s{i}}}\nstatus: {{podIP: 10.101.{a}.{b}}}\n---\n"
    )
    .unwrap();
    text
}

#[test]
fn five_thousand_services() {
    let all: String = (0..SERVICES).map(service).collect();
    let start = Instant::now();
    let mut fixture = Fixture::new(&[("all.yaml", &all)]);
    let first = start.elapsed();
    assert!(fixture.findings().is_empty());
    let world = fixture.world();
    assert_eq!(world.services_visible_to("mesh").count(), SERVICES);

    let start = Instant::now();
    let update = fixture.change("all.yaml", &all.replace("addresses: [10.101.7.8]", "addresses: [10.102.7.8]"));
    let second = start.elapsed();
    let changed = Host::parse("s1757.mesh.svc.cluster.local").unwrap();
    assert_eq!(update.changed, [Key::Endpoints(changed)].into());
    assert!(Arc::ptr_eq(&world.services, &update.world.services));
    println!("first reading {first:?}, one endpoint changed {second:?}");
    // Generous for unoptimised code on a busy machine; figures of optimised code are an order below.
    assert!(first.as_secs() < 60, "{first:?}");
    assert!(second.as_secs() < 10, "{second:?}");
}
