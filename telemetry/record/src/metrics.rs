//! The one registry of a process: named instruments, Istio's series, their common budget, and the text
//! that Prometheus scrapes.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;
use prometheus::TextEncoder;
use prometheus::core::Collector;
use prometheus::process_collector::ProcessCollector;
use prometheus::proto::MetricFamily;

use crate::families::{Budget, Family, Kind};
use crate::instruments::{Counter, CounterVec, Gauge, GaugeVec, Histogram};
use crate::names;
use crate::store::SeriesStore;

/// How many time series a process may have before new label sets share the overflow series. Counted as
/// Prometheus counts: a histogram is one series per bucket and two more. At Istio's label lengths this
/// is a scrape of about 9 MB, or 149 HTTP label sets.
pub const DEFAULT_SERIES_LIMIT: u64 = 10_000;

/// The metrics of one process. Clones share the same registry.
///
/// Asking twice for an instrument gives the same one. A name or label that Prometheus does not allow, or
/// a name that is already taken by another kind or with other labels, is a mistake in the program: it is
/// logged, and the instrument that comes back works but is not exported.
#[derive(Clone, Debug)]
pub struct Metrics(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    budget: Arc<Budget>,
    series: SeriesStore,
    families: Mutex<BTreeMap<String, AnyFamily>>,
    process: OnceLock<ProcessCollector>,
}

#[derive(Clone, Debug)]
enum AnyFamily {
    Counter(Arc<Family<Counter>>),
    Gauge(Arc<Family<Gauge>>),
    Histogram(Arc<Family<Histogram>>),
}

impl AnyFamily {
    fn export(&self) -> MetricFamily {
        match self {
            Self::Counter(family) => family.export(),
            Self::Gauge(family) => family.export(),
            Self::Histogram(family) => family.export(),
        }
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

/// Looks family `$name` up, or makes and remembers it.
macro_rules! family {
    ($self:ident, $kind:ident, $name:expr, $help:expr, $labels:expr) => {{
        let made = Arc::new(Family::new($name, $help, $labels, $self.0.budget.clone()));
        let mut families = $self.0.families.lock();
        match families.get($name) {
            Some(AnyFamily::$kind(known)) if known.has_labels($labels) => known.clone(),
            Some(_) => not_exported($name, "the name is taken by another kind of metric, or with other labels", made),
            None if !well_formed($name, $labels) => {
                not_exported($name, "Prometheus does not allow this metric name or one of its labels", made)
            }
            None => {
                families.insert($name.to_owned(), AnyFamily::$kind(made.clone()));
                made
            }
        }
    }};
}

impl Metrics {
    /// An empty registry with room for [`DEFAULT_SERIES_LIMIT`] series.
    pub fn new() -> Self {
        Self::with_series_limit(DEFAULT_SERIES_LIMIT)
    }

    /// An empty registry with room for `limit` time series whose labels traffic or configuration names.
    pub fn with_series_limit(limit: u64) -> Self {
        let budget = Arc::new(Budget::new(limit));
        let overflowed = Counter::default();
        let series = SeriesStore::new(budget.clone(), overflowed.clone());
        let metrics = Self(Arc::new(Inner { budget, series, families: Mutex::default(), process: OnceLock::new() }));
        let help = "Label sets that found no room in the budget of series and share the overflow series.";
        let family = family!(metrics, Counter, names::SERIES_OVERFLOW_TOTAL, help, &[]);
        family.child(&[], || overflowed);
        metrics
    }

    /// A counter; by Prometheus's convention its name ends in `_total`.
    pub fn counter(&self, name: &str, help: &str) -> Counter {
        family!(self, Counter, name, help, &[]).child(&[], Counter::default)
    }

    /// Counters with `labels`.
    pub fn counter_vec(&self, name: &str, help: &str, labels: &[&str]) -> CounterVec {
        CounterVec(family!(self, Counter, name, help, labels))
    }

    /// A gauge.
    pub fn gauge(&self, name: &str, help: &str) -> Gauge {
        family!(self, Gauge, name, help, &[]).child(&[], Gauge::default)
    }

    /// Gauges with `labels`.
    pub fn gauge_vec(&self, name: &str, help: &str, labels: &[&str]) -> GaugeVec {
        GaugeVec(family!(self, Gauge, name, help, labels))
    }

    /// A histogram whose buckets end at `bounds`. When it exists already, its first bounds hold.
    pub fn histogram(&self, name: &str, help: &str, bounds: &[f64]) -> Histogram {
        family!(self, Histogram, name, help, &[]).child(&[], || Histogram::new(bounds))
    }

    /// Says in `istio_build` which build of the proxy runs.
    pub fn proxy_build(&self, tag: &str) {
        let labels = ["component", "tag"];
        self.gauge_vec(names::BUILD, "Which build runs; always 1.", &labels).with(&["proxy", tag]).set(1.0);
    }

    /// Adds the `process_*` metrics of this process: CPU, memory, file descriptors, threads.
    pub fn watch_process(&self) {
        self.0.process.get_or_init(ProcessCollector::for_self);
    }

    /// Everything in Prometheus's text format, version 0.0.4.
    pub fn text(&self) -> String {
        match TextEncoder::new().encode_to_string(&self.gather()) {
            Ok(text) => text,
            Err(error) => {
                tracing::error!(%error, "the metrics could not be written as text; the scrape is empty");
                String::new()
            }
        }
    }

    /// The media type of [`Metrics::text`].
    pub fn content_type() -> &'static str {
        prometheus::TEXT_FORMAT
    }

    /// Every family that has a value, sorted by name.
    pub(crate) fn gather(&self) -> Vec<MetricFamily> {
        let families: Vec<AnyFamily> = self.0.families.lock().values().cloned().collect();
        let mut all: Vec<MetricFamily> = families.iter().map(AnyFamily::export).collect();
        all.extend(self.0.series.export());
        all.extend(self.0.process.get().map(ProcessCollector::collect).unwrap_or_default());
        all.retain(|family| !family.get_metric().is_empty());
        all.sort_by(|left, right| left.name().cmp(right.name()));
        all
    }

    pub(crate) fn series(&self) -> &SeriesStore {
        &self.0.series
    }
}

fn not_exported<T: Kind>(name: &str, why: &str, family: Arc<Family<T>>) -> Arc<Family<T>> {
    tracing::error!(metric = name, "this metric is not exported: {why}");
    family
}

/// Prometheus's data model: names are `[a-zA-Z_:][a-zA-Z0-9_:]*`, labels the same without the colon.
fn well_formed(name: &str, labels: &[&str]) -> bool {
    let word = |text: &str, colon: bool| {
        let allowed = |c: char| c.is_ascii_alphanumeric() || c == '_' || (colon && c == ':');
        text.chars().all(allowed) && text.chars().next().is_some_and(|first| !first.is_ascii_digit())
    };
    word(name, true) && labels.iter().all(|label| word(label, false))
}
