//! Holds Istio's series by their labels, for all workers, and exports them. Labels are kept as shared
//! structs and become text only when somebody reads, so a label set costs about 1 KB and not 20.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use parking_lot::Mutex;
use prometheus::proto::{Counter as ProtoCounter, LabelPair, Metric, MetricFamily, MetricType};

use crate::families::{Budget, family};
use crate::histogram::BucketSnapshot;
use crate::instruments::{Counter, histogram};
use crate::labels::{HttpLabels, Parties, TcpLabels};
use crate::names;
use crate::series::{HttpKey, HttpSeries, Messages, TcpKey, TcpSeries};
use crate::workload::Protocol;

/// Time series of one histogram: its buckets, `+Inf`, sum and count.
const HISTOGRAM_SERIES: u64 = names::BUCKETS.len() as u64 + 3;
const HTTP_SERIES: u64 = 1 + 3 * HISTOGRAM_SERIES;
const MESSAGE_SERIES: u64 = 2;
const TCP_SERIES: u64 = 4 + HISTOGRAM_SERIES;

#[derive(Debug)]
pub(crate) struct SeriesStore {
    series: Mutex<Series>,
    budget: Arc<Budget>,
    overflowed: Counter,
}

#[derive(Debug, Default)]
struct Series {
    http: HashMap<HttpLabels, Arc<HttpSeries>>,
    tcp: HashMap<TcpLabels, Arc<TcpSeries>>,
    messages: HashMap<Parties, Arc<Messages>>,
}

impl SeriesStore {
    pub fn new(budget: Arc<Budget>, overflowed: Counter) -> Self {
        Self { series: Mutex::default(), budget, overflowed }
    }

    /// The series of a request, made if there is room, else the overflow series.
    pub fn http(&self, key: &HttpKey<'_>) -> Arc<HttpSeries> {
        let mut labels = HttpLabels::of(key);
        let mut series = self.series.lock();
        if let Some(known) = series.http.get(&labels) {
            return known.clone();
        }
        let grpc = key.protocol == Protocol::Grpc;
        let new_messages = grpc && !series.messages.contains_key(&labels.parties);
        if !self.budget.take(HTTP_SERIES + if new_messages { MESSAGE_SERIES } else { 0 }) {
            self.overflowed.inc();
            labels = labels.overflow();
        }
        let messages = grpc.then(|| series.messages.entry(labels.parties.clone()).or_default().clone());
        series.http.entry(labels).or_insert_with(|| Arc::new(HttpSeries { messages, ..HttpSeries::default() })).clone()
    }

    /// The series of a connection, made if there is room, else the overflow series.
    pub fn tcp(&self, key: &TcpKey<'_>) -> Arc<TcpSeries> {
        let mut labels = TcpLabels::of(key);
        let mut series = self.series.lock();
        if let Some(known) = series.tcp.get(&labels) {
            return known.clone();
        }
        if !self.budget.take(TCP_SERIES) {
            self.overflowed.inc();
            labels = labels.overflow();
        }
        series.tcp.entry(labels).or_default().clone()
    }

    /// All families with Istio's labels. Families and counters that nothing was recorded in are left out.
    pub fn export(&self) -> Vec<MetricFamily> {
        let mut families = Vec::from(self.export_http());
        families.extend(self.export_messages());
        families.extend(self.export_tcp());
        families
    }

    fn export_http(&self) -> [MetricFamily; 4] {
        let rows = rows(&self.series.lock().http);
        let mut requests = Vec::new();
        let mut durations = Vec::new();
        let mut request_bytes = Vec::new();
        let mut response_bytes = Vec::new();
        for (labels, series) in rows {
            let duration = series.duration.snapshot();
            if duration.count() == 0 {
                continue;
            }
            let pairs = labels.pairs();
            requests.push(counter_metric(&pairs, duration.count()));
            durations.push(duration_metric(&pairs, &duration));
            request_bytes.push(bytes_metric(&pairs, &series.request_bytes.snapshot()));
            response_bytes.push(bytes_metric(&pairs, &series.response_bytes.snapshot()));
        }
        [
            counter_family(names::REQUESTS_TOTAL, "Finished requests.", requests),
            histogram_family(names::REQUEST_DURATION_MILLISECONDS, "Duration of requests in milliseconds.", durations),
            histogram_family(names::REQUEST_BYTES, "Size of requests in bytes.", request_bytes),
            histogram_family(names::RESPONSE_BYTES, "Size of responses in bytes.", response_bytes),
        ]
    }

