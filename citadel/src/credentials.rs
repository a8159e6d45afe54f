//! What a process proves its identity with: certificate chain, private key, and the roots it trusts.
//! Checked once when made, so that a handshake only reads.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{CertificateError, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use zeroize::Zeroizing;

use crate::known::KnownPeers;
use crate::peer::{self, PeerError};
use crate::spiffe::SpiffeId;
use crate::tls::provider;

/// Why a certificate, key and roots do not make credentials.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    /// A PEM text holds no certificate or key, or a broken one.
    #[error("cannot read the PEM of the {what}: {reason}")]
    Pem {
        /// Which of the texts.
        what: &'static str,
        /// What the parser said.
        reason: String,
    },
    /// The leaf certificate names no workload.
    #[error("the certificate cannot serve as an identity: {0}")]
    Leaf(#[from] PeerError),
    /// The key does not belong to the certificate, or cannot be used.
    #[error("the private key does not fit the certificate: {0}")]
    Key(rustls::Error),
    /// A root cannot be used as one.
    #[error("a root certificate cannot be used: {0}")]
    Root(String),
    /// The chain does not lead to the roots at this time.
    #[error("the certificate of {id} does not lead to the roots that came with it: {reason}")]
    Chain {
        /// Whose certificate.
        id: SpiffeId,
        /// What the verifier said.
        reason: CertificateError,
    },
}

/// A certificate chain, its private key and the trusted roots. The key is wiped on drop and never printed.
pub struct Credentials {
    chain: Vec<CertificateDer<'static>>,
    key: Zeroizing<PrivateKeyDer<'static>>,
    roots: Vec<CertificateDer<'static>>,
    id: SpiffeId,
    not_before: SystemTime,
    not_after: SystemTime,
    certified: Arc<CertifiedKey>,
    anchors: Arc<RootCertStore>,
    client_verifier: Arc<dyn ClientCertVerifier>,
    known_peers: KnownPeers,
}

impl Credentials {
    /// `chain` is leaf first, without the root. The id is the leaf's one URI name.
    pub fn new(
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
        roots: Vec<CertificateDer<'static>>,
    ) -> Result<Self, CredentialsError> {
        let leaf = chain
            .first()
            .ok_or(CredentialsError::Pem { what: "certificate chain", reason: "it holds no certificate".to_owned() })?;
        let id = peer::certificate_id(leaf)?;
        let (not_before, not_after) = peer::validity(leaf)?;
        let certified =
            CertifiedKey::from_der(chain.clone(), key.clone_key(), &provider()).map_err(CredentialsError::Key)?;
        let anchors = Arc::new(anchors(&roots)?);
        let client_verifier = WebPkiClientVerifier::builder_with_provider(Arc::clone(&anchors), provider())
            .build()
            .map_err(|e| CredentialsError::Root(e.to_string()))?;
        Ok(Self {
            chain,
            key: Zeroizing::new(key),
            roots,
            id,
            not_before,
            not_after,
            certified: Arc::new(certified),
            anchors,
            client_verifier,
            known_peers: KnownPeers::default(),
        })
    }

