//! What a collector receives over OTLP, from an in-process gRPC server that can be told to fail.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_server::{
    MetricsService, MetricsServiceServer,
};
use opentelemetry_proto::tonic::collector::metrics::v1::{ExportMetricsServiceRequest, ExportMetricsServiceResponse};
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value};
use opentelemetry_proto::tonic::metrics::v1::{AggregationTemporality, Metric, metric, number_data_point};
use record::otlp::{ExportError, Exporter, ExporterOptions};
use record::{HttpKey, Metrics, Protocol, Reporter, ResponseFlags, Security, SeriesCache, Service, Workload};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::{Endpoint, Server};
use tonic::{Code, Request, Response, Status};

/// What becomes of the next reports; when it runs out, they are taken.
#[derive(Clone, Copy)]
enum Fate {
    Fail(Code),
    /// Taken, but the acknowledgement is lost.
    TakeAndFail,
}

#[derive(Clone)]
struct Collector {
    fates: Arc<Mutex<VecDeque<Fate>>>,
    received: mpsc::UnboundedSender<ExportMetricsServiceRequest>,
}

#[tonic::async_trait]
impl MetricsService for Collector {
    async fn export(
        &self,
        request: Request<ExportMetricsServiceRequest>,
    ) -> Result<Response<ExportMetricsServiceResponse>, Status> {
        let fate = self.fates.lock().unwrap().pop_front();
        if let Some(Fate::Fail(code)) = fate {
            return Err(Status::new(code, "as told"));
        }
        self.received.send(request.into_inner()).unwrap();
        match fate {
            Some(Fate::TakeAndFail) => Err(Status::unavailable("the acknowledgement is lost")),
            _ => Ok(Response::new(ExportMetricsServiceResponse::default())),
        }
    }
}

struct Setup {
    metrics: Metrics,
    exporter: Exporter,
    fates: Arc<Mutex<VecDeque<Fate>>>,
    received: mpsc::UnboundedReceiver<ExportMetricsServiceRequest>,
}

impl Setup {
    async fn new(interval: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, received) = mpsc::unbounded_channel();
        let fates = Arc::<Mutex<VecDeque<Fate>>>::default();
        let collector = Collector { fates: fates.clone(), received: sender };
        let server = Server::builder().add_service(MetricsServiceServer::new(collector));
        tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
        let channel = Endpoint::try_from(format!("http://{address}")).unwrap().connect_lazy();
        let metrics = Metrics::new();
        let resource = vec![("service.name".into(), "catalog".into())];
        let options = ExporterOptions { interval, resource, ..ExporterOptions::default() };
        let exporter = Exporter::start(metrics.clone(), channel, options);
        Self { metrics, exporter, fates, received }
    }

    fn fail(&self, fate: Fate) {
        self.fates.lock().unwrap().push_back(fate);
    }

    fn reports(&mut self) -> Vec<ExportMetricsServiceRequest> {
        std::iter::from_fn(|| self.received.try_recv().ok()).collect()
    }
}

/// No report comes by itself in a test that asks for each.
const NEVER: Duration = Duration::from_secs(3600);

fn metrics(report: &ExportMetricsServiceRequest) -> &[Metric] {
    &report.resource_metrics[0].scope_metrics[0].metrics
}

/// The sum of the deltas of a counter, 0 if it is not in the report.
fn counted(report: &ExportMetricsServiceRequest, name: &str) -> i64 {
    let Some(metric) = metrics(report).iter().find(|metric| metric.name == name) else {
        return 0;
    };
    let Some(metric::Data::Sum(sum)) = &metric.data else { panic!("{name} is no sum") };
    assert!(sum.is_monotonic);
    assert_eq!(sum.aggregation_temporality(), AggregationTemporality::Delta);
    let value = |point: &number_data_point::Value| match point {
        number_data_point::Value::AsInt(value) => *value,
        number_data_point::Value::AsDouble(value) => panic!("{value}"),
    };
    sum.data_points.iter().map(|point| value(point.value.as_ref().unwrap())).sum()
}

fn sequence(report: &ExportMetricsServiceRequest) -> i64 {
    let scope = report.resource_metrics[0].scope_metrics[0].scope.as_ref().unwrap();
    match find(&scope.attributes, "meltemi.report.sequence") {
        Some(any_value::Value::IntValue(sequence)) => sequence,
        other => panic!("{other:?}"),
    }
}

