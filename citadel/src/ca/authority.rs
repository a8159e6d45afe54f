//! The CA in force: a slot whose content may be replaced while certificates are signed, so that a new CA needs no
//! restart. Who follows changes of the roots subscribes here.
//!
//! A change nobody prepared goes in steps. First the old CA signs, while the new root spreads; then the new one signs,
//! while certificates under the old root are still in use; then the old root is forgotten.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::watch;

use super::CertificateAuthority;
use crate::renewal::sleep_until;

/// The kubelet brings a changed ConfigMap into the pods within two minutes, and sidecars look at it a little later.
const HAND_OVER: Duration = Duration::from_secs(180);
/// Roots that are trusted beside a new CA's own; a bound for somebody who changes the CA again and again.
const MAX_FORMER_ROOTS: usize = 4;

/// The CA in force. Clones share one slot.
#[derive(Clone)]
pub struct Authority(Arc<watch::Sender<Arc<CertificateAuthority>>>);

impl Authority {
    /// A slot that holds `ca` until somebody replaces it.
    pub fn new(ca: CertificateAuthority) -> Self {
        Arc::new(ca).into()
    }

    /// What signs now.
    pub fn current(&self) -> Arc<CertificateAuthority> {
        Arc::clone(&self.0.borrow())
    }

    /// Sees every change (the latest, when several came between two looks).
    pub fn changes(&self) -> watch::Receiver<Arc<CertificateAuthority>> {
        self.0.subscribe()
    }

    /// Certificates are signed by `ca` as soon as its root has spread; at once, if who trusts the former roots accepts
    /// them.
    ///
    /// When it shares no root with the one before, nobody has planned the change, and the former roots stay trusted
    /// beside the new ones for as long as workloads hold certificates under them. When it shares one, its roots hold as
    /// they are: somebody adds and removes roots step by step.
    pub fn replace(&self, ca: CertificateAuthority) {
        let (former, now) = (self.current(), SystemTime::now());
        let wait = if ca.is_good_under(&former.roots) { Duration::ZERO } else { hand_over(&former, now) };
        let planned = ca.roots.iter().any(|root| former.roots.contains(root));
        let (mut kept, until) = match former.beside_until() {
            until if !planned => {
                let last = now + wait + former.max_ttl;
                (former.trusted().cloned().collect(), Some(until.map_or(last, |until| until.max(last))))
            }
            until => (former.beside.clone(), until),
        };
        kept.truncate(MAX_FORMER_ROOTS);
        let ca = Arc::new(match until {
            Some(until) => ca.trusting_until(&kept, until),
            None => ca,
        });
        self.0.send_replace(if wait.is_zero() {
            ca
        } else {
            tracing::info!(?wait, "the former CA signs while the root of the new one spreads");
            let roots: Vec<_> = ca.trusted().cloned().collect();
            Arc::new(CertificateAuthority::clone(&former).followed_by(&roots, now + wait, ca))
        });
    }

    /// Takes the next step of a change when its time has come; `seen` is told what signs from now on. Never ends.
    pub(crate) async fn keep_time(self, mut seen: impl FnMut(&CertificateAuthority)) {
        let mut changes = self.changes();
        loop {
            let now = Arc::clone(&changes.borrow_and_update());
            seen(&now);
            let step = async {
                match &now.then {
                    Some((at, next)) => {
                        sleep_until(*at).await;
                        Arc::clone(next)
                    }
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                next = step => self.step(&now, next),
                _ = changes.changed() => {}
            }
        }
    }

    /// Nothing, when another CA came in between.
    fn step(&self, from: &Arc<CertificateAuthority>, to: Arc<CertificateAuthority>) {
        self.0.send_if_modified(|now| {
            let same = Arc::ptr_eq(now, from);
            if same {
                *now = to;
            }
            same
        });
    }
}

/// Nothing is signed by a CA whose own certificate ends meanwhile.
fn hand_over(former: &CertificateAuthority, now: SystemTime) -> Duration {
    HAND_OVER.min(former.not_after.duration_since(now).unwrap_or_default() / 2)
}

impl From<Arc<CertificateAuthority>> for Authority {
    fn from(ca: Arc<CertificateAuthority>) -> Self {
        Self(Arc::new(watch::Sender::new(ca)))
    }
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Authority").field(&self.current()).finish()
    }
}
