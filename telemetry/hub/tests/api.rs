//! The hub's HTTP answers, as `meltemi demo` and curl read them.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode};
use hub::{Hub, Report, WantedShare};
use record::{Metrics, Reporter};
use serde_json::{Value, json};
use support::{Call, Sidecar, Wanted, hub, workload};
use tower::ServiceExt;

async fn get(hub: &Hub, path: &str) -> (StatusCode, String) {
    let request = Request::get(path).body(Body::empty()).unwrap();
    let response = hub.router().oneshot(request).await.unwrap();
    let status = response.status();
    let body = to_bytes(response.into_body(), 1 << 20).await.unwrap();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test]
async fn the_json_of_an_edge_has_exactly_the_promised_shape() {
    let wanted = |version: &str, weight| WantedShare {
        service: "catalog.shop.svc.cluster.local".into(),
        version: version.into(),
        weight,
    };
    let hub = Hub::new(Arc::new(Wanted(vec![wanted("v1", 0.5), wanted("v2", 0.5)])));
    let mut frontend = Sidecar::new(&hub, &workload("frontend", "v1")).await;
    let source = frontend.workload.clone();
    Call::default().at(&mut frontend, Reporter::Source, &source, &workload("catalog", "v1"));
    frontend.report().await.unwrap();

    let (status, body) = get(&hub, "/api/edges?window=10s").await;
    assert_eq!(status, StatusCode::OK);
    let mut value: Value = serde_json::from_str(&body).unwrap();
    value["seconds"].take();
    assert_eq!(
        value,
        json!({"seconds": null, "edges": [{
            "source": "frontend", "destination": "catalog", "protocol": "http", "requests": 1,
            "success_rate": 1.0, "p50_ms": 17.5, "p99_ms": 24.85, "mtls": null,
            "shares": [
                {"version": "v1", "wanted": 0.5, "observed": 1.0},
                {"version": "v2", "wanted": 0.5, "observed": 0.0},
            ],
        }]})
    );
    let report: Report = serde_json::from_str(&body).unwrap();
    assert!(report.seconds >= 0.0);
}

#[tokio::test]
async fn a_bad_window_is_refused_with_a_text_that_helps() {
    let hub = hub();
    for window in ["ten", "-1s", "10h", "1e9s", ""] {
        let (status, body) = get(&hub, &format!("/api/edges?window={window}")).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{window}");
        assert!(body.contains("such as 10s"), "{body}");
    }
    for path in ["/api/edges", "/api/edges?window=5m", "/api/edges?window=all"] {
        assert_eq!(get(&hub, path).await.0, StatusCode::OK, "{path}");
    }
}

#[tokio::test]
async fn health_says_who_reports() {
    let hub = hub();
    let (status, body) = get(&hub, "/api/health").await;
    assert_eq!(status, StatusCode::OK);
    let empty = json!({"status": "ok", "edges": 0, "reporters": 0, "last_report_seconds_ago": null});
    assert_eq!(serde_json::from_str::<Value>(&body).unwrap(), empty);

    let frontend = Sidecar::new(&hub, &workload("frontend", "v1")).await;
    frontend.metrics.counter("meltemi_a_total", "A.").inc();
    frontend.report().await.unwrap();
    let body: Value = serde_json::from_str(&get(&hub, "/api/health").await.1).unwrap();
    assert_eq!(body["reporters"], 1);
}

#[tokio::test]
async fn metrics_are_served_if_the_hub_has_them() {
    assert_eq!(get(&hub(), "/metrics").await.0, StatusCode::NOT_FOUND);
    let hub = Hub::with_metrics(Arc::new(Wanted::default()), Metrics::new());
    let (status, body) = get(&hub, "/metrics").await;
    assert_eq!(status, StatusCode::OK);
    assert!(body.contains("meltemi_hub_points_total{result=\"refused\"} 0\n"), "{body}");
}
