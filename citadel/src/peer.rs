//! Reads who a certificate says it is: exactly one URI name, a SPIFFE id, on a certificate that is no authority
//! (X509-SVID sections 2 and 4). Nothing here checks who signed it.

use std::time::{Duration, SystemTime};

use rustls_pki_types::CertificateDer;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;
use x509_parser::time::ASN1Time;

use crate::spiffe::{SpiffeError, SpiffeId};

/// Names quoted in a refusal; a peer chooses them, so they are few and short.
const MAX_QUOTED_NAMES: usize = 4;
const MAX_QUOTED_BYTES: usize = 256;

/// Why a certificate names no workload. The text quotes what was presented.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PeerError {
    /// Not a readable X.509 certificate.
    #[error("the certificate cannot be parsed: {0}")]
    Unreadable(String),
    /// A certificate that may sign others must not be used by a workload.
    #[error("the certificate of {0:?} is an authority's (CA:true or keyCertSign), a workload's must not be")]
    Authority(Vec<String>),
    /// No URI among the names.
    #[error("the certificate has no URI name, only {0:?}; expected exactly one SPIFFE id")]
    NoUri(Vec<String>),
    /// More than one URI among the names.
    #[error("the certificate has several URI names, {0:?}; expected exactly one SPIFFE id")]
    SeveralUris(Vec<String>),
    /// The URI is no workload's id.
    #[error("the certificate's URI name is no workload id: {0}")]
    NotSpiffe(#[from] SpiffeError),
}

/// The SPIFFE id of a leaf certificate.
pub(crate) fn certificate_id(der: &CertificateDer<'_>) -> Result<SpiffeId, PeerError> {
    let certificate = parse(der)?;
    let (uris, others) = names(&certificate)?;
    if is_authority(&certificate)? {
        return Err(PeerError::Authority(quoted(uris.iter().chain(&others))));
    }
    match uris.as_slice() {
        [] => Err(PeerError::NoUri(quoted(others.iter()))),
        [uri] => Ok(uri.parse()?),
        several => Err(PeerError::SeveralUris(quoted(several.iter()))),
    }
}

/// All URI names of a certificate, SPIFFE ids or not.
pub(crate) fn uri_names(der: &CertificateDer<'_>) -> Result<Vec<String>, PeerError> {
    Ok(names(&parse(der)?)?.0)
}

/// From when until when a certificate is valid.
pub(crate) fn validity(der: &CertificateDer<'_>) -> Result<(SystemTime, SystemTime), PeerError> {
    let certificate = parse(der)?;
    let validity = certificate.validity();
    Ok((system_time(validity.not_before), system_time(validity.not_after)))
}

fn parse<'a>(der: &'a CertificateDer<'_>) -> Result<X509Certificate<'a>, PeerError> {
    let (rest, certificate) = X509Certificate::from_der(der).map_err(|e| PeerError::Unreadable(e.to_string()))?;
    if !rest.is_empty() {
        return Err(PeerError::Unreadable(format!("{} bytes follow it", rest.len())));
    }
    Ok(certificate)
}

fn is_authority(certificate: &X509Certificate<'_>) -> Result<bool, PeerError> {
    let unreadable = |e: x509_parser::error::X509Error| PeerError::Unreadable(e.to_string());
    let constraints = certificate.basic_constraints().map_err(unreadable)?;
    let usage = certificate.key_usage().map_err(unreadable)?;
    Ok(constraints.is_some_and(|c| c.value.ca) || usage.is_some_and(|u| u.value.key_cert_sign()))
}

/// The URI names, and all others as text for a message.
fn names(certificate: &X509Certificate<'_>) -> Result<(Vec<String>, Vec<String>), PeerError> {
    let extension = certificate.subject_alternative_name().map_err(|e| PeerError::Unreadable(e.to_string()))?;
    let mut uris = Vec::new();
    let mut others = Vec::new();
    for name in extension.iter().flat_map(|san| &san.value.general_names) {
        match name {
            GeneralName::URI(uri) => uris.push((*uri).to_owned()),
            // A URI that is no text would otherwise not count as a second one.
            GeneralName::Invalid(tag, bytes) => {
                return Err(PeerError::Unreadable(format!(
                    "the name with tag {} is no text ({} bytes)",
                    tag.0,
                    bytes.len()
                )));
            }
            GeneralName::DNSName(name) => others.push(format!("DNS:{name}")),
            other => others.push(format!("{other:?}")),
        }
    }
    Ok((uris, others))
}

fn quoted<'a>(names: impl Iterator<Item = &'a String>) -> Vec<String> {
    names.take(MAX_QUOTED_NAMES).map(|n| n.chars().take(MAX_QUOTED_BYTES).collect()).collect()
}

fn system_time(time: ASN1Time) -> SystemTime {
    let seconds = Duration::from_secs(time.timestamp().unsigned_abs());
    if time.timestamp() < 0 { SystemTime::UNIX_EPOCH - seconds } else { SystemTime::UNIX_EPOCH + seconds }
}
