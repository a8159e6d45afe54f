//! The identity of this process: a slot that always holds the current credentials. TLS configurations read it at
//! each handshake, so a renewal costs no connection and needs no new configuration.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::sync::watch;

use crate::credentials::Credentials;
use crate::spiffe::SpiffeId;

/// Why this process cannot prove who it is at the moment.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// Nothing was fetched yet.
    #[error("this process has no certificate yet: the CA has not answered; see the log lines about certificates above")]
    None,
    /// The certificate ran out before it could be renewed.
    #[error(
        "this process's own certificate of {id} expired at {at}: it could not be renewed in time; see the log lines about certificates, and whether the CA is reachable and the clock is right"
    )]
    Expired {
        /// Whose certificate.
        id: SpiffeId,
        /// When, RFC 3339.
        at: String,
    },
}

/// The current credentials of this process. Clones share one slot.
#[derive(Clone)]
pub struct Identity(Arc<watch::Sender<Option<Arc<Credentials>>>>);

impl Identity {
    /// A slot with nothing in it yet; handshakes fail until something is.
    pub fn empty() -> Self {
        Self(Arc::new(watch::Sender::new(None)))
    }

    /// An identity that somebody else renews, or nobody.
    pub fn fixed(credentials: Credentials) -> Self {
        Self(Arc::new(watch::Sender::new(Some(Arc::new(credentials)))))
    }

    /// Handshakes that start from now on use these.
    pub fn replace(&self, credentials: Credentials) {
        self.0.send_replace(Some(Arc::new(credentials)));
    }

    /// The latest credentials, expired or not.
    pub fn current(&self) -> Option<Arc<Credentials>> {
        self.0.borrow().clone()
    }

    /// The latest credentials if they are good now.
    pub fn usable(&self) -> Result<Arc<Credentials>, IdentityError> {
        let credentials = self.current().ok_or(IdentityError::None)?;
        if credentials.not_after() <= SystemTime::now() {
            let at = OffsetDateTime::from(credentials.not_after());
            return Err(IdentityError::Expired {
                id: credentials.id().clone(),
                at: at.format(&Rfc3339).unwrap_or_else(|_| at.to_string()),
            });
        }
        Ok(credentials)
    }

    /// Sees every renewal (the latest, when several came between two looks).
    pub fn changes(&self) -> watch::Receiver<Option<Arc<Credentials>>> {
        self.0.subscribe()
    }

    /// Waits for the first credentials.
    pub async fn ready(&self) -> Arc<Credentials> {
        let mut changes = self.changes();
        loop {
            if let Some(credentials) = changes.borrow_and_update().clone() {
                return credentials;
            }
            if changes.changed().await.is_err() {
                // `self` holds the sender, so it cannot be gone.
                std::future::pending::<()>().await;
            }
        }
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Identity").field(&self.current()).finish()
    }
}
