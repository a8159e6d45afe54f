//! A family is one metric name with its labels and the instruments that fill it, by label values.
//! Families keep to the process's budget of series: what finds no room shares the overflow child.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use parking_lot::Mutex;
use prometheus::proto;

use crate::names::OVERFLOW;

/// How many time series may still be made.
#[derive(Debug)]
pub(crate) struct Budget(AtomicU64);

impl Budget {
    pub fn new(series: u64) -> Self {
        Self(AtomicU64::new(series))
    }

    /// Takes room for `series`, or takes nothing and says no.
    pub fn take(&self, series: u64) -> bool {
        self.0.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(series)).is_ok()
    }

    fn give_back(&self, series: u64) {
        self.0.fetch_add(series, Relaxed);
    }
}

/// What a kind of instrument must be able to do to be exported.
pub(crate) trait Kind: Clone + fmt::Debug {
    const TYPE: proto::MetricType;
    /// Writes the present value into `metric`.
    fn write(&self, metric: &mut proto::Metric);
}

type LabelValues = Box<[Box<str>]>;

/// One metric name of one kind.
#[derive(Debug)]
pub(crate) struct Family<T> {
    name: String,
    help: String,
    labels: Box<[String]>,
    children: Mutex<HashMap<LabelValues, T>>,
    budget: Arc<Budget>,
}

impl<T: Kind> Family<T> {
    pub fn new(name: &str, help: &str, labels: &[&str], budget: Arc<Budget>) -> Self {
        let labels = labels.iter().map(|label| (*label).to_owned()).collect();
        Self { name: name.into(), help: help.into(), labels, children: Mutex::default(), budget }
    }

    pub fn has_labels(&self, labels: &[&str]) -> bool {
        self.labels.iter().eq(labels)
    }

    /// The child with these label values. One without labels costs no budget: the program names it.
    pub fn child(&self, values: &[&str], make: impl FnOnce() -> T) -> T {
        let key = self.key(values);
        let mut children = self.children.lock();
        if let Some(child) = children.get(&key) {
            return child.clone();
        }
        let room = self.labels.is_empty() || self.budget.take(1);
        let key = if room { key } else { self.labels.iter().map(|_| Box::from(OVERFLOW)).collect() };
        children.entry(key).or_insert_with(make).clone()
    }

    pub fn remove(&self, values: &[&str]) {
        if self.children.lock().remove(&self.key(values)).is_some() && !self.labels.is_empty() {
            self.budget.give_back(1);
        }
    }

    fn key(&self, values: &[&str]) -> LabelValues {
        let missing = std::iter::repeat(&"");
        values.iter().chain(missing).take(self.labels.len()).map(|value| Box::from(*value)).collect()
    }

    /// The family as it is exported now, its children in the order of their label values.
    pub fn export(&self) -> proto::MetricFamily {
        let mut children: Vec<_> =
            self.children.lock().iter().map(|(values, child)| (values.clone(), child.clone())).collect();
        children.sort_by(|(left, _), (right, _)| left.cmp(right));
        let metrics = children.into_iter().map(|(values, child)| {
            let labels = self.labels.iter().zip(values).map(|(name, value)| label(name, value.into())).collect();
            let mut metric = proto::Metric::from_label(labels);
            child.write(&mut metric);
            metric
        });
        family(&self.name, &self.help, T::TYPE, metrics.collect())
    }
}

pub(crate) fn family(
    name: &str,
    help: &str,
    kind: proto::MetricType,
    metrics: Vec<proto::Metric>,
) -> proto::MetricFamily {
    let mut family = proto::MetricFamily::default();
    family.set_name(name.to_owned());
    family.set_help(help.to_owned());
    family.set_field_type(kind);
    family.set_metric(metrics);
    family
}

pub(crate) fn label(name: &str, value: String) -> proto::LabelPair {
    let mut pair = proto::LabelPair::default();
    pair.set_name(name.to_owned());
    pair.set_value(value);
    pair
}
