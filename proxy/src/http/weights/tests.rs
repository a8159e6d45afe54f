#![allow(clippy::unwrap_used, clippy::expect_used)]
use proptest::prelude::*;

use super::*;

fn targets(weights: &[u32]) -> Option<Targets> {
    Targets::weighted(
        weights.iter().enumerate().map(|(index, weight)| Target::to(index.to_string(), *weight)).collect(),
    )
}

fn counts(targets: &Targets, draws: impl Iterator<Item = u64>) -> Vec<u64> {
    let mut counts = vec![0; targets.iter().count()];
    for draw in draws {
        counts[targets.pick(draw).cluster.parse::<usize>().unwrap()] += 1;
    }
    counts
}

#[test]
fn there_must_be_something_to_choose() {
    assert!(targets(&[]).is_none());
    assert!(targets(&[0, 0]).is_none());
    assert_eq!(&*Targets::single("only").pick(u64::MAX).cluster, "only");
}

#[test]
fn the_sum_may_exceed_32_bits() {
    let two = targets(&[u32::MAX, u32::MAX]).unwrap();
    assert_eq!(&*two.pick(u64::from(u32::MAX)).cluster, "1");
}

/// A linear congruential generator (Knuth's MMIX constants), its upper bits: the test is the same on every run.
fn random(seed: u64) -> impl Iterator<Item = u64> {
    std::iter::successors(Some(seed), |state| {
        Some(state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407))
    })
    .map(|state| state >> 16)
}

/// Chi-squared at 1 degree of freedom: 10.83 is passed by chance once in 1,000 times.
#[test]
fn ten_thousand_requests_fit_the_weights() {
    for weights in [[90_u32, 10], [50, 50], [1, 99]] {
        let counts = counts(&targets(&weights).unwrap(), random(42).take(10_000));
        let statistic: f64 = counts
            .iter()
            .zip(weights)
            .map(|(count, weight)| {
                let expected = f64::from(weight) * 100.0;
                let off = f64::from(u32::try_from(*count).unwrap()) - expected;
                off * off / expected
            })
            .sum();
        assert!(statistic < 10.83, "{weights:?} became {counts:?}");
    }
}

proptest! {
    #[test]
    fn each_draw_of_a_round_hits_by_weight(weights in proptest::collection::vec(0_u32..50, 1..8)) {
        let total: u64 = weights.iter().map(|weight| u64::from(*weight)).sum();
        match targets(&weights) {
            None => prop_assert_eq!(total, 0),
            Some(targets) => {
                let expected: Vec<u64> = weights.iter().map(|weight| u64::from(*weight)).collect();
                prop_assert_eq!(counts(&targets, 0..total), expected);
            }
        }
    }
}
