//! Outbound listeners and capture.

use super::*;
use xds::core::TrafficDirection;

#[test]
fn an_http_port_has_a_listener_that_routes_by_rds() {
    let listener = listener(&shop(), &frontend(), "10.96.0.10_80");
    assert_eq!(bound_to(&listener), ("10.96.0.10".to_owned(), 80));
    assert_eq!(listener.bind_to_port.as_ref().map(|bind| bind.value), Some(false));
    assert_eq!(listener.traffic_direction, TrafficDirection::Outbound as i32);
    assert_eq!(config_of(&listener.metadata), "/api/v1/namespaces/shop/service/catalog");
    let [chain] = listener.filter_chains.as_slice() else { panic!("one chain") };
    assert_eq!(chain.filter_chain_match, None);
    assert_eq!(rds_of(chain), "catalog.shop.svc.cluster.local:80");
}

#[test]
fn a_tcp_port_is_forwarded() {
    let listener = listener(&shop(), &frontend(), "10.96.0.20_7000");
    assert!(listener.listener_filters.is_empty(), "nobody waits for the client where the server speaks first");
    assert_eq!(tcp_of(&listener.filter_chains[0]), "outbound|7000||stock.shop.svc.cluster.local");
}

#[test]
fn an_undeclared_port_is_detected_and_a_silent_client_is_tcp() {
    let listener = listener(&shop(), &frontend(), "10.96.0.40_9999");
    let [http] = listener.filter_chains.as_slice() else { panic!("one chain") };
    let condition = http.filter_chain_match.clone().unwrap();
    assert_eq!(condition.application_protocols, ["http/1.0", "http/1.1", "h2c"]);
    assert_eq!(rds_of(http), "legacy.shop.svc.cluster.local:9999");
    assert_eq!(tcp_of(&listener.default_filter_chain.unwrap()), "outbound|9999||legacy.shop.svc.cluster.local");
    assert_eq!(listener.listener_filters.len(), 1);
    assert!(listener.continue_on_listener_filters_timeout);
}

#[test]
fn what_nobody_serves_or_sees_has_no_listener() {
    let world = shop();
    for name in ["10.96.0.10_81", "10.96.9.9_80", "0.0.0.0_9", "10.96.0.50_80", "10.0.4.1_9999", "nonsense"] {
        assert!(generate(&world, &frontend(), ResourceType::Listener, name).resource.is_none(), "{name}");
    }
    let owner = viewer("bank", [10, 0, 9, 9]);
    assert!(generate(&world, &owner, ResourceType::Listener, "10.96.0.50_80").resource.is_some());
}

#[test]
fn a_headless_service_is_dialled_at_its_pods() {
    let listener = listener(&shop(), &frontend(), "10.0.5.1_8081");
    assert_eq!(rds_of(&listener.filter_chains[0]), "peers.shop.svc.cluster.local:8081");
}

#[test]
fn host_only_destinations_share_a_listener_for_each_port() {
    let world = shop();
    let http = listener(&world, &frontend(), "0.0.0.0_80");
    assert_eq!(bound_to(&http), ("0.0.0.0".to_owned(), 80));
    assert_eq!(config_of(&http.metadata), "/apis/networking.istio.io/v1/namespaces/shop/service-entry/web");
    assert_eq!(rds_of(&http.filter_chains[0]), "80");
    assert_eq!(tcp_of(&http.default_filter_chain.unwrap()), "PassthroughCluster");

    let tls = listener(&world, &frontend(), "0.0.0.0_443");
    let [chain] = tls.filter_chains.as_slice() else { panic!("one chain") };
    assert_eq!(chain.filter_chain_match.as_ref().unwrap().server_names, ["api.example.com"]);
    assert_eq!(tcp_of(chain), "outbound|443||api.example.com");
    assert_eq!(tcp_of(&tls.default_filter_chain.unwrap()), "PassthroughCluster");
}

#[test]
fn capture_hands_over_and_passes_the_unknown_through() {
    let listener = listener(&shop(), &frontend(), "virtualOutbound");
    assert_eq!(bound_to(&listener), ("0.0.0.0".to_owned(), 15001));
    assert_eq!(listener.use_original_dst.as_ref().map(|flag| flag.value), Some(true));
    let [loops] = listener.filter_chains.as_slice() else { panic!("one chain") };
    assert_eq!(loops.filter_chain_match.as_ref().unwrap().destination_port.as_ref().unwrap().value, 15001);
    assert_eq!(tcp_of(loops), "BlackHoleCluster");
    assert_eq!(tcp_of(&listener.default_filter_chain.unwrap()), "PassthroughCluster");
}

#[test]
fn unknown_destinations_can_be_refused() {
    let mut world = shop();
    world.mesh = Arc::new(crate::world::Mesh { allow_any: false, ..(*world.mesh).clone() });
    let listener = listener(&world, &frontend(), "virtualOutbound");
    assert_eq!(tcp_of(&listener.default_filter_chain.unwrap()), "BlackHoleCluster");
    let routes = routes(&world, &frontend(), "80");
    assert_eq!(tell(&routes.virtual_hosts[1].routes[0]), "prefix / => status 502");
}

#[test]
fn a_tcp_rule_shares_connections_out() {
    let world = shop_with(
        r"
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: stock, namespace: shop}
spec:
  hosts: [stock]
  tcp:
  - route:
    - {destination: {host: stock}, weight: 3}
    - {destination: {host: legacy, port: {number: 9999}}, weight: 1}
",
    );
    let listener = listener(&world, &frontend(), "10.96.0.20_7000");
    let proxy: TcpProxy = typed(&listener.filter_chains[0].filters[0]);
    let Some(tcp::ClusterSpecifier::WeightedClusters(weighted)) = proxy.cluster_specifier else { panic!("weights") };
    let shares: Vec<_> = weighted.clusters.iter().map(|share| (share.name.as_str(), share.weight)).collect();
    assert_eq!(
        shares,
        [("outbound|7000||stock.shop.svc.cluster.local", 3), ("outbound|9999||legacy.shop.svc.cluster.local", 1)]
    );
}

#[test]
fn outbound_http_carries_every_default_that_decides() {
    let listener = listener(&shop(), &frontend(), "10.96.0.10_80");
    let manager = manager_of(&listener.filter_chains[0]);
    let filters: Vec<_> = manager.http_filters.iter().map(|filter| filter.name.as_str()).collect();
    assert_eq!(filters, ["envoy.filters.http.fault", "envoy.filters.http.cors", "envoy.filters.http.router"]);
    let common = manager.common_http_protocol_options.unwrap();
    assert_eq!(common.max_headers_count.unwrap().value, 100);
    assert_eq!(common.headers_with_underscores_action, 0, "allowed");
    assert_eq!(manager.max_request_headers_kb.unwrap().value, 64);
    assert_eq!(manager.request_headers_timeout.unwrap().seconds, 10);
    assert!(manager.normalize_path.unwrap().value && manager.strip_trailing_host_dot);
    assert!(!manager.merge_slashes);
    assert_eq!(manager.path_with_escaped_slashes_action, 1, "kept");
    assert!(!manager.use_remote_address.unwrap().value);
    assert_eq!(manager.server_header_transformation, 2, "passed through");
    assert_eq!(manager.forward_client_cert_details, 0, "sanitised");
    assert_eq!(manager.upgrade_configs[0].upgrade_type, "websocket");
    let http2 = manager.http2_protocol_options.unwrap();
    assert_eq!(http2.max_concurrent_streams.unwrap().value, 100);
    assert_eq!(http2.initial_connection_window_size.unwrap().value, 16 << 20);
}
