//! The certificate authority: a self-signed root, or an intermediate under somebody else's, and what it signs. The
//! identity in a certificate is what the caller of this module says, which is what the workload proved; a CSR gives a
//! key only.

mod authority;
mod plugged_in;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rcgen::string::Ia5String;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PublicKeyData, SanType, SerialNumber,
};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use time::OffsetDateTime;
use zeroize::Zeroizing;

use crate::credentials::{Credentials, CredentialsError, certificates_pem, pem_text};
use crate::csr::{self, CsrError};
use crate::keystore::{StateDir, StateError};
use crate::peer::{self, PeerError};
use crate::spiffe::{SpiffeId, TrustDomain};
use crate::tls::provider;

pub use authority::Authority;
pub use plugged_in::CaPem;

/// The root certificate in the state directory.
pub const ROOT_FILE: &str = "root-cert.pem";
/// The root's private key in the state directory.
pub const KEY_FILE: &str = "ca-key.pem";
/// The longest life of a certificate, and the life of one for which none was asked.
pub const DEFAULT_TTL: Duration = Duration::from_secs(24 * 3600);

const ROOT_LIFE: Duration = Duration::from_secs(10 * 365 * 24 * 3600);
/// Validity starts this long before signing, so that a peer whose clock is behind accepts it.
const BACKDATED: Duration = Duration::from_secs(5 * 60);
const SHORTEST_TTL: Duration = Duration::from_secs(1);
const NEW_ROOT: &str = "move ca-key.pem and root-cert.pem out of the state directory and restart the control plane for a new root, which every proxy must then be given";
const NEW_SECRET: &str = "put a certificate that is still good into the Secret that the CA comes from (cacerts or meltemi-ca); it is picked up without a restart";

/// Why the CA could not start or did not sign.
#[derive(Debug, thiserror::Error)]
pub enum CaError {
    /// The state directory.
    #[error(transparent)]
    State(#[from] StateError),
    /// The request.
    #[error(transparent)]
    Csr(#[from] CsrError),
    /// The CA signs for its own trust domain only.
    #[error("{id} is not in this CA's trust domain {trust_domain}")]
    TrustDomain {
        /// For whom a certificate was asked.
        id: SpiffeId,
        /// What the CA signs for.
        trust_domain: TrustDomain,
    },
    /// The root, or an intermediate that leads to it, ran out.
    #[error("the {what} has expired: nothing can be signed; {remedy}")]
    Expired {
        /// Which certificate.
        what: &'static str,
        /// What to do.
        remedy: &'static str,
    },
    /// Certificates and key that somebody else made do not make a CA.
    #[error("{0}")]
    PluggedIn(String),
    /// A DNS name that cannot stand in a certificate.
    #[error("{0:?} is no DNS name")]
    DnsName(String),
    /// The cryptography library refused.
    #[error("signing failed: {0}")]
    Signing(String),
    /// What was signed does not make credentials.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
}

/// Where the CA's certificate and key are kept; tells what to do when they run out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kept {
    StateDirectory,
    Elsewhere,
}

/// A signing certificate and its key. Signs workload certificates of one trust domain.
#[derive(Clone)]
pub struct CertificateAuthority {
    issuer: Arc<Issuer<'static, KeyPair>>,
    /// From the signing certificate up; the root is not among them, so none when the root itself signs.
    intermediates: Vec<CertificateDer<'static>>,
    /// What it came with; what it signs leads to one of them.
    roots: Vec<CertificateDer<'static>>,
    /// Trusted as well during a change: of a CA that signed before, or of the one that will.
    beside: Vec<CertificateDer<'static>>,
    /// Of both, its own first.
    roots_pem: String,
    /// What takes this one's place, and when.
    then: Option<(SystemTime, Arc<Self>)>,
    root_not_after: SystemTime,
    /// When the first certificate between a leaf and its root runs out, the root included.
    not_after: SystemTime,
    kept: Kept,
    trust_domain: TrustDomain,
    max_ttl: Duration,
}

impl CertificateAuthority {
    /// Loads the root from the state directory, or makes one (P-256, ten years) and keeps it there.
    /// The key file has mode 0600; one that others could read is refused.
    pub fn load_or_create(dir: &Path, trust_domain: TrustDomain) -> Result<Self, CaError> {
        let state = StateDir::open(dir)?;
        let key = state.read_private(KEY_FILE)?;
        let root = state.read(ROOT_FILE)?;
        let unusable =
            |file: &str, reason: String| CaError::State(StateError::Unusable { path: state.file(file), reason });
        let key = match (key, &root) {
            (Some(pem), _) => {
                KeyPair::from_pem(&pem).map_err(|e| unusable(KEY_FILE, format!("{e}; restore it from a backup")))?
            }
            (None, Some(_)) => {
                let reason = format!(
                    "its private key {KEY_FILE} is missing; restore the key, or remove this file too for a new root, which every proxy must then be given"
                );
                return Err(unusable(ROOT_FILE, reason));
            }
            (None, None) => {
                let key = new_key()?;
                state.write(KEY_FILE, &key.serialize_pem())?;
                key
            }
        };
        let Some(root_pem) = root else {
            let authority = Self::self_signed(key, trust_domain)?;
            state.write(ROOT_FILE, &authority.roots_pem)?;
            return Ok(authority);
        };
        let root = CertificateDer::from_pem_slice(root_pem.as_bytes())
            .map_err(|e| unusable(ROOT_FILE, format!("it holds no certificate: {e}")))?;
        Self::with_root(key, root, trust_domain).map_err(|reason| unusable(ROOT_FILE, reason))
    }

