//! What becomes of clusters, and which of them are refused.

use std::time::Duration as StdDuration;

use record::Service;
use xds::cluster::cluster::{
    ClusterDiscoveryType, DiscoveryType, DnsLookupFamily, EdsClusterConfig, LbConfig, LbPolicy as XdsPolicy,
    LeastRequestLbConfig, OriginalDstLbConfig, TransportSocketMatch,
};
use xds::cluster::{
    CircuitBreakers, Cluster as XdsCluster, LoadBalancingPolicy, circuit_breakers::Thresholds, load_balancing_policy,
};
use xds::http_protocol_options::HttpProtocolOptions;
use xds::http_protocol_options::http_protocol_options::{
    AutoHttpConfig, ExplicitHttpConfig, UpstreamProtocolOptions, UseDownstreamHttpConfig,
    explicit_http_config::ProtocolConfig,
};
use xds::matcher::{StringMatcher, string_matcher::MatchPattern};
use xds::tls::certificate_validation_context::SystemRootCerts;
use xds::tls::common_tls_context::{CombinedCertificateValidationContext, ValidationContextType};
use xds::tls::{
    CertificateValidationContext, CommonTlsContext, SdsSecretConfig, SubjectAltNameMatcher, UpstreamTlsContext,
};

use super::*;
use crate::model::{Discovery, DnsFamily, LbPolicy, Transport, TransportMatch, UpstreamTls, UpstreamVersion};

const NAME: &str = "outbound|80|v1|reviews.shop.svc.cluster.local";
const HTTP: &str = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";

pub(super) fn cluster_of(kind: DiscoveryType) -> XdsCluster {
    XdsCluster {
        name: NAME.into(),
        cluster_discovery_type: Some(ClusterDiscoveryType::Type(kind as i32)),
        ..XdsCluster::default()
    }
}

fn compiled(config: &XdsCluster) -> Arc<Cluster> {
    match compile(ResourceType::Cluster, &config.name, &config.encode_to_vec()) {
        Ok(Compiled::Cluster(cluster)) => cluster,
        other => panic!("{other:?}"),
    }
}

fn socket<M: Message + xds::Name + Default + PartialEq>(context: &M) -> core::TransportSocket {
    let config_type = Some(core::transport_socket::ConfigType::TypedConfig(pack(context)));
    core::TransportSocket { name: "s".into(), config_type }
}

fn secret(name: &str) -> SdsSecretConfig {
    SdsSecretConfig { name: name.into(), sds_config: None }
}

fn names(pattern: impl Fn(String) -> MatchPattern, names: &[&str]) -> CertificateValidationContext {
    let matchers = names.iter().map(|name| SubjectAltNameMatcher {
        san_type: 3,
        matcher: Some(StringMatcher { match_pattern: Some(pattern((*name).into())), ignore_case: false }),
        oid: String::new(),
    });
    CertificateValidationContext {
        match_typed_subject_alt_names: matchers.collect(),
        ..CertificateValidationContext::default()
    }
}

fn context(own: Option<&str>, validation: Option<ValidationContextType>) -> UpstreamTlsContext {
    UpstreamTlsContext {
        common_tls_context: Some(CommonTlsContext {
            tls_certificate_sds_secret_configs: own.map(secret).into_iter().collect(),
            alpn_protocols: vec!["istio-h2".into(), "istio".into(), "h2".into()],
            validation_context_type: validation,
            ..CommonTlsContext::default()
        }),
        sni: "outbound_.80_.v1_.reviews.shop.svc.cluster.local".into(),
        ..UpstreamTlsContext::default()
    }
}

fn combined(default: CertificateValidationContext, roots: &str) -> Option<ValidationContextType> {
    Some(ValidationContextType::CombinedValidationContext(CombinedCertificateValidationContext {
        default_validation_context: Some(default),
        validation_context_sds_secret_config: Some(secret(roots)),
        ..CombinedCertificateValidationContext::default()
    }))
}

fn mesh(exact: &[&str]) -> UpstreamTlsContext {
    context(Some("default"), combined(names(MatchPattern::Exact, exact), "ROOTCA"))
}

