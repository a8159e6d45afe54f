//! What the hub says about the traffic that sidecars report over OTLP.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::sync::Arc;
use std::time::{Duration, Instant};

use hub::{Hub, WantedShare, Window};
use record::{Protocol, Reporter, ResponseFlags, Security, Workload};
use support::{Call, Sidecar, Wanted, hub, only_edge, service, tcp, workload};

#[tokio::test]
async fn a_request_that_both_sides_report_counts_once() {
    let hub = hub();
    let mut frontend = Sidecar::new(&hub, &workload("frontend", "v1")).await;
    let mut catalog = Sidecar::new(&hub, &workload("catalog", "v1")).await;
    Call { times: 9, ..Call::default() }.between(&mut frontend, &mut catalog);
    Call { code: 503, ..Call::default() }.between(&mut frontend, &mut catalog);
    catalog.report().await.unwrap();
    frontend.report().await.unwrap();

    let edge = only_edge(&hub);
    assert_eq!((edge.source.as_str(), edge.destination.as_str()), ("frontend", "catalog"));
    assert_eq!((edge.protocol.as_str(), edge.requests, edge.success_rate), ("http", 10, 0.9));
    assert_eq!(edge.mtls, Some(true));
    assert_eq!(edge.shares, []);
    // 20 ms lie in the bucket (10, 25]; histogram_quantile takes them as spread evenly over it.
    assert_eq!(edge.p50_ms, Some(17.5));
    assert_eq!(edge.p99_ms, Some(10.0 + 15.0 * 0.99));
}

#[tokio::test]
async fn a_failure_that_never_arrived_counts_though_only_the_source_saw_it() {
    let hub = hub();
    let mut frontend = Sidecar::new(&hub, &workload("frontend", "v1")).await;
    let mut catalog = Sidecar::new(&hub, &workload("catalog", "v1")).await;
    Call { times: 3, ..Call::default() }.between(&mut frontend, &mut catalog);
    let nobody = Arc::new(Workload { canonical_service: "unknown".into(), ..Workload::default() });
    let source = frontend.workload.clone();
    let key = record::HttpKey {
        reporter: Reporter::Source,
        source: &source,
        destination: &nobody,
        service: &service("catalog"),
        protocol: Protocol::Http,
        response_code: 503,
        grpc_status: None,
        flags: ResponseFlags::UH,
        security: Security::Unknown,
    };
    frontend.cache.http(key).record(Duration::ZERO, 0, 0);
    frontend.report().await.unwrap();
    catalog.report().await.unwrap();

    let edge = only_edge(&hub);
    assert_eq!((edge.requests, edge.success_rate), (4, 0.75));
    assert_eq!(edge.mtls, Some(true), "what did not arrive has no say");
    assert_eq!(edge.shares, [], "and belongs to no version");
}

#[tokio::test]
async fn a_source_without_a_sidecar_is_unknown_and_its_requests_are_the_destinations_word() {
    let hub = hub();
    let mut catalog = Sidecar::new(&hub, &workload("catalog", "v1")).await;
    let stranger = Arc::<Workload>::default();
    let destination = catalog.workload.clone();
    let plain = Call { security: Security::None, times: 4, ..Call::default() };
    plain.at(&mut catalog, Reporter::Destination, &stranger, &destination);
    catalog.report().await.unwrap();

    let edge = only_edge(&hub);
    assert_eq!((edge.source.as_str(), edge.requests, edge.mtls), ("unknown", 4, Some(false)));
}

#[tokio::test]
async fn a_source_that_the_destination_knows_only_by_certificate_is_not_counted_twice() {
    let hub = hub();
    let mut frontend = Sidecar::new(&hub, &workload("frontend", "v1")).await;
    let mut catalog = Sidecar::new(&hub, &workload("catalog", "v1")).await;
    let (source, destination) = (frontend.workload.clone(), catalog.workload.clone());
    let certificate_only =
        Workload { namespace: source.namespace.clone(), principal: source.principal.clone(), ..Workload::default() };
    Call::default().at(&mut catalog, Reporter::Destination, &Arc::new(certificate_only), &destination);
    Call { times: 5, ..Call::default() }.at(&mut frontend, Reporter::Source, &source, &destination);
    catalog.report().await.unwrap();
    assert_eq!(only_edge(&hub).source, "unknown", "nobody else has counted it yet");
    frontend.report().await.unwrap();
    let edge = only_edge(&hub);
    assert_eq!((edge.source.as_str(), edge.requests), ("frontend", 5));
}

#[tokio::test]
async fn one_plaintext_request_is_enough_for_no_mtls() {
    let hub = hub();
    let mut frontend = Sidecar::new(&hub, &workload("frontend", "v1")).await;
    let mut catalog = Sidecar::new(&hub, &workload("catalog", "v1")).await;
    Call { times: 99, ..Call::default() }.between(&mut frontend, &mut catalog);
    Call { security: Security::None, ..Call::default() }.between(&mut frontend, &mut catalog);
    frontend.report().await.unwrap();
    assert_eq!(only_edge(&hub).mtls, None, "the destination has not spoken");
    catalog.report().await.unwrap();
    assert_eq!(only_edge(&hub).mtls, Some(false));
}

#[tokio::test]
async fn grpc_succeeds_by_its_own_status() {
    let hub = hub();
    let mut catalog = Sidecar::new(&hub, &workload("catalog", "v1")).await;
    let reviews = workload("reviews", "v1");
    let source = catalog.workload.clone();
    let mut call = |code, grpc_status| {
        let call = Call { protocol: Protocol::Grpc, code, grpc_status, ..Call::default() };
        call.at(&mut catalog, Reporter::Source, &source, &reviews);
    };
    call(200, Some(0));
    call(200, Some(14));
    call(503, None);
    call(200, None);
    catalog.report().await.unwrap();
    let edge = only_edge(&hub);
    assert_eq!((edge.protocol.as_str(), edge.requests, edge.success_rate), ("grpc", 4, 0.5));
}

