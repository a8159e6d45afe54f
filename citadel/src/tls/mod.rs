//! Every rustls configuration of the program. Between workloads and to the control plane: TLS 1.3 only,
//! X25519MLKEM768 and AES-128-GCM first, no resumption, no tickets, no early data. A configuration is built once; certificates and
//! roots are read from the `Identity` at each handshake.

mod alpn;
mod failure;
mod resolver;
mod roots;
mod simple;
mod unverified;
mod verify;

use std::sync::{Arc, LazyLock};

use rustls::client::Resumption;
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::{self, kx_group};
use rustls::server::NoServerSessionStorage;
use rustls::{CipherSuite, ClientConfig, CommonState, ServerConfig, SupportedProtocolVersion};
use rustls_pki_types::ServerName;

use crate::identity::Identity;
use crate::peer;
use crate::spiffe::{SpiffeId, TrustDomain};

pub use alpn::{AlpnConfigs, with_alpn};
pub use failure::failure;
pub use roots::Roots;
pub(crate) use simple::anonymous_control_plane_client;
pub use simple::{control_plane_client, simple_client};
pub use unverified::unverified_client;

static MESH_VERSIONS: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13];

/// Why a TLS configuration could not be built.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// rustls refused the settings.
    #[error("cannot build a TLS configuration: {0}")]
    Config(#[from] rustls::Error),
    /// The roots could not be loaded.
    #[error("cannot load the root certificates from {from}: {reason}")]
    Roots {
        /// A file, or a word for another source.
        from: String,
        /// What is wrong.
        reason: String,
    },
    /// A name that TLS cannot carry.
    #[error("{0:?} cannot be a TLS server name: neither a DNS name nor an IP address")]
    ServerName(String),
}

/// Bytes of one record that we write. rustls makes a new buffer for each: at this size the allocator hands out the same few
/// again and again, which stay in the processor's cache, while those of 16 KiB go round through all of its memory.
const MAX_RECORD: usize = 8 * 1024 - 64;

/// Whether a client must show a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientAuth {
    /// No certificate, no connection.
    Required,
    /// A client without one is let in without an identity; one with a bad one is refused.
    Optional,
}

/// Which peers are accepted, once their chain leads to the current roots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PeerNames {
    /// These SPIFFE ids and no others; an empty list accepts nobody.
    Exact(Vec<String>),
    /// Any workload of these trust domains; an empty list accepts nobody.
    TrustDomain(Vec<TrustDomain>),
    /// Any workload.
    Any,
}

/// A server that proves `identity` and accepts clients of `trust_domains`. A client that offers ALPN protocols of
/// which none is in a non-empty `alpn` is refused by rustls; see [`AlpnConfigs`] for listeners that must not do so.
pub fn server(
    identity: &Identity,
    client_auth: ClientAuth,
    trust_domains: &[TrustDomain],
    alpn: &[&[u8]],
) -> Result<Arc<ServerConfig>, TlsError> {
    let names = PeerNames::TrustDomain(trust_domains.to_vec());
    let verifier = verify::MeshVerifier::new(identity, names, client_auth);
    let config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(MESH_VERSIONS)?
        .with_client_cert_verifier(Arc::new(verifier))
        .with_cert_resolver(Arc::new(resolver::CurrentCertificate::new(identity)));
    Ok(without_sessions(config, alpn))
}

/// A server that proves `identity` and asks its clients for no certificate: for callers from outside the mesh, such as
/// the API server that calls a webhook.
pub fn open_server(identity: &Identity, alpn: &[&[u8]]) -> Result<Arc<ServerConfig>, TlsError> {
    let config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(MESH_VERSIONS)?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(resolver::CurrentCertificate::new(identity)));
    Ok(without_sessions(config, alpn))
}

fn without_sessions(mut config: ServerConfig, alpn: &[&[u8]]) -> Arc<ServerConfig> {
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.max_early_data_size = 0;
    config.max_fragment_size = Some(MAX_RECORD);
    config.alpn_protocols = alpn::owned(alpn);
    Arc::new(config)
}

/// A client that proves `identity` and accepts servers by their SPIFFE id. The server name given for a connection
/// is only sent as SNI, never compared with the certificate.
pub fn client(identity: &Identity, names: PeerNames, alpn: &[&[u8]]) -> Result<Arc<ClientConfig>, TlsError> {
    let verifier = verify::MeshVerifier::new(identity, names, ClientAuth::Required);
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(MESH_VERSIONS)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_client_cert_resolver(Arc::new(resolver::CurrentCertificate::new(identity)));
    config.resumption = Resumption::disabled();
    config.enable_early_data = false;
    config.max_fragment_size = Some(MAX_RECORD);
    config.alpn_protocols = alpn::owned(alpn);
    Ok(Arc::new(config))
}

/// The SPIFFE id of a connection's peer, `None` if it showed no certificate. Call it after the handshake.
pub fn peer_id(connection: &CommonState) -> Option<SpiffeId> {
    let leaf = connection.peer_certificates()?.first()?;
    peer::certificate_id(leaf).ok()
}

/// The same, without reading again a certificate that `identity` has accepted lately.
pub fn known_peer_id(identity: &Identity, connection: &CommonState) -> Option<SpiffeId> {
    let leaf = connection.peer_certificates()?.first()?;
    let known = identity.current().and_then(|own| own.known_peers().id(leaf));
    known.or_else(|| peer::certificate_id(leaf).ok())
}

/// SHA-256 of the peer's certificate in lower-case hex, as `x-forwarded-client-cert` tells it; `None` without one.
pub fn peer_certificate_hash(connection: &CommonState) -> Option<String> {
    let leaf = connection.peer_certificates()?.first()?;
    let digest = ::aws_lc_rs::digest::digest(&::aws_lc_rs::digest::SHA256, leaf);
    Some(digest.as_ref().iter().flat_map(|byte| [byte >> 4, byte & 15]).map(hex_digit).collect())
}

fn hex_digit(half: u8) -> char {
    char::from_digit(half.into(), 16).unwrap_or_default()
}

/// Parses the name that goes into SNI; Istio's `outbound_.80_._.catalog.shop.svc.cluster.local` is one too.
pub fn server_name(name: &str) -> Result<ServerName<'static>, TlsError> {
    ServerName::try_from(name.to_owned()).map_err(|_| TlsError::ServerName(name.to_owned()))
}

/// The one cryptography provider of the program, with the hybrid post-quantum group first.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: LazyLock<Arc<CryptoProvider>> = LazyLock::new(|| {
        let mut provider = aws_lc_rs::default_provider();
        // AES-128 before AES-256, as Envoy prefers it: both are beyond reach, and the hash that comes with it is faster.
        provider.cipher_suites.sort_by_key(|suite| suite.suite() != CipherSuite::TLS13_AES_128_GCM_SHA256);
        provider.kx_groups = vec![kx_group::X25519MLKEM768, kx_group::X25519, kx_group::SECP256R1, kx_group::SECP384R1];
        Arc::new(provider)
    });
    Arc::clone(&PROVIDER)
}
