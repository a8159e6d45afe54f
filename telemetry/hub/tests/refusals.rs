//! What the hub does with reporters that lie, reports that are garbage, and floods.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::sync::Arc;

use hub::{Hub, Window};
use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_client::MetricsServiceClient;
use opentelemetry_proto::tonic::collector::metrics::v1::{ExportMetricsPartialSuccess, ExportMetricsServiceRequest};
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value};
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, Gauge, Histogram, HistogramDataPoint, Metric, NumberDataPoint, ResourceMetrics,
    ScopeMetrics, Sum, metric, number_data_point,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use record::Metrics;
use support::{Wanted, connect, hub, spiffe};
use tonic::{Code, Status};

fn attribute(key: &str, value: &str) -> KeyValue {
    let value = any_value::Value::StringValue(value.to_owned());
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}

fn attributes(pairs: &[(&str, &str)]) -> Vec<KeyValue> {
    pairs.iter().map(|(key, value)| attribute(key, value)).collect()
}

const FRONTEND: [(&str, &str); 2] = [("k8s.namespace.name", "shop"), ("meltemi.service.account", "frontend")];

/// What frontend's sidecar says of a request to `destination`.
fn labels(destination: &str) -> Vec<KeyValue> {
    attributes(&[
        ("reporter", "source"),
        ("source_canonical_service", "frontend"),
        ("source_workload_namespace", "shop"),
        ("source_principal", &spiffe("shop", "frontend")),
        ("destination_canonical_service", destination),
        ("destination_workload_namespace", "shop"),
        ("request_protocol", "http"),
        ("response_code", "200"),
    ])
}

fn with(mut labels: Vec<KeyValue>, key: &str, value: &str) -> Vec<KeyValue> {
    labels.retain(|pair| pair.key != key);
    labels.push(attribute(key, value));
    labels
}

fn point(labels: Vec<KeyValue>, value: i64) -> NumberDataPoint {
    let value = Some(number_data_point::Value::AsInt(value));
    NumberDataPoint { attributes: labels, value, ..NumberDataPoint::default() }
}

fn sum(points: Vec<NumberDataPoint>) -> Metric {
    let temporality = AggregationTemporality::Delta.into();
    let sum = Sum { data_points: points, aggregation_temporality: temporality, is_monotonic: true };
    named("istio_requests_total", metric::Data::Sum(sum))
}

fn named(name: &str, data: metric::Data) -> Metric {
    Metric { name: name.into(), data: Some(data), ..Metric::default() }
}

fn report(resource: &[(&str, &str)], metrics: Vec<Metric>) -> ExportMetricsServiceRequest {
    let scope = ScopeMetrics { metrics, ..ScopeMetrics::default() };
    let resource = Resource { attributes: attributes(resource), ..Resource::default() };
    let resource_metrics =
        ResourceMetrics { resource: Some(resource), scope_metrics: vec![scope], ..ResourceMetrics::default() };
    ExportMetricsServiceRequest { resource_metrics: vec![resource_metrics] }
}

async fn send(
    hub: &Hub,
    peer: Option<&str>,
    report: ExportMetricsServiceRequest,
) -> Result<ExportMetricsPartialSuccess, Status> {
    let channel = connect(hub, peer).await;
    let response = MetricsServiceClient::new(channel).export(report).await?;
    Ok(response.into_inner().partial_success.unwrap_or_default())
}

async fn send_as_frontend(hub: &Hub, metrics: Vec<Metric>) -> Result<ExportMetricsPartialSuccess, Status> {
    send(hub, Some(&spiffe("shop", "frontend")), report(&FRONTEND, metrics)).await
}

