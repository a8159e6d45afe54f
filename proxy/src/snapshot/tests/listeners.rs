//! What becomes of listeners, and which of them are refused.

use std::time::Duration as StdDuration;

use xds::core::TrafficDirection;
use xds::core::http_protocol_options::HeadersWithUnderscoresAction;
use xds::hcm::http_connection_manager::{
    ForwardClientCertDetails, PathWithEscapedSlashesAction, RouteSpecifier, ServerHeaderTransformation,
    SetCurrentClientCertDetails, StripPortMode, UpgradeConfig,
};
use xds::hcm::{HttpConnectionManager, HttpFilter, Rds, http_filter};
use xds::listener::{
    Filter, FilterChain, FilterChainMatch, Listener as XdsListener, ListenerFilter, filter, listener_filter,
};
use xds::matcher::{StringMatcher, string_matcher::MatchPattern};
use xds::tcp_proxy::{TcpProxy, tcp_proxy};
use xds::tls::common_tls_context::{CombinedCertificateValidationContext, ValidationContextType};
use xds::tls::{
    CertificateValidationContext, CommonTlsContext, DownstreamTlsContext, SdsSecretConfig, SubjectAltNameMatcher,
};

use super::*;
use crate::http::decide::Policy;
use crate::http::normalise::{EscapedSlashes, StripPort};
use crate::model::listener::ServerHeader;
use crate::model::{ClientCertHeader, HttpSettings, NetworkFilter, RouteSource, Wire};

const NAME: &str = "10.96.3.7_80";

fn filter_of(config: Any) -> Filter {
    Filter { name: "f".into(), config_type: Some(filter::ConfigType::TypedConfig(config)) }
}

fn tcp(cluster: &str) -> Any {
    pack(&TcpProxy {
        cluster_specifier: Some(tcp_proxy::ClusterSpecifier::Cluster(cluster.into())),
        ..TcpProxy::default()
    })
}

fn http_filter_of(config: Any) -> HttpFilter {
    HttpFilter {
        name: "h".into(),
        config_type: Some(http_filter::ConfigType::TypedConfig(config)),
        ..HttpFilter::default()
    }
}

fn router() -> HttpFilter {
    http_filter_of(pack(&xds::router::Router::default()))
}

pub(super) fn manager() -> HttpConnectionManager {
    let rds = Rds { route_config_name: "reviews:80".into(), config_source: None };
    HttpConnectionManager {
        stat_prefix: "outbound".into(),
        http_filters: vec![router()],
        route_specifier: Some(RouteSpecifier::Rds(rds)),
        ..HttpConnectionManager::default()
    }
}

fn chain_of(config: Any) -> FilterChain {
    FilterChain { name: "chain".into(), filters: vec![filter_of(config)], ..FilterChain::default() }
}

pub(super) fn listener_of(chains: Vec<FilterChain>) -> XdsListener {
    XdsListener {
        name: NAME.into(),
        address: address("10.96.3.7", 80),
        filter_chains: chains,
        ..XdsListener::default()
    }
}

fn compiled(config: &XdsListener) -> Arc<Listener> {
    match compile(ResourceType::Listener, &config.name, &config.encode_to_vec()) {
        Ok(Compiled::Listener(listener)) => listener,
        other => panic!("{other:?}"),
    }
}

fn settings_of(manager: &HttpConnectionManager) -> Arc<HttpSettings> {
    let listener = compiled(&listener_of(vec![chain_of(pack(manager))]));
    let NetworkFilter::Http(settings) = &listener.chains[0].filter else { panic!("{:?}", listener.chains) };
    settings.clone()
}

fn inspector<M: Message + xds::Name + Default + PartialEq>(message: &M) -> ListenerFilter {
    let config_type = Some(listener_filter::ConfigType::TypedConfig(pack(message)));
    ListenerFilter { name: "l".into(), config_type, ..ListenerFilter::default() }
}

