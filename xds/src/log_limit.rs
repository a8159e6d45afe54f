//! At most one log line a second from one place, for lines that a peer can cause as often as it likes.

use std::{
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

/// The shortest time between two lines, in milliseconds.
const BETWEEN: u64 = 1000;

/// The limit of one place. Make it a `static`.
#[derive(Debug)]
pub(crate) struct LogLimit {
    /// When the next line may be written, in milliseconds since the first use.
    next: AtomicU64,
    left_out: AtomicU64,
}

impl LogLimit {
    pub const fn new() -> Self {
        Self { next: AtomicU64::new(0), left_out: AtomicU64::new(0) }
    }

    /// Whether to write a line now: if so, with the number of lines left out before it.
    pub fn allow(&self) -> Option<u64> {
        static START: OnceLock<Instant> = OnceLock::new();
        let now = START.get_or_init(Instant::now).elapsed().as_millis();
        self.allow_at(u64::try_from(now).unwrap_or(u64::MAX))
    }

    fn allow_at(&self, now: u64) -> Option<u64> {
        let next = self.next.load(Ordering::Relaxed);
        let mine = now >= next
            && self.next.compare_exchange(next, now + BETWEEN, Ordering::Relaxed, Ordering::Relaxed).is_ok();
        if !mine {
            self.left_out.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        Some(self.left_out.swap(0, Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_a_second_with_the_number_of_those_left_out() {
        let limit = LogLimit::new();
        assert_eq!(limit.allow_at(0), Some(0));
        assert_eq!((limit.allow_at(1), limit.allow_at(999)), (None, None));
        assert_eq!(limit.allow_at(1000), Some(2));
        assert_eq!(limit.allow_at(5000), Some(0));
    }
}
