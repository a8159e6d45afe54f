//! Reads an OTLP report into own types. Points of metrics that the hub does not use are passed over;
//! a point that cannot be right is refused with a reason, and the others of its report still count.

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::{InstrumentationScope, any_value};
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, HistogramDataPoint, Metric, NumberDataPoint, metric, number_data_point,
};
use record::Reporter;
use record::names::{self, BUCKETS};

use crate::history::Counts;
use crate::identity::{NotYou, Peer, text};
use crate::labels::{BadPoint, EdgeKey, Labels, Protocol};

/// Larger counts in one point are not believed: no proxy serves that much between two reports.
const LARGEST_COUNT: u64 = 1_000_000_000;
/// Longest instance id that is remembered, in bytes.
const LONGEST_INSTANCE: usize = 128;

/// One data point, understood.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Observation {
    pub edge: EdgeKey,
    pub side: Reporter,
    /// Host name of the service that was asked for.
    pub host: String,
    pub version: Option<String>,
    pub counts: Counts,
}

/// A report's number within one run of the reporter, by which a repeated one is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Serial {
    pub instance: String,
    pub sequence: i64,
}

/// The observations that came under one serial.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    pub serial: Option<Serial>,
    pub observations: Vec<Observation>,
}

/// A whole report, understood.
#[derive(Debug, Default)]
pub(crate) struct Reading {
    pub batches: Vec<Batch>,
    pub refused: u64,
    /// Why the first of the refused points was refused.
    pub reason: Option<String>,
}