/// `virtualOutbound` as Pilot writes it.
#[test]
fn the_outbound_capture_listener() {
    let itself = FilterChainMatch { destination_port: uint32(15001), ..FilterChainMatch::default() };
    let listener = compiled(&XdsListener {
        name: "virtualOutbound".into(),
        address: address("0.0.0.0", 15001),
        use_original_dst: boolean(true),
        default_filter_chain: Some(chain_of(tcp("PassthroughCluster"))),
        ..listener_of(vec![FilterChain { filter_chain_match: Some(itself), ..chain_of(tcp("BlackHoleCluster")) }])
    });
    assert!(listener.bind && listener.use_original_dst && !listener.inspect_tls && !listener.inspect_http);
    assert_eq!(listener.address, "0.0.0.0:15001".parse().unwrap());
    assert_eq!(listener.chains[0].matches.destination_port, Some(15001));
    let NetworkFilter::Tcp(proxy) = &listener.default_chain.as_ref().unwrap().filter else { panic!("not TCP") };
    assert_eq!(&*proxy.targets.pick(0).cluster, "PassthroughCluster");
    assert_eq!((proxy.idle_timeout, proxy.connect_attempts), (Some(StdDuration::from_secs(3600)), 1));
}

/// As Istio writes a service of both families, and a port of hosts that have no address.
#[test]
fn a_listener_of_both_families() {
    let more = |host: &str| xds::listener::AdditionalAddress { address: address(host, 80), ..Default::default() };
    let listener = |own: &str, other: &str| {
        let config =
            XdsListener { address: address(own, 80), additional_addresses: vec![more(other)], ..listener_of(vec![]) };
        let listener = compiled(&config);
        (listener.address.to_string(), listener.others.clone())
    };
    assert_eq!(listener("10.96.0.1", "fd20::1"), ("10.96.0.1:80".into(), vec!["[fd20::1]:80".parse().unwrap()]));
    assert_eq!(listener("0.0.0.0", "::"), ("0.0.0.0:80".into(), vec![]));
    assert_eq!(listener("::", "0.0.0.0"), ("0.0.0.0:80".into(), vec![]), "any address is one");
}

/// A port without a declared protocol: HTTP if the first bytes look like it, else plain bytes.
#[test]
fn an_undeclared_port() {
    let condition = FilterChainMatch {
        transport_protocol: "raw_buffer".into(),
        application_protocols: vec!["http/1.0".into(), "http/1.1".into(), "h2c".into()],
        ..FilterChainMatch::default()
    };
    let object = "/apis/v1/namespaces/shop/services/stock";
    let listener = compiled(&XdsListener {
        bind_to_port: boolean(false),
        listener_filters: vec![inspector(&xds::http_inspector::HttpInspector {})],
        listener_filters_timeout: seconds(1),
        continue_on_listener_filters_timeout: true,
        default_filter_chain: Some(chain_of(tcp("outbound|80||stock"))),
        metadata: from_object(object),
        ..listener_of(vec![FilterChain { filter_chain_match: Some(condition), ..chain_of(pack(&manager())) }])
    });
    assert!(!listener.bind && listener.inspect_http && !listener.close_silent);
    assert_eq!(listener.inspect_timeout, Some(StdDuration::from_secs(1)));
    assert_eq!(listener.provenance.as_deref(), Some(object));
    let matches = &listener.chains[0].matches;
    assert_eq!(matches.wire, Some(Wire::Raw));
    assert_eq!(
        matches.application_protocols.iter().map(|name| &**name).collect::<Vec<_>>(),
        ["http/1.0", "http/1.1", "h2c"]
    );
    let NetworkFilter::Http(settings) = &listener.chains[0].filter else { panic!("not HTTP") };
    assert!(matches!(&settings.routes, RouteSource::Named(name) if &**name == "reviews:80"));
    assert!(!settings.inbound);
}

