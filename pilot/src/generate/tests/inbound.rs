//! `virtualInbound`: who is let in, by PeerAuthentication and protocol.

use super::*;
use xds::tls::DownstreamTlsContext;
use xds::tls::common_tls_context::ValidationContextType;

/// A PeerAuthentication for the whole of `shop`.
fn mode(mode: &str) -> String {
    format!(
        "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {{name: default, namespace: shop}}\n\
         spec: {{mtls: {{mode: {mode}}}}}\n"
    )
}

/// The chains that a workload has, in order, each with the ALPN names that it wants.
fn chains(world: &World, ip: [u8; 4]) -> Vec<String> {
    let listener = listener(world, &viewer("shop", ip), "virtualInbound");
    assert!(listener.use_original_dst.is_none(), "inbound connections are never handed to outbound listeners");
    listener
        .filter_chains
        .iter()
        .map(|chain| {
            let alpn = &chain.filter_chain_match.as_ref().unwrap().application_protocols;
            let alpn = if alpn.is_empty() { String::new() } else { format!(" [{}]", alpn.join(" ")) };
            format!("{}{alpn}", chain.name)
        })
        .collect()
}

const FIVE: &str = "[istio-peer-exchange istio istio-http/1.0 istio-http/1.1 istio-h2]";
const HTTP: &str = "[istio-http/1.0 istio-http/1.1 istio-h2]";
const PLAIN: &str = "[http/1.0 http/1.1 h2c]";

#[test]
fn without_a_policy_both_are_served() {
    assert_eq!(
        chains(&shop(), [10, 0, 1, 1]),
        [
            "virtualInbound-blackhole".to_owned(),
            format!("0.0.0.0_8080;mtls;http {FIVE}"),
            "0.0.0.0_8080;plaintext;http".into(),
            format!("virtualInbound;mtls;tcp {FIVE}"),
            "virtualInbound;tls;tcp".into(),
            "virtualInbound;plaintext;tcp".into(),
        ]
    );
}

#[test]
fn strict_has_chains_for_mesh_tls_alone() {
    let world = shop_with(&mode("STRICT"));
    assert_eq!(
        chains(&world, [10, 0, 1, 1]),
        ["virtualInbound-blackhole", "0.0.0.0_8080;mtls;http", "virtualInbound;mtls;tcp"]
    );
    assert_eq!(
        chains(&world, [10, 0, 2, 1]),
        ["virtualInbound-blackhole", "0.0.0.0_7000;mtls;tcp", "virtualInbound;mtls;tcp"]
    );
    assert_eq!(
        chains(&world, [10, 0, 4, 1])[1..3],
        [format!("0.0.0.0_9999;mtls;http {HTTP}"), "0.0.0.0_9999;mtls;tcp".into()]
    );
}

#[test]
fn permissive_tells_mesh_tls_from_the_applications_own() {
    let world = shop_with(&mode("PERMISSIVE"));
    assert_eq!(
        chains(&world, [10, 0, 2, 1])[1..4],
        [format!("0.0.0.0_7000;mtls;tcp {FIVE}"), "0.0.0.0_7000;tls;tcp".into(), "0.0.0.0_7000;plaintext;tcp".into()]
    );
    assert_eq!(
        chains(&world, [10, 0, 4, 1])[1..6],
        [
            format!("0.0.0.0_9999;mtls;http {HTTP}"),
            "0.0.0.0_9999;mtls;tcp [istio-peer-exchange istio]".into(),
            "0.0.0.0_9999;tls;tcp".into(),
            format!("0.0.0.0_9999;plaintext;http {PLAIN}"),
            "0.0.0.0_9999;plaintext;tcp".into(),
        ]
    );
}

#[test]
fn disable_leaves_all_tls_to_the_application() {
    let world = shop_with(&mode("DISABLE"));
    assert_eq!(
        chains(&world, [10, 0, 1, 1]),
        [
            "virtualInbound-blackhole",
            "0.0.0.0_8080;tls;tcp",
            "0.0.0.0_8080;plaintext;http",
            "virtualInbound;plaintext;tcp"
        ]
    );
}

