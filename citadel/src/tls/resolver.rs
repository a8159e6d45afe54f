//! Gives rustls the certificate that is current when a handshake needs it; none once it has expired.

use std::sync::Arc;
use std::time::Duration;

use record::LogLimit;
use rustls::SignatureScheme;
use rustls::client::ResolvesClientCert;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use crate::identity::Identity;

static NO_CERTIFICATE: LogLimit = LogLimit::new(Duration::from_secs(5));

#[derive(Debug)]
pub(super) struct CurrentCertificate {
    identity: Identity,
}

impl CurrentCertificate {
    pub(super) fn new(identity: &Identity) -> Self {
        Self { identity: identity.clone() }
    }

    fn certified(&self) -> Option<Arc<CertifiedKey>> {
        self.identity.usable().ok().map(|credentials| credentials.certified())
    }
}

impl ResolvesServerCert for CurrentCertificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        if let Err(error) = self.identity.usable()
            && let Some(left_out) = NO_CERTIFICATE.admit()
        {
            tracing::error!(left_out, "refusing TLS connections: {error}");
        }
        self.certified()
    }
}

impl ResolvesClientCert for CurrentCertificate {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.certified()
    }

    fn has_certs(&self) -> bool {
        true
    }
}