fn tls_of(context: &UpstreamTlsContext) -> Arc<UpstreamTls> {
    let cluster = compiled(&XdsCluster { transport_socket: Some(socket(context)), ..cluster_of(DiscoveryType::Eds) });
    let Transport::Tls(tls) = &cluster.transport else { panic!("{:?}", cluster.transport) };
    tls.clone()
}

fn boxed(names: &[&str]) -> Vec<Box<str>> {
    names.iter().map(|name| (*name).into()).collect()
}

/// A service of the mesh as Pilot writes it: EDS, auto mTLS by endpoint metadata.
#[test]
fn a_service_with_auto_mtls() {
    let able = struct_of([("tlsMode", string_value("istio"))]);
    let way = |name: &str, r#match, socket| TransportSocketMatch {
        name: name.into(),
        r#match: Some(r#match),
        transport_socket: Some(socket),
    };
    let service = struct_value(struct_of([
        ("host", string_value("reviews.shop.svc.cluster.local")),
        ("name", string_value("reviews")),
        ("namespace", string_value("shop")),
    ]));
    let services = Value { kind: Some(Kind::ListValue(ListValue { values: vec![service] })) };
    let object = "/apis/networking.istio.io/v1/namespaces/shop/destination-rule/reviews";
    let config = XdsCluster {
        connect_timeout: seconds(10),
        lb_policy: XdsPolicy::LeastRequest as i32,
        transport_socket_matches: vec![
            way("tlsMode-istio", able, socket(&mesh(&["spiffe://cluster.local/ns/shop/sa/reviews"]))),
            way("tlsMode-disabled", Struct::default(), socket(&xds::raw_buffer::RawBuffer {})),
        ],
        circuit_breakers: Some(CircuitBreakers {
            thresholds: vec![Thresholds {
                max_requests: uint32(u32::MAX),
                max_retries: uint32(u32::MAX),
                ..Thresholds::default()
            }],
            per_host_thresholds: Vec::new(),
        }),
        metadata: metadata_of(&[("istio", struct_of([("config", string_value(object)), ("services", services)]))]),
        ..cluster_of(DiscoveryType::Eds)
    };
    let cluster = compiled(&config);
    assert!(matches!(&cluster.discovery, Discovery::Eds(name) if &**name == NAME));
    assert_eq!(cluster.lb, LbPolicy::LeastRequest { choices: 2 });
    assert_eq!(cluster.connect_timeout, StdDuration::from_secs(10));
    assert_eq!(cluster.provenance.as_deref(), Some(object));
    let expected =
        Service { host: "reviews.shop.svc.cluster.local".into(), name: "reviews".into(), namespace: "shop".into() };
    assert_eq!(*cluster.service, expected);
    let [(TransportMatch(condition), Transport::Tls(tls)), (TransportMatch(any), Transport::Raw)] =
        cluster.transports.as_slice()
    else {
        panic!("{:?}", cluster.transports)
    };
    assert_eq!(condition.as_slice(), [("tlsMode".into(), "istio".into())]);
    assert!(any.is_empty());
    let expected = UpstreamTls {
        mutual: true,
        alpn: boxed(&["istio-h2", "istio", "h2"]),
        sni: Some("outbound_.80_.v1_.reviews.shop.svc.cluster.local".into()),
        peer_names: boxed(&["spiffe://cluster.local/ns/shop/sa/reviews"]),
        trust_domains: Vec::new(),
        ca_file: None,
        insecure: false,
    };
    assert_eq!(**tls, expected);
}

#[test]
fn services_are_known_by_cluster_names() {
    let service = |name: &str| {
        let cluster = compiled(&XdsCluster { name: name.into(), ..cluster_of(DiscoveryType::OriginalDst) });
        let Service { host, name, namespace } = (*cluster.service).clone();
        [host, name, namespace]
    };
    assert_eq!(service(NAME), ["reviews.shop.svc.cluster.local", "reviews", "shop"]);
    assert_eq!(service("outbound|443||api.example.com"), ["api.example.com", "api.example.com", "unknown"]);
    assert_eq!(service("PassthroughCluster"), ["unknown", "PassthroughCluster", "unknown"]);
    assert_eq!(service("inbound|80||"), ["unknown", "unknown", "unknown"]);
    assert_eq!(service("sds-grpc"), ["unknown", "unknown", "unknown"]);
}