fn mesh_tls(require: bool, names: &[&str]) -> core::TransportSocket {
    let secret = |name: &str| SdsSecretConfig { name: name.into(), sds_config: None };
    let matchers = names.iter().map(|name| SubjectAltNameMatcher {
        san_type: 3,
        matcher: Some(StringMatcher { match_pattern: Some(MatchPattern::Prefix((*name).into())), ignore_case: false }),
        oid: String::new(),
    });
    let context = DownstreamTlsContext {
        common_tls_context: Some(CommonTlsContext {
            tls_certificate_sds_secret_configs: vec![secret("default")],
            alpn_protocols: vec!["h2".into(), "http/1.1".into()],
            validation_context_type: Some(ValidationContextType::CombinedValidationContext(
                CombinedCertificateValidationContext {
                    default_validation_context: Some(CertificateValidationContext {
                        match_typed_subject_alt_names: matchers.collect(),
                        ..CertificateValidationContext::default()
                    }),
                    validation_context_sds_secret_config: Some(secret("ROOTCA")),
                    ..CombinedCertificateValidationContext::default()
                },
            )),
            ..CommonTlsContext::default()
        }),
        require_client_certificate: boolean(require),
        ..DownstreamTlsContext::default()
    };
    core::TransportSocket {
        name: "envoy.transport_sockets.tls".into(),
        config_type: Some(core::transport_socket::ConfigType::TypedConfig(pack(&context))),
    }
}

#[test]
fn inbound_mtls() {
    let condition = FilterChainMatch { transport_protocol: "tls".into(), ..FilterChainMatch::default() };
    let chain = FilterChain {
        filter_chain_match: Some(condition),
        transport_socket: Some(mesh_tls(true, &["spiffe://cluster.local/", "spiffe://old.domain/"])),
        ..chain_of(pack(&manager()))
    };
    let listener = compiled(&XdsListener {
        traffic_direction: TrafficDirection::Inbound as i32,
        listener_filters: vec![
            inspector(&xds::original_dst::OriginalDst {}),
            inspector(&xds::tls_inspector::TlsInspector::default()),
        ],
        ..listener_of(vec![chain])
    });
    assert!(listener.inspect_tls && listener.close_silent);
    assert_eq!(listener.chains[0].matches.wire, Some(Wire::Tls));
    let tls = listener.chains[0].tls.as_ref().unwrap();
    assert!(tls.require_client_certificate);
    assert_eq!(tls.trust_domains.iter().map(|name| &**name).collect::<Vec<_>>(), ["cluster.local", "old.domain"]);
    assert_eq!(tls.alpn.iter().map(|name| &**name).collect::<Vec<_>>(), ["h2", "http/1.1"]);
    let NetworkFilter::Http(settings) = &listener.chains[0].filter else { panic!("not HTTP") };
    assert!(settings.inbound);
}

/// What holds when a connection manager says nothing: Envoy's defaults, but for a limit to heads that never end.
#[test]
fn connection_manager_defaults() {
    let settings = settings_of(&manager());
    assert!(
        !settings.path.normalize
            && !settings.path.merge_slashes
            && settings.path.escaped_slashes == EscapedSlashes::Keep
    );
    assert!(
        !settings.reject_underscores && !settings.accept_http10 && !settings.websocket && settings.generate_request_id
    );
    assert_eq!((settings.max_head_bytes, settings.max_headers), (60 * 1024, 100));
    assert_eq!(settings.head_timeout, Some(StdDuration::from_secs(10)));
    assert_eq!(settings.idle_timeout, Some(StdDuration::from_secs(3600)));
    assert_eq!(settings.stream_idle_timeout, Some(StdDuration::from_secs(300)));
    assert_eq!((settings.max_concurrent_streams, settings.connection_window), (1024, 16 << 20));
    assert_eq!(settings.client_cert_header, ClientCertHeader::Sanitize);
    assert!(
        !settings.use_remote_address && !settings.append_forwarded_for && settings.host.strip_port == StripPort::Never
    );
    assert_eq!(settings.server_header, ServerHeader::Overwrite("meltemi".parse().unwrap()));
    assert!(settings.default_fault.is_none());
}

