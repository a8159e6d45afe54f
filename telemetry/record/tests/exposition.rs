//! What Prometheus sees of a request, a gRPC stream and a TCP connection, held against Istio's own
//! golden samples (istio/proxy, testdata/metric), and what it sees when there are too many of them.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use record::{HttpKey, Metrics, Protocol, Reporter, ResponseFlags, Security, SeriesCache, Service, TcpKey, Workload};

/// The labels of istio/proxy's testdata/metric/client_request_total.yaml.tmpl (cluster labels as in
/// server_request_total.yaml.tmpl, the `configurable_metric_*` of its test left out).
const ISTIO_HTTP: &str = "reporter source_workload source_canonical_service source_canonical_revision \
    source_workload_namespace source_principal source_app source_version source_cluster \
    destination_workload destination_workload_namespace destination_principal destination_app \
    destination_version destination_service destination_canonical_service \
    destination_canonical_revision destination_service_name destination_service_namespace \
    destination_cluster request_protocol response_code grpc_response_status response_flags \
    connection_security_policy";

struct Ends {
    source: Arc<Workload>,
    destination: Arc<Workload>,
    service: Arc<Service>,
}

impl Ends {
    fn new() -> Self {
        let source = Workload {
            name: "productpage-v1".into(),
            namespace: "default".into(),
            principal: "spiffe://cluster.local/ns/default/sa/client".into(),
            app: "productpage".into(),
            version: "v1".into(),
            cluster: "client-cluster".into(),
            canonical_service: "productpage-v1".into(),
            canonical_revision: "version-1".into(),
        };
        let service = Service {
            host: "server.default.svc.cluster.local".into(),
            name: "server".into(),
            namespace: "default".into(),
        };
        let (source, service) = (Arc::new(source), Arc::new(service));
        Self { source, destination: Arc::default(), service }
    }

    fn http(&self, protocol: Protocol, response_code: u16) -> HttpKey<'_> {
        HttpKey {
            reporter: Reporter::Source,
            source: &self.source,
            destination: &self.destination,
            service: &self.service,
            protocol,
            response_code,
            grpc_status: (protocol == Protocol::Grpc).then_some(0),
            flags: ResponseFlags::NONE,
            security: Security::Unknown,
        }
    }

    fn tcp(&self) -> TcpKey<'_> {
        TcpKey {
            reporter: Reporter::Destination,
            source: &self.source,
            destination: &self.destination,
            service: &self.service,
            flags: ResponseFlags::NONE,
            security: Security::MutualTls,
        }
    }
}

/// A sample line's labels in order, and its value.
fn sample(text: &str, prefix: &str) -> (Vec<(String, String)>, f64) {
    let line = text.lines().find(|line| line.starts_with(prefix)).unwrap_or_else(|| panic!("{prefix}"));
    let (labels, value) = line.split_once('{').unwrap().1.rsplit_once("} ").unwrap();
    let pairs = labels.split("\",").map(|pair| pair.split_once("=\"").unwrap());
    let pairs = pairs.map(|(name, value)| (name.to_owned(), value.trim_end_matches('"').to_owned()));
    (pairs.collect(), value.parse().unwrap())
}

fn samples(text: &str) -> usize {
    text.lines().filter(|line| !line.starts_with('#')).count()
}

#[test]
fn a_request_carries_istios_labels_in_istios_order() {
    let (metrics, ends) = (Metrics::new(), Ends::new());
    let mut cache = SeriesCache::new(metrics.clone());
    cache.http(ends.http(Protocol::Http, 200)).record(Duration::from_micros(7_300), 120, 3_000);

    let text = metrics.text();
    let (labels, value) = sample(&text, "istio_requests_total{");
    assert_eq!(value, 1.0);
    let names: Vec<&str> = labels.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ISTIO_HTTP.split_whitespace().collect::<Vec<_>>());

    let labels: BTreeMap<_, _> = labels.into_iter().collect();
    assert_eq!(labels["reporter"], "source");
    assert_eq!(labels["source_canonical_service"], "productpage-v1");
    assert_eq!(labels["source_principal"], "spiffe://cluster.local/ns/default/sa/client");
    assert_eq!(labels["destination_workload"], "unknown");
    assert_eq!(labels["destination_canonical_revision"], "latest");
    assert_eq!(labels["destination_service"], "server.default.svc.cluster.local");
    assert_eq!(labels["request_protocol"], "http");
    assert_eq!(labels["response_code"], "200");
    assert_eq!(labels["grpc_response_status"], "");
    assert_eq!(labels["response_flags"], "-");
    assert_eq!(labels["connection_security_policy"], "unknown");
}

