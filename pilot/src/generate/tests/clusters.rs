//! Clusters: discovery, protocol, load balancing and TLS towards the endpoints.

use super::*;
use xds::cluster::cluster::{ClusterDiscoveryType, DiscoveryType, LbPolicy};
use xds::http_protocol_options::HttpProtocolOptions;
use xds::http_protocol_options::http_protocol_options::UpstreamProtocolOptions;
use xds::tls::UpstreamTlsContext;
use xds::tls::common_tls_context::ValidationContextType;

const CATALOG: &str = "outbound|80||catalog.shop.svc.cluster.local";

fn discovery(cluster: &Cluster) -> DiscoveryType {
    let Some(ClusterDiscoveryType::Type(kind)) = cluster.cluster_discovery_type else { panic!("a plain type") };
    DiscoveryType::try_from(kind).unwrap()
}

fn destination_rule(spec: &str) -> String {
    format!(
        "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {{name: rule, namespace: shop}}\nspec: {spec}\n"
    )
}

fn upstream_sans(context: &UpstreamTlsContext) -> Vec<String> {
    let common = context.common_tls_context.as_ref().unwrap();
    let Some(ValidationContextType::CombinedValidationContext(combined)) = &common.validation_context_type else {
        panic!("roots by SDS")
    };
    sans(&combined.default_validation_context.as_ref().unwrap().match_typed_subject_alt_names)
}

#[test]
fn a_service_port_is_an_eds_cluster_with_mesh_tls_where_the_endpoint_can() {
    let cluster = cluster(&shop(), &frontend(), CATALOG);
    assert_eq!(discovery(&cluster), DiscoveryType::Eds);
    assert_eq!(cluster.lb_policy, LbPolicy::LeastRequest as i32);
    assert_eq!(cluster.connect_timeout.as_ref().unwrap().seconds, 10);
    assert_eq!(config_of(&cluster.metadata), "/apis/networking.istio.io/v1/namespaces/shop/destination-rule/catalog");
    let names: Vec<_> = cluster.transport_socket_matches.iter().map(|way| way.name.as_str()).collect();
    assert_eq!(names, ["tlsMode-istio", "tlsMode-disabled"]);
    let context: UpstreamTlsContext =
        socket_config(cluster.transport_socket_matches[0].transport_socket.as_ref().unwrap());
    assert_eq!(context.sni, "outbound_.80_._.catalog.shop.svc.cluster.local");
    assert_eq!(
        upstream_sans(&context),
        ["exact spiffe://cluster.local/ns/shop/sa/catalog", "exact spiffe://cluster.local/ns/shop/sa/catalog-next"]
    );
    let common = context.common_tls_context.unwrap();
    assert_eq!(common.alpn_protocols, ["istio-http/1.1", "istio", "http/1.1"]);
}

#[test]
fn a_subset_is_a_cluster_of_its_own() {
    let world = shop();
    let v1 = cluster(&world, &frontend(), "outbound|80|v1|catalog.shop.svc.cluster.local");
    let context: UpstreamTlsContext = socket_config(v1.transport_socket_matches[0].transport_socket.as_ref().unwrap());
    assert_eq!(context.sni, "outbound_.80_.v1_.catalog.shop.svc.cluster.local");
    for name in ["outbound|80|v9|catalog.shop.svc.cluster.local", "outbound|81||catalog.shop.svc.cluster.local"] {
        assert!(generate(&world, &frontend(), ResourceType::Cluster, name).resource.is_none(), "{name}");
    }
}

#[test]
fn the_protocol_decides_version_and_alpn() {
    let told = |name: &str| {
        let cluster = cluster(&shop(), &frontend(), name);
        let options = cluster.typed_extension_protocol_options.values().next();
        let options = options.map(|any| xds::unpack::<HttpProtocolOptions>(any).unwrap());
        let version = match options.and_then(|options| options.upstream_protocol_options) {
            Some(UpstreamProtocolOptions::ExplicitHttpConfig(explicit)) => match explicit.protocol_config.unwrap() {
                ProtocolConfig::HttpProtocolOptions(_) => "http1",
                ProtocolConfig::Http2ProtocolOptions(_) => "http2",
                ProtocolConfig::Http3ProtocolOptions(_) => "http3",
            },
            Some(UpstreamProtocolOptions::UseDownstreamProtocolConfig(_)) => "downstream",
            Some(UpstreamProtocolOptions::AutoConfig(_)) => "auto",
            None => "none",
        };
        let context: UpstreamTlsContext =
            socket_config(cluster.transport_socket_matches[0].transport_socket.as_ref().unwrap());
        format!("{version} {}", context.common_tls_context.unwrap().alpn_protocols.join(","))
    };
    assert_eq!(told(CATALOG), "http1 istio-http/1.1,istio,http/1.1");
    assert_eq!(told("outbound|9000||ratings.shop.svc.cluster.local"), "http2 istio-h2,istio,h2");
    assert_eq!(told("outbound|7000||stock.shop.svc.cluster.local"), "none istio-peer-exchange,istio");
    assert_eq!(told("outbound|9999||legacy.shop.svc.cluster.local"), "downstream istio-peer-exchange,istio");
}

#[test]
fn limits_are_the_apis_and_not_envoys() {
    let thresholds = cluster(&shop(), &frontend(), CATALOG).circuit_breakers.unwrap().thresholds.remove(0);
    for limit in
        [thresholds.max_connections, thresholds.max_pending_requests, thresholds.max_requests, thresholds.max_retries]
    {
        assert_eq!(limit.unwrap().value, u32::MAX);
    }
}