#[test]
fn connection_manager_settings() {
    let settings = settings_of(&HttpConnectionManager {
        common_http_protocol_options: Some(core::HttpProtocolOptions {
            idle_timeout: seconds(0),
            max_headers_count: uint32(7),
            headers_with_underscores_action: HeadersWithUnderscoresAction::RejectRequest as i32,
            ..core::HttpProtocolOptions::default()
        }),
        http_protocol_options: Some(core::Http1ProtocolOptions {
            accept_http_10: true,
            ..core::Http1ProtocolOptions::default()
        }),
        http2_protocol_options: Some(core::Http2ProtocolOptions {
            max_concurrent_streams: uint32(5),
            initial_stream_window_size: uint32(65_535),
            initial_connection_window_size: uint32(1 << 20),
            ..core::Http2ProtocolOptions::default()
        }),
        max_request_headers_kb: uint32(16),
        stream_idle_timeout: seconds(0),
        request_headers_timeout: seconds(0),
        normalize_path: boolean(true),
        merge_slashes: true,
        path_with_escaped_slashes_action: PathWithEscapedSlashesAction::UnescapeAndForward as i32,
        forward_client_cert_details: ForwardClientCertDetails::AppendForward as i32,
        set_current_client_cert_details: Some(SetCurrentClientCertDetails {
            subject: boolean(true),
            dns: true,
            uri: true,
            ..SetCurrentClientCertDetails::default()
        }),
        upgrade_configs: vec![UpgradeConfig { upgrade_type: "websocket".into(), ..UpgradeConfig::default() }],
        use_remote_address: boolean(true),
        server_header_transformation: ServerHeaderTransformation::PassThrough as i32,
        strip_port_mode: Some(StripPortMode::StripAnyHostPort(true)),
        strip_trailing_host_dot: true,
        ..manager()
    });
    assert!(
        settings.path.normalize
            && settings.path.merge_slashes
            && settings.path.escaped_slashes == EscapedSlashes::Unescape
    );
    assert!(
        settings.reject_underscores && settings.accept_http10 && settings.websocket && settings.client_cert_subject
    );
    assert_eq!((settings.max_head_bytes, settings.max_headers, settings.max_concurrent_streams), (16 * 1024, 7, 5));
    assert_eq!((settings.head_timeout, settings.idle_timeout, settings.stream_idle_timeout), (None, None, None));
    assert_eq!((settings.stream_window, settings.connection_window), (65_535, 1 << 20));
    assert_eq!(settings.client_cert_header, ClientCertHeader::AppendForward);
    assert!(settings.use_remote_address && settings.append_forwarded_for);
    assert!(settings.host.strip_port == StripPort::Any && settings.host.strip_trailing_dot);
    assert_eq!(settings.server_header, ServerHeader::PassThrough);
}

fn fault(status: u32) -> Any {
    pack(&xds::fault::HttpFault {
        abort: Some(xds::fault::FaultAbort {
            percentage: Some(xds::typ::FractionalPercent { numerator: 100, denominator: 0 }),
            error_type: Some(xds::fault::fault_abort::ErrorType::HttpStatus(status)),
            ..xds::fault::FaultAbort::default()
        }),
        ..xds::fault::HttpFault::default()
    })
}

