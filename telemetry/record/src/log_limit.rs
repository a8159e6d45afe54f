//! Keeps log lines that a peer can trigger from filling a disk: one line per period, and the number of
//! lines that were held back in between.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// Lets one line through per period. Meant for a `static`, one per kind of line:
///
/// ```
/// use record::LogLimit;
/// use std::time::Duration;
/// static BAD_HELLO: LogLimit = LogLimit::new(Duration::from_secs(10));
/// if let Some(suppressed) = BAD_HELLO.admit() {
///     println!("a peer sent a TLS hello that does not parse; {suppressed} such lines held back before");
/// }
/// ```
#[derive(Debug)]
pub struct LogLimit {
    period: Duration,
    /// Milliseconds on this process's clock from which the next line may pass.
    next: AtomicU64,
    suppressed: AtomicU64,
}

impl LogLimit {
    /// One line per `period`.
    pub const fn new(period: Duration) -> Self {
        Self { period, next: AtomicU64::new(0), suppressed: AtomicU64::new(0) }
    }

    /// `Some(n)` if the line may be written, `n` being how many were held back since the last one.
    pub fn admit(&self) -> Option<u64> {
        static START: OnceLock<Instant> = OnceLock::new();
        let now = START.get_or_init(Instant::now).elapsed();
        self.admit_at(u64::try_from(now.as_millis()).unwrap_or(u64::MAX))
    }

    fn admit_at(&self, now: u64) -> Option<u64> {
        let next = self.next.load(Relaxed);
        let period = u64::try_from(self.period.as_millis()).unwrap_or(u64::MAX);
        let won = now >= next && self.next.compare_exchange(next, now.saturating_add(period), Relaxed, Relaxed).is_ok();
        if won {
            Some(self.suppressed.swap(0, Relaxed))
        } else {
            self.suppressed.fetch_add(1, Relaxed);
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_a_period_and_the_next_says_how_many_were_held_back() {
        let limit = LogLimit::new(Duration::from_secs(10));
        assert_eq!(limit.admit_at(0), Some(0));
        assert_eq!(limit.admit_at(1), None);
        assert_eq!(limit.admit_at(9_999), None);
        assert_eq!(limit.admit_at(10_000), Some(2));
        assert_eq!(limit.admit_at(10_001), None);
    }
}
