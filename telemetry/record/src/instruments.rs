//! Named instruments: counters, gauges and histograms. Handles are cheap to clone and record with one
//! or two atomic operations; a vector looks a child up by its label values, so callers keep the handle.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use prometheus::proto;

use crate::families::{Family, Kind};

/// A count that only rises.
#[derive(Clone, Debug, Default)]
pub struct Counter(Arc<AtomicU64>);

impl Counter {
    /// Adds one.
    pub fn inc(&self) {
        self.add(1);
    }
    /// Adds `amount`.
    pub fn add(&self, amount: u64) {
        self.0.fetch_add(amount, Relaxed);
    }
    /// The count so far.
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

impl Kind for Counter {
    const TYPE: proto::MetricType = proto::MetricType::COUNTER;
    fn write(&self, metric: &mut proto::Metric) {
        let mut counter = proto::Counter::default();
        counter.set_value(self.get() as f64);
        metric.set_counter(counter);
    }
}

/// A value that rises and falls.
#[derive(Clone, Debug, Default)]
pub struct Gauge(Arc<AtomicU64>);

impl Gauge {
    /// Sets the value.
    pub fn set(&self, value: f64) {
        self.0.store(value.to_bits(), Relaxed);
    }
    /// Adds one.
    pub fn inc(&self) {
        self.add(1.0);
    }
    /// Takes one away.
    pub fn dec(&self) {
        self.add(-1.0);
    }
    /// Adds `amount`, which may be negative.
    pub fn add(&self, amount: f64) {
        add_float(&self.0, amount);
    }
    /// The value now.
    pub fn get(&self) -> f64 {
        f64::from_bits(self.0.load(Relaxed))
    }
}

impl Kind for Gauge {
    const TYPE: proto::MetricType = proto::MetricType::GAUGE;
    fn write(&self, metric: &mut proto::Metric) {
        let mut gauge = proto::Gauge::default();
        gauge.set_value(self.get());
        metric.set_gauge(gauge);
    }
}

/// Counts values by bucket.
#[derive(Clone, Debug)]
pub struct Histogram(Arc<HistogramCells>);

#[derive(Debug)]
struct HistogramCells {
    bounds: Box<[f64]>,
    /// Not cumulative; one more than there are bounds.
    buckets: Box<[AtomicU64]>,
    sum: AtomicU64,
}

impl Histogram {
    /// `bounds` are the upper bounds of the buckets; they are put in order.
    pub(crate) fn new(bounds: &[f64]) -> Self {
        let mut bounds: Vec<f64> = bounds.iter().copied().filter(|bound| bound.is_finite()).collect();
        bounds.sort_by(f64::total_cmp);
        bounds.dedup();
        let buckets = (0..=bounds.len()).map(|_| AtomicU64::default()).collect();
        Self(Arc::new(HistogramCells { bounds: bounds.into(), buckets, sum: AtomicU64::default() }))
    }

    /// Records one value, in the unit that the metric's name ends in.
    pub fn observe(&self, value: f64) {
        let index = self.0.bounds.partition_point(|bound| *bound < value);
        self.0.buckets[index].fetch_add(1, Relaxed);
        add_float(&self.0.sum, value);
    }
}

impl Kind for Histogram {
    const TYPE: proto::MetricType = proto::MetricType::HISTOGRAM;
    fn write(&self, metric: &mut proto::Metric) {
        let counts: Vec<u64> = self.0.buckets.iter().map(|bucket| bucket.load(Relaxed)).collect();
        metric.set_histogram(histogram(&self.0.bounds, &counts, f64::from_bits(self.0.sum.load(Relaxed))));
    }
}

/// The exported form of a histogram with these `bounds`. `counts` are not cumulative and have one more
/// for what lies above all bounds.
pub(crate) fn histogram(bounds: &[f64], counts: &[u64], sum: f64) -> proto::Histogram {
    let mut total = 0;
    let mut buckets = Vec::with_capacity(bounds.len());
    for (bound, count) in bounds.iter().zip(counts) {
        total += count;
        let mut bucket = proto::Bucket::default();
        bucket.set_upper_bound(*bound);
        bucket.set_cumulative_count(total);
        buckets.push(bucket);
    }
    let mut histogram = proto::Histogram::default();
    histogram.set_bucket(buckets);
    histogram.set_sample_count(counts.iter().sum());
    histogram.set_sample_sum(sum);
    histogram
}

fn add_float(cell: &AtomicU64, amount: f64) {
    let mut seen = cell.load(Relaxed);
    loop {
        let sum = (f64::from_bits(seen) + amount).to_bits();
        match cell.compare_exchange_weak(seen, sum, Relaxed, Relaxed) {
            Ok(_) => return,
            Err(now) => seen = now,
        }
    }
}

/// Counters that share a name and differ in their labels.
#[derive(Clone, Debug)]
pub struct CounterVec(pub(crate) Arc<Family<Counter>>);

impl CounterVec {
    /// The counter with these label values, in the order in which the labels were declared. Missing
    /// values read empty and those too many are left out. When the budget of series is used up, a new
    /// label set gets the counter whose labels read `overflow`.
    pub fn with(&self, values: &[&str]) -> Counter {
        self.0.child(values, Counter::default)
    }

    /// Forgets the counter with these label values and gives its room back.
    pub fn remove(&self, values: &[&str]) {
        self.0.remove(values);
    }
}

/// Gauges that share a name and differ in their labels.
#[derive(Clone, Debug)]
pub struct GaugeVec(pub(crate) Arc<Family<Gauge>>);

impl GaugeVec {
    /// The gauge with these label values; see [`CounterVec::with`].
    pub fn with(&self, values: &[&str]) -> Gauge {
        self.0.child(values, Gauge::default)
    }

    /// Forgets the gauge with these label values and gives its room back.
    pub fn remove(&self, values: &[&str]) {
        self.0.remove(values);
    }
}
