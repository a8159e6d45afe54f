//! How fast is written: a token bucket, so that a thousand objects that go wrong at once cost the API server no more
//! than it has room for.

use parking_lot::Mutex;
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// Writes per second that are sustained.
const PER_SECOND: u32 = 200;
/// Writes that may follow on one another before that counts.
const BURST: u32 = 500;

/// The bucket.
pub(super) struct Pace {
    /// When the bucket will be full.
    full: Mutex<Instant>,
}

impl Pace {
    pub(super) fn new() -> Self {
        Self { full: Mutex::new(Instant::now()) }
    }

    /// Waits for a token.
    pub(super) async fn take(&self) {
        sleep_until(self.next(Instant::now())).await;
    }

    /// Takes a token; gives the time from which it may be used.
    fn next(&self, now: Instant) -> Instant {
        let token = Duration::from_secs(1) / PER_SECOND;
        let mut full = self.full.lock();
        *full = (*full).max(now) + token;
        full.checked_sub(token * BURST).unwrap_or(now)
    }
}
