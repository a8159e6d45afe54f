//! A filter chain that a newer configuration has taken out of force, and the connections that it still serves.

use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;

/// Told to every connection that a chain serves when the chain is replaced.
#[derive(Debug, Default)]
pub struct Retired {
    flag: AtomicBool,
    changed: Notify,
}

impl Retired {
    /// The chain is no longer in force.
    pub fn set(&self) {
        self.flag.store(true, Ordering::Release);
        self.changed.notify_waiters();
    }

    /// Whether it is no longer in force.
    pub fn is_set(&self) -> bool {
        self.flag.load(Ordering::Acquire)
    }

    /// Returns when it is no longer in force.
    pub async fn wait(&self) {
        let changed = self.changed.notified();
        if !self.is_set() {
            changed.await;
        }
    }
}