    /// The same from PEM texts.
    pub fn from_pem(chain: &str, key: &str, roots: &str) -> Result<Self, CredentialsError> {
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes())
            .map_err(|e| CredentialsError::Pem { what: "private key", reason: e.to_string() })?;
        Self::new(certificates("certificate chain", chain)?, key, certificates("roots", roots)?)
    }

    /// Who these credentials prove to be.
    pub fn id(&self) -> &SpiffeId {
        &self.id
    }

    /// Leaf first, without the root.
    pub fn chain(&self) -> &[CertificateDer<'static>] {
        &self.chain
    }

    /// The private key of the leaf.
    pub fn key(&self) -> &PrivateKeyDer<'static> {
        &self.key
    }

    /// The roots that peers are verified against.
    pub fn roots(&self) -> &[CertificateDer<'static>] {
        &self.roots
    }

    /// Start of the leaf's validity, some minutes before it was issued.
    pub fn not_before(&self) -> SystemTime {
        self.not_before
    }

    /// End of the leaf's validity.
    pub fn not_after(&self) -> SystemTime {
        self.not_after
    }

    /// How long the leaf is still valid at `now`; zero once expired.
    pub fn remaining(&self, now: SystemTime) -> Duration {
        self.not_after.duration_since(now).unwrap_or_default()
    }

    /// The chain as PEM, leaf first (SDS `tls_certificate.certificate_chain`).
    pub fn chain_pem(&self) -> String {
        certificates_pem(&self.chain)
    }

    /// The private key as PEM (SDS `tls_certificate.private_key`).
    pub fn key_pem(&self) -> String {
        let tag = match &*self.key {
            PrivateKeyDer::Pkcs1(_) => "RSA PRIVATE KEY",
            PrivateKeyDer::Sec1(_) => "EC PRIVATE KEY",
            _ => "PRIVATE KEY",
        };
        pem_text(tag, self.key.secret_der())
    }

    /// The roots as PEM (SDS `validation_context.trusted_ca`).
    pub fn roots_pem(&self) -> String {
        certificates_pem(&self.roots)
    }

    /// Whether the chain leads to the roots now: what a peer with the same roots would find.
    pub fn verify_chain(&self) -> Result<(), CredentialsError> {
        verify(&self.chain, &self.anchors)
            .map_err(|e| CredentialsError::Chain { id: self.id.clone(), reason: certificate_error(e) })
    }

    /// The same certificate and key, with these roots.
    pub(crate) fn with_roots(&self, roots: Vec<CertificateDer<'static>>) -> Result<Self, CredentialsError> {
        Self::new(self.chain.clone(), self.key.clone_key(), roots)
    }

    pub(crate) fn certified(&self) -> Arc<CertifiedKey> {
        Arc::clone(&self.certified)
    }

    pub(crate) fn anchors(&self) -> &RootCertStore {
        &self.anchors
    }

    /// Peers whose chains were found good under these roots.
    pub(crate) fn known_peers(&self) -> &KnownPeers {
        &self.known_peers
    }

    pub(crate) fn client_verifier(&self) -> &dyn ClientCertVerifier {
        &*self.client_verifier
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("id", &self.id)
            .field("not_after", &self.not_after)
            .field("roots", &self.roots.len())
            .finish_non_exhaustive()
    }
}

/// All certificates of a PEM text, at least one.
pub(crate) fn certificates(what: &'static str, text: &str) -> Result<Vec<CertificateDer<'static>>, CredentialsError> {
    let found = CertificateDer::pem_slice_iter(text.as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .map_err(|e| CredentialsError::Pem { what, reason: e.to_string() })?;
    if found.is_empty() {
        let reason = "it holds no certificate".to_owned();
        return Err(CredentialsError::Pem { what, reason });
    }
    Ok(found)
}

pub(crate) fn pem_text(tag: &str, der: &[u8]) -> String {
    let lines = pem::EncodeConfig::new().set_line_ending(pem::LineEnding::LF);
    pem::encode_config(&pem::Pem::new(tag, der), lines)
}

pub(crate) fn certificates_pem<'a>(certificates: impl IntoIterator<Item = &'a CertificateDer<'static>>) -> String {
    certificates.into_iter().map(|c| pem_text("CERTIFICATE", c)).collect()
}

/// Whether a chain, leaf first, leads to this root now.
pub(crate) fn leads_to(chain: &[CertificateDer<'static>], root: &CertificateDer<'static>) -> Result<(), String> {
    let anchors = anchors(std::slice::from_ref(root)).map_err(|e| e.to_string())?;
    verify(chain, &anchors).map_err(|e| certificate_error(e).to_string())
}

/// Whether certificates can be verified under this one at all.
pub(crate) fn is_a_root(certificate: &CertificateDer<'static>) -> bool {
    anchors(std::slice::from_ref(certificate)).is_ok()
}

fn verify(chain: &[CertificateDer<'_>], anchors: &RootCertStore) -> Result<(), rustls::Error> {
    verify_server_cert_signed_by_trust_anchor(
        &ParsedCertificate::try_from(&chain[0])?,
        anchors,
        &chain[1..],
        UnixTime::now(),
        provider().signature_verification_algorithms.all,
    )
}

fn anchors(roots: &[CertificateDer<'static>]) -> Result<RootCertStore, CredentialsError> {
    let mut store = RootCertStore::empty();
    for root in roots {
        store.add(root.clone()).map_err(|e| CredentialsError::Root(e.to_string()))?;
    }
    Ok(store)
}

fn certificate_error(error: rustls::Error) -> CertificateError {
    match error {
        rustls::Error::InvalidCertificate(reason) => reason,
        other => CertificateError::Other(rustls::OtherError(Arc::new(other))),
    }
}
