//! SPIFFE ids of workloads: `spiffe://<trust domain>/ns/<namespace>/sa/<service account>`, parsed strictly
//! (SPIFFE-ID sections 2.1 to 2.3), because these strings decide who may do what.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

const SCHEME: &str = "spiffe://";
const NAMESPACE: &str = "/ns/";
const SERVICE_ACCOUNT: &str = "/sa/";
/// SPIFFE-ID section 2.3.
const MAX_URI_BYTES: usize = 2048;
/// SPIFFE-ID section 2.1.
const MAX_TRUST_DOMAIN_BYTES: usize = 255;

/// Why a string is no SPIFFE id or trust domain. The text quotes what was given.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SpiffeError {
    /// Not a trust domain name.
    #[error("{0:?} is no trust domain: 1 to 255 characters of a-z, 0-9, '.', '-' and '_' are allowed")]
    TrustDomain(String),
    /// Not of the mesh's form.
    #[error("{0:?} is no workload id: it must be exactly spiffe://<trust domain>/ns/<namespace>/sa/<service account>")]
    Form(String),
    /// A namespace or service account with characters outside the set of SPIFFE-ID section 2.2.
    #[error("{0:?} is no namespace or service account: letters, digits, '.', '-' and '_' are allowed")]
    Segment(String),
    /// Longer than an id may be.
    #[error("a SPIFFE id of {0} bytes is too long: at most 2048 are allowed")]
    TooLong(usize),
}

/// The name of a set of workloads that share roots, such as `cluster.local`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TrustDomain(Arc<str>);

impl TrustDomain {
    /// The bare name, without scheme.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The id of a service account of this trust domain.
    pub fn workload(&self, namespace: &str, service_account: &str) -> Result<SpiffeId, SpiffeError> {
        SpiffeId::new(self, namespace, service_account)
    }
}

impl Default for TrustDomain {
    /// `cluster.local`, Istio's default.
    fn default() -> Self {
        Self("cluster.local".into())
    }
}

impl FromStr for TrustDomain {
    type Err = SpiffeError;

    fn from_str(name: &str) -> Result<Self, SpiffeError> {
        if !is_trust_domain(name) {
            return Err(SpiffeError::TrustDomain(name.to_owned()));
        }
        Ok(Self(name.into()))
    }
}

impl fmt::Display for TrustDomain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Who a workload is. Cheap to clone; equality is equality of the URI.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SpiffeId {
    uri: Arc<str>,
    trust_domain_end: usize,
    namespace_end: usize,
}

impl SpiffeId {
    /// Puts an id together; the names are checked as if they were parsed.
    pub fn new(trust_domain: &TrustDomain, namespace: &str, service_account: &str) -> Result<Self, SpiffeError> {
        for name in [namespace, service_account] {
            if !is_segment(name) {
                return Err(SpiffeError::Segment(name.to_owned()));
            }
        }
        format!("{SCHEME}{trust_domain}{NAMESPACE}{namespace}{SERVICE_ACCOUNT}{service_account}").parse()
    }

    /// The whole URI.
    pub fn as_str(&self) -> &str {
        &self.uri
    }

    /// The whole URI, to keep.
    pub fn shared(&self) -> Arc<str> {
        self.uri.clone()
    }

    /// The trust domain's name.
    pub fn trust_domain(&self) -> &str {
        &self.uri[SCHEME.len()..self.trust_domain_end]
    }

    /// The Kubernetes namespace.
    pub fn namespace(&self) -> &str {
        &self.uri[self.trust_domain_end + NAMESPACE.len()..self.namespace_end]
    }

    /// The Kubernetes service account.
    pub fn service_account(&self) -> &str {
        &self.uri[self.namespace_end + SERVICE_ACCOUNT.len()..]
    }

    /// Whether the id belongs to the trust domain.
    pub fn is_in(&self, trust_domain: &TrustDomain) -> bool {
        self.trust_domain() == trust_domain.as_str()
    }
}

impl FromStr for SpiffeId {
    type Err = SpiffeError;