    /// A new root that is kept nowhere; everything it signs is worthless once it is dropped.
    pub fn in_memory(trust_domain: TrustDomain) -> Result<Self, CaError> {
        Self::self_signed(new_key()?, trust_domain)
    }

    /// Changes the longest life of a certificate.
    #[must_use]
    pub fn with_max_ttl(mut self, max_ttl: Duration) -> Self {
        self.max_ttl = max_ttl;
        self
    }

    /// A new root and its key as PEM, for somebody who keeps them and comes back with [`Self::plugged_in`].
    pub fn generate(trust_domain: &TrustDomain) -> Result<(String, Zeroizing<String>), CaError> {
        let key = new_key()?;
        let key_pem = Zeroizing::new(key.serialize_pem());
        let authority = Self::self_signed(key, trust_domain.clone())?;
        Ok((authority.roots_pem, key_pem))
    }

    fn self_signed(key: KeyPair, trust_domain: TrustDomain) -> Result<Self, CaError> {
        let now = SystemTime::now();
        let mut params = nameless_params(now, now + ROOT_LIFE)?;
        params.distinguished_name.push(DnType::OrganizationName, trust_domain.as_str());
        params.distinguished_name.push(DnType::CommonName, "Meltemi root");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let root = params.self_signed(&key).map_err(signing)?;
        Self::with_root(key, root.into(), trust_domain).map_err(CaError::Signing)
    }

    fn with_root(key: KeyPair, root: CertificateDer<'static>, trust_domain: TrustDomain) -> Result<Self, String> {
        let (_, root_not_after) = peer::validity(&root).map_err(|e: PeerError| e.to_string())?;
        let issuer = issuer(&root, key)?;
        Ok(Self {
            issuer,
            intermediates: Vec::new(),
            roots_pem: pem_text("CERTIFICATE", &root),
            roots: vec![root],
            beside: Vec::new(),
            then: None,
            root_not_after,
            not_after: root_not_after,
            kept: Kept::StateDirectory,
            trust_domain,
            max_ttl: DEFAULT_TTL,
        })
    }

    /// The trust domain that this CA signs for.
    pub fn trust_domain(&self) -> &TrustDomain {
        &self.trust_domain
    }

    /// The roots that a verifier of this mesh trusts, as PEM.
    pub fn roots_pem(&self) -> &str {
        &self.roots_pem
    }

    /// When the root that this CA's certificates lead to runs out.
    pub fn root_not_after(&self) -> SystemTime {
        self.root_not_after
    }

    /// When the first certificate between a leaf and its root runs out, the root included.
    pub fn not_after(&self) -> SystemTime {
        self.not_after
    }

    /// What it came with, without the roots that a change brings along.
    pub(crate) fn roots(&self) -> &[CertificateDer<'static>] {
        &self.roots
    }

    /// Until when roots of another CA are trusted as well; `None` when there are none.
    pub fn beside_until(&self) -> Option<SystemTime> {
        let steps = std::iter::successors(self.then.as_ref(), |(_, next)| next.then.as_ref());
        steps.map(|(at, _)| *at).last()
    }