fn find(attributes: &[KeyValue], key: &str) -> Option<any_value::Value> {
    attributes.iter().find(|pair| pair.key == key)?.value.clone()?.value
}

#[tokio::test]
async fn only_what_changed_is_reported_and_only_its_change() {
    let mut setup = Setup::new(NEVER).await;
    let (steady, busy) = (setup.metrics.counter("steady_total", "S."), setup.metrics.counter("busy_total", "B."));
    let gauge = setup.metrics.gauge("meltemi_expiry_seconds", "E.");
    steady.add(3);
    busy.add(5);
    gauge.set(2.5);
    setup.exporter.flush().await.unwrap();
    busy.add(4);
    setup.exporter.flush().await.unwrap();

    let reports = setup.reports();
    assert_eq!(counted(&reports[0], "steady_total"), 3);
    assert_eq!(counted(&reports[0], "busy_total"), 5);
    let expiry = metrics(&reports[0]).iter().find(|metric| metric.name == "meltemi_expiry_seconds").unwrap();
    assert_eq!(expiry.unit, "s");
    let Some(metric::Data::Gauge(gauge)) = &expiry.data else { panic!() };
    assert_eq!(gauge.data_points[0].value, Some(number_data_point::Value::AsDouble(2.5)));
    assert_eq!(counted(&reports[1], "busy_total"), 4);
    let names: Vec<_> = metrics(&reports[1]).iter().map(|metric| metric.name.as_str()).collect();
    // The exporter counts its own reports.
    assert_eq!(names, ["busy_total", "meltemi_otlp_exports_total"]);
}

#[tokio::test]
async fn a_report_says_who_sends_it_and_points_join_without_a_gap() {
    let mut setup = Setup::new(NEVER).await;
    let counter = setup.metrics.counter("a_total", "A.");
    for _ in 0..2 {
        counter.inc();
        setup.exporter.flush().await.unwrap();
    }
    let reports = setup.reports();
    let attributes =
        |report: &ExportMetricsServiceRequest| report.resource_metrics[0].resource.as_ref().unwrap().attributes.clone();
    let name = find(&attributes(&reports[0]), "service.name");
    assert_eq!(name, Some(any_value::Value::StringValue("catalog".into())));
    let instance = find(&attributes(&reports[0]), "service.instance.id");
    assert!(instance.is_some());
    assert_eq!(instance, find(&attributes(&reports[1]), "service.instance.id"));

    let span = |report: &ExportMetricsServiceRequest| {
        let Some(metric::Data::Sum(sum)) = &metrics(report)[0].data else { panic!() };
        (sum.data_points[0].start_time_unix_nano, sum.data_points[0].time_unix_nano)
    };
    assert!(span(&reports[0]).0 < span(&reports[0]).1);
    assert_eq!(span(&reports[0]).1, span(&reports[1]).0);
}

#[tokio::test]
async fn a_histogram_is_reported_bucket_by_bucket_with_istios_labels() {
    let mut setup = Setup::new(NEVER).await;
    let mut cache = SeriesCache::new(setup.metrics.clone());
    let (workload, service) = (Arc::<Workload>::default(), Arc::<Service>::default());
    let key = HttpKey {
        reporter: Reporter::Destination,
        source: &workload,
        destination: &workload,
        service: &service,
        protocol: Protocol::Http,
        response_code: 200,
        grpc_status: None,
        flags: ResponseFlags::NONE,
        security: Security::MutualTls,
    };
    for millis in [3, 30, 3] {
        cache.http(key).record(Duration::from_millis(millis), 10, 20);
        setup.exporter.flush().await.unwrap();
    }
    let reports = setup.reports();
    let durations = |report| {
        let named = |metric: &&Metric| metric.name == "istio_request_duration_milliseconds";
        let metric: &Metric = metrics(report).iter().find(named).unwrap();
        assert_eq!(metric.unit, "ms");
        let Some(metric::Data::Histogram(histogram)) = &metric.data else { panic!() };
        assert_eq!(histogram.aggregation_temporality(), AggregationTemporality::Delta);
        histogram.data_points[0].clone()
    };
    let second = durations(&reports[1]);
    assert_eq!((second.count, second.sum), (1, Some(30.0)));
    assert_eq!(second.explicit_bounds[..6], [0.5, 1.0, 5.0, 10.0, 25.0, 50.0]);
    assert_eq!(second.bucket_counts[..7], [0, 0, 0, 0, 0, 1, 0]);
    assert_eq!(second.bucket_counts.len(), 20);
    let policy = find(&second.attributes, "connection_security_policy");
    assert_eq!(policy, Some(any_value::Value::StringValue("mutual_tls".into())));
    assert_eq!(find(&second.attributes, "grpc_response_status"), None);
    assert_eq!(durations(&reports[2]).bucket_counts[..4], [0, 0, 1, 0]);
}

