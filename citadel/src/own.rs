//! The control plane's own identity: signed by the CA in the same process, renewed at half of its life, and when the CA
//! changes.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::watch;

use crate::backoff::Backoff;
use crate::ca::{Authority, CaError, CertificateAuthority};
use crate::identity::Identity;
use crate::renewal::{SHORTEST_WAIT, sleep_until_due};
use crate::spiffe::SpiffeId;

/// Whose certificate, with which DNS names, for how long.
#[derive(Debug, Clone)]
pub struct ServerNames {
    /// The id, the certificate's one URI name.
    pub id: SpiffeId,
    /// Names that clients with no identity yet verify the server by.
    pub dns: Vec<String>,
    /// Life of each certificate.
    pub ttl: Duration,
}

/// Signs the first certificate, and gives the task that renews it and follows changes of the CA: spawn it, it never ends.
pub fn server_identity(
    authority: impl Into<Authority>,
    names: ServerNames,
) -> Result<(Identity, impl Future<Output = ()> + Send + 'static), CaError> {
    let authority = authority.into();
    let changes = authority.changes();
    let identity = Identity::empty();
    sign(&changes.borrow(), &names, &identity)?;
    Ok((identity.clone(), renew(authority, changes, names, identity)))
}

type Changes = watch::Receiver<Arc<CertificateAuthority>>;

async fn renew(authority: Authority, mut changes: Changes, names: ServerNames, identity: Identity) {
    let mut backoff = Backoff::new();
    loop {
        tokio::select! {
            () = sleep_until_due(life(&identity)) => {}
            _ = changes.changed() => {}
        }
        while let Err(error) = sign(&authority.current(), &names, &identity) {
            let wait = backoff.wait((life(&identity) / 2).max(SHORTEST_WAIT));
            tracing::error!(id = %names.id, retry_in = ?wait, "cannot renew the control plane's own certificate: {error}");
            tokio::time::sleep(wait).await;
        }
        backoff.reset();
    }
}

fn sign(ca: &CertificateAuthority, names: &ServerNames, identity: &Identity) -> Result<(), CaError> {
    let dns: Vec<&str> = names.dns.iter().map(String::as_str).collect();
    identity.replace(ca.sign_server(&dns, &names.id, names.ttl)?);
    Ok(())
}

fn life(identity: &Identity) -> Duration {
    identity.current().map(|c| c.remaining(SystemTime::now())).unwrap_or_default()
}