#[test]
fn discovery() {
    let source = |ip: &str| Some(core::SocketAddress { address: ip.into(), ..core::SocketAddress::default() });
    let bind = core::BindConfig {
        source_address: source("127.0.0.6"),
        extra_source_addresses: vec![core::ExtraSourceAddress { address: source("::6"), socket_options: None }],
        ..core::BindConfig::default()
    };
    let inbound = compiled(&XdsCluster {
        lb_policy: XdsPolicy::ClusterProvided as i32,
        upstream_bind_config: Some(bind),
        ..cluster_of(DiscoveryType::OriginalDst)
    });
    assert!(matches!(inbound.discovery, Discovery::OriginalDst));
    assert_eq!(inbound.bind, ["127.0.0.6", "::6"].map(|ip| ip.parse::<std::net::IpAddr>().unwrap()));

    let black_hole = compiled(&cluster_of(DiscoveryType::Static));
    assert!(matches!(&black_hole.discovery, Discovery::Static(assignment) if assignment.endpoints.is_empty()));

    let named = EdsClusterConfig { service_name: "other".into(), eds_config: None };
    let eds = compiled(&XdsCluster { eds_cluster_config: Some(named), ..cluster_of(DiscoveryType::Eds) });
    assert!(matches!(&eds.discovery, Discovery::Eds(name) if &**name == "other"));

    let dns = compiled(&XdsCluster {
        load_assignment: Some(endpoints::assignment(&[("a.example", 80), ("b.example", 81)])),
        dns_lookup_family: DnsLookupFamily::V4Preferred as i32,
        ..cluster_of(DiscoveryType::StrictDns)
    });
    let Discovery::Dns { hosts, refresh, logical: false } = &dns.discovery else { panic!("{:?}", dns.discovery) };
    assert_eq!(hosts.as_slice(), [("a.example".into(), 80), ("b.example".into(), 81)]);
    assert_eq!((*refresh, dns.dns_family), (StdDuration::from_secs(5), DnsFamily::V4Preferred));
}

#[test]
fn load_balancers() {
    let lb = |config: XdsCluster| compiled(&config).lb;
    let base = || cluster_of(DiscoveryType::Eds);
    assert_eq!(lb(base()), LbPolicy::RoundRobin);
    assert_eq!(lb(XdsCluster { lb_policy: XdsPolicy::Random as i32, ..base() }), LbPolicy::Random);
    let five = LbConfig::LeastRequestLbConfig(LeastRequestLbConfig {
        choice_count: uint32(5),
        ..LeastRequestLbConfig::default()
    });
    let config = XdsCluster { lb_policy: XdsPolicy::LeastRequest as i32, lb_config: Some(five), ..base() };
    assert_eq!(lb(config), LbPolicy::LeastRequest { choices: 5 });
    let policy = |any| load_balancing_policy::Policy {
        typed_extension_config: Some(core::TypedExtensionConfig { name: "p".into(), typed_config: Some(any) }),
    };
    let least = xds::least_request::LeastRequest { choice_count: uint32(3), ..Default::default() };
    let extension = LoadBalancingPolicy { policies: vec![policy(unknown()), policy(pack(&least))] };
    assert_eq!(
        lb(XdsCluster { load_balancing_policy: Some(extension), ..base() }),
        LbPolicy::LeastRequest { choices: 3 }
    );
}

fn http(options: UpstreamProtocolOptions) -> XdsCluster {
    let options = HttpProtocolOptions { upstream_protocol_options: Some(options), ..HttpProtocolOptions::default() };
    XdsCluster {
        typed_extension_protocol_options: HashMap::from([(HTTP.to_owned(), pack(&options))]),
        ..cluster_of(DiscoveryType::Eds)
    }
}

fn explicit(config: ProtocolConfig) -> XdsCluster {
    http(UpstreamProtocolOptions::ExplicitHttpConfig(ExplicitHttpConfig { protocol_config: Some(config) }))
}

