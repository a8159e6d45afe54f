//! Packs changed metrics into numbered OTLP requests that fit a receiver's message limit.

use std::collections::VecDeque;

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value};
use opentelemetry_proto::tonic::metrics::v1::{Metric, ResourceMetrics, ScopeMetrics, metric};
use opentelemetry_proto::tonic::resource::v1::Resource;

use super::delta::attribute;
use crate::names::{ATTRIBUTE_INSTANCE, ATTRIBUTE_SEQUENCE};

/// Points in one request. One with Istio's labels takes about 1.5 KB, at its longest 6; the usual message limit is 4 MB.
const POINTS_PER_REPORT: usize = 500;

pub(super) struct ReportMaker {
    resource: Resource,
    sequence: i64,
}

impl ReportMaker {
    /// `resource` are the resource attributes of every report.
    pub fn new(resource: Vec<(String, String)>) -> Self {
        let mut attributes: Vec<KeyValue> = resource.iter().map(|(key, value)| attribute(key, value)).collect();
        if !attributes.iter().any(|known| known.key == ATTRIBUTE_INSTANCE) {
            let id = fastrand::u128(..);
            attributes.push(attribute(ATTRIBUTE_INSTANCE, &format!("{id:032x}")));
        }
        Self { resource: Resource { attributes, ..Resource::default() }, sequence: 0 }
    }

    /// The requests that carry `metrics`; none if there are none.
    pub fn make(&mut self, metrics: Vec<Metric>) -> VecDeque<ExportMetricsServiceRequest> {
        let mut reports = VecDeque::new();
        let mut batch = Vec::new();
        let mut room = POINTS_PER_REPORT;
        for mut rest in metrics {
            while let Some(head) = split_off_head(&mut rest, room) {
                room -= points(&head);
                batch.push(head);
                if room == 0 {
                    reports.push_back(self.report(std::mem::take(&mut batch)));
                    room = POINTS_PER_REPORT;
                }
            }
        }
        if !batch.is_empty() {
            reports.push_back(self.report(batch));
        }
        reports
    }

    fn report(&mut self, metrics: Vec<Metric>) -> ExportMetricsServiceRequest {
        self.sequence += 1;
        let sequence = AnyValue { value: Some(any_value::Value::IntValue(self.sequence)) };
        let scope = InstrumentationScope {
            name: "meltemi".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            attributes: vec![KeyValue {
                key: ATTRIBUTE_SEQUENCE.to_owned(),
                value: Some(sequence),
                ..KeyValue::default()
            }],
            ..InstrumentationScope::default()
        };
        let scope = ScopeMetrics { scope: Some(scope), metrics, ..ScopeMetrics::default() };
        let resource = ResourceMetrics {
            resource: Some(self.resource.clone()),
            scope_metrics: vec![scope],
            ..ResourceMetrics::default()
        };
        ExportMetricsServiceRequest { resource_metrics: vec![resource] }
    }
}

fn points(metric: &Metric) -> usize {
    match &metric.data {
        Some(metric::Data::Sum(sum)) => sum.data_points.len(),
        Some(metric::Data::Gauge(gauge)) => gauge.data_points.len(),
        Some(metric::Data::Histogram(histogram)) => histogram.data_points.len(),
        _ => 0,
    }
}

/// Takes at most `room` points out of `metric`; `None` when it has none left.
fn split_off_head(metric: &mut Metric, room: usize) -> Option<Metric> {
    let count = points(metric);
    if count == 0 {
        return None;
    }
    if count <= room {
        return Some(std::mem::take(metric));
    }
    let mut tail = metric.clone();
    match (&mut metric.data, &mut tail.data) {
        (Some(metric::Data::Sum(head)), Some(metric::Data::Sum(tail))) => {
            tail.data_points = head.data_points.split_off(room);
        }
        (Some(metric::Data::Gauge(head)), Some(metric::Data::Gauge(tail))) => {
            tail.data_points = head.data_points.split_off(room);
        }
        (Some(metric::Data::Histogram(head)), Some(metric::Data::Histogram(tail))) => {
            tail.data_points = head.data_points.split_off(room);
        }
        _ => {}
    }
    Some(std::mem::replace(metric, tail))
}
