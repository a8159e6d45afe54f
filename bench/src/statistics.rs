//! Many runs in three numbers.

/// Median and spread.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Summary {
    /// The middle one, or the mean of the two in the middle.
    pub median: f64,
    /// The least.
    pub min: f64,
    /// The greatest.
    pub max: f64,
}

impl Summary {
    /// `None` of nothing.
    pub fn of(values: impl Iterator<Item = f64>) -> Option<Summary> {
        let mut sorted: Vec<f64> = values.collect();
        sorted.sort_by(f64::total_cmp);
        let (min, max) = (*sorted.first()?, *sorted.last()?);
        let middle = sorted.len() / 2;
        let median =
            if sorted.len() % 2 == 1 { sorted[middle] } else { f64::midpoint(sorted[middle - 1], sorted[middle]) };
        Some(Summary { median, min, max })
    }
}

#[cfg(test)]
mod tests {
    use super::Summary;

    #[test]
    fn the_median_does_not_follow_an_outlier() {
        let odd = Summary::of([3.0, 1.0, 100.0].into_iter());
        assert_eq!(odd, Some(Summary { median: 3.0, min: 1.0, max: 100.0 }));
        let even = Summary::of([4.0, 1.0, 2.0, 3.0].into_iter());
        assert_eq!(even.map(|summary| summary.median), Some(2.5));
        assert_eq!(Summary::of(std::iter::empty()), None);
    }
}
