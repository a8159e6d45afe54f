//! What is counted: exchanges that ended well while the window was open, and failures at any time.

use super::watch::Used;
use serde::{Deserialize, Serialize};
use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant};

/// One run of a load, as `bench load` prints it.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Report {
    /// Exchanges that ended well.
    pub finished: u64,
    /// Exchanges that did not, the warm-up's included.
    pub failed: u64,
    /// What the first of these died of.
    pub first_failure: Option<String>,
    /// Bytes of bodies, both ways.
    pub bytes: u64,
    /// How long was measured.
    pub seconds: f64,
    /// From the planned time of sending to the end of the answer; only with a rate.
    pub latency: Option<Latency>,
    /// What the watched processes used.
    pub used: Used,
    /// Resident bytes of each before connections were opened to be held; only for that kind of load.
    pub rss_before: Vec<u64>,
}

/// Exact percentiles, in microseconds.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Latency {
    /// Half are faster.
    pub p50: f64,
    /// One in a hundred is slower.
    pub p99: f64,
    /// The slowest.
    pub max: f64,
}

/// Shared by all connections of one thread.
#[derive(Debug, Default)]
pub struct Meter {
    opened: Cell<Option<Instant>>,
    finished: Cell<u64>,
    bytes: Cell<u64>,
    failed: Cell<u64>,
    first_failure: RefCell<Option<String>>,
    samples: RefCell<Vec<Duration>>,
}

impl Meter {
    /// Opens the window.
    pub fn begin(&self) {
        self.opened.set(Some(Instant::now()));
    }

    /// One exchange ended well. `planned` is when it should have been sent, where that was known before.
    pub fn done(&self, bytes: usize, planned: Option<Instant>) {
        let Some(opened) = self.opened.get() else { return };
        self.finished.set(self.finished.get() + 1);
        self.bytes.set(self.bytes.get() + bytes as u64);
        if let Some(planned) = planned.filter(|planned| *planned >= opened) {
            self.samples.borrow_mut().push(planned.elapsed());
        }
    }

    /// One exchange failed.
    pub fn failed(&self, why: &str) {
        self.failed.set(self.failed.get() + 1);
        self.first_failure.borrow_mut().get_or_insert_with(|| why.to_owned());
    }

    /// Closes the window.
    pub fn end(&self, used: Used) -> Report {
        let mut samples = self.samples.take();
        samples.sort_unstable();
        let at = |share: f64| {
            let rank = (samples.len() as f64 * share).ceil() as usize;
            samples.get(rank.saturating_sub(1)).map_or(0.0, |sample| sample.as_secs_f64() * 1e6)
        };
        let latency = Latency { p50: at(0.5), p99: at(0.99), max: at(1.0) };
        Report {
            finished: self.finished.get(),
            failed: self.failed.get(),
            first_failure: self.first_failure.take(),
            bytes: self.bytes.get(),
            seconds: self.opened.get().map_or(0.0, |opened| opened.elapsed().as_secs_f64()),
            latency: (!samples.is_empty()).then_some(latency),
            used,
            rss_before: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Meter, Used};
    use std::time::{Duration, Instant};

    #[test]
    fn only_the_open_window_counts_but_every_failure_does() {
        let meter = Meter::default();
        meter.done(7, None);
        meter.failed("early");
        meter.failed("later");
        meter.begin();
        meter.done(5, Some(Instant::now()));
        let report = meter.end(Used::default());
        assert_eq!((report.finished, report.bytes, report.failed), (1, 5, 2));
        assert_eq!(report.first_failure.as_deref(), Some("early"));
    }

    #[test]
    fn percentiles_are_ranks() {
        let meter = Meter::default();
        meter.begin();
        let samples = (1..=200).rev().map(Duration::from_millis);
        meter.samples.borrow_mut().extend(samples);
        let latency = meter.end(Used::default()).latency.unwrap_or_default();
        assert_eq!([latency.p50, latency.p99, latency.max], [100_000.0, 198_000.0, 200_000.0]);
    }
}