    fn export_messages(&self) -> [MetricFamily; 2] {
        let rows = rows(&self.series.lock().messages);
        let of = |count: fn(&Messages) -> &AtomicU64| counters(&rows, Parties::pairs, count);
        [
            counter_family(
                names::REQUEST_MESSAGES_TOTAL,
                "gRPC messages from clients.",
                of(|messages| &messages.request),
            ),
            counter_family(
                names::RESPONSE_MESSAGES_TOTAL,
                "gRPC messages from servers.",
                of(|messages| &messages.response),
            ),
        ]
    }

    fn export_tcp(&self) -> [MetricFamily; 5] {
        let rows = rows(&self.series.lock().tcp);
        let (closed, lifetimes) = closed(&rows);
        let of = |name, help, count: fn(&TcpSeries) -> &AtomicU64| {
            counter_family(name, help, counters(&rows, TcpLabels::pairs, count))
        };
        [
            of(names::TCP_CONNECTIONS_OPENED_TOTAL, "TCP connections opened.", |tcp| &tcp.opened),
            counter_family(names::TCP_CONNECTIONS_CLOSED_TOTAL, "TCP connections closed.", closed),
            of(names::TCP_SENT_BYTES_TOTAL, "Bytes sent to TCP clients.", |tcp| &tcp.sent),
            of(names::TCP_RECEIVED_BYTES_TOTAL, "Bytes received from TCP clients.", |tcp| &tcp.received),
            histogram_family(
                names::TCP_CONNECTION_DURATION_MILLISECONDS,
                "How long TCP connections lived, in milliseconds.",
                lifetimes,
            ),
        ]
    }
}

/// How many connections closed and how long they lived, by label set.
fn closed(rows: &[(TcpLabels, Arc<TcpSeries>)]) -> (Vec<Metric>, Vec<Metric>) {
    let lifetimes = rows.iter().map(|(labels, series)| (labels, series.lifetime.snapshot()));
    let ended = lifetimes.filter(|(_, lifetime)| lifetime.count() > 0);
    ended
        .map(|(labels, lifetime)| {
            let pairs = labels.pairs();
            (counter_metric(&pairs, lifetime.count()), duration_metric(&pairs, &lifetime))
        })
        .unzip()
}

fn counter_family(name: &str, help: &str, metrics: Vec<Metric>) -> MetricFamily {
    family(name, help, MetricType::COUNTER, metrics)
}

fn histogram_family(name: &str, help: &str, metrics: Vec<Metric>) -> MetricFamily {
    family(name, help, MetricType::HISTOGRAM, metrics)
}

/// A copy to read from without holding the lock.
fn rows<K: Clone, V>(map: &HashMap<K, Arc<V>>) -> Vec<(K, Arc<V>)> {
    map.iter().map(|(labels, series)| (labels.clone(), series.clone())).collect()
}

fn counters<K, V>(rows: &[(K, Arc<V>)], pairs: fn(&K) -> Vec<LabelPair>, count: fn(&V) -> &AtomicU64) -> Vec<Metric> {
    let counted = rows.iter().map(|(labels, series)| (labels, count(series).load(Relaxed)));
    counted.filter(|(_, count)| *count > 0).map(|(labels, count)| counter_metric(&pairs(labels), count)).collect()
}

fn counter_metric(labels: &[LabelPair], count: u64) -> Metric {
    let mut metric = Metric::from_label(labels.to_vec());
    let mut counter = ProtoCounter::default();
    counter.set_value(count as f64);
    metric.set_counter(counter);
    metric
}

fn duration_metric(labels: &[LabelPair], snapshot: &BucketSnapshot) -> Metric {
    histogram_metric(labels, snapshot, snapshot.sum as f64 / 1000.0)
}

fn bytes_metric(labels: &[LabelPair], snapshot: &BucketSnapshot) -> Metric {
    histogram_metric(labels, snapshot, snapshot.sum as f64)
}

fn histogram_metric(labels: &[LabelPair], snapshot: &BucketSnapshot, sum: f64) -> Metric {
    let mut metric = Metric::from_label(labels.to_vec());
    metric.set_histogram(histogram(&names::BUCKETS, &snapshot.buckets, sum));
    metric
}