#[test]
fn a_policy_for_a_port_that_no_service_declares_has_chains_too() {
    let world = shop_with(
        r"
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: catalog, namespace: shop}
spec:
  selector: {matchLabels: {app: catalog}}
  mtls: {mode: STRICT}
  portLevelMtls: {9100: {mode: DISABLE}}
",
    );
    assert_eq!(
        chains(&world, [10, 0, 1, 1]),
        ["virtualInbound-blackhole", "0.0.0.0_8080;mtls;http", "0.0.0.0_9100;plaintext;tcp", "virtualInbound;mtls;tcp"]
    );
    let listener = listener(&world, &viewer("shop", [10, 0, 1, 1]), "virtualInbound");
    assert_eq!(tcp_of(&listener.filter_chains[2]), "InboundPassthroughCluster");
}

#[test]
fn mesh_tls_wants_a_certificate_of_the_trust_domain() {
    let listener = listener(&shop_with(&mode("STRICT")), &viewer("shop", [10, 0, 1, 1]), "virtualInbound");
    assert_eq!(config_of(&listener.metadata), "/apis/security.istio.io/v1/namespaces/shop/peer-authentication/default");
    let socket = listener.filter_chains[1].transport_socket.as_ref().unwrap();
    let context: DownstreamTlsContext = socket_config(socket);
    assert!(context.require_client_certificate.unwrap().value);
    assert!(context.disable_stateful_session_resumption);
    let common = context.common_tls_context.unwrap();
    assert_eq!(common.alpn_protocols, ["h2", "http/1.1"]);
    assert_eq!(common.tls_certificate_sds_secret_configs[0].name, "default");
    assert_eq!(common.tls_params.unwrap().ecdh_curves[0], "X25519MLKEM768");
    let Some(ValidationContextType::CombinedValidationContext(combined)) = common.validation_context_type else {
        panic!("roots by SDS")
    };
    assert_eq!(combined.validation_context_sds_secret_config.unwrap().name, "ROOTCA");
    assert_eq!(
        sans(&combined.default_validation_context.unwrap().match_typed_subject_alt_names),
        ["prefix spiffe://cluster.local/"]
    );
}

#[test]
fn inbound_http_trusts_nothing() {
    let listener = listener(&shop(), &viewer("shop", [10, 0, 1, 1]), "virtualInbound");
    let manager = manager_of(&listener.filter_chains[1]);
    assert_eq!(manager.common_http_protocol_options.unwrap().headers_with_underscores_action, 1, "refused");
    assert!(manager.normalize_path.unwrap().value && manager.merge_slashes && manager.strip_trailing_host_dot);
    assert_eq!(manager.path_with_escaped_slashes_action, 4, "unescaped and forwarded");
    assert_eq!(manager.forward_client_cert_details, 2, "appended, and dropped without mTLS");
    let details = manager.set_current_client_cert_details.unwrap();
    assert!(details.uri && details.subject.unwrap().value);
    let Some(RouteSpecifier::RouteConfig(routes)) = manager.route_specifier else { panic!("inline routes") };
    assert_eq!(tell(&routes.virtual_hosts[0].routes[0]), "prefix / => inbound|8080||");
}

#[test]
fn a_proxy_whose_pod_is_not_known_yet_serves_undeclared_ports() {
    assert_eq!(
        chains(&shop_with(&mode("STRICT")), [10, 0, 77, 7]),
        ["virtualInbound-blackhole", "virtualInbound;mtls;tcp"]
    );
}

#[test]
fn detection_waits_on_undeclared_ports_alone() {
    let names = |ip| -> Vec<String> {
        let listener = listener(&shop(), &viewer("shop", ip), "virtualInbound");
        listener.listener_filters.into_iter().map(|filter| filter.name).collect()
    };
    assert_eq!(names([10, 0, 1, 1]), ["envoy.filters.listener.original_dst", "envoy.filters.listener.tls_inspector"]);
    assert_eq!(names([10, 0, 4, 1])[2], "envoy.filters.listener.http_inspector");
}
