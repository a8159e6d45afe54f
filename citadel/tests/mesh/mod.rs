//! What the tests of this crate share: a small mesh with its CA, certificates that no honest CA would sign, and a
//! TLS handshake in memory.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used)]

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use citadel::ca::{self, CertificateAuthority};
use citadel::{Identity, SpiffeId, TrustDomain};
use rcgen::{
    CertificateParams, DistinguishedName, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, SanType,
};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, DigitallySignedStruct, Error, ServerConfig, SignatureScheme};
use time::OffsetDateTime;
use tokio::io::DuplexStream;
use tokio_rustls::{TlsAcceptor, TlsConnector, client, server};

pub const HOUR: Duration = Duration::from_secs(3600);

/// A CA whose key the tests know.
pub struct Mesh {
    pub dir: tempfile::TempDir,
    pub ca: Arc<CertificateAuthority>,
}

/// A chain and its key, good or bad.
pub struct Forged {
    pub chain: Vec<CertificateDer<'static>>,
    pub key: PrivateKeyDer<'static>,
}

impl Mesh {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let state = dir.path().join("state");
        let ca = CertificateAuthority::load_or_create(&state, TrustDomain::default()).unwrap();
        Self { dir, ca: Arc::new(ca) }
    }

    pub fn state(&self) -> std::path::PathBuf {
        self.dir.path().join("state")
    }

    pub fn identity(&self, service_account: &str) -> Identity {
        self.identity_for(service_account, HOUR)
    }

    pub fn identity_for(&self, service_account: &str, ttl: Duration) -> Identity {
        Identity::fixed(self.ca.sign_server(&[], &workload(service_account), ttl).unwrap())
    }

    /// A certificate for `spiffe://cluster.local/ns/shop/sa/mallory`, valid for an hour, signed by this mesh's root
    /// after `change` had its way with it.
    pub fn forge(&self, change: impl FnOnce(&mut CertificateParams)) -> Forged {
        let (issuer, key) = (self.issuer(), KeyPair::generate().unwrap());
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        let now = OffsetDateTime::now_utc();
        params.not_before = now - HOUR;
        params.not_after = now + HOUR;
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params.subject_alt_names = vec![uri("spiffe://cluster.local/ns/shop/sa/mallory")];
        change(&mut params);
        let leaf = params.signed_by(&key, &issuer).unwrap();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        Forged { chain: vec![leaf.into()], key }
    }

    pub fn issuer(&self) -> Issuer<'static, KeyPair> {
        let key = std::fs::read_to_string(self.state().join(ca::KEY_FILE)).unwrap();
        Issuer::from_ca_cert_pem(self.ca.roots_pem(), KeyPair::from_pem(&key).unwrap()).unwrap()
    }
}

impl Forged {
    pub fn server(self) -> Arc<ServerConfig> {
        let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(self.chain, self.key)
            .unwrap();
        Arc::new(config)
    }

    pub fn client(self) -> Arc<ClientConfig> {
        let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Credulous))
            .with_client_auth_cert(self.chain, self.key)
            .unwrap();
        Arc::new(config)
    }
}

/// A client that shows no certificate and trusts everybody.
pub fn anonymous(versions: &[&'static rustls::SupportedProtocolVersion]) -> Arc<ClientConfig> {
    let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_protocol_versions(versions)
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Credulous))
        .with_no_client_auth();
    Arc::new(config)
}

/// A server of TLS 1.2 only that wants no client certificate.
pub fn old_server(forged: Forged) -> Arc<ServerConfig> {
    let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS12])
        .unwrap()
        .with_client_cert_verifier(WebPkiClientVerifier::no_client_auth())
        .with_single_cert(forged.chain, forged.key)
        .unwrap();
    Arc::new(config)
}

pub type Accepted = io::Result<server::TlsStream<DuplexStream>>;
pub type Connected = io::Result<client::TlsStream<DuplexStream>>;

pub const SNI: &str = "outbound_.80_._.catalog.shop.svc.cluster.local";

pub async fn handshake(server: Arc<ServerConfig>, client: Arc<ClientConfig>) -> (Accepted, Connected) {
    handshake_with(server, client, SNI).await
}

pub async fn handshake_with(server: Arc<ServerConfig>, client: Arc<ClientConfig>, name: &str) -> (Accepted, Connected) {
    let (near, far) = tokio::io::duplex(64 * 1024);
    let name = citadel::tls::server_name(name).unwrap();
    tokio::join!(TlsAcceptor::from(server).accept(far), TlsConnector::from(client).connect(name, near))
}

pub fn uri(text: &str) -> SanType {
    SanType::URI(text.try_into().unwrap())
}

pub fn dns(text: &str) -> SanType {
    SanType::DnsName(text.try_into().unwrap())
}

pub fn workload(service_account: &str) -> SpiffeId {
    TrustDomain::default().workload("shop", service_account).unwrap()
}

/// The text that an operator would see.
pub fn why<T>(result: io::Result<T>) -> String {
    match result {
        Ok(_) => "accepted".to_owned(),
        Err(error) => citadel::tls::failure(None, &error).1,
    }
}

pub fn mode(path: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

pub fn set_mode(path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

#[derive(Debug)]
struct Credulous;

impl ServerCertVerifier for Credulous {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        default_provider().signature_verification_algorithms.supported_schemes()
    }
}
