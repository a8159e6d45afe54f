//! A CA whose certificate and key somebody else made: Istio's plug-in format, usually an intermediate under a root of
//! the company. Everything that could fail later is tried here, so that a bad one never comes into force.

use std::time::SystemTime;

use rcgen::KeyPair;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::{CaError, CertificateAuthority, DEFAULT_TTL, Kept, issuer, new_key};
use crate::credentials::{self, certificates, certificates_pem};
use crate::peer;
use crate::spiffe::TrustDomain;

/// Certificates and key of a CA, as PEM, under the names that Istio gives the files.
#[derive(Clone, Copy)]
pub struct CaPem<'a> {
    /// `ca-cert.pem`: the certificate that signs.
    pub certificate: &'a str,
    /// `ca-key.pem`: its private key, PKCS #8, PKCS #1 or SEC 1.
    pub key: &'a str,
    /// `cert-chain.pem`: from the signing certificate up, with or without it and the root; may be empty.
    pub chain: &'a str,
    /// `root-cert.pem`: what workloads trust, one root or several.
    pub roots: &'a str,
}

impl CertificateAuthority {
    /// A CA from certificates and key that are kept elsewhere. Refused, with the reason, when a certificate has
    /// expired, the key belongs to another one, or what it signs would not lead to one of the roots.
    pub fn plugged_in(pem: CaPem<'_>, trust_domain: TrustDomain) -> Result<Self, CaError> {
        let refused = |file: &str, reason: String| CaError::PluggedIn(format!("{file}: {reason}"));
        let read = |file: &'static str, text: &str| {
            let found = certificates(file, text).map_err(|e| CaError::PluggedIn(e.to_string()))?;
            found.iter().try_for_each(|one| in_time(one).map_err(|reason| refused(file, reason)))?;
            Ok::<_, CaError>(found)
        };
        let certificate = read("ca-cert.pem", pem.certificate)?.swap_remove(0);
        let roots = read("root-cert.pem", pem.roots)?;
        let chain = if pem.chain.trim().is_empty() { Vec::new() } else { read("cert-chain.pem", pem.chain)? };
        let key = private_key(pem.key).map_err(|reason| refused("ca-key.pem", reason))?;
        let issuer = issuer(&certificate, key).map_err(|reason| refused("ca-cert.pem", reason))?;
        let intermediates = intermediates(certificate, chain, &roots);
        let limit = SystemTime::now() + DEFAULT_TTL;
        let first_end = first_end_before(limit, intermediates.iter().chain(&roots));
        let mut authority = Self {
            issuer,
            roots_pem: certificates_pem(&roots),
            roots,
            beside: Vec::new(),
            then: None,
            root_not_after: first_end,
            not_after: first_end,
            kept: Kept::Elsewhere,
            trust_domain,
            max_ttl: DEFAULT_TTL,
            intermediates,
        };
        // Of several roots an old one may end sooner than the one that matters.
        authority.root_not_after = authority.try_out()?;
        authority.not_after = first_end_before(authority.root_not_after, &authority.intermediates);
        Ok(authority)
    }

    /// A certificate for nobody, and what leads from it to a root.
    fn specimen(&self) -> Result<Vec<CertificateDer<'static>>, CaError> {
        let nobody = self.trust_domain.workload("meltemi-system", "nobody");
        let nobody = nobody.map_err(|e| CaError::PluggedIn(e.to_string()))?;
        let mut chain = vec![self.sign(&new_key()?, &[], &nobody, DEFAULT_TTL)?];
        chain.extend_from_slice(&self.intermediates);
        Ok(chain)
    }

    /// Whether somebody who trusts these roots accepts what it signs.
    pub(super) fn is_good_under(&self, roots: &[CertificateDer<'static>]) -> bool {
        self.specimen().is_ok_and(|chain| roots.iter().any(|root| credentials::leads_to(&chain, root).is_ok()))
    }

    /// Signs a certificate for nobody and verifies it as a peer would. Gives the end of the root that it leads to, the
    /// latest if it leads to several.
    fn try_out(&self) -> Result<SystemTime, CaError> {
        let chain = self.specimen()?;
        self.verified_root(&chain).map_err(|reason| {
            CaError::PluggedIn(format!(
                "what ca-cert.pem signs does not lead to root-cert.pem ({reason}); cert-chain.pem must hold every certificate between the two"
            ))
        })
    }

    fn verified_root(&self, chain: &[CertificateDer<'static>]) -> Result<SystemTime, String> {
        let mut found: Result<SystemTime, String> = Err("there is no root".to_owned());
        for root in &self.roots {
            let end = peer::validity(root).map_err(|e| e.to_string())?.1;
            match credentials::leads_to(chain, root) {
                Ok(()) => found = Ok(found.map_or(end, |latest: SystemTime| latest.max(end))),
                Err(reason) if found.is_err() => found = Err(reason),
                Err(_) => {}
            }
        }
        found
    }
}

impl std::fmt::Debug for CaPem<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CaPem").finish_non_exhaustive()
    }
}

/// What must be sent between a leaf and the roots.
fn intermediates(
    certificate: CertificateDer<'static>,
    chain: Vec<CertificateDer<'static>>,
    roots: &[CertificateDer<'static>],
) -> Vec<CertificateDer<'static>> {
    let mut found: Vec<CertificateDer<'static>> = Vec::new();
    for one in std::iter::once(certificate).chain(chain) {
        if !roots.contains(&one) && !found.contains(&one) {
            found.push(one);
        }
    }
    found
}

/// Any of the forms that openssl writes, `EC PARAMETERS` in front of the key included.
fn private_key(pem: &str) -> Result<KeyPair, String> {
    if pem.contains("ENCRYPTED") {
        return Err("it is encrypted; put the key without a passphrase there".to_owned());
    }
    let key = PrivateKeyDer::from_pem_slice(pem.as_bytes()).map_err(|e| format!("it holds no private key: {e}"))?;
    KeyPair::try_from(&key).map_err(|e| format!("a key of this kind cannot be used: {e}"))
}

fn in_time(certificate: &CertificateDer<'_>) -> Result<(), String> {
    let (start, end) = peer::validity(certificate).map_err(|e| e.to_string())?;
    let text = |at: SystemTime| OffsetDateTime::from(at).format(&Rfc3339).unwrap_or_default();
    let now = SystemTime::now();
    if end <= now {
        return Err(format!("a certificate in it expired at {}", text(end)));
    }
    if start > now {
        return Err(format!("a certificate in it is not valid before {}; is the clock right?", text(start)));
    }
    Ok(())
}

fn first_end_before<'a>(
    limit: SystemTime,
    certificates: impl IntoIterator<Item = &'a CertificateDer<'static>>,
) -> SystemTime {
    certificates.into_iter().filter_map(|one| Some(peer::validity(one).ok()?.1)).fold(limit, SystemTime::min)
}