/// Why a whole report is refused.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadReport {
    #[error(transparent)]
    NotYou(#[from] NotYou),
    #[error("{0} does not have delta temporality; this hub takes deltas only, set the exporter's preference to delta")]
    NotDelta(&'static str),
    #[error("{0} is not of the kind that Istio's metric of that name is")]
    WrongKind(&'static str),
}

/// What a metric of the hub's interest counts.
#[derive(Clone, Copy)]
enum Use {
    Requests,
    RequestDurations,
    Opened,
    Closed,
    Lifetimes,
}

const USED: [(&str, Use); 5] = [
    (names::REQUESTS_TOTAL, Use::Requests),
    (names::REQUEST_DURATION_MILLISECONDS, Use::RequestDurations),
    (names::TCP_CONNECTIONS_OPENED_TOTAL, Use::Opened),
    (names::TCP_CONNECTIONS_CLOSED_TOTAL, Use::Closed),
    (names::TCP_CONNECTION_DURATION_MILLISECONDS, Use::Lifetimes),
];

/// Reads all of `request`, which `peer` sent, before anything of it counts.
pub(crate) fn read(request: &ExportMetricsServiceRequest, peer: &Peer) -> Result<Reading, BadReport> {
    let mut reading = Reading::default();
    for resource_metrics in &request.resource_metrics {
        let resource = resource_metrics.resource.as_ref().map(|resource| resource.attributes.as_slice());
        let resource = resource.unwrap_or_default();
        peer.check(resource)?;
        let instance = text(resource, names::ATTRIBUTE_INSTANCE).filter(|id| id.len() <= LONGEST_INSTANCE);
        for scope_metrics in &resource_metrics.scope_metrics {
            let sequence = scope_metrics.scope.as_ref().and_then(sequence);
            let serial = instance.zip(sequence);
            let serial = serial.map(|(instance, sequence)| Serial { instance: instance.to_owned(), sequence });
            let mut observations = Vec::new();
            for metric in &scope_metrics.metrics {
                reading.read_metric(metric, peer, &mut observations)?;
            }
            reading.batches.push(Batch { serial, observations });
        }
    }
    Ok(reading)
}

fn sequence(scope: &InstrumentationScope) -> Option<i64> {
    let pair = scope.attributes.iter().find(|pair| pair.key == names::ATTRIBUTE_SEQUENCE)?;
    match pair.value.as_ref()?.value.as_ref()? {
        any_value::Value::IntValue(sequence) => Some(*sequence),
        _ => None,
    }
}

impl Reading {
    fn read_metric(&mut self, metric: &Metric, peer: &Peer, out: &mut Vec<Observation>) -> Result<(), BadReport> {
        let Some((name, usage)) = USED.iter().find(|(name, _)| *name == metric.name) else {
            return Ok(());
        };
        let delta = i32::from(AggregationTemporality::Delta);
        match (usage, &metric.data) {
            (Use::Requests | Use::Opened | Use::Closed, Some(metric::Data::Sum(sum))) => {
                if sum.aggregation_temporality != delta || !sum.is_monotonic {
                    return Err(BadReport::NotDelta(name));
                }
                for point in &sum.data_points {
                    self.keep(number(point, *usage, peer), out);
                }
            }
            (Use::RequestDurations | Use::Lifetimes, Some(metric::Data::Histogram(histogram))) => {
                if histogram.aggregation_temporality != delta {
                    return Err(BadReport::NotDelta(name));
                }
                for point in &histogram.data_points {
                    self.keep(durations(point, *usage, peer), out);
                }
            }
            _ => return Err(BadReport::WrongKind(name)),
        }
        Ok(())
    }

    fn keep(&mut self, observation: Result<Observation, BadPoint>, out: &mut Vec<Observation>) {
        match observation {
            Ok(observation) => out.push(observation),
            Err(error) => self.refuse(error.to_string()),
        }
    }

    pub fn refuse(&mut self, reason: String) {
        self.refused += 1;
        self.reason.get_or_insert(reason);
    }
}

fn number(point: &NumberDataPoint, usage: Use, peer: &Peer) -> Result<Observation, BadPoint> {
    let labels = Labels::read(&point.attributes)?;
    let amount = match point.value {
        Some(number_data_point::Value::AsInt(value)) => u64::try_from(value).map_err(|_| BadPoint::Value)?,
        _ => return Err(BadPoint::Value),
    };
    let amount = count(amount)?;
    let side = labels.reporter(peer)?;
    let protocol = protocol(&labels, usage)?;
    let good = if labels.good(protocol) { amount } else { 0 };
    let mutual_tls = if labels.mutual_tls() { amount } else { 0 };
    let counts = match usage {
        Use::Requests => Counts { requests: amount, ended: amount, good, mutual_tls, ..Counts::default() },
        Use::Opened => Counts { requests: amount, mutual_tls, ..Counts::default() },
        _ => Counts { ended: amount, good, ..Counts::default() },
    };
    Ok(observation(&labels, side, protocol, counts))
}

fn durations(point: &HistogramDataPoint, usage: Use, peer: &Peer) -> Result<Observation, BadPoint> {
    let labels = Labels::read(&point.attributes)?;
    let side = labels.reporter(peer)?;
    let protocol = protocol(&labels, usage)?;
    if point.explicit_bounds != BUCKETS || point.bucket_counts.len() != BUCKETS.len() + 1 {
        return Err(BadPoint::Buckets);
    }
    let mut counts = Counts::default();
    for (to, from) in counts.durations.iter_mut().zip(&point.bucket_counts) {
        *to = count(*from)?;
    }
    Ok(observation(&labels, side, protocol, counts))
}

fn count(value: u64) -> Result<u32, BadPoint> {
    if value > LARGEST_COUNT {
        return Err(BadPoint::Value);
    }
    u32::try_from(value).map_err(|_| BadPoint::Value)
}

fn protocol(labels: &Labels<'_>, usage: Use) -> Result<Protocol, BadPoint> {
    let protocol = labels.protocol()?;
    let tcp_metric = matches!(usage, Use::Opened | Use::Closed | Use::Lifetimes);
    if tcp_metric == (protocol == Protocol::Tcp) { Ok(protocol) } else { Err(BadPoint::Protocol) }
}

fn observation(labels: &Labels<'_>, side: Reporter, protocol: Protocol, counts: Counts) -> Observation {
    Observation {
        edge: labels.edge(protocol),
        side,
        host: labels.host().to_owned(),
        version: labels.version().map(str::to_owned),
        counts,
    }
}
