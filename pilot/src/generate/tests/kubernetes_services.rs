//! Kubernetes services that are not one address before many pods: headless ones, external names, those of both families.

use super::*;
use crate::diff::{Key, diff};
use crate::model::Host;
use std::net::IpAddr;

/// A headless database that no pod is behind, at these addresses.
fn database(addresses: &[&str]) -> String {
    let endpoints: String = addresses.iter().map(|address| format!("- {{addresses: [{address}]}}\n")).collect();
    format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{name: db, namespace: shop}}\n\
         spec: {{clusterIP: None, ports: [{{name: tcp, port: 5432, targetPort: 5433}}]}}\n---\n\
         apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\n\
         metadata: {{name: db-1, namespace: shop, labels: {{kubernetes.io/service-name: db}}}}\n\
         addressType: IPv4\nports: [{{name: tcp, port: 5433}}]\nendpoints:\n{endpoints}"
    )
}

#[test]
fn every_endpoint_of_a_headless_service_is_a_destination_at_its_own_port() {
    let world = shop_with(&database(&["10.9.0.1", "10.9.0.2"]));
    for address in ["10.9.0.1", "10.9.0.2"] {
        let listener = listener(&world, &frontend(), &format!("{address}_5433"));
        assert_eq!(tcp_of(&listener.filter_chains[0]), "outbound|5432||db.shop.svc.cluster.local");
    }
    for name in ["10.9.0.1_5432", "10.9.0.3_5433"] {
        assert!(generate(&world, &frontend(), ResourceType::Listener, name).resource.is_none(), "{name}");
    }
}

/// A StatefulSet of a thousand that rolls must not make a thousand listeners anew for each pod.
#[test]
fn an_endpoint_that_comes_or_goes_touches_no_other_address() {
    let address = |text: &str| Key::Address(text.parse::<IpAddr>().unwrap());
    let (one, two) = (shop_with(&database(&["10.9.0.1"])), shop_with(&database(&["10.9.0.1", "10.9.0.2"])));
    for (before, after) in [(&one, &two), (&two, &one)] {
        let changed = diff(before, after);
        assert!(changed.contains(&address("10.9.0.2")) && !changed.contains(&address("10.9.0.1")), "{changed:?}");
    }
    let reads = generate(&two, &frontend(), ResourceType::Listener, "10.9.0.1_5433").reads;
    assert!(reads.contains(&address("10.9.0.1")), "{reads:?}");
    assert!(!reads.iter().any(|key| matches!(key, Key::Endpoints(_) | Key::Workload(_))), "{reads:?}");
    // It gets an address of its own: nobody dials its endpoints any more.
    let moved = shop_with(&database(&["10.9.0.1"]).replace("clusterIP: None", "clusterIP: 10.96.7.7"));
    assert!(diff(&one, &moved).contains(&address("10.9.0.1")));
    assert!(generate(&moved, &frontend(), ResourceType::Listener, "10.9.0.1_5433").resource.is_none());
}

fn external(name: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{name: ext, namespace: shop}}\n\
         spec: {{type: ExternalName, externalName: {name}, ports: [{{name: http, port: 8000}}]}}\n"
    )
}

#[test]
fn an_external_name_leads_to_its_host_by_every_name_that_clients_have_for_it() {
    let world = shop_with(&external("Api.Example.org."));
    let names = |namespace: &str| {
        let found = routes(&world, &viewer(namespace, [10, 0, 0, 9]), "8000");
        (found.virtual_hosts[0].domains.clone(), tell(&found.virtual_hosts[0].routes[0]))
    };
    let (own, route) = names("shop");
    assert_eq!(own, ["ext.shop.svc.cluster.local", "ext.shop.svc", "ext.shop", "ext"]);
    assert!(route.contains("outbound|8000||ext.shop.svc.cluster.local"), "{route}");
    assert_eq!(names("bank").0, ["ext.shop.svc.cluster.local", "ext.shop.svc", "ext.shop"]);
    let cluster = cluster(&world, &frontend(), "outbound|8000||ext.shop.svc.cluster.local");
    assert_eq!(addresses(&cluster.load_assignment.unwrap()), ["api.example.org:8000"]);
    assert!(cluster.transport_socket.is_none() && cluster.transport_socket_matches.is_empty());
}

#[test]
fn an_external_name_of_a_service_is_that_service() {
    let world = shop_with(&external("catalog.shop.svc.cluster.local"));
    assert!(generate(&world, &frontend(), ResourceType::Route, "8000").resource.is_none());
    assert!(world.service("shop", &Host::parse("ext.shop.svc.cluster.local").unwrap()).is_none());
}

#[test]
fn a_pod_with_addresses_of_both_families_is_one_endpoint_of_the_first_with_the_other_beside_it() {
    let both = |first: &str, second: &str| {
        let slice = |family: &str, address: &str| {
            format!(
                "---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\n\
                 metadata: {{name: both-{family}, namespace: shop, labels: {{kubernetes.io/service-name: both}}}}\n\
                 addressType: {family}\nports: [{{name: http, port: 80}}]\n\
                 endpoints: [{{addresses: ['{address}'], targetRef: {{kind: Pod, name: both-0}}}}]\n"
            )
        };
        let service = format!(
            "apiVersion: v1\nkind: Service\nmetadata: {{name: both, namespace: shop}}\n\
             spec: {{clusterIP: '{first}', clusterIPs: ['{first}', '{second}'], ports: [{{name: http, port: 80}}]}}\n"
        );
        let world = shop_with(&[service, slice("IPv4", "10.9.1.1"), slice("IPv6", "fd00::9")].concat());
        for address in [first, second] {
            let found = listener(&world, &frontend(), &format!("{address}_80"));
            assert_eq!(rds_of(&found.filter_chains[0]), "both.shop.svc.cluster.local:80");
        }
        let found = endpoints(&world, &frontend(), "outbound|80||both.shop.svc.cluster.local");
        (addresses(&found), others(&found))
    };
    let text = |first: &str, other: &str| (vec![first.to_owned()], vec![other.to_owned()]);
    assert_eq!(both("10.96.8.1", "fd00:96::1"), text("10.9.1.1:80", "fd00::9:80"));
    assert_eq!(both("fd00:96::1", "10.96.8.1"), text("fd00::9:80", "10.9.1.1:80"));
}

#[test]
fn a_pod_of_both_families_is_one_endpoint_of_an_entry_that_selects_it() {
    let world = shop_with(
        "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: twin, namespace: shop}\n\
         spec: {hosts: [twin.example.com], resolution: STATIC, ports: [{number: 80, name: http, protocol: HTTP}],\n  \
         workloadSelector: {labels: {app: twin}}}\n---\n\
         apiVersion: v1\nkind: Pod\nmetadata: {name: twin, namespace: shop, labels: {app: twin}}\n\
         status: {podIP: 10.9.1.7, podIPs: [{ip: 10.9.1.7}, {ip: 'fd00::7'}]}\n",
    );
    let found = endpoints(&world, &frontend(), "outbound|80||twin.example.com");
    assert_eq!((addresses(&found), others(&found)), (vec!["10.9.1.7:80".to_owned()], vec!["fd00::7:80".to_owned()]));
}