#[test]
fn the_three_histograms_of_a_request_agree_with_it() {
    let (metrics, ends) = (Metrics::new(), Ends::new());
    let mut cache = SeriesCache::new(metrics.clone());
    cache.http(ends.http(Protocol::Http, 200)).record(Duration::from_micros(7_300), 120, 3_000);
    let text = metrics.text();
    let bucket = |name: &str, bound: &str| {
        let end = format!("le=\"{bound}\"}}");
        let line = text.lines().find(|line| line.starts_with(&format!("{name}_bucket")) && line.contains(&end));
        line.unwrap().rsplit_once(' ').unwrap().1.to_owned()
    };
    assert_eq!(bucket("istio_request_duration_milliseconds", "5"), "0");
    assert_eq!(bucket("istio_request_duration_milliseconds", "10"), "1");
    assert_eq!(bucket("istio_request_duration_milliseconds", "+Inf"), "1");
    assert_eq!(sample(&text, "istio_request_duration_milliseconds_sum").1, 7.3);
    assert_eq!(bucket("istio_request_bytes", "100"), "0");
    assert_eq!(bucket("istio_request_bytes", "250"), "1");
    assert_eq!(sample(&text, "istio_request_bytes_sum").1, 120.0);
    assert_eq!(sample(&text, "istio_response_bytes_sum").1, 3000.0);
    let bounds = text.lines().filter(|line| line.starts_with("istio_response_bytes_bucket")).count();
    assert_eq!(bounds, 20);
}

#[test]
fn grpc_messages_carry_the_parties_only_and_are_shared_by_all_outcomes() {
    let (metrics, ends) = (Metrics::new(), Ends::new());
    let mut cache = SeriesCache::new(metrics.clone());
    cache.http(ends.http(Protocol::Grpc, 200)).messages(3, 2);
    cache.http(HttpKey { grpc_status: Some(14), ..ends.http(Protocol::Grpc, 200) }).messages(1, 0);
    cache.http(ends.http(Protocol::Http, 200)).messages(100, 100);

    let text = metrics.text();
    let (labels, value) = sample(&text, "istio_request_messages_total{");
    assert_eq!(value, 4.0);
    assert_eq!(sample(&text, "istio_response_messages_total{").1, 2.0);
    // As in testdata/metric/client_request_messages.yaml.tmpl.
    let names: BTreeSet<_> = labels.iter().map(|(name, _)| name.as_str()).collect();
    let expected: BTreeSet<_> = ISTIO_HTTP.split_whitespace().take(20).collect();
    assert_eq!(names, expected);
}

#[test]
fn a_tcp_connection_has_no_http_labels() {
    let (metrics, ends) = (Metrics::new(), Ends::new());
    let mut cache = SeriesCache::new(metrics.clone());
    cache.tcp(ends.tcp()).opened();
    cache.tcp(ends.tcp()).sent(700);
    cache.tcp(ends.tcp()).received(7);
    assert!(!metrics.text().contains("istio_tcp_connections_closed_total"));
    cache.tcp(ends.tcp()).closed(Duration::from_secs(2));

    let text = metrics.text();
    let (labels, opened) = sample(&text, "istio_tcp_connections_opened_total{");
    assert_eq!(opened, 1.0);
    assert_eq!(sample(&text, "istio_tcp_connections_closed_total{").1, 1.0);
    assert_eq!(sample(&text, "istio_tcp_sent_bytes_total{").1, 700.0);
    assert_eq!(sample(&text, "istio_tcp_received_bytes_total{").1, 7.0);
    assert_eq!(sample(&text, "meltemi_tcp_connection_duration_milliseconds_sum{").1, 2000.0);
    let names: Vec<_> = labels.iter().map(|(name, _)| name.as_str()).collect();
    let http_only = ["response_code", "grpc_response_status"];
    let expected: Vec<_> = ISTIO_HTTP.split_whitespace().filter(|name| !http_only.contains(name)).collect();
    assert_eq!(names, expected);
}

