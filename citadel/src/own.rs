//! The control plane's own identity: signed by the CA in the same process, and renewed at half of its life.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::backoff::Backoff;
use crate::ca::{CaError, CertificateAuthority};
use crate::identity::Identity;
use crate::spiffe::SpiffeId;

/// Lives get shorter as the root nears its end; signing must not turn into a busy loop then.
const SHORTEST_WAIT: Duration = Duration::from_millis(500);

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
    let mut wait = half_life(&identity);
    loop {
        tokio::time::sleep(wait).await;
        wait = match sign(&ca, &names, &identity) {
            Ok(()) => {
                backoff.reset();
                half_life(&identity)
            }
            Err(error) => {
                tracing::error!(id = %names.id, "cannot renew the control plane's own certificate: {error}");
                backoff.wait(half_life(&identity))
            }
        };
    }
}

fn sign(ca: &CertificateAuthority, names: &ServerNames, identity: &Identity) -> Result<(), CaError> {
    let dns: Vec<&str> = names.dns.iter().map(String::as_str).collect();
    identity.replace(ca.sign_server(&dns, &names.id, names.ttl)?);
    Ok(())
}

fn half_life(identity: &Identity) -> Duration {
    let now = SystemTime::now();
    let life = identity.current().map(|c| c.remaining(now)).unwrap_or_default();
    (life / 2).max(SHORTEST_WAIT)
}
