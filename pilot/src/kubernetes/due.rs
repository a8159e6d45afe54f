//! What has to be written, and when: a first time at once, after a failure with growing pauses, and never again and
//! again without one, should somebody else keep writing the opposite.

use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;
use std::time::Duration;

use tokio::time::Instant;

/// Between two writes of the same object.
const AT_MOST_EVERY: Duration = Duration::from_secs(1);
const FIRST_RETRY: Duration = Duration::from_secs(1);
const LAST_RETRY: Duration = Duration::from_secs(60);

/// Work by key. Each key is with one worker at a time.
#[derive(Debug)]
pub(super) struct Due<K> {
    times: BTreeSet<(Instant, K)>,
    keys: HashMap<K, State>,
}

#[derive(Debug, Default)]
struct State {
    due: Option<Instant>,
    under_way: bool,
    /// It was asked for once more while it was under way.
    again: bool,
    failures: u32,
    written: Option<Instant>,
}

impl<K: Hash + Ord + Clone> Due<K> {
    pub(super) fn new() -> Self {
        Self { times: BTreeSet::new(), keys: HashMap::new() }
    }

    /// This has to be written. What waits for a retry goes on waiting.
    pub(super) fn ask(&mut self, key: K, now: Instant) {
        let state = self.keys.entry(key.clone()).or_default();
        if state.under_way {
            state.again = true;
        } else if state.due.is_none() {
            let at = state.written.map_or(now, |written| now.max(written + AT_MOST_EVERY));
            state.due = Some(at);
            self.times.insert((at, key));
        }
    }

    /// This need not be written any more; what is under way goes on.
    pub(super) fn settled(&mut self, key: &K) {
        let Some(state) = self.keys.get_mut(key) else { return };
        state.again = false;
        if let Some(at) = state.due.take() {
            self.times.remove(&(at, key.clone()));
        }
    }

    /// This is gone for good.
    pub(super) fn forget(&mut self, key: &K) {
        self.settled(key);
        self.keys.remove(key);
    }

    /// The next that is due, given to a worker, who says [`Self::done`] or [`Self::failed`].
    pub(super) fn next(&mut self, now: Instant) -> Option<K> {
        let (at, key) = self.times.first().filter(|(at, _)| *at <= now).cloned()?;
        self.times.remove(&(at, key.clone()));
        if let Some(state) = self.keys.get_mut(&key) {
            (state.due, state.under_way) = (None, true);
        }
        Some(key)
    }

    /// When to ask for the next one, if nothing happens before.
    pub(super) fn next_at(&self) -> Option<Instant> {
        self.times.first().map(|(at, _)| *at)
    }

    pub(super) fn done(&mut self, key: &K, now: Instant) {
        let Some(state) = self.keys.get_mut(key) else { return };
        (state.under_way, state.failures, state.written) = (false, 0, Some(now));
        if std::mem::take(&mut state.again) {
            self.ask(key.clone(), now);
        }
    }

    /// Tried again after 1 s, doubling to 60 s, with jitter.
    pub(super) fn failed(&mut self, key: &K, now: Instant) {
        self.settled(key);
        let Some(state) = self.keys.get_mut(key) else { return };
        let step = FIRST_RETRY.saturating_mul(1 << state.failures.min(6)).min(LAST_RETRY);
        let at = now + step.mul_f64(0.5 + fastrand::f64() / 2.0);
        (state.under_way, state.failures, state.due) = (false, state.failures + 1, Some(at));
        self.times.insert((at, key.clone()));
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn a_key_is_with_one_worker_at_a_time_and_not_written_twice_a_second() {
        let (mut due, now) = (Due::new(), Instant::now());
        due.ask("shop", now);
        due.ask("shop", now);
        assert_eq!(due.next(now), Some("shop"));
        due.ask("shop", now);
        assert_eq!((due.next(now), due.next_at()), (None, None), "it is under way");
        due.done(&"shop", now);
        assert_eq!(due.next(now), None, "it has just been written");
        assert_eq!(due.next_at(), Some(now + Duration::from_secs(1)));
        assert_eq!(due.next(now + Duration::from_secs(1)), Some("shop"));
    }

    #[test]
    fn failures_are_tried_again_with_growing_pauses_of_at_most_a_minute() {
        let (mut due, mut now) = (Due::new(), Instant::now());
        due.ask("shop", now);
        let mut pauses = Vec::new();
        for _ in 0..10 {
            assert_eq!(due.next(now), Some("shop"));
            due.failed(&"shop", now);
            due.ask("shop", now);
            pauses.push(due.next_at().unwrap() - now);
            now = due.next_at().unwrap();
        }
        assert!(pauses[0] >= Duration::from_millis(500) && pauses[0] <= Duration::from_secs(1), "{pauses:?}");
        assert!(pauses[9] >= Duration::from_secs(30) && pauses[9] <= Duration::from_secs(60), "{pauses:?}");
    }

    #[test]
    fn what_is_gone_or_right_is_not_written() {
        let (mut due, now) = (Due::new(), Instant::now());
        due.ask("shop", now);
        due.ask("bank", now);
        due.settled(&"shop");
        due.forget(&"bank");
        assert_eq!((due.next(now), due.next_at()), (None, None));
    }
}
