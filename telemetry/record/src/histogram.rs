//! A histogram over Istio's buckets that costs two relaxed additions a record and 168 bytes in memory.
//! The count is the sum of the buckets, so a reader can never see the two disagree.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use crate::names::BUCKETS;

/// The bounds of [`BUCKETS`] in microseconds, for durations.
const MICROSECOND_BOUNDS: [u64; BUCKETS.len()] = scaled(1000.0);
/// The bounds of [`BUCKETS`] in whole bytes: a size is at most 0.5 when it is 0.
const BYTE_BOUNDS: [u64; BUCKETS.len()] = scaled(1.0);

const fn scaled(factor: f64) -> [u64; BUCKETS.len()] {
    let mut bounds = [0; BUCKETS.len()];
    let mut index = 0;
    while index < bounds.len() {
        bounds[index] = (BUCKETS[index] * factor) as u64;
        index += 1;
    }
    bounds
}

/// Durations in microseconds or sizes in bytes; which of the two, its owner knows.
#[derive(Debug, Default)]
pub(crate) struct BucketCounts {
    /// How many fell into each bucket, not cumulative; the last is above every bound.
    buckets: [AtomicU64; BUCKETS.len() + 1],
    sum: AtomicU64,
}

/// What a histogram held at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct BucketSnapshot {
    pub buckets: [u64; BUCKETS.len() + 1],
    pub sum: u64,
}

impl BucketCounts {
    pub fn record_duration(&self, duration: Duration) {
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        self.record(micros, &MICROSECOND_BOUNDS);
    }

    pub fn record_bytes(&self, bytes: u64) {
        self.record(bytes, &BYTE_BOUNDS);
    }

    fn record(&self, value: u64, bounds: &[u64; BUCKETS.len()]) {
        let index = bounds.iter().position(|bound| value <= *bound).unwrap_or(bounds.len());
        self.buckets[index].fetch_add(1, Relaxed);
        self.sum.fetch_add(value, Relaxed);
    }

    pub fn snapshot(&self) -> BucketSnapshot {
        BucketSnapshot {
            buckets: std::array::from_fn(|index| self.buckets[index].load(Relaxed)),
            sum: self.sum.load(Relaxed),
        }
    }
}

impl BucketSnapshot {
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_on_a_bound_belongs_below_it_as_prometheus_le_says() {
        let histogram = BucketCounts::default();
        histogram.record_duration(Duration::from_micros(500));
        histogram.record_duration(Duration::from_micros(501));
        histogram.record_duration(Duration::from_secs(3600));
        histogram.record_duration(Duration::from_secs(3601));
        let snapshot = histogram.snapshot();
        assert_eq!(snapshot.buckets[0], 1);
        assert_eq!(snapshot.buckets[1], 1);
        assert_eq!(snapshot.buckets[18], 1);
        assert_eq!(snapshot.buckets[19], 1);
        assert_eq!(snapshot.count(), 4);
        assert_eq!(snapshot.sum, 500 + 501 + 3_600_000_000 + 3_601_000_000);
    }

    #[test]
    fn an_empty_body_falls_into_the_first_bucket_and_one_byte_into_the_second() {
        let histogram = BucketCounts::default();
        histogram.record_bytes(0);
        histogram.record_bytes(1);
        let snapshot = histogram.snapshot();
        assert_eq!(snapshot.buckets[..2], [1, 1]);
    }
}
