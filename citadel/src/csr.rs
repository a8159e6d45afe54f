//! Takes the one thing that the CA wants from a certificate signing request: a public key that its sender holds
//! the private half of. Names and extensions that a request asks for are not even looked at.

use rcgen::SubjectPublicKeyInfo;
use rustls_pki_types::CertificateSigningRequestDer;
use rustls_pki_types::pem::PemObject;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::oid_registry::{OID_EC_P256, OID_KEY_TYPE_EC_PUBLIC_KEY, OID_NIST_EC_P384, OID_PKCS1_RSAENCRYPTION};
use x509_parser::prelude::FromDer;
use x509_parser::public_key::PublicKey;

/// The largest request that is parsed, in bytes of PEM.
pub(crate) const MAX_CSR_BYTES: usize = 64 * 1024;
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;

/// Why a certificate signing request was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CsrError {
    /// Larger than any honest request.
    #[error("the CSR has {0} bytes, at most 65536 are accepted")]
    TooLarge(usize),
    /// Not a PKCS #10 request in PEM.
    #[error("the CSR is no PKCS #10 request in PEM (\"BEGIN CERTIFICATE REQUEST\"): {0}")]
    Malformed(String),
    /// The key is too weak or of a kind that peers may not support.
    #[error("the CSR's key is {0}; use ECDSA P-256 or P-384, or RSA of 2048 to 8192 bits")]
    WeakKey(String),
    /// The sender does not hold the private key.
    #[error("the CSR's signature does not fit its public key")]
    Signature,
}

impl CsrError {
    /// The value of the `reason` label of the refusal counter.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::TooLarge(_) => "csr_too_large",
            Self::Malformed(_) => "csr_malformed",
            Self::WeakKey(_) => "csr_weak_key",
            Self::Signature => "csr_signature",
        }
    }
}

/// The public key of a request whose signature is good and whose key is strong enough.
pub(crate) fn public_key(csr_pem: &str) -> Result<SubjectPublicKeyInfo, CsrError> {
    if csr_pem.len() > MAX_CSR_BYTES {
        return Err(CsrError::TooLarge(csr_pem.len()));
    }
    let der = CertificateSigningRequestDer::from_pem_slice(csr_pem.as_bytes())
        .map_err(|e| CsrError::Malformed(e.to_string()))?;
    let (rest, request) = X509CertificationRequest::from_der(&der).map_err(|e| CsrError::Malformed(e.to_string()))?;
    if !rest.is_empty() {
        return Err(CsrError::Malformed(format!("{} bytes follow it", rest.len())));
    }
    let key = &request.certification_request_info.subject_pki;
    check_strength(key)?;
    request.verify_signature().map_err(|_| CsrError::Signature)?;
    SubjectPublicKeyInfo::from_der(key.raw).map_err(|e| CsrError::Malformed(e.to_string()))
}

fn check_strength(key: &x509_parser::x509::SubjectPublicKeyInfo<'_>) -> Result<(), CsrError> {
    let algorithm = &key.algorithm.algorithm;
    if *algorithm == OID_PKCS1_RSAENCRYPTION {
        return check_rsa(key);
    }
    if *algorithm != OID_KEY_TYPE_EC_PUBLIC_KEY {
        return Err(CsrError::WeakKey(format!("of algorithm {algorithm}")));
    }
    let curve = key.algorithm.parameters.as_ref().and_then(|p| p.as_oid().ok());
    match curve {
        Some(curve) if curve == OID_EC_P256 || curve == OID_NIST_EC_P384 => Ok(()),
        Some(curve) => Err(CsrError::WeakKey(format!("on the elliptic curve {curve}"))),
        None => Err(CsrError::WeakKey("on an elliptic curve without a name".to_owned())),
    }
}

fn check_rsa(key: &x509_parser::x509::SubjectPublicKeyInfo<'_>) -> Result<(), CsrError> {
    let Ok(PublicKey::RSA(rsa)) = key.parsed() else {
        return Err(CsrError::Malformed("its RSA key cannot be parsed".to_owned()));
    };
    let significant = rsa.modulus.iter().skip_while(|byte| **byte == 0);
    let leading = significant.clone().next().map_or(0, |byte| byte.leading_zeros() as usize);
    let bits = significant.count() * 8 - leading;
    if RSA_BITS.contains(&bits) {
        return Ok(());
    }
    Err(CsrError::WeakKey(format!("RSA of {bits} bits")))
}