/// A route may speak only to filters that its connection manager has.
#[test]
fn routes_of_the_listener_know_its_filters() {
    let route = route::Route {
        typed_per_filter_config: HashMap::from([("envoy.filters.http.fault".to_owned(), fault(500))]),
        ..routes::route_of(routes::to("c"))
    };
    let inline = |filters: Vec<HttpFilter>| {
        let table = routes::table_of(vec![route.clone()]);
        let settings = settings_of(&HttpConnectionManager {
            http_filters: filters,
            route_specifier: Some(RouteSpecifier::RouteConfig(table)),
            ..manager()
        });
        let RouteSource::Inline(table) = &settings.routes else { panic!("not inline") };
        (table.hosts()[0].routes[0].clone(), settings.default_fault.is_some())
    };
    let (with, default) = inline(vec![http_filter_of(pack(&xds::fault::HttpFault::default())), router()]);
    assert!(matches!(with.policies.as_slice(), [Policy::Fault(_)]) && !default);
    let (without, _) = inline(vec![router()]);
    assert!(without.policies.is_empty());
    let (_, default) = inline(vec![http_filter_of(fault(503)), router()]);
    assert!(default);
}

/// What a sidecar of Istio carries besides: statistics, peer metadata, its choice of ALPN names.
#[test]
fn filters_that_only_count_are_left_out() {
    let of_type = |name: &str, type_url: &str| HttpFilter {
        name: name.into(),
        ..http_filter_of(Any { type_url: format!("type.googleapis.com/{type_url}"), value: vec![0xff] })
    };
    settings_of(&HttpConnectionManager {
        http_filters: vec![
            of_type("istio.metadata_exchange", "io.istio.http.peer_metadata.Config"),
            of_type("envoy.filters.http.grpc_stats", "envoy.extensions.filters.http.grpc_stats.v3.FilterConfig"),
            of_type("istio.alpn", "istio.envoy.config.filter.http.alpn.v2alpha1.FilterConfig"),
            of_type("istio.stats", "udpa.type.v1.TypedStruct"),
            HttpFilter { is_optional: true, ..http_filter_of(unknown()) },
            HttpFilter { disabled: true, ..http_filter_of(unknown()) },
            router(),
        ],
        ..manager()
    });
    let exchange = Any {
        type_url: "type.googleapis.com/envoy.tcp.metadataexchange.config.MetadataExchange".into(),
        value: vec![],
    };
    let chain = FilterChain { filters: vec![filter_of(exchange), filter_of(tcp("c"))], ..FilterChain::default() };
    compiled(&listener_of(vec![chain]));
}

#[test]
fn inspectors_that_are_off_everywhere_are_off() {
    let everywhere = listener::ListenerFilterChainMatchPredicate {
        rule: Some(listener::listener_filter_chain_match_predicate::Rule::AnyMatch(true)),
    };
    let off = ListenerFilter { filter_disabled: Some(everywhere), ..inspector(&xds::http_inspector::HttpInspector {}) };
    assert!(!compiled(&XdsListener { listener_filters: vec![off], ..listener_of(vec![]) }).inspect_http);
}

