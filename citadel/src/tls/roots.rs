//! Where the roots for servers outside the mesh, or for the first contact with the CA, come from.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use rustls::RootCertStore;
use rustls_pki_types::CertificateDer;

use super::TlsError;
use crate::credentials;

/// Where Debian, Red Hat and Alpine keep the system's roots, in this order.
const SYSTEM_FILES: [&str; 3] =
    ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"];

/// A set of trusted roots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Roots {
    /// The system's; read once, when first needed.
    System,
    /// A PEM file.
    File(PathBuf),
    /// PEM text.
    Pem(String),
}

impl Roots {
    /// The certificates, read anew at each call.
    pub(crate) fn certificates(&self) -> Result<Vec<CertificateDer<'static>>, TlsError> {
        let refused = |reason| TlsError::Roots { from: self.to_string(), reason };
        let read = |path: &Path| std::fs::read_to_string(path).map_err(|e| refused(e.to_string()));
        let text = match self {
            Self::System => &read(system_file())?,
            Self::File(path) => &read(path)?,
            Self::Pem(text) => text,
        };
        credentials::certificates("roots", text).map_err(|e| refused(e.to_string()))
    }

    pub(super) fn store(&self) -> Result<Arc<RootCertStore>, TlsError> {
        static SYSTEM: OnceLock<Arc<RootCertStore>> = OnceLock::new();
        if let (Self::System, Some(store)) = (self, SYSTEM.get()) {
            return Ok(Arc::clone(store));
        }
        let mut store = RootCertStore::empty();
        let certificates = self.certificates()?;
        let (added, _) = store.add_parsable_certificates(certificates);
        if added == 0 {
            let reason = "none of its certificates can be used as a root".to_owned();
            return Err(TlsError::Roots { from: self.to_string(), reason });
        }
        let store = Arc::new(store);
        if *self == Self::System {
            return Ok(Arc::clone(SYSTEM.get_or_init(|| store)));
        }
        Ok(store)
    }
}

fn system_file() -> &'static Path {
    let exists = |file: &&str| Path::new(file).exists();
    Path::new(SYSTEM_FILES.iter().copied().find(|file| exists(file)).unwrap_or(SYSTEM_FILES[0]))
}

impl fmt::Display for Roots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::System => write!(f, "{}", system_file().display()),
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Pem(_) => f.write_str("the given PEM text"),
        }
    }
}