#[test]
fn http_versions() {
    let http2 = || core::Http2ProtocolOptions {
        initial_stream_window_size: uint32(1 << 20),
        ..core::Http2ProtocolOptions::default()
    };
    let downstream =
        UseDownstreamHttpConfig { http2_protocol_options: Some(http2()), ..UseDownstreamHttpConfig::default() };
    let cases = [
        (cluster_of(DiscoveryType::Eds), UpstreamVersion::Http1),
        (explicit(ProtocolConfig::HttpProtocolOptions(Default::default())), UpstreamVersion::Http1),
        (explicit(ProtocolConfig::Http2ProtocolOptions(http2())), UpstreamVersion::Http2),
        (http(UpstreamProtocolOptions::UseDownstreamProtocolConfig(downstream)), UpstreamVersion::Downstream),
        (
            XdsCluster { http2_protocol_options: Some(http2()), ..cluster_of(DiscoveryType::Eds) },
            UpstreamVersion::Http2,
        ),
        (XdsCluster { protocol_selection: 1, ..cluster_of(DiscoveryType::Eds) }, UpstreamVersion::Downstream),
    ];
    for (config, expected) in cases {
        let cluster = compiled(&config);
        assert_eq!(cluster.http.version, expected);
        assert_eq!(cluster.http.idle_timeout, Some(StdDuration::from_secs(3600)));
        assert_eq!((cluster.http.stream_window, cluster.http.connection_window), (1 << 20, 16 << 20));
    }
}

/// TLS that is not the mesh's: a DestinationRule's SIMPLE.
#[test]
fn simple_tls() {
    let file = |path: &str| core::DataSource {
        specifier: Some(core::data_source::Specifier::Filename(path.into())),
        ..core::DataSource::default()
    };
    let verified = |context| Some(ValidationContextType::ValidationContext(context));
    let by_file = |path: &str| CertificateValidationContext {
        trusted_ca: Some(file(path)),
        ..names(MatchPattern::Exact, &["api.example"])
    };
    let system = CertificateValidationContext {
        system_root_certs: Some(SystemRootCerts {}),
        ..CertificateValidationContext::default()
    };
    let anyone =
        CertificateValidationContext { trust_chain_verification: 1, ..CertificateValidationContext::default() };
    let of_sds = |name: &str| Some(ValidationContextType::ValidationContextSdsSecretConfig(secret(name)));
    let cases = [
        (verified(by_file("/etc/ca.pem")), Some("/etc/ca.pem"), false, &["api.example"][..]),
        (verified(by_file("/etc/ssl/certs/ca-certificates.crt")), None, false, &["api.example"]),
        (verified(system), None, false, &[]),
        (of_sds("file-root:/etc/ca.pem"), Some("/etc/ca.pem"), false, &[]),
        (of_sds("file-root:system"), None, false, &[]),
        (verified(anyone), None, true, &[]),
        (None, None, true, &[]),
    ];
    for (validation, ca_file, insecure, peer_names) in cases {
        let tls = tls_of(&context(None, validation.clone()));
        assert!(!tls.mutual);
        assert_eq!((tls.ca_file.as_deref(), tls.insecure), (ca_file, insecure), "{validation:?}");
        assert_eq!(tls.peer_names, boxed(peer_names), "{validation:?}");
    }
}

#[test]
fn a_whole_trust_domain_may_answer() {
    let tls = tls_of(&context(
        Some("default"),
        combined(names(MatchPattern::Prefix, &["spiffe://cluster.local/"]), "ROOTCA"),
    ));
    assert!(tls.mutual && tls.peer_names.is_empty());
    assert_eq!(tls.trust_domains, boxed(&["cluster.local"]));
}

