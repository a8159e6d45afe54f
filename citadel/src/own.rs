//! The control plane's own identity: signed by the CA in the same process, and renewed at half of its life.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::backoff::Backoff;
use crate::ca::{CaError, CertificateAuthority};
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

/// Signs the first certificate, and gives the task that renews it: spawn it, it never ends.
pub fn server_identity(
    ca: Arc<CertificateAuthority>,
    names: ServerNames,
) -> Result<(Identity, impl Future<Output = ()> + Send + 'static), CaError> {
    let identity = Identity::empty();
    sign(&ca, &names, &identity)?;
    Ok((identity.clone(), renew(ca, names, identity)))
}

async fn renew(ca: Arc<CertificateAuthority>, names: ServerNames, identity: Identity) {
    let mut backoff = Backoff::new();
    loop {
        sleep_until_due(life(&identity)).await;
        while let Err(error) = sign(&ca, &names, &identity) {
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
