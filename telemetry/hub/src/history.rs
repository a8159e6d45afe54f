//! What one side reported about one edge: a ring of seconds for windows, and the total since the start.

use std::collections::VecDeque;
use std::time::Duration;

use record::names::BUCKETS;

use crate::quantile::Buckets;

/// How long single seconds are kept.
pub(crate) const KEPT: Duration = Duration::from_secs(300);

/// A second since the hub began.
pub(crate) type Second = u64;

/// Counts of one report or one second, small because many are kept.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Counts {
    /// Finished requests; TCP connections opened.
    pub requests: u32,
    /// Requests or connections that ended.
    pub ended: u32,
    /// Those of them that ended well.
    pub good: u32,
    /// Requests that came by mutual TLS; only the destination knows.
    pub mutual_tls: u32,
    /// How long those that ended took.
    pub durations: [u32; BUCKETS.len() + 1],
}

/// Sums of [`Counts`].
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Tally {
    pub requests: u64,
    pub ended: u64,
    pub good: u64,
    pub mutual_tls: u64,
    pub durations: Buckets,
    /// Requests by the edge's versions, in the order in which the edge met them.
    pub versions: Vec<u64>,
}

/// One second's counts.
#[derive(Debug)]
struct Cell {
    second: Second,
    counts: Counts,
    /// Requests by version, as in [`Tally::versions`].
    versions: Vec<u32>,
}

#[derive(Debug, Default)]
pub(crate) struct History {
    /// In order of time; seconds in which nothing came have no cell.
    cells: VecDeque<Cell>,
    total: Tally,
}

impl History {
    /// Adds what was reported in `now`, the requests being to `version` of the destination.
    pub fn add(&mut self, now: Second, counts: &Counts, version: Option<usize>) {
        self.forget_before(now);
        if self.cells.back().is_none_or(|last| last.second != now) {
            self.cells.push_back(Cell { second: now, counts: Counts::default(), versions: Vec::new() });
        }
        if let Some(cell) = self.cells.back_mut() {
            cell.counts.add(counts);
            if let Some(version) = version {
                let place = place(&mut cell.versions, version);
                *place = place.saturating_add(counts.requests);
            }
        }
        self.total.add(counts);
        if let Some(version) = version {
            *place(&mut self.total.versions, version) += u64::from(counts.requests);
        }
    }

    /// Drops the cells that no window reaches any more.
    pub fn forget_before(&mut self, now: Second) {
        while self.cells.front().is_some_and(|first| first.second + KEPT.as_secs() < now) {
            self.cells.pop_front();
        }
        // A burst must not hold its memory for ever.
        if self.cells.len() * 4 < self.cells.capacity() {
            self.cells.shrink_to(self.cells.len() * 2);
        }
    }

    /// The sum from second `from` on; `None` means since the start.
    pub fn sum(&self, from: Option<Second>) -> Tally {
        let Some(from) = from else {
            return self.total.clone();
        };
        let mut sum = Tally::default();
        for cell in self.cells.iter().filter(|cell| cell.second >= from) {
            sum.add(&cell.counts);
            for (version, requests) in cell.versions.iter().enumerate() {
                *place(&mut sum.versions, version) += u64::from(*requests);
            }
        }
        sum
    }
}

/// The element at `index`, which comes to exist if it does not.
fn place<T: Default + Clone>(list: &mut Vec<T>, index: usize) -> &mut T {
    if list.len() <= index {
        list.resize(index + 1, T::default());
    }
    &mut list[index]
}

impl Counts {
    fn add(&mut self, other: &Self) {
        let add = |to: &mut u32, from: u32| *to = to.saturating_add(from);
        add(&mut self.requests, other.requests);
        add(&mut self.ended, other.ended);
        add(&mut self.good, other.good);
        add(&mut self.mutual_tls, other.mutual_tls);
        for (to, from) in self.durations.iter_mut().zip(other.durations) {
            add(to, from);
        }
    }
}

impl Tally {
    fn add(&mut self, counts: &Counts) {
        self.requests += u64::from(counts.requests);
        self.ended += u64::from(counts.ended);
        self.good += u64::from(counts.good);
        self.mutual_tls += u64::from(counts.mutual_tls);
        for (to, from) in self.durations.iter_mut().zip(counts.durations) {
            *to += u64::from(from);
        }
    }

    /// Adds another tally but for its versions, whose order is its edge's own.
    pub fn merge(&mut self, other: &Self) {
        self.requests += other.requests;
        self.ended += other.ended;
        self.good += other.good;
        self.mutual_tls += other.mutual_tls;
        for (to, from) in self.durations.iter_mut().zip(other.durations) {
            *to += from;
        }
    }

    /// Whether nothing was reported.
    pub fn is_empty(&self) -> bool {
        self.requests == 0 && self.ended == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn requests(requests: u32) -> Counts {
        Counts { requests, ended: requests, ..Counts::default() }
    }

    #[test]
    fn a_window_sums_its_seconds_and_the_total_all() {
        let mut history = History::default();
        for second in [1, 2, 2, 9] {
            history.add(second, &requests(10), Some(usize::from(second == 9)));
        }
        assert_eq!(history.sum(Some(2)).requests, 30);
        assert_eq!(history.sum(Some(2)).versions, [20, 10]);
        assert_eq!(history.sum(Some(10)).requests, 0);
        assert_eq!(history.sum(None).requests, 40);
        assert_eq!(history.sum(None).versions, [30, 10]);
    }

    #[test]
    fn old_seconds_leave_memory_but_not_the_total() {
        let mut history = History::default();
        for second in 0..10_000 {
            history.add(second, &requests(1), None);
        }
        assert_eq!(history.cells.len(), 301);
        assert!(history.cells.capacity() < 2_000);
        assert_eq!(history.sum(None).requests, 10_000);
        history.forget_before(20_000);
        assert_eq!(history.cells.capacity(), 0);
    }

    #[test]
    fn counts_stick_at_their_largest() {
        let mut history = History::default();
        history.add(0, &requests(u32::MAX), None);
        history.add(0, &requests(1), None);
        assert_eq!(history.sum(Some(0)).requests, u64::from(u32::MAX));
    }
}
