//! TLS contexts of both sides: mesh mTLS with keys from SDS, and what a DestinationRule asks for instead.

use std::collections::BTreeSet;

use xds::core::{
    ApiConfigSource, ApiVersion, ConfigSource, DataSource, GrpcService, TransportSocket, api_config_source::ApiType,
    config_source::ConfigSourceSpecifier, data_source::Specifier, grpc_service, transport_socket,
};
use xds::google::Any;
use xds::matcher::{StringMatcher, string_matcher::MatchPattern};
use xds::pack;
use xds::raw_buffer::RawBuffer;
use xds::tls::certificate_validation_context::TrustChainVerification;
use xds::tls::common_tls_context::{CombinedCertificateValidationContext, ValidationContextType};
use xds::tls::downstream_tls_context::SessionTicketKeysType;
use xds::tls::subject_alt_name_matcher::SanType;
use xds::tls::tls_parameters::TlsProtocol;
use xds::tls::{
    CertificateValidationContext, CommonTlsContext, DownstreamTlsContext, SdsSecretConfig, SubjectAltNameMatcher,
    TlsCertificate, TlsParameters, UpstreamTlsContext,
};

use super::wrappers::{boolean, uint32};
use crate::model::{ClientTls, Protocol, TlsMode};

/// The SDS name of the workload's certificate and key.
const CERTIFICATE: &str = "default";
/// The SDS name of the mesh's roots.
const ROOTS: &str = "ROOTCA";
/// The bootstrap cluster that answers SDS: the agent's Unix socket.
const SDS_CLUSTER: &str = "sds-grpc";
/// Where a container finds the roots of the public web, when a DestinationRule names no file.
const SYSTEM_ROOTS: &str = "/etc/ssl/certs/ca-certificates.crt";
/// Key exchanges in order of preference: post-quantum first.
const CURVES: [&str; 3] = ["X25519MLKEM768", "X25519", "P-256"];

/// ALPN names by which a mesh peer says that it speaks HTTP inside of mTLS.
pub(super) const MESH_HTTP_ALPN: [&str; 3] = ["istio-http/1.0", "istio-http/1.1", "istio-h2"];
/// ALPN names by which a mesh peer says that it speaks mTLS, whatever is inside.
pub(super) const MESH_ALPN: [&str; 5] =
    ["istio-peer-exchange", "istio", "istio-http/1.0", "istio-http/1.1", "istio-h2"];

/// Mesh mTLS towards a service. `identities` are the SPIFFE ids that may answer; none known means any of the trust
/// domain.
pub(super) fn upstream(
    sni: String,
    protocol: Protocol,
    identities: &BTreeSet<String>,
    trust_domain: &str,
) -> TransportSocket {
    let names = if identities.is_empty() {
        vec![any_of(trust_domain)]
    } else {
        identities.iter().map(|id| exactly(SanType::Uri, id)).collect()
    };
    let context = UpstreamTlsContext {
        common_tls_context: Some(mesh_context(names, offered(protocol))),
        sni,
        max_session_keys: uint32(0),
        ..UpstreamTlsContext::default()
    };
    tls_socket(pack(&context))
}

/// Mesh mTLS for inbound connections: a client certificate of the trust domain is required.
pub(super) fn downstream(http: bool, trust_domain: &str) -> TransportSocket {
    let alpn: &[&str] = if http { &["h2", "http/1.1"] } else { &["istio-peer-exchange", "h2", "http/1.1"] };
    let context = DownstreamTlsContext {
        common_tls_context: Some(mesh_context(vec![any_of(trust_domain)], strings(alpn))),
        require_client_certificate: boolean(true),
        disable_stateful_session_resumption: true,
        session_ticket_keys_type: Some(SessionTicketKeysType::DisableStatelessSessionResumption(true)),
        ..DownstreamTlsContext::default()
    };
    tls_socket(pack(&context))
}

/// TLS that a DestinationRule asks for (SIMPLE and MUTUAL) towards `host`; `names` are the ServiceEntry's own.
pub(super) fn originate(tls: &ClientTls, host: &str, names: &[String], protocol: Protocol) -> TransportSocket {
    let sni = tls.sni.as_deref().unwrap_or(if host.starts_with('*') { "" } else { host });
    let verification = verification(tls, if sni.is_empty() { host } else { sni }, names);
    let context = UpstreamTlsContext {
        common_tls_context: Some(CommonTlsContext {
            tls_params: Some(parameters(TlsProtocol::TlSv12)),
            tls_certificates: client_certificate(tls).into_iter().collect(),
            alpn_protocols: match protocol {
                Protocol::Http => strings(&["http/1.1"]),
                Protocol::Http2 | Protocol::Grpc => strings(&["h2"]),
                Protocol::Tcp | Protocol::Tls | Protocol::Unknown => Vec::new(),
            },
            validation_context_type: Some(ValidationContextType::ValidationContext(verification)),
            ..CommonTlsContext::default()
        }),
        sni: sni.to_owned(),
        ..UpstreamTlsContext::default()
    };
    tls_socket(pack(&context))
}

/// Plain text.
pub(super) fn plaintext() -> TransportSocket {
    TransportSocket {
        name: "envoy.transport_sockets.raw_buffer".into(),
        config_type: Some(transport_socket::ConfigType::TypedConfig(pack(&RawBuffer {}))),
    }
}