#[test]
fn refusals_name_the_field() {
    let socket = |socket| FilterChain { transport_socket: Some(socket), ..chain_of(tcp("c")) };
    let condition = |condition| FilterChain { filter_chain_match: Some(condition), ..chain_of(tcp("c")) };
    let http = |manager: HttpConnectionManager| listener_of(vec![chain_of(pack(&manager))]);
    let redis = Any {
        type_url: "type.googleapis.com/envoy.extensions.filters.network.redis_proxy.v3.RedisProxy".into(),
        value: vec![],
    };
    const HCM: &str = "filter_chains[0].filters[0]";
    let cases = vec![
        (listener_of(vec![chain_of(tcp("a")), chain_of(redis)]), "filter_chains[1].filters[0]: type envoy.extensions.filters.network.redis_proxy.v3.RedisProxy is not supported by this proxy".to_owned()),
        (listener_of(vec![FilterChain::default()]), "filter_chains[0].filters: is empty".into()),
        (XdsListener { address: None, ..listener_of(vec![]) }, "address: is missing".into()),
        (XdsListener { address: address("shop", 80), ..listener_of(vec![]) }, "address.socket_address.address: \"shop\" is not an IP address".into()),
        (XdsListener { address: address("10.0.0.1", 70_000), ..listener_of(vec![]) }, "address.socket_address.port_value: 70000 is not a port number".into()),
        (XdsListener { transparent: boolean(true), ..listener_of(vec![]) }, "transparent: is not supported".into()),
        (
            XdsListener { listener_filters: vec![inspector(&xds::router::Router::default())], ..listener_of(vec![]) },
            "listener_filters[0]: type envoy.extensions.filters.http.router.v3.Router is not supported".into(),
        ),
        (listener_of(vec![condition(FilterChainMatch { source_ports: vec![1], ..FilterChainMatch::default() })]), "filter_chains[0].filter_chain_match.source_ports: is not supported".into()),
        (listener_of(vec![condition(FilterChainMatch { server_names: vec!["a.*".into()], ..FilterChainMatch::default() })]), "filter_chains[0].filter_chain_match.server_names[0]: \"a.*\"".into()),
        (listener_of(vec![condition(FilterChainMatch { transport_protocol: "quic".into(), ..FilterChainMatch::default() })]), "filter_chains[0].filter_chain_match.transport_protocol: \"quic\"".into()),
        (listener_of(vec![socket(core::TransportSocket { name: "x".into(), config_type: Some(core::transport_socket::ConfigType::TypedConfig(unknown())) })]), "filter_chains[0].transport_socket: type example.Unknown is not supported".into()),
        (listener_of(vec![socket(mesh_tls(true, &["spiffe://td/ns/a"]))]), "filter_chains[0].transport_socket.common_tls_context.combined_validation_context.default_validation_context.match_typed_subject_alt_names: prefix \"spiffe://td/ns/a\"".into()),
        (http(HttpConnectionManager { http_filters: vec![], ..manager() }), format!("{HCM}.http_filters: has no router")),
        (http(HttpConnectionManager { http_filters: vec![http_filter_of(unknown()), router()], ..manager() }), format!("{HCM}.http_filters[0]: type example.Unknown is not supported by this proxy")),
        (http(HttpConnectionManager { http_filters: vec![http_filter_of(pack(&xds::http_rbac::Rbac::default())), router()], ..manager() }), format!("{HCM}.http_filters[0]: type envoy.extensions.filters.http.rbac.v3.RBAC is not supported")),
        (http(HttpConnectionManager { http_filters: vec![http_filter_of(fault(503))], ..manager() }), format!("{HCM}.http_filters[0]: expected envoy.extensions.filters.http.router.v3.Router")),
        (http(HttpConnectionManager { route_specifier: None, ..manager() }), format!("{HCM}.route_specifier: is missing")),
        (http(HttpConnectionManager { via: "x".into(), ..manager() }), format!("{HCM}.via: is not supported")),
        (http(HttpConnectionManager { forward_client_cert_details: ForwardClientCertDetails::AlwaysForwardOnly as i32, ..manager() }), format!("{HCM}.forward_client_cert_details: only modes that do not believe")),
        (http(HttpConnectionManager { upgrade_configs: vec![UpgradeConfig { upgrade_type: "CONNECT".into(), ..UpgradeConfig::default() }], ..manager() }), format!("{HCM}.upgrade_configs[0]: \"CONNECT\"")),
        (http(HttpConnectionManager { stream_idle_timeout: seconds(-5), ..manager() }), format!("{HCM}.stream_idle_timeout: -5s 0ns is negative")),
        (
            http(HttpConnectionManager { route_specifier: Some(RouteSpecifier::RouteConfig(routes::table_of(vec![route::Route::default()]))), ..manager() }),
            format!("{HCM}.route_config.virtual_hosts[0].routes[0].match: is missing"),
        ),
    ];
    for (listener, expected) in cases {
        let refusal = refusal(ResourceType::Listener, NAME, &listener);
        let expected = format!("listener {NAME}: {expected}");
        assert!(refusal.starts_with(&expected), "\n  said     {refusal}\n  expected {expected}");
    }
}