#[test]
fn equal_workloads_share_a_series_whichever_arc_and_worker_they_come_from() {
    let metrics = Metrics::new();
    for _ in 0..3 {
        let ends = Ends::new();
        let mut cache = SeriesCache::new(metrics.clone());
        cache.http(ends.http(Protocol::Http, 200)).record(Duration::ZERO, 0, 0);
    }
    assert_eq!(sample(&metrics.text(), "istio_requests_total{").1, 3.0);
}

#[test]
fn an_address_that_is_used_again_does_not_lead_to_the_old_series() {
    let metrics = Metrics::new();
    let mut cache = SeriesCache::new(metrics.clone());
    let mut ends = Ends::new();
    for round in 0..50 {
        ends.destination = Arc::new(Workload { name: format!("w{round}"), ..Workload::default() });
        cache.http(ends.http(Protocol::Http, 200)).record(Duration::ZERO, 0, 0);
    }
    let counted = metrics.text();
    let counted = counted.lines().filter(|line| line.starts_with("istio_requests_total{"));
    assert!(counted.clone().all(|line| line.ends_with(" 1")));
    assert_eq!(counted.count(), 50);
}

#[test]
fn label_sets_beyond_the_budget_share_the_overflow_series() {
    // Room for two HTTP label sets: each is a counter and three histograms of 22 series.
    let metrics = Metrics::with_series_limit(2 * 67);
    let mut cache = SeriesCache::new(metrics.clone());
    let mut ends = Ends::new();
    for caller in 0..5_000 {
        ends.source = Arc::new(Workload { name: format!("caller-{caller}"), ..Workload::default() });
        cache.http(ends.http(Protocol::Http, 200)).record(Duration::ZERO, 0, 0);
    }
    let text = metrics.text();
    let (labels, value) = sample(&text, "istio_requests_total{reporter=\"source\",source_workload=\"overflow\"");
    assert_eq!(value, 4_998.0);
    let overflow = labels.iter().filter(|(_, value)| value == "overflow").count();
    assert_eq!(overflow, 23, "all but reporter and request_protocol");
    assert!(text.contains("meltemi_series_overflow_total 4998\n"));
    // Two known and one overflow label set, and the overflow counter.
    assert_eq!(samples(&text), 3 * 67 + 1);
}

#[test]
fn vectors_keep_to_the_budget_too() {
    let metrics = Metrics::with_series_limit(2);
    let vector = metrics.counter_vec("meltemi_refused_total", "Refused.", &["reason"]);
    for reason in ["a", "b", "c", "d", "a"] {
        vector.with(&[reason]).inc();
    }
    let text = metrics.text();
    assert!(text.contains("meltemi_refused_total{reason=\"a\"} 2\n"), "{text}");
    assert!(text.contains("meltemi_refused_total{reason=\"overflow\"} 2\n"), "{text}");
    vector.remove(&["a"]);
    vector.with(&["c"]).inc();
    assert!(metrics.text().contains("meltemi_refused_total{reason=\"c\"} 1\n"));
}

#[test]
fn asking_twice_gives_the_same_instrument_and_a_clash_is_not_exported() {
    let metrics = Metrics::new();
    metrics.counter("meltemi_a_total", "A.").inc();
    metrics.counter("meltemi_a_total", "A.").inc();
    metrics.gauge("meltemi_a_total", "A.").set(9.0);
    metrics.gauge("not a name", "B.").set(9.0);
    metrics.proxy_build("0.1.0");
    let text = metrics.text();
    assert!(text.contains("# TYPE meltemi_a_total counter\nmeltemi_a_total 2\n"), "{text}");
    assert!(!text.contains("not a name"));
    assert!(text.contains("istio_build{component=\"proxy\",tag=\"0.1.0\"} 1\n"));
}

#[test]
fn a_histogram_of_ones_own_counts_a_value_on_a_bound_below_it() {
    let metrics = Metrics::new();
    let histogram = metrics.histogram("meltemi_push_seconds", "Push.", &[1.0, 0.1]);
    histogram.observe(0.1);
    histogram.observe(5.0);
    let text = metrics.text();
    for line in ["_bucket{le=\"0.1\"} 1", "_bucket{le=\"1\"} 1", "_bucket{le=\"+Inf\"} 2", "_sum 5.1"] {
        assert!(text.contains(&format!("meltemi_push_seconds{line}\n")), "{text}");
    }
}
