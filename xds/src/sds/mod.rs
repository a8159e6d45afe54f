//! Keys and roots for a foreign data plane on the same machine: Envoy's SDS on a Unix socket that only its owner can
//! open. Nothing is written to disk.

mod service;
mod socket;
mod sotw;

#[cfg(test)]
mod tests;

use std::{fmt, path::PathBuf, sync::Arc};

use tokio::sync::watch;

use crate::{
    Resource, ResourceType,
    core::{DataSource, data_source::Specifier},
    tls,
};

pub use service::serve_sds;

/// A secret in PEM.
#[derive(Clone, PartialEq, Eq)]
pub enum Secret {
    /// A certificate with its key.
    KeyPair {
        /// The chain, the leaf first.
        chain: String,
        /// The private key.
        key: String,
    },
    /// The roots that peers are verified against.
    Roots(String),
}

/// Without the content.
impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::KeyPair { .. } => "KeyPair",
            Self::Roots(_) => "Roots",
        })
    }
}

/// Where the secrets come from.
pub trait SecretSource: Send + Sync + 'static {
    /// What the change notification carries; not looked at.
    type Change: Send + Sync + 'static;

    /// The secret of that name as it is now; `None` if there is none, or none yet.
    fn secret(&self, name: &str) -> Option<Secret>;

    /// Says when any secret may have changed.
    fn changes(&self) -> watch::Receiver<Self::Change>;
}

/// Why SDS cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum SdsError {
    /// Another process answers on the socket.
    #[error("{} is in use: another process answers there; stop it, or choose another path", .0.display())]
    InUse(PathBuf),
    /// Something else is in the socket's place.
    #[error("{} exists and is no socket; it is left alone: remove it, or choose another path", .0.display())]
    NotASocket(PathBuf),
    /// The socket cannot be made.
    #[error("cannot listen on {}: {source}", path.display())]
    Listen {
        /// The socket's path.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The server failed.
    #[error("SDS server: {0}")]
    Serve(#[from] tonic::transport::Error),
}

/// A secret as the resource that Envoy asks for (envoy.extensions.transport_sockets.tls.v3.Secret).
fn resource(name: &str, secret: Secret) -> Arc<Resource> {
    let inline = |pem: String| {
        Some(DataSource { specifier: Some(Specifier::InlineBytes(pem.into_bytes())), ..DataSource::default() })
    };
    let content = match secret {
        Secret::KeyPair { chain, key } => tls::secret::Type::TlsCertificate(tls::TlsCertificate {
            certificate_chain: inline(chain),
            private_key: inline(key),
            ..tls::TlsCertificate::default()
        }),
        Secret::Roots(pem) => tls::secret::Type::ValidationContext(tls::CertificateValidationContext {
            trusted_ca: inline(pem),
            ..tls::CertificateValidationContext::default()
        }),
    };
    let message = tls::Secret { name: name.to_owned(), r#type: Some(content) };
    Arc::new(Resource::new(ResourceType::Secret, name, &message))
}