    fn from_str(uri: &str) -> Result<Self, SpiffeError> {
        if uri.len() > MAX_URI_BYTES {
            return Err(SpiffeError::TooLong(uri.len()));
        }
        let malformed = || SpiffeError::Form(uri.to_owned());
        let rest = uri.strip_prefix(SCHEME).ok_or_else(malformed)?;
        let mut parts = rest.split('/');
        let (Some(trust_domain), Some("ns"), Some(namespace), Some("sa"), Some(account), None) =
            (parts.next(), parts.next(), parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(malformed());
        };
        if !is_trust_domain(trust_domain) || !is_segment(namespace) || !is_segment(account) {
            return Err(malformed());
        }
        let trust_domain_end = SCHEME.len() + trust_domain.len();
        Ok(Self {
            trust_domain_end,
            namespace_end: trust_domain_end + NAMESPACE.len() + namespace.len(),
            uri: uri.into(),
        })
    }
}

impl fmt::Display for SpiffeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.uri)
    }
}

impl fmt::Debug for SpiffeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.uri)
    }
}

fn is_trust_domain(name: &str) -> bool {
    (1..=MAX_TRUST_DOMAIN_BYTES).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'-' | b'_'))
}

fn is_segment(name: &str) -> bool {
    !matches!(name, "" | "." | "..")
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn an_id_gives_its_parts_and_its_uri() {
        let id: SpiffeId = "spiffe://cluster.local/ns/shop/sa/front.end_1".parse().unwrap();
        assert_eq!(id.trust_domain(), "cluster.local");
        assert_eq!(id.namespace(), "shop");
        assert_eq!(id.service_account(), "front.end_1");
        assert_eq!(id.to_string(), "spiffe://cluster.local/ns/shop/sa/front.end_1");
        assert_eq!(TrustDomain::default().workload("shop", "front.end_1").unwrap(), id);
        assert!(id.is_in(&TrustDomain::default()));
        assert!(!id.is_in(&"local".parse().unwrap()));
    }

    #[test]
    fn anything_but_the_exact_form_is_refused() {
        let long = format!("spiffe://td/ns/a/sa/{}", "b".repeat(2048));
        for bad in [
            "",
            "spiffe://",
            "spiffe://td",
            "spiffe://td/ns/a",
            "spiffe://td/ns/a/sa/",
            "spiffe://td/ns//sa/b",
            "spiffe:///ns/a/sa/b",
            "spiffe://td/ns/a/sa/b/",
            "spiffe://td/ns/a/sa/b/c",
            "spiffe://td/ns/a/sa/b%2fc",
            "spiffe://td/ns/a/sa/b?x=1",
            "spiffe://td/ns/a/sa/b#x",
            "spiffe://td/ns/a/sa/..",
            "spiffe://td/ns/a/sa/b\0",
            "spiffe://td\0/ns/a/sa/b",
            "spiffe://td/ns/a/sa/bé",
            "SPIFFE://td/ns/a/sa/b",
            "spiffe://TD/ns/a/sa/b",
            "spiffe://td:443/ns/a/sa/b",
            "spiffe://user@td/ns/a/sa/b",
            "spiffe://td/NS/a/sa/b",
            "spiffe://td/sa/b/ns/a",
            "https://td/ns/a/sa/b",
            " spiffe://td/ns/a/sa/b",
            "spiffe://td/ns/a/sa/b\n",
            long.as_str(),
        ] {
            assert!(bad.parse::<SpiffeId>().is_err(), "{bad:?} was accepted");
        }
    }

    #[test]
    fn parts_cannot_smuggle_a_path() {
        let domain = TrustDomain::default();
        assert!(domain.workload("a/sa/x", "b").is_err());
        assert!(domain.workload("a", "").is_err());
        assert!("".parse::<TrustDomain>().is_err());
        assert!("a/b".parse::<TrustDomain>().is_err());
        assert!("a".repeat(256).parse::<TrustDomain>().is_err());
    }
}
