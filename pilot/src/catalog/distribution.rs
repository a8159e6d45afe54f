//! How far a change has got: whether every connected proxy has answered what it was sent because of it.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Notify;

use super::MeshCatalog;

/// Numbers changes, and tells when a proxy has caught up.
#[derive(Debug, Default)]
pub(super) struct Distribution {
    last: AtomicU64,
    progress: Notify,
}

impl Distribution {
    /// The number of a new change.
    pub(super) fn next(&self) -> u64 {
        self.last.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// The number of the last change; 0 before the first.
    pub(super) fn last(&self) -> u64 {
        self.last.load(Ordering::Relaxed)
    }

    /// A proxy has caught up, or is gone.
    pub(super) fn settled(&self) {
        self.progress.notify_waiters();
    }
}

impl MeshCatalog {
    /// Waits until every proxy that is connected has taken or refused all changes so far. May take for ever: a proxy
    /// that hangs does not answer.
    pub async fn distributed(&self) {
        let change = self.distribution.last();
        loop {
            let progress = self.distribution.progress.notified();
            tokio::pin!(progress);
            progress.as_mut().enable();
            if self.everyone_has(change) {
                return;
            }
            progress.await;
        }
    }

    fn everyone_has(&self, change: u64) -> bool {
        let state = self.state.lock();
        let mut clients = state.connected.values().flatten();
        clients.all(|client| client.settled.load(Ordering::Relaxed) >= change)
    }
}
