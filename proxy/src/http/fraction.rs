//! A share of requests, exact over its denominator: `envoy.type.v3.FractionalPercent`.

/// So many of a hundred, ten thousand or a million.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fraction {
    numerator: u32,
    denominator: u32,
}

impl Fraction {
    /// Everything.
    pub const ALL: Self = Self { numerator: 100, denominator: 100 };

    /// `numerator` of `denominator`; more than all counts as all, and a denominator of zero as nothing.
    pub fn new(numerator: u32, denominator: u32) -> Self {
        if denominator == 0 {
            return Self { numerator: 0, denominator: 1 };
        }
        Self { numerator: numerator.min(denominator), denominator }
    }

    /// Whether a request that drew `random` belongs to the share.
    pub fn hits(self, random: u64) -> bool {
        random % u64::from(self.denominator) < u64::from(self.numerator)
    }

    /// Whether nothing ever belongs to it.
    pub fn is_none(self) -> bool {
        self.numerator == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_exact_over_its_denominator() {
        for (numerator, denominator) in [(0, 100), (1, 100), (30, 100), (100, 100), (1, 10_000), (333_333, 1_000_000)] {
            let share = Fraction::new(numerator, denominator);
            let hits = (0..u64::from(denominator)).filter(|random| share.hits(*random)).count();
            assert_eq!(hits, numerator as usize);
        }
    }

    #[test]
    fn odd_values_stay_within_nothing_and_all() {
        assert!(Fraction::new(200, 100).hits(99));
        assert!(Fraction::new(5, 0).is_none());
        assert!(!Fraction::new(5, 0).hits(0));
    }
}
