//! Turns the registry's running totals into OTLP data points that hold only what changed since last time.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::time::{SystemTime, UNIX_EPOCH};

use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, Gauge, Histogram, HistogramDataPoint, Metric, NumberDataPoint, Sum, metric,
    number_data_point,
};
use prometheus::proto;

/// What was reported last, by series, and when.
pub(super) struct Deltas {
    reported: HashMap<u128, Reported>,
    hashers: [RandomState; 2],
    since: SystemTime,
}

#[derive(Clone, PartialEq)]
enum Reported {
    Number(f64),
    Histogram { counts: Vec<u64>, sum: f64 },
}

/// The span of time that a point covers, in nanoseconds since 1970.
#[derive(Clone, Copy)]
struct Span {
    start: u64,
    end: u64,
}

impl Deltas {
    /// Nothing reported yet; the first points cover the time from `start`.
    pub fn new(start: SystemTime) -> Self {
        Self { reported: HashMap::new(), hashers: [RandomState::new(), RandomState::new()], since: start }
    }

    /// The points that changed since the last call, which from now on count as reported.
    pub fn take(&mut self, families: &[proto::MetricFamily], now: SystemTime) -> Vec<Metric> {
        let span = Span { start: nanos(self.since), end: nanos(now) };
        // A new map each time: what has left the registry is forgotten.
        let mut reported = HashMap::with_capacity(self.reported.len());
        let mut changed = Vec::new();
        for family in families {
            let mut points = Points::of(family.get_field_type());
            for series in family.get_metric() {
                let id = self.id(family.name(), series.get_label());
                let Some(value) = value(family.get_field_type(), series) else {
                    continue;
                };
                let before = self.reported.get(&id);
                if before != Some(&value) {
                    points.push(series, before, &value, span);
                }
                reported.insert(id, value);
            }
            changed.extend(points.into_metric(family));
        }
        self.reported = reported;
        self.since = now;
        changed
    }

    /// Stands for a series. 128 random bits: two series that share them are not to be expected.
    fn id(&self, name: &str, labels: &[proto::LabelPair]) -> u128 {
        let hash = |hasher: &RandomState| {
            let pairs: Vec<_> = labels.iter().map(|pair| (pair.name(), pair.value())).collect();
            hasher.hash_one((name, pairs))
        };
        u128::from(hash(&self.hashers[0])) << 64 | u128::from(hash(&self.hashers[1]))
    }
}

/// The running total of a series; `None` for kinds that this process does not use.
fn value(kind: proto::MetricType, series: &proto::Metric) -> Option<Reported> {
    match kind {
        proto::MetricType::COUNTER => Some(Reported::Number(series.get_counter().get_value())),
        proto::MetricType::GAUGE => Some(Reported::Number(series.get_gauge().get_value())),
        proto::MetricType::HISTOGRAM => {
            let histogram = series.get_histogram();
            let mut below = 0;
            let mut counts: Vec<u64> = Vec::with_capacity(histogram.get_bucket().len() + 1);
            for bucket in histogram.get_bucket() {
                counts.push(bucket.cumulative_count() - below);
                below = bucket.cumulative_count();
            }
            counts.push(histogram.get_sample_count() - below);
            Some(Reported::Histogram { counts, sum: histogram.get_sample_sum() })
        }
        proto::MetricType::SUMMARY | proto::MetricType::UNTYPED => None,
    }
}

/// The changed points of one family.
enum Points {
    Sum(Vec<NumberDataPoint>),
    Gauge(Vec<NumberDataPoint>),
    Histogram(Vec<HistogramDataPoint>),
}

impl Points {
    fn of(kind: proto::MetricType) -> Self {
        match kind {
            proto::MetricType::COUNTER => Self::Sum(Vec::new()),
            proto::MetricType::HISTOGRAM => Self::Histogram(Vec::new()),
            _ => Self::Gauge(Vec::new()),
        }
    }

