//! Percentiles from bucket counts, by the arithmetic of Prometheus's `histogram_quantile`.

use record::names::BUCKETS;

/// Counts by bucket, not cumulative; the last is above every bound.
pub(crate) type Buckets = [u64; BUCKETS.len() + 1];

/// The value below which a share of `quantile` (0 to 1) of all values lies, taking values as spread evenly
/// within a bucket. Above the last bound it is the last bound. `None` without values.
pub(crate) fn quantile(quantile: f64, buckets: &Buckets) -> Option<f64> {
    let total: u64 = buckets.iter().sum();
    if total == 0 {
        return None;
    }
    let rank = quantile * total as f64;
    let mut below = 0.0;
    for (index, upper) in BUCKETS.iter().enumerate() {
        let inside = buckets[index] as f64;
        if inside > 0.0 && below + inside >= rank {
            let lower = if index == 0 { 0.0 } else { BUCKETS[index - 1] };
            return Some(lower + (upper - lower) * (rank - below) / inside);
        }
        below += inside;
    }
    BUCKETS.last().copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn buckets(filled: &[(usize, u64)]) -> Buckets {
        let mut buckets = Buckets::default();
        for (index, count) in filled {
            buckets[*index] = *count;
        }
        buckets
    }

    #[test]
    fn nothing_has_no_percentile() {
        assert_eq!(quantile(0.5, &Buckets::default()), None);
    }

    #[test]
    fn within_a_bucket_values_are_taken_as_evenly_spread() {
        // 100 values in (10, 25]: the median is half way.
        let one = buckets(&[(4, 100)]);
        assert_eq!(quantile(0.5, &one), Some(17.5));
        assert_eq!(quantile(0.99, &one), Some(10.0 + 15.0 * 0.99));
    }

    #[test]
    fn the_first_bucket_begins_at_nought() {
        assert_eq!(quantile(0.5, &buckets(&[(0, 10)])), Some(0.25));
    }

    #[test]
    fn the_rank_counts_across_buckets() {
        // 90 in (1, 5], 10 in (100, 250]: rank 99 is the 9th of 10 there.
        let two = buckets(&[(2, 90), (7, 10)]);
        assert_eq!(quantile(0.5, &two), Some(1.0 + 4.0 * 50.0 / 90.0));
        assert_eq!(quantile(0.99, &two), Some(100.0 + 150.0 * 0.9));
        assert_eq!(quantile(0.9, &two), Some(5.0));
    }

    #[test]
    fn above_every_bound_it_is_the_last_bound() {
        assert_eq!(quantile(0.99, &buckets(&[(0, 1), (19, 99)])), Some(3_600_000.0));
    }
}