#[tokio::test]
async fn nobody_reports_without_a_certificate_or_as_somebody_else() {
    let hub = hub();
    let good = || vec![sum(vec![point(labels("catalog"), 1)])];
    let refused = send(&hub, None, report(&FRONTEND, good())).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated);

    let control_plane = "spiffe://cluster.local/meltemi";
    let refused = send(&hub, Some(control_plane), report(&FRONTEND, good())).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);

    for peer in [spiffe("shop", "catalog"), spiffe("attic", "frontend")] {
        let refused = send(&hub, Some(&peer), report(&FRONTEND, good())).await.unwrap_err();
        assert_eq!(refused.code(), Code::PermissionDenied);
        assert!(refused.message().contains(&peer), "{refused}");
    }
    for resource in [&FRONTEND[..1], &FRONTEND[1..], &[FRONTEND[0], FRONTEND[1], ("k8s.namespace.name", "attic")]] {
        let peer = spiffe("shop", "frontend");
        let refused = send(&hub, Some(&peer), report(resource, good())).await.unwrap_err();
        assert_eq!(refused.code(), Code::PermissionDenied);
        assert!(refused.message().contains("lacks the resource attribute"), "{refused}");
    }
    assert_eq!(hub.edges(Window::All), []);
}

#[tokio::test]
async fn a_reporter_speaks_for_its_own_side_only() {
    let hub = hub();
    let forged = vec![
        with(labels("catalog"), "source_workload_namespace", "attic"),
        with(labels("catalog"), "source_principal", &spiffe("shop", "catalog")),
        // As the destination, frontend is not the destination's side here.
        with(with(labels("catalog"), "reporter", "destination"), "destination_workload_namespace", "attic"),
        with(labels("catalog"), "reporter", "waypoint"),
    ];
    let points = forged.into_iter().map(|labels| point(labels, 1)).collect();
    let partial = send_as_frontend(&hub, vec![sum(points)]).await.unwrap();
    assert_eq!(partial.rejected_data_points, 4);
    assert!(partial.error_message.contains("another namespace or principal"), "{}", partial.error_message);
    assert_eq!(hub.edges(Window::All), []);
}

#[tokio::test]
async fn bad_points_are_refused_with_a_reason_and_good_ones_beside_them_count() {
    let hub = hub();
    let text = |value| Some(AnyValue { value: Some(value) });
    let mut no_text = labels("catalog");
    no_text[0].value = text(any_value::Value::IntValue(7));
    let points = vec![
        point(labels("catalog"), 5),
        point(labels("catalog"), -1),
        point(labels("catalog"), 2_000_000_000),
        point(no_text, 1),
        point(with(labels("catalog"), "destination_service", &"x".repeat(10_000)), 1),
        point(with(labels("catalog"), "request_protocol", "tcp"), 1),
        NumberDataPoint { attributes: labels("catalog"), ..NumberDataPoint::default() },
    ];
    let partial = send_as_frontend(&hub, vec![sum(points)]).await.unwrap();
    assert_eq!(partial.rejected_data_points, 6);
    assert!(partial.error_message.contains("no whole number"), "{}", partial.error_message);
    assert_eq!(hub.edges(Window::All)[0].requests, 5);
}

#[tokio::test]
async fn histograms_with_other_buckets_are_refused() {
    let hub = hub();
    let bounds = record::names::BUCKETS.to_vec();
    let histogram = |explicit_bounds: Vec<f64>, buckets: usize| HistogramDataPoint {
        attributes: labels("catalog"),
        explicit_bounds,
        bucket_counts: vec![1; buckets],
        ..HistogramDataPoint::default()
    };
    let data_points = vec![
        histogram(bounds.clone(), 20),
        histogram(bounds, 3),
        histogram(vec![1.0, f64::NAN], 3),
        histogram(vec![], 20),
    ];
    let temporality = AggregationTemporality::Delta.into();
    let data = metric::Data::Histogram(Histogram { data_points, aggregation_temporality: temporality });
    let partial = send_as_frontend(&hub, vec![named("istio_request_duration_milliseconds", data)]).await.unwrap();
    assert_eq!(partial.rejected_data_points, 3);
}