#[tokio::test]
async fn nothing_is_lost_or_doubled_while_the_collector_fails() {
    let mut setup = Setup::new(NEVER).await;
    let counter = setup.metrics.counter("a_total", "A.");
    counter.add(1);
    setup.fail(Fate::Fail(Code::Unavailable));
    setup.fail(Fate::Fail(Code::PermissionDenied));
    assert!(matches!(setup.exporter.flush().await, Err(ExportError::NotDelivered(_))));
    counter.add(10);
    assert!(matches!(setup.exporter.flush().await, Err(ExportError::NotDelivered(_))));
    counter.add(100);
    setup.exporter.flush().await.unwrap();
    let total: i64 = setup.reports().iter().map(|report| counted(report, "a_total")).sum();
    assert_eq!(total, 111);
}

#[tokio::test]
async fn a_report_whose_acknowledgement_was_lost_comes_again_under_the_same_number() {
    let mut setup = Setup::new(NEVER).await;
    let counter = setup.metrics.counter("a_total", "A.");
    counter.add(7);
    setup.fail(Fate::TakeAndFail);
    setup.exporter.flush().await.unwrap_err();
    counter.add(1);
    setup.exporter.flush().await.unwrap();
    let reports = setup.reports();
    assert_eq!(reports[0], reports[1]);
    assert_eq!(reports.iter().map(sequence).collect::<Vec<_>>(), [1, 1, 2]);
    assert_eq!(counted(&reports[2], "a_total"), 1);
}

#[tokio::test]
async fn a_report_that_is_refused_as_malformed_does_not_block_the_next() {
    let mut setup = Setup::new(NEVER).await;
    let counter = setup.metrics.counter("a_total", "A.");
    counter.add(7);
    setup.fail(Fate::Fail(Code::InvalidArgument));
    assert!(matches!(setup.exporter.flush().await, Err(ExportError::Refused(_))));
    counter.add(1);
    setup.exporter.flush().await.unwrap();
    assert_eq!(setup.reports().iter().map(|report| counted(report, "a_total")).sum::<i64>(), 1);
    assert!(setup.metrics.text().contains("meltemi_otlp_exports_total{result=\"refused\"} 1\n"));
}

#[tokio::test]
async fn many_series_travel_in_several_reports() {
    let mut setup = Setup::new(NEVER).await;
    let vector = setup.metrics.counter_vec("a_total", "A.", &["n"]);
    for n in 0..1_250 {
        vector.with(&[&n.to_string()]).inc();
    }
    setup.exporter.flush().await.unwrap();
    let reports = setup.reports();
    assert_eq!(reports.iter().map(sequence).collect::<Vec<_>>(), [1, 2, 3]);
    let counts: Vec<_> = reports.iter().map(|report| counted(report, "a_total")).collect();
    assert_eq!(counts, [500, 500, 250]);
}

#[tokio::test]
async fn the_interval_can_be_shortened_while_it_runs() {
    let mut setup = Setup::new(NEVER).await;
    setup.metrics.counter("a_total", "A.").inc();
    setup.exporter.set_interval(Duration::from_millis(10)).await;
    let report = tokio::time::timeout(Duration::from_secs(20), setup.received.recv()).await.unwrap().unwrap();
    assert_eq!(counted(&report, "a_total"), 1);
}

#[tokio::test]
async fn shutting_down_sends_the_rest() {
    let mut setup = Setup::new(NEVER).await;
    setup.metrics.counter("a_total", "A.").add(2);
    setup.exporter.shutdown(Duration::from_secs(20)).await.unwrap();
    let report = setup.received.recv().await.unwrap();
    assert_eq!(counted(&report, "a_total"), 2);
}
