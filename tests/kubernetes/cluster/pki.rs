//! The cluster's certificate authority and the papers that it signs.

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose,
};

use crate::ClusterError;

/// The one authority of a cluster: of servers, of clients and of the aggregation layer.
#[derive(Debug)]
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// A certificate and its key, both as PEM.
#[derive(Debug, Clone)]
pub struct Papers {
    pub certificate: String,
    pub key: String,
}

/// Whom a certificate names: Kubernetes reads a user from the common name and a group from the organisation.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    pub user: &'a str,
    pub group: Option<&'a str>,
}

impl Authority {
    pub fn create() -> Result<Authority, ClusterError> {
        let failed = |source| ClusterError::Certificate { who: "the cluster's authority".to_owned(), source };
        let mut params = CertificateParams::default();
        params.distinguished_name = name(Subject { user: "cluster-ca", group: None });
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages =
            vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign, KeyUsagePurpose::DigitalSignature];
        let key = KeyPair::generate().map_err(failed)?;
        Ok(Authority { issuer: CertifiedIssuer::self_signed(params, key).map_err(failed)? })
    }

    pub fn papers(&self) -> Papers {
        Papers { certificate: self.issuer.pem(), key: self.issuer.key().serialize_pem() }
    }

    /// A certificate for a client, and for a server when there are names (DNS or addresses).
    pub fn issue(&self, subject: Subject<'_>, names: &[String]) -> Result<Papers, ClusterError> {
        let failed = |source| ClusterError::Certificate { who: subject.user.to_owned(), source };
        let mut params = CertificateParams::new(names).map_err(failed)?;
        params.distinguished_name = name(subject);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth, ExtendedKeyUsagePurpose::ServerAuth];
        let key = KeyPair::generate().map_err(failed)?;
        let certificate = params.signed_by(&key, &self.issuer).map_err(failed)?;
        Ok(Papers { certificate: certificate.pem(), key: key.serialize_pem() })
    }
}

fn name(subject: Subject<'_>) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    if let Some(group) = subject.group {
        name.push(DnType::OrganizationName, group);
    }
    name.push(DnType::CommonName, subject.user);
    name
}
