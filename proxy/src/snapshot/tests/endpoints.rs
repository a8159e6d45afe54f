//! What becomes of endpoints, and which of them are refused.

use record::Workload;
use xds::core::HealthStatus;
use xds::endpoint::cluster_load_assignment;
use xds::endpoint::endpoint::AdditionalAddress as XdsMoreAddress;
use xds::endpoint::lb_endpoint::HostIdentifier;
use xds::endpoint::{ClusterLoadAssignment, Endpoint as XdsEndpoint, LbEndpoint, LocalityLbEndpoints};
use xds::workload::{Address, AddressType, Service, Workload as XdsWorkload};

use super::*;

const NAME: &str = "outbound|80||reviews";

fn at(host: &str, port: u32) -> LbEndpoint {
    let endpoint = XdsEndpoint { address: address(host, port), ..XdsEndpoint::default() };
    LbEndpoint { host_identifier: Some(HostIdentifier::Endpoint(endpoint)), ..LbEndpoint::default() }
}

fn group(priority: u32, lb_endpoints: Vec<LbEndpoint>) -> LocalityLbEndpoints {
    LocalityLbEndpoints { priority, lb_endpoints, ..LocalityLbEndpoints::default() }
}

pub(super) fn assignment(hosts: &[(&str, u32)]) -> ClusterLoadAssignment {
    let endpoints = hosts.iter().map(|(host, port)| at(host, *port)).collect();
    ClusterLoadAssignment {
        cluster_name: NAME.into(),
        endpoints: vec![group(0, endpoints)],
        ..ClusterLoadAssignment::default()
    }
}

fn compiled(config: &ClusterLoadAssignment) -> Arc<Assignment> {
    match compile(ResourceType::Endpoint, NAME, &config.encode_to_vec()) {
        Ok(Compiled::Endpoints(assignment)) => assignment,
        other => panic!("{other:?}"),
    }
}

/// The other family alone is another address: which of two IPv4 addresses is meant, nobody could say.
#[test]
fn a_pod_of_both_families_is_one_endpoint() {
    let more = |host: &str| XdsMoreAddress { address: address(host, 80) };
    let endpoint = XdsEndpoint {
        address: address("10.0.0.5", 80),
        additional_addresses: vec![more("10.0.0.6"), more("fd00::5")],
        ..XdsEndpoint::default()
    };
    let both = LbEndpoint { host_identifier: Some(HostIdentifier::Endpoint(endpoint)), ..LbEndpoint::default() };
    let assignment = compiled(&ClusterLoadAssignment { endpoints: vec![group(0, vec![both])], ..assignment(&[]) });
    let [only] = assignment.endpoints.as_slice() else { panic!("{assignment:?}") };
    assert_eq!((only.address, only.other), ("10.0.0.5:80".parse().unwrap(), Some("[fd00::5]:80".parse().unwrap())));
}

#[test]
fn an_endpoint_says_who_it_is() {
    let metadata = metadata_of(&[
        ("istio", struct_of([("workload", string_value("reviews-v1;shop;reviews;v1;Kubernetes"))])),
        ("envoy.transport_socket_match", struct_of([("tlsMode", string_value("istio"))])),
    ]);
    let known = LbEndpoint { metadata, load_balancing_weight: uint32(3), ..at("10.0.0.5", 9080) };
    let config = ClusterLoadAssignment {
        endpoints: vec![group(0, vec![known]), group(0, vec![at("2001:db8::1", 80)])],
        ..assignment(&[])
    };
    let assignment = compiled(&config);
    let [first, second] = assignment.endpoints.as_slice() else { panic!("{assignment:?}") };
    assert_eq!((first.address, first.weight), ("10.0.0.5:9080".parse().unwrap(), 3));
    assert_eq!(first.transport_match.as_slice(), [("tlsMode".into(), "istio".into())]);
    let expected = Workload {
        name: "reviews-v1".into(),
        namespace: "shop".into(),
        app: "reviews".into(),
        version: "v1".into(),
        cluster: "Kubernetes".into(),
        canonical_service: "reviews".into(),
        canonical_revision: "v1".into(),
        ..Workload::default()
    };
    assert_eq!(*first.workload, expected);
    assert_eq!((second.address, second.weight), ("[2001:db8::1]:80".parse().unwrap(), 1));
    assert_eq!(*second.workload, Workload::default());
}

fn addresses(groups: Vec<LocalityLbEndpoints>) -> Vec<String> {
    let config = ClusterLoadAssignment { endpoints: groups, ..assignment(&[]) };
    compiled(&config).endpoints.iter().map(|endpoint| endpoint.address.ip().to_string()).collect()
}