#[tokio::test]
async fn running_totals_and_wrong_kinds_are_refused_whole() {
    let hub = hub();
    let cumulative = Sum {
        data_points: vec![point(labels("catalog"), 1)],
        aggregation_temporality: AggregationTemporality::Cumulative.into(),
        is_monotonic: true,
    };
    let bad = [
        named("istio_requests_total", metric::Data::Sum(cumulative)),
        named("istio_requests_total", metric::Data::Gauge(Gauge::default())),
        Metric { name: "istio_request_duration_milliseconds".into(), ..Metric::default() },
    ];
    for bad in bad {
        let metrics = vec![sum(vec![point(labels("catalog"), 1)]), bad];
        let refused = send_as_frontend(&hub, metrics).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{refused}");
    }
    assert_eq!(hub.edges(Window::All), [], "nothing of a refused report counts");
}

#[tokio::test]
async fn metrics_that_the_hub_does_not_use_are_passed_over() {
    let hub = hub();
    let other = named("process_open_fds", metric::Data::Gauge(Gauge::default()));
    let partial = send_as_frontend(&hub, vec![other]).await.unwrap();
    assert_eq!(partial.rejected_data_points, 0);
}

#[tokio::test]
async fn a_report_that_comes_twice_counts_once() {
    let hub = hub();
    let resource = [FRONTEND[0], FRONTEND[1], ("service.instance.id", "one")];
    let numbered = |sequence: i64| {
        let mut report = report(&resource, vec![sum(vec![point(labels("catalog"), 1)])]);
        let value = AnyValue { value: Some(any_value::Value::IntValue(sequence)) };
        let key = "meltemi.report.sequence".to_owned();
        let attributes = vec![KeyValue { key, value: Some(value), ..KeyValue::default() }];
        report.resource_metrics[0].scope_metrics[0].scope =
            Some(InstrumentationScope { attributes, ..InstrumentationScope::default() });
        report
    };
    for sequence in [1, 1, 2, 1, 2] {
        send(&hub, Some(&spiffe("shop", "frontend")), numbered(sequence)).await.unwrap();
    }
    assert_eq!(hub.edges(Window::All)[0].requests, 2);
}

#[tokio::test]
async fn a_flood_of_label_sets_takes_the_room_of_one_reporter_and_no_more() {
    let metrics = Metrics::new();
    let hub = Hub::with_metrics(Arc::new(Wanted::default()), metrics.clone());
    let channel = connect(&hub, Some(&spiffe("shop", "frontend"))).await;
    let mut client = MetricsServiceClient::new(channel);
    let mut refused = 0;
    for batch in 0..20 {
        let points = (0..5_000).map(|n| point(labels(&format!("made-up-{batch}-{n}")), 1)).collect();
        let response = client.export(report(&FRONTEND, vec![sum(points)])).await.unwrap();
        let partial = response.into_inner().partial_success.unwrap();
        assert!(partial.error_message.contains("no room for more edges"));
        refused += partial.rejected_data_points;
    }
    assert_eq!(refused, 100_000 - 500);
    assert_eq!(hub.edges(Window::All).len(), 500);
    let text = metrics.text();
    assert!(text.contains("meltemi_hub_edges 500\n"), "{text}");
    assert!(text.contains("meltemi_hub_points_total{result=\"no_room\"} 99500\n"), "{text}");

    // Another reporter still has its own.
    let catalog = [("k8s.namespace.name", "shop"), ("meltemi.service.account", "catalog")];
    let own = with(labels("reviews"), "source_canonical_service", "catalog");
    let own = with(own, "source_principal", &spiffe("shop", "catalog"));
    let report = report(&catalog, vec![sum(vec![point(own, 1)])]);
    let partial = send(&hub, Some(&spiffe("shop", "catalog")), report).await.unwrap();
    assert_eq!(partial.rejected_data_points, 0);
}

#[tokio::test]
async fn a_flood_of_versions_ends_in_one_bucket() {
    let hub = hub();
    let version = |n| with(labels("catalog"), "destination_canonical_revision", &format!("v{n}"));
    let points = (0..1_000).map(|n| point(version(n), 1)).collect();
    send_as_frontend(&hub, vec![sum(points)]).await.unwrap();
    let edge = &hub.edges(Window::All)[0];
    assert_eq!((edge.requests, edge.shares.len()), (1_000, 16));
    let other = edge.shares.iter().find(|share| share.version == "other").unwrap();
    assert_eq!(other.observed, 0.985);
}