/// What a client offers, by what it will speak inside (Istio's names first, for the server's detection).
fn offered(protocol: Protocol) -> Vec<String> {
    match protocol {
        Protocol::Http => strings(&["istio-http/1.1", "istio", "http/1.1"]),
        Protocol::Http2 | Protocol::Grpc => strings(&["istio-h2", "istio", "h2"]),
        Protocol::Tcp | Protocol::Tls | Protocol::Unknown => strings(&["istio-peer-exchange", "istio"]),
    }
}

fn mesh_context(names: Vec<SubjectAltNameMatcher>, alpn_protocols: Vec<String>) -> CommonTlsContext {
    let combined = CombinedCertificateValidationContext {
        default_validation_context: Some(CertificateValidationContext {
            match_typed_subject_alt_names: names,
            ..CertificateValidationContext::default()
        }),
        validation_context_sds_secret_config: Some(secret(ROOTS)),
        ..CombinedCertificateValidationContext::default()
    };
    CommonTlsContext {
        tls_params: Some(parameters(TlsProtocol::TlSv13)),
        tls_certificate_sds_secret_configs: vec![secret(CERTIFICATE)],
        alpn_protocols,
        validation_context_type: Some(ValidationContextType::CombinedValidationContext(combined)),
        ..CommonTlsContext::default()
    }
}

fn parameters(minimum: TlsProtocol) -> TlsParameters {
    TlsParameters {
        tls_minimum_protocol_version: minimum as i32,
        tls_maximum_protocol_version: TlsProtocol::TlSv13 as i32,
        ecdh_curves: strings(&CURVES),
        ..TlsParameters::default()
    }
}

/// A secret from the node's own agent.
fn secret(name: &str) -> SdsSecretConfig {
    let agent = grpc_service::EnvoyGrpc { cluster_name: SDS_CLUSTER.into(), ..grpc_service::EnvoyGrpc::default() };
    let source = ApiConfigSource {
        api_type: ApiType::Grpc as i32,
        transport_api_version: ApiVersion::V3 as i32,
        grpc_services: vec![GrpcService {
            target_specifier: Some(grpc_service::TargetSpecifier::EnvoyGrpc(agent)),
            ..GrpcService::default()
        }],
        set_node_on_first_message_only: true,
        ..ApiConfigSource::default()
    };
    SdsSecretConfig {
        name: name.into(),
        sds_config: Some(ConfigSource {
            initial_fetch_timeout: Some(xds::google::Duration::default()),
            resource_api_version: ApiVersion::V3 as i32,
            config_source_specifier: Some(ConfigSourceSpecifier::ApiConfigSource(source)),
            ..ConfigSource::default()
        }),
    }
}

/// The server's certificate must have one of the names that the rule or the service declares, else `host` itself, which
/// may be a wildcard.
fn verification(tls: &ClientTls, host: &str, names: &[String]) -> CertificateValidationContext {
    if tls.insecure_skip_verify {
        return CertificateValidationContext {
            trust_chain_verification: TrustChainVerification::AcceptUntrusted as i32,
            ..CertificateValidationContext::default()
        };
    }
    let declared: Vec<&str> = if tls.subject_alt_names.is_empty() {
        names.iter().map(String::as_str).collect()
    } else {
        tls.subject_alt_names.iter().map(AsRef::as_ref).collect()
    };
    let wanted = match (declared.as_slice(), host.strip_prefix('*')) {
        ([], Some(suffix)) => vec![san(SanType::Dns, MatchPattern::Suffix(suffix.to_owned()))],
        ([], None) => vec![exactly(kind_of(host), host)],
        (declared, _) => declared.iter().map(|name| exactly(kind_of(name), name)).collect(),
    };
    CertificateValidationContext {
        trusted_ca: Some(file(tls.ca_certificates.as_deref().unwrap_or(SYSTEM_ROOTS))),
        match_typed_subject_alt_names: wanted,
        ..CertificateValidationContext::default()
    }
}

fn client_certificate(tls: &ClientTls) -> Option<TlsCertificate> {
    let (TlsMode::Mutual, Some(chain), Some(key)) = (tls.mode, &tls.client_certificate, &tls.private_key) else {
        return None;
    };
    Some(TlsCertificate {
        certificate_chain: Some(file(chain)),
        private_key: Some(file(key)),
        ..TlsCertificate::default()
    })
}

fn kind_of(name: &str) -> SanType {
    if name.contains("://") {
        SanType::Uri
    } else if name.parse::<std::net::IpAddr>().is_ok() {
        SanType::IpAddress
    } else {
        SanType::Dns
    }
}

fn exactly(kind: SanType, name: &str) -> SubjectAltNameMatcher {
    san(kind, MatchPattern::Exact(name.to_owned()))
}

fn any_of(trust_domain: &str) -> SubjectAltNameMatcher {
    san(SanType::Uri, MatchPattern::Prefix(format!("spiffe://{trust_domain}/")))
}

fn san(kind: SanType, pattern: MatchPattern) -> SubjectAltNameMatcher {
    SubjectAltNameMatcher {
        san_type: kind as i32,
        matcher: Some(StringMatcher { match_pattern: Some(pattern), ignore_case: false }),
        oid: String::new(),
    }
}

fn file(path: &str) -> DataSource {
    DataSource { specifier: Some(Specifier::Filename(path.to_owned())), ..DataSource::default() }
}

fn tls_socket(context: Any) -> TransportSocket {
    TransportSocket {
        name: "envoy.transport_sockets.tls".into(),
        config_type: Some(transport_socket::ConfigType::TypedConfig(context)),
    }
}

fn strings(names: &[&str]) -> Vec<String> {
    names.iter().map(ToString::to_string).collect()
}