#[test]
fn refusals_name_the_field() {
    let base = || cluster_of(DiscoveryType::Eds);
    let with_tls = |context: &UpstreamTlsContext| XdsCluster { transport_socket: Some(socket(context)), ..base() };
    let mixed = CertificateValidationContext {
        match_typed_subject_alt_names: [
            names(MatchPattern::Exact, &["a"]).match_typed_subject_alt_names,
            names(MatchPattern::Prefix, &["spiffe://td/"]).match_typed_subject_alt_names,
        ]
        .concat(),
        ..CertificateValidationContext::default()
    };
    let number = struct_of([("tlsMode", Value { kind: Some(Kind::NumberValue(1.0)) })]);
    let limited = Thresholds { max_requests: uint32(10), ..Thresholds::default() };
    let override_port = OriginalDstLbConfig { upstream_port_override: uint32(1), ..OriginalDstLbConfig::default() };
    let cases = vec![
        (XdsCluster { name: "x".into(), ..base() }, "name: \"x\" is not the name under which it was sent"),
        (XdsCluster { connect_timeout: seconds(0), ..base() }, "connect_timeout: must be more than zero"),
        (
            XdsCluster { lb_policy: XdsPolicy::RingHash as i32, ..base() },
            "lb_policy: RING_HASH is not supported by this proxy",
        ),
        (XdsCluster { lb_policy: 99, ..base() }, "lb_policy: 99 is none of those known"),
        (XdsCluster { outlier_detection: Some(Default::default()), ..base() }, "outlier_detection: is not supported"),
        (XdsCluster { health_checks: vec![Default::default()], ..base() }, "health_checks: is not supported"),
        (
            XdsCluster {
                circuit_breakers: Some(CircuitBreakers { thresholds: vec![limited], per_host_thresholds: vec![] }),
                ..base()
            },
            "circuit_breakers.thresholds[0].max_requests: is not supported",
        ),
        (
            XdsCluster {
                transport_socket: Some(core::TransportSocket { name: "tls".into(), config_type: None }),
                ..base()
            },
            "transport_socket.tls: is not supported",
        ),
        (
            XdsCluster {
                transport_socket_matches: vec![TransportSocketMatch {
                    r#match: Some(number),
                    transport_socket: Some(socket(&mesh(&[]))),
                    ..Default::default()
                }],
                ..base()
            },
            "transport_socket_matches[0].match: only fields that are strings",
        ),
        (
            with_tls(&context(Some("other"), None)),
            "transport_socket.common_tls_context.tls_certificate_sds_secret_configs: [\"other\"]: only",
        ),
        (
            with_tls(&context(Some("default"), None)),
            "transport_socket.common_tls_context.validation_context_type: is missing",
        ),
        (
            with_tls(&context(None, combined(Default::default(), "ROOTCA"))),
            "transport_socket.common_tls_context.validation_context_type: the mesh's roots without",
        ),
        (
            with_tls(&context(Some("default"), combined(Default::default(), "file-root:/x"))),
            "transport_socket.common_tls_context.validation_context_type: the workload's certificate is shown",
        ),
        (
            with_tls(&context(Some("default"), combined(Default::default(), "kubernetes://x"))),
            "transport_socket.common_tls_context.combined_validation_context.validation_context_sds_secret_config.name: \"kubernetes://x\"",
        ),
        (
            with_tls(&context(Some("default"), combined(mixed, "ROOTCA"))),
            "transport_socket.common_tls_context.combined_validation_context.default_validation_context.match_typed_subject_alt_names: exact names beside",
        ),
        (
            with_tls(&UpstreamTlsContext { auto_host_sni: true, ..mesh(&[]) }),
            "transport_socket.auto_host_sni: is not supported",
        ),
        (
            http(UpstreamProtocolOptions::AutoConfig(AutoHttpConfig::default())),
            "typed_extension_protocol_options[envoy.extensions.upstreams.http.v3.HttpProtocolOptions].auto_config: is not supported",
        ),
        (
            explicit(ProtocolConfig::Http2ProtocolOptions(core::Http2ProtocolOptions {
                initial_stream_window_size: uint32(1),
                ..Default::default()
            })),
            "typed_extension_protocol_options[envoy.extensions.upstreams.http.v3.HttpProtocolOptions].http2_protocol_options.initial_stream_window_size: 1 is not from 65535",
        ),
        (
            XdsCluster {
                lb_config: Some(LbConfig::OriginalDstLbConfig(override_port)),
                ..cluster_of(DiscoveryType::OriginalDst)
            },
            "original_dst_lb_config.upstream_port_override: is not supported",
        ),
        (cluster_of(DiscoveryType::LogicalDns), "load_assignment: LOGICAL_DNS needs exactly one endpoint, not 0"),
        (
            XdsCluster {
                load_assignment: Some(endpoints::assignment(&[("a.example", 80)])),
                ..cluster_of(DiscoveryType::Static)
            },
            "load_assignment.endpoints[0].lb_endpoints[0].endpoint.address.socket_address.address: \"a.example\" is not an IP address",
        ),
    ];
    for (config, expected) in cases {
        let refusal = refusal(ResourceType::Cluster, NAME, &config);
        let expected = format!("cluster {NAME}: {expected}");
        assert!(refusal.starts_with(&expected), "\n  said     {refusal}\n  expected {expected}");
    }
}