    fn push(&mut self, series: &proto::Metric, before: Option<&Reported>, now: &Reported, span: Span) {
        match (self, before, now) {
            (Self::Gauge(points), _, Reported::Number(now)) => points.push(number(series, *now, span)),
            (Self::Sum(points), before, Reported::Number(now)) => {
                let before = match before {
                    // A counter that was removed and made again starts over.
                    Some(Reported::Number(before)) if before <= now => *before,
                    _ => 0.0,
                };
                points.push(number(series, now - before, span));
            }
            (Self::Histogram(points), before, Reported::Histogram { counts, sum }) => {
                points.push(histogram(series, before, counts, *sum, span));
            }
            // A family is of one kind.
            (Self::Gauge(_) | Self::Sum(_), _, Reported::Histogram { .. })
            | (Self::Histogram(_), _, Reported::Number(_)) => {}
        }
    }

    /// The family's OTLP metric; `None` if nothing changed.
    fn into_metric(self, family: &proto::MetricFamily) -> Option<Metric> {
        let delta = AggregationTemporality::Delta.into();
        let data = match self {
            Self::Sum(points) if !points.is_empty() => {
                metric::Data::Sum(Sum { data_points: points, aggregation_temporality: delta, is_monotonic: true })
            }
            Self::Gauge(points) if !points.is_empty() => metric::Data::Gauge(Gauge { data_points: points }),
            Self::Histogram(points) if !points.is_empty() => {
                metric::Data::Histogram(Histogram { data_points: points, aggregation_temporality: delta })
            }
            _ => return None,
        };
        Some(Metric {
            name: family.name().to_owned(),
            description: family.help().to_owned(),
            unit: unit(family.name()).to_owned(),
            data: Some(data),
            ..Metric::default()
        })
    }
}

fn number(series: &proto::Metric, value: f64, span: Span) -> NumberDataPoint {
    let whole = value.fract() == 0.0 && value.abs() < 9_007_199_254_740_992.0;
    NumberDataPoint {
        attributes: attributes(series),
        start_time_unix_nano: span.start,
        time_unix_nano: span.end,
        value: Some(if whole {
            number_data_point::Value::AsInt(value as i64)
        } else {
            number_data_point::Value::AsDouble(value)
        }),
        ..NumberDataPoint::default()
    }
}

fn histogram(
    series: &proto::Metric,
    before: Option<&Reported>,
    counts: &[u64],
    sum: f64,
    span: Span,
) -> HistogramDataPoint {
    let (mut deltas, mut delta_sum) = (counts.to_vec(), sum);
    if let Some(Reported::Histogram { counts: before, sum: sum_before }) = before {
        for (delta, before) in deltas.iter_mut().zip(before) {
            *delta = delta.saturating_sub(*before);
        }
        delta_sum -= sum_before;
    }
    HistogramDataPoint {
        attributes: attributes(series),
        start_time_unix_nano: span.start,
        time_unix_nano: span.end,
        count: deltas.iter().sum(),
        sum: Some(delta_sum),
        explicit_bounds: series.get_histogram().get_bucket().iter().map(proto::Bucket::upper_bound).collect(),
        bucket_counts: deltas,
        ..HistogramDataPoint::default()
    }
}

/// The labels; an empty one means the same as none to Prometheus, and is left out.
fn attributes(series: &proto::Metric) -> Vec<KeyValue> {
    let labels = series.get_label().iter().filter(|pair| !pair.value().is_empty());
    labels.map(|pair| attribute(pair.name(), pair.value())).collect()
}

/// A string attribute.
pub(super) fn attribute(key: &str, value: &str) -> KeyValue {
    let value = AnyValue { value: Some(any_value::Value::StringValue(value.to_owned())) };
    KeyValue { key: key.to_owned(), value: Some(value), ..KeyValue::default() }
}

/// The unit (UCUM) that a Prometheus name carries at its end.
fn unit(name: &str) -> &'static str {
    let name = name.strip_suffix("_total").unwrap_or(name);
    match name.rsplit('_').next() {
        Some("milliseconds") => "ms",
        Some("seconds") => "s",
        Some("bytes") => "By",
        _ => "1",
    }
}

fn nanos(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}