#[tokio::test]
async fn no_response_is_a_failure_and_a_client_error_is_not() {
    let hub = hub();
    let mut frontend = Sidecar::new(&hub, &workload("frontend", "v1")).await;
    let (source, catalog) = (frontend.workload.clone(), workload("catalog", "v1"));
    for code in [0, 404, 500, 200] {
        Call { code, ..Call::default() }.at(&mut frontend, Reporter::Source, &source, &catalog);
    }
    frontend.report().await.unwrap();
    assert_eq!(only_edge(&hub).success_rate, 0.5);
}

#[tokio::test]
async fn a_tcp_connection_counts_as_a_request_from_the_moment_it_opens() {
    let hub = hub();
    let mut catalog = Sidecar::new(&hub, &workload("catalog", "v1")).await;
    let (source, stock, stock_service) = (catalog.workload.clone(), workload("stock", "v1"), service("stock"));
    let good = tcp(Reporter::Source, &source, &stock, &stock_service, ResponseFlags::NONE);
    let bad = tcp(Reporter::Source, &source, &stock, &stock_service, ResponseFlags::UF);
    for _ in 0..3 {
        catalog.cache.tcp(good).opened();
    }
    catalog.report().await.unwrap();
    let edge = only_edge(&hub);
    assert_eq!((edge.requests, edge.success_rate, edge.p50_ms), (3, 1.0, None));

    catalog.cache.tcp(good).closed(Duration::from_secs(2));
    catalog.cache.tcp(bad).opened();
    catalog.cache.tcp(bad).closed(Duration::from_secs(2));
    catalog.report().await.unwrap();
    let edge = only_edge(&hub);
    assert_eq!((edge.protocol.as_str(), edge.requests, edge.success_rate), ("tcp", 4, 0.5));
    // 2 s lie in the bucket (1000, 2500].
    assert_eq!(edge.p50_ms, Some(1750.0));
}

#[tokio::test]
async fn observed_shares_stand_beside_the_wanted() {
    let wanted = |version: &str, weight| WantedShare {
        service: "catalog.shop.svc.cluster.local".into(),
        version: version.into(),
        weight,
    };
    let hub = Hub::new(Arc::new(Wanted(vec![wanted("v1", 0.9), wanted("v2", 0.1)])));
    let mut frontend = Sidecar::new(&hub, &workload("frontend", "v1")).await;
    let source = frontend.workload.clone();
    for (version, times) in [("v1", 75), ("v2", 25)] {
        let call = Call { times, ..Call::default() };
        call.at(&mut frontend, Reporter::Source, &source, &workload("catalog", version));
    }
    frontend.report().await.unwrap();
    let shares = only_edge(&hub).shares;
    let shares: Vec<_> = shares.iter().map(|s| (s.version.as_str(), s.wanted, s.observed)).collect();
    assert_eq!(shares, [("v1", Some(0.9), 0.75), ("v2", Some(0.1), 0.25)]);
}

#[tokio::test]
async fn versions_that_nobody_wants_a_split_of_are_shown_all_the_same() {
    let hub = hub();
    let mut frontend = Sidecar::new(&hub, &workload("frontend", "v1")).await;
    let source = frontend.workload.clone();
    for version in ["v1", "v2"] {
        Call::default().at(&mut frontend, Reporter::Source, &source, &workload("catalog", version));
    }
    frontend.report().await.unwrap();
    let shares = only_edge(&hub).shares;
    assert_eq!(shares.iter().map(|share| share.wanted).collect::<Vec<_>>(), [None, None]);
}

#[tokio::test]
async fn windows_and_totals_add_up_over_reports() {
    let hub = hub();
    let begin = Instant::now();
    let mut frontend = Sidecar::new(&hub, &workload("frontend", "v1")).await;
    let (source, catalog) = (frontend.workload.clone(), workload("catalog", "v1"));
    for _ in 0..3 {
        Call::default().at(&mut frontend, Reporter::Source, &source, &catalog);
        frontend.report().await.unwrap();
    }
    for window in [Window::All, Window::Since(begin), Window::Last(Duration::from_secs(10))] {
        let report = hub.report(window);
        assert_eq!(report.edges[0].requests, 3, "{window:?}");
        assert!(report.seconds <= begin.elapsed().as_secs_f64() + 1.0, "{window:?} {}", report.seconds);
    }
    // A second reporter of the same service adds to the same edge.
    let mut second = Sidecar::new(&hub, &source).await;
    Call::default().at(&mut second, Reporter::Source, &source, &catalog);
    second.report().await.unwrap();
    assert_eq!(only_edge(&hub).requests, 4);
}

#[tokio::test]
async fn services_of_one_name_in_two_namespaces_are_told_apart() {
    let hub = hub();
    let mut frontend = Sidecar::new(&hub, &workload("frontend", "v1")).await;
    let source = frontend.workload.clone();
    let other = Workload { namespace: "attic".into(), ..workload("catalog", "v1").as_ref().clone() };
    for catalog in [workload("catalog", "v1"), Arc::new(other)] {
        Call::default().at(&mut frontend, Reporter::Source, &source, &catalog);
    }
    frontend.report().await.unwrap();
    let edges = hub.edges(Window::All);
    let names: Vec<_> = edges.iter().map(|edge| (edge.source.as_str(), edge.destination.as_str())).collect();
    assert_eq!(names, [("frontend", "catalog.attic"), ("frontend", "catalog.shop")]);
}