#[test]
fn only_endpoints_that_can_serve() {
    let with = |host: &str, status: HealthStatus| LbEndpoint { health_status: status as i32, ..at(host, 80) };
    let all = vec![
        with("10.0.0.1", HealthStatus::Unknown),
        with("10.0.0.2", HealthStatus::Healthy),
        with("10.0.0.3", HealthStatus::Unhealthy),
        with("10.0.0.4", HealthStatus::Draining),
        with("10.0.0.5", HealthStatus::Timeout),
        with("10.0.0.6", HealthStatus::Degraded),
        LbEndpoint { health_status: 77, ..at("10.0.0.7", 80) },
    ];
    assert_eq!(addresses(vec![group(0, all)]), ["10.0.0.1", "10.0.0.2", "10.0.0.6"]);
}

#[test]
fn the_best_priority_with_endpoints() {
    let down = LbEndpoint { health_status: HealthStatus::Unhealthy as i32, ..at("10.0.0.1", 80) };
    let groups = vec![
        group(2, vec![at("10.0.2.1", 80)]),
        group(0, vec![down]),
        group(1, vec![at("10.0.1.1", 80)]),
        group(1, vec![at("10.0.1.2", 80)]),
    ];
    assert_eq!(addresses(groups), ["10.0.1.1", "10.0.1.2"]);
    assert!(addresses(vec![]).is_empty());
}

#[test]
fn refusals_name_the_field() {
    let drops = cluster_load_assignment::Policy {
        drop_overloads: vec![Default::default()],
        ..cluster_load_assignment::Policy::default()
    };
    let only = |endpoint| ClusterLoadAssignment { endpoints: vec![group(0, vec![endpoint])], ..assignment(&[]) };
    const FIRST: &str = "endpoints[0].lb_endpoints[0]";
    let cases = [
        (
            ClusterLoadAssignment { cluster_name: "x".into(), ..assignment(&[]) },
            "cluster_name: \"x\" is not".to_owned(),
        ),
        (
            ClusterLoadAssignment { policy: Some(drops), ..assignment(&[]) },
            "policy.drop_overloads: is not supported".into(),
        ),
        (only(LbEndpoint::default()), format!("{FIRST}.endpoint: is missing")),
        (
            only(at("shop", 80)),
            format!("{FIRST}.endpoint.address.socket_address.address: \"shop\" is not an IP address"),
        ),
        (
            only(LbEndpoint { load_balancing_weight: uint32(0), ..at("10.0.0.1", 80) }),
            format!("{FIRST}.load_balancing_weight: must be at least 1"),
        ),
    ];
    for (config, expected) in cases {
        let refusal = refusal(ResourceType::Endpoint, NAME, &config);
        assert!(refusal.starts_with(&format!("endpoints {NAME}: {expected}")), "{refusal}");
    }
}

fn address_of(r#type: Option<AddressType>) -> Result<Compiled, String> {
    compile(ResourceType::Address, "/10.0.0.5", &Address { r#type }.encode_to_vec())
}

#[test]
fn addresses_of_workloads() {
    let source = XdsWorkload {
        name: "reviews-v1-abc".into(),
        namespace: "shop".into(),
        trust_domain: "cluster.local".into(),
        canonical_name: "reviews".into(),
        canonical_revision: "v1".into(),
        workload_name: "reviews-v1".into(),
        cluster_id: "Kubernetes".into(),
        ..XdsWorkload::default()
    };
    let Ok(Compiled::Workload(workload)) = address_of(Some(AddressType::Workload(source))) else { panic!("refused") };
    assert_eq!(workload.name, "reviews-v1");
    assert_eq!(workload.principal, "spiffe://cluster.local/ns/shop/sa/default");
    assert_eq!((workload.app.as_str(), workload.version.as_str()), ("reviews", "v1"));

    let Ok(Compiled::Workload(unknown)) = address_of(Some(AddressType::Workload(XdsWorkload::default()))) else {
        panic!("refused")
    };
    assert_eq!(*unknown, Workload::default());
    let refusal = address_of(Some(AddressType::Service(Service::default()))).unwrap_err();
    assert_eq!(refusal, "address /10.0.0.5: service: is the address of a service and of no workload");
    assert_eq!(address_of(None).unwrap_err(), "address /10.0.0.5: type: is missing");
}

#[test]
fn secrets_never_come_over_xds() {
    assert!(compile(ResourceType::Secret, "default", &[]).unwrap_err().starts_with("secret default: secrets are made"));
}
