//! The CA in force: a slot whose content may be replaced while certificates are signed, so that a new CA needs no
//! restart. Who follows changes of the roots subscribes here.

use std::fmt;
use std::sync::Arc;

use tokio::sync::watch;

use super::CertificateAuthority;

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

    /// Certificates are signed by `ca` from now on.
    ///
    /// When it shares no root with the one before, nobody has planned the change, and the former roots stay trusted
    /// beside the new ones: workloads still hold certificates under them. When it shares one, its roots hold as they
    /// are: somebody adds and removes roots step by step.
    pub fn replace(&self, ca: CertificateAuthority) {
        let former = self.current();
        let planned = ca.roots().iter().any(|root| former.roots().contains(root));
        let kept = &former.roots()[..former.roots().len().min(MAX_FORMER_ROOTS)];
        let ca = if planned { ca } else { ca.trusting_also(kept) };
        self.0.send_replace(Arc::new(ca));
    }
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