    /// Trusts these as well until then, and signs as before.
    pub(crate) fn trusting_until(self, roots: &[CertificateDer<'static>], until: SystemTime) -> Self {
        let then = Arc::new(self.clone());
        self.followed_by(roots, until, then)
    }

    /// Trusts these as well, and gives way to another one.
    fn followed_by(mut self, roots: &[CertificateDer<'static>], at: SystemTime, then: Arc<Self>) -> Self {
        self.beside = roots.iter().filter(|root| !self.roots.contains(root)).cloned().collect();
        self.roots_pem = certificates_pem(self.trusted());
        self.then = Some((at, then));
        self
    }

    fn trusted(&self) -> impl Iterator<Item = &CertificateDer<'static>> {
        self.roots.iter().chain(&self.beside)
    }

    /// Signs the request's key for `id`; the request's names and extensions are ignored. A life of zero means the
    /// default; a longer one than allowed is cut. Gives the chain as PEM: the leaf, each intermediate, and last, in
    /// one text, the roots.
    pub fn sign_workload(&self, csr_pem: &str, id: &SpiffeId, ttl: Duration) -> Result<Vec<String>, CaError> {
        let key = csr::public_key(csr_pem)?;
        let leaf = self.sign(&key, &[], id, ttl)?;
        let certificates = std::iter::once(&leaf).chain(&self.intermediates);
        let mut chain: Vec<String> = certificates.map(|der| pem_text("CERTIFICATE", der)).collect();
        chain.push(self.roots_pem.clone());
        Ok(chain)
    }

    /// Makes a key and a certificate for a process that shares this one with the CA, with DNS names beside its id.
    pub fn sign_server(&self, dns_names: &[&str], id: &SpiffeId, ttl: Duration) -> Result<Credentials, CaError> {
        let key = new_key()?;
        let mut chain = vec![self.sign(&key, dns_names, id, ttl)?];
        chain.extend_from_slice(&self.intermediates);
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        Ok(Credentials::new(chain, key, self.trusted().cloned().collect())?)
    }

    fn expired(&self) -> CaError {
        match self.kept {
            Kept::StateDirectory => CaError::Expired { what: "root certificate", remedy: NEW_ROOT },
            Kept::Elsewhere => CaError::Expired { what: "CA's certificate, or the root above it,", remedy: NEW_SECRET },
        }
    }

    fn sign(
        &self,
        key: &impl PublicKeyData,
        dns_names: &[&str],
        id: &SpiffeId,
        ttl: Duration,
    ) -> Result<CertificateDer<'static>, CaError> {
        if !id.is_in(&self.trust_domain) {
            let trust_domain = self.trust_domain.clone();
            return Err(CaError::TrustDomain { id: id.clone(), trust_domain });
        }
        let now = SystemTime::now();
        if self.not_after <= now {
            return Err(self.expired());
        }
        let ttl = if ttl.is_zero() { DEFAULT_TTL } else { ttl }.min(self.max_ttl).max(SHORTEST_TTL);
        let mut params = nameless_params(now, (now + ttl).min(self.not_after))?;
        params.subject_alt_names = names(dns_names, id)?;
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params.use_authority_key_identifier_extension = true;
        Ok(params.signed_by(key, &self.issuer).map_err(signing)?.into())
    }
}

/// What signs with `key` in the name of `certificate`; the two must belong together.
fn issuer(certificate: &CertificateDer<'_>, key: KeyPair) -> Result<Arc<Issuer<'static, KeyPair>>, String> {
    let (_, parsed) =
        x509_parser::parse_x509_certificate(certificate).map_err(|e| format!("not a certificate: {e}"))?;
    if &*parsed.public_key().subject_public_key.data != key.public_key_raw() {
        return Err(format!("{KEY_FILE} is not its private key; restore the one it was made with"));
    }
    if !parsed.is_ca() {
        return Err("it is no authority's certificate (CA:true is missing)".to_owned());
    }
    Issuer::from_ca_cert_der(certificate, key).map(Arc::new).map_err(|e| e.to_string())
}

/// Parameters with an empty subject, a random serial number and the given end.
fn nameless_params(now: SystemTime, end: SystemTime) -> Result<CertificateParams, CaError> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.not_before = OffsetDateTime::from(now - BACKDATED);
    params.not_after = OffsetDateTime::from(end);
    params.serial_number = Some(random_serial()?);
    Ok(params)
}

fn names(dns_names: &[&str], id: &SpiffeId) -> Result<Vec<SanType>, CaError> {
    let text = |name: &str| Ia5String::try_from(name).map_err(|_| CaError::DnsName(name.to_owned()));
    let mut names = vec![SanType::URI(text(id.as_str())?)];
    for name in dns_names {
        names.push(SanType::DnsName(text(name)?));
    }
    Ok(names)
}

/// RFC 5280 section 4.1.2.2: positive, at most 20 bytes; random so that nobody can predict what will be signed.
fn random_serial() -> Result<SerialNumber, CaError> {
    let mut bytes = [0; 16];
    provider()
        .secure_random
        .fill(&mut bytes)
        .map_err(|_| CaError::Signing("the system gave no random numbers".to_owned()))?;
    bytes[0] = bytes[0] & 0x7f | 0x01;
    Ok(SerialNumber::from_slice(&bytes))
}

fn new_key() -> Result<KeyPair, CaError> {
    KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).map_err(signing)
}

fn signing(error: rcgen::Error) -> CaError {
    CaError::Signing(error.to_string())
}

impl std::fmt::Debug for CertificateAuthority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CertificateAuthority")
            .field("trust_domain", &self.trust_domain)
            .field("root_not_after", &self.root_not_after)
            .finish_non_exhaustive()
    }
}
