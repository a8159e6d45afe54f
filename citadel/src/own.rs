//! The control plane's own identity: signed by the CA in the same process, and renewed at half of its life.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::watch;

use crate::backoff::Backoff;
use crate::ca::{Authority, CaError, CertificateAuthority};
use crate::identity::Identity;
use crate::renewal::{SHORTEST_WAIT, sleep_until_due};
use crate::spiffe::SpiffeId;

/// The kubelet brings a changed ConfigMap into the pods within two minutes.
const HAND_OVER: Duration = Duration::from_secs(180);

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
            _ = changes.changed() => hand_over(&mut changes, &identity).await,
        }
        while let Err(error) = sign(&authority.current(), &names, &identity) {
            let wait = backoff.wait((life(&identity) / 2).max(SHORTEST_WAIT));
            tracing::error!(id = %names.id, retry_in = ?wait, "cannot renew the control plane's own certificate: {error}");
            tokio::time::sleep(wait).await;
        }
        backoff.reset();
    }
}

/// Where the former root is still trusted, the certificate under it is kept for a while beside the new roots: clients
/// learn of these some time later, and both kinds must be able to connect in between.
async fn hand_over(changes: &mut Changes, identity: &Identity) {
    let ca = Arc::clone(&changes.borrow_and_update());
    let Some(former) = identity.current() else { return };
    if former.roots() == ca.roots() {
        return;
    }
    let Some(both) = former.with_roots(ca.roots().to_vec()).ok().filter(|both| both.verify_chain().is_ok()) else {
        return;
    };
    identity.replace(both);
    let wait = HAND_OVER.min(life(identity) / 2);
    tokio::select! {
        () = tokio::time::sleep(wait) => {}
        _ = changes.changed() => {}
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