#[test]
fn load_balancers() {
    for (name, policy) in
        [("ROUND_ROBIN", LbPolicy::RoundRobin), ("RANDOM", LbPolicy::Random), ("LEAST_REQUEST", LbPolicy::LeastRequest)]
    {
        let spec = format!("{{host: ratings, trafficPolicy: {{loadBalancer: {{simple: {name}}}}}}}");
        let world = shop_with(&destination_rule(&spec));
        let cluster = cluster(&world, &frontend(), "outbound|9000||ratings.shop.svc.cluster.local");
        assert_eq!(cluster.lb_policy, policy as i32, "{name}");
    }
    let world = shop_with(&destination_rule("{host: ratings, trafficPolicy: {loadBalancer: {simple: PASSTHROUGH}}}"));
    let cluster = cluster(&world, &frontend(), "outbound|9000||ratings.shop.svc.cluster.local");
    assert_eq!(
        (discovery(&cluster), cluster.lb_policy),
        (DiscoveryType::OriginalDst, LbPolicy::ClusterProvided as i32)
    );
}

#[test]
fn tls_modes_of_a_destination_rule() {
    let ratings = "outbound|9000||ratings.shop.svc.cluster.local";
    let world = shop_with(&destination_rule("{host: ratings, trafficPolicy: {tls: {mode: DISABLE}}}"));
    let plain = cluster(&world, &frontend(), ratings);
    assert_eq!((plain.transport_socket, plain.transport_socket_matches.len()), (None, 0));

    let world = shop_with(&destination_rule("{host: ratings, trafficPolicy: {tls: {mode: ISTIO_MUTUAL}}}"));
    let mesh = cluster(&world, &frontend(), ratings);
    let context: UpstreamTlsContext = socket_config(&mesh.transport_socket.unwrap());
    assert_eq!(upstream_sans(&context), ["prefix spiffe://cluster.local/"], "nobody known: anybody of the mesh");
    assert!(mesh.transport_socket_matches.is_empty());

    let world = shop_with(&destination_rule("{host: api.example.com, trafficPolicy: {tls: {mode: SIMPLE}}}"));
    let web = cluster(&world, &frontend(), "outbound|80||api.example.com");
    let context: UpstreamTlsContext = socket_config(&web.transport_socket.unwrap());
    assert_eq!(context.sni, "api.example.com");
    let common = context.common_tls_context.unwrap();
    let Some(ValidationContextType::ValidationContext(verification)) = common.validation_context_type else {
        panic!("roots from a file")
    };
    assert_eq!(sans(&verification.match_typed_subject_alt_names), ["exact api.example.com"]);
    assert!(verification.trusted_ca.is_some());
    assert!(common.tls_certificate_sds_secret_configs.is_empty(), "the workload's certificate is for the mesh alone");
}

#[test]
fn a_wildcard_takes_the_servers_name_from_each_request() {
    let world = shop_with(
        "
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: wild, namespace: shop}
spec: {hosts: ['*.example.org'], resolution: NONE, ports: [{number: 80, name: http, protocol: HTTP}]}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: wild, namespace: shop}
spec: {host: '*.example.org', trafficPolicy: {tls: {mode: SIMPLE}}}
",
    );
    let cluster = cluster(&world, &frontend(), "outbound|80||*.example.org");
    let any = cluster.typed_extension_protocol_options.values().next().unwrap();
    let names = xds::unpack::<HttpProtocolOptions>(any).unwrap().upstream_http_protocol_options.unwrap();
    assert!(names.auto_sni && names.auto_san_validation);
    let context: UpstreamTlsContext = socket_config(&cluster.transport_socket.unwrap());
    let Some(ValidationContextType::ValidationContext(verification)) =
        context.common_tls_context.unwrap().validation_context_type
    else {
        panic!("roots from a file")
    };
    assert_eq!(sans(&verification.match_typed_subject_alt_names), ["suffix .example.org"]);
}

#[test]
fn names_are_resolved_by_the_data_plane_and_never_get_mesh_tls() {
    let cluster = cluster(&shop(), &frontend(), "outbound|80||api.example.com");
    assert_eq!(discovery(&cluster), DiscoveryType::StrictDns);
    assert_eq!((cluster.transport_socket, cluster.transport_socket_matches.len()), (None, 0));
    assert_eq!(addresses(&cluster.load_assignment.unwrap()), ["api.example.com:80"]);
    assert!(generate(&shop(), &frontend(), ResourceType::Endpoint, "outbound|80||api.example.com").resource.is_some());
}

#[test]
fn a_headless_service_goes_where_the_client_dialled() {
    let cluster = cluster(&shop(), &frontend(), "outbound|8081||peers.shop.svc.cluster.local");
    assert_eq!(discovery(&cluster), DiscoveryType::OriginalDst);
    let context: UpstreamTlsContext = socket_config(&cluster.transport_socket.unwrap());
    assert_eq!(upstream_sans(&context), ["exact spiffe://cluster.local/ns/shop/sa/peers"]);
}

#[test]
fn the_way_to_the_workload_itself() {
    let own = viewer("shop", [10, 0, 1, 1]);
    let inbound = cluster(&shop(), &own, "inbound|8080||");
    assert_eq!(discovery(&inbound), DiscoveryType::OriginalDst);
    assert_eq!(config_of(&inbound.metadata), "/api/v1/namespaces/shop/service/catalog");
    assert_eq!(inbound.upstream_bind_config.unwrap().source_address.unwrap().address, "127.0.0.6");
    assert!(generate(&shop(), &frontend(), ResourceType::Cluster, "inbound|8080||").resource.is_none());
    let others = cluster(&shop(), &own, "InboundPassthroughCluster");
    assert!(others.upstream_bind_config.is_some());
    assert!(cluster(&shop(), &own, "PassthroughCluster").upstream_bind_config.is_none());
    assert_eq!(discovery(&cluster(&shop(), &own, "BlackHoleCluster")), DiscoveryType::Static);
}
