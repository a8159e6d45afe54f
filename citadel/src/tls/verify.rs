//! Decides whether a peer of the mesh is who it must be: its chain leads to the roots that are current, now is within
//! its validity, its usage fits, and its one URI name is a workload that is expected here.

use std::fmt;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::server::ParsedCertificate;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use super::{ClientAuth, PeerNames, provider};
use crate::credentials::Credentials;
use crate::identity::{Identity, IdentityError};
use crate::known::Role;
use crate::peer::{self, PeerError};
use crate::spiffe::SpiffeId;

/// Why a peer's certificate was refused: what it presented and what was expected.
#[derive(thiserror::Error)]
pub(super) enum PeerRefused {
    #[error("{0}")]
    OwnIdentity(#[from] IdentityError),
    #[error("the peer's certificate was refused: {0}")]
    Certificate(#[from] PeerError),
    #[error(
        "the peer presented a certificate of {presented}, which is not good under the roots that {own} trusts: {reason}"
    )]
    Chain { presented: SpiffeId, own: SpiffeId, reason: CertificateError },
    #[error("the peer presented a certificate of {presented}; expected {expected}")]
    Name { presented: SpiffeId, expected: String },
}

/// rustls prints the inner error of a refusal by `Debug`, so `Debug` is the text for people.
impl fmt::Debug for PeerRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

#[derive(Debug)]
pub(super) struct MeshVerifier {
    identity: Identity,
    names: PeerNames,
    client_auth: ClientAuth,
}

impl MeshVerifier {
    pub(super) fn new(identity: &Identity, names: PeerNames, client_auth: ClientAuth) -> Self {
        Self { identity: identity.clone(), names, client_auth }
    }

    fn check(
        &self,
        role: Role,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), PeerRefused> {
        let own = self.identity.usable()?;
        let presented = match own.known_peers().verified(role, leaf, intermediates, now) {
            Some(id) => id,
            None => verify_chain(role, &own, leaf, intermediates, now)?,
        };
        if self.names.accept(&presented) {
            return Ok(());
        }
        Err(PeerRefused::Name { presented, expected: self.names.to_string() })
    }
}

/// Whose chain it is, if it is good; remembered.
fn verify_chain(
    role: Role,
    own: &Credentials,
    leaf: &CertificateDer<'_>,
    intermediates: &[CertificateDer<'_>],
    now: UnixTime,
) -> Result<SpiffeId, PeerRefused> {
    let presented = peer::certificate_id(leaf)?;
    check_chain(role, own, leaf, intermediates, now).map_err(|error| PeerRefused::Chain {
        presented: presented.clone(),
        own: own.id().clone(),
        reason: match error {
            Error::InvalidCertificate(reason) => reason,
            other => CertificateError::Other(OtherError(Arc::new(other))),
        },
    })?;
    own.known_peers().remember(role, leaf, intermediates, &presented, now);
    Ok(presented)
}

fn check_chain(
    role: Role,
    own: &Credentials,
    leaf: &CertificateDer<'_>,
    intermediates: &[CertificateDer<'_>],
    now: UnixTime,
) -> Result<(), Error> {
    match role {
        Role::Client => own.client_verifier().verify_client_cert(leaf, intermediates, now).map(|_| ()),
        Role::Server => verify_server_cert_signed_by_trust_anchor(
            &ParsedCertificate::try_from(leaf)?,
            own.anchors(),
            intermediates,
            now,
            provider().signature_verification_algorithms.all,
        ),
    }
}

impl PeerNames {
    fn accept(&self, presented: &SpiffeId) -> bool {
        match self {
            Self::Exact(ids) => ids.iter().any(|id| id == presented.as_str()),
            Self::TrustDomain(domains) => domains.iter().any(|domain| presented.is_in(domain)),
            Self::Any => true,
        }
    }
}

impl fmt::Display for PeerNames {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(ids) if ids.is_empty() => f.write_str("nobody: the list of names is empty"),
            Self::Exact(ids) => f.write_str(&ids.join(" or ")),
            Self::TrustDomain(domains) if domains.is_empty() => {
                f.write_str("nobody: the list of trust domains is empty")
            }
            Self::TrustDomain(domains) => {
                let names: Vec<_> = domains.iter().map(|domain| domain.as_str()).collect();
                write!(f, "a workload of trust domain {}", names.join(" or "))
            }
            Self::Any => f.write_str("any workload"),
        }
    }
}

pub(super) fn refuse(reason: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(reason))))
}

impl ServerCertVerifier for MeshVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.check(Role::Server, end_entity, intermediates, now).map_err(refuse)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        signature::tls12(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        signature::tls13(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        signature::schemes()
    }
}

impl ClientCertVerifier for MeshVerifier {
    fn client_auth_mandatory(&self) -> bool {
        self.client_auth == ClientAuth::Required
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.check(Role::Client, end_entity, intermediates, now).map_err(refuse)?;
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        signature::tls12(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        signature::tls13(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        signature::schemes()
    }
}

/// The peer's proof that it holds the key: left to rustls.
pub(super) mod signature {
    use super::*;

    pub(in crate::tls) fn tls12(
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &provider().signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, cert, dss, algorithms)
    }

    pub(in crate::tls) fn tls13(
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &provider().signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, dss, algorithms)
    }

    pub(in crate::tls) fn schemes() -> Vec<SignatureScheme> {
        provider().signature_verification_algorithms.supported_schemes()
    }
}
