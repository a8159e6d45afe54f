//! When a change is made into a world: soon, but not for each event of many, and never so often that building takes all
//! of the time. So the work of n changes at once is a few builds, not n.

use std::time::Duration;
use tokio::time::Instant;

/// How long it must be quiet.
const QUIET: Duration = Duration::from_millis(10);
/// Longest wait for quiet while builds are cheap.
const LONGEST: Duration = Duration::from_millis(50);
/// A build may take this share of the time: one in four.
const SHARE: u32 = 3;
/// Longest wait, however much a build costs.
const LIMIT: Duration = Duration::from_secs(1);

/// Decides when to build.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// The first and the last change that wait.
    waiting: Option<(Instant, Instant)>,
    /// When the last build ended, and what it cost.
    built: Option<(Instant, Duration)>,
}

impl Pace {
    /// Something changed.
    pub(super) fn changed(&mut self, now: Instant) {
        let first = self.waiting.map_or(now, |(first, _)| first);
        self.waiting = Some((first, now));
    }

    /// When the next build is due; None while nothing changed.
    pub(super) fn due(&self) -> Option<Instant> {
        let (first, last) = self.waiting?;
        let settled = (last + QUIET).min(first + LONGEST);
        let rested = self.built.map(|(ended, cost)| ended + (cost * SHARE).min(LIMIT));
        Some(rested.map_or(settled, |rested| rested.max(settled)))
    }

    /// A build is over.
    pub(super) fn built(&mut self, started: Instant, ended: Instant) {
        self.waiting = None;
        self.built = Some((ended, ended - started));
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    fn milliseconds(count: u64) -> Duration {
        Duration::from_millis(count)
    }

    #[test]
    fn one_change_waits_for_quiet_and_constant_change_not_for_ever() {
        let start = Instant::now();
        let mut pace = Pace::default();
        assert_eq!(pace.due(), None);
        pace.changed(start);
        assert_eq!(pace.due(), Some(start + milliseconds(10)));
        for at in (5..200).step_by(5) {
            pace.changed(start + milliseconds(at));
        }
        assert_eq!(pace.due(), Some(start + milliseconds(50)));
        pace.built(start + milliseconds(50), start + milliseconds(51));
        assert_eq!(pace.due(), None);
    }

    /// 5,000 changes at once, while a build costs more with each object: at most a fourth of the time goes into builds,
    /// and there are far fewer of them than changes.
    #[test]
    fn many_changes_are_few_builds() {
        let (start, mut pace, mut builds, mut spent) = (Instant::now(), Pace::default(), 0, Duration::ZERO);
        let (mut now, mut told) = (start, 0);
        while told < 5_000 || pace.due().is_some() {
            if pace.due().is_some_and(|due| due <= now) {
                let cost = Duration::from_micros(20) * told;
                pace.built(now, now + cost);
                (now, builds, spent) = (now + cost, builds + 1, spent + cost);
            }
            // What came during a build is there when it ends: one change each millisecond.
            let arrived = u32::try_from((now - start).as_millis()).unwrap().min(5_000);
            if arrived > told {
                told = arrived;
                pace.changed(now);
            }
            now += milliseconds(1);
        }
        assert!(builds < 100, "{builds} builds");
        assert!(spent * 3 < now - start, "{spent:?} of {:?}", now - start);
        assert!(now - start < milliseconds(5_000 + 1_000), "the last change waits for at most a second");
    }

    #[test]
    fn dear_builds_are_rare_and_never_more_than_a_second_apart() {
        let start = Instant::now();
        for (cost, rest) in [(1, 3), (100, 300), (5_000, 1_000)] {
            let mut pace = Pace::default();
            let ended = start + milliseconds(cost);
            pace.built(start, ended);
            pace.changed(ended);
            assert_eq!(pace.due(), Some(ended + milliseconds(rest).max(milliseconds(10))), "{cost}");
        }
    }
}
