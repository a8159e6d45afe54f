//! Input that no API server sends: a clear answer each time, and the next good review is answered.

use crate::fixture::{Server, patched, pod, pod_review, request};
use bytes::Bytes;
use hyper::{Method, StatusCode};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

const JSON: &str = "application/json";

#[tokio::test]
async fn garbage_is_answered_with_what_is_wrong() {
    let server = Server::start("").await;
    let good = pod_review("shop", &pod());
    let with = |path: &str, value: Value| {
        let mut review = good.clone();
        *review.pointer_mut(path).unwrap() = value;
        review.to_string()
    };
    let cases = [
        (String::new(), "no AdmissionReview: EOF"),
        ("{".into(), "no AdmissionReview: EOF"),
        ("\u{0}\u{1}".into(), "no AdmissionReview"),
        ("[]".into(), "no AdmissionReview"),
        ("{}".into(), "the body is \"\" \"\", not \"admission.k8s.io/v1\" \"AdmissionReview\""),
        (with("/apiVersion", "admission.k8s.io/v1beta1".into()), "not \"admission.k8s.io/v1\""),
        (with("/kind", "Pod".into()), "not \"admission.k8s.io/v1\""),
        (with("/request", Value::Null), "has no request"),
        (with("/request/uid", "".into()), "has no uid"),
        (with("/request/uid", 7.into()), "invalid type: integer `7`"),
        ("[".repeat(100_000), "no AdmissionReview"),
        (format!("{{\"request\":{{\"object\":{}", "{\"b\":".repeat(100_000)), "recursion limit exceeded"),
    ];
    for path in ["/inject", "/validate"] {
        for (body, wanted) in &cases {
            let (status, text) = server.post(path, JSON, body.clone()).await;
            assert_eq!(status, StatusCode::BAD_REQUEST, "{text}");
            assert!(text.contains(wanted), "{wanted}: {text}");
        }
    }
    assert_eq!(server.metric("sidecar_injection_failure_total"), cases.len() as f64);
    assert_eq!(server.metric("galley_validation_http_error{status=\"400\"}"), cases.len() as f64);
    patched(&pod(), &server.review("/inject", &good).await);
}

#[tokio::test]
async fn objects_that_are_no_pods_are_refused_not_feared() {
    let server = Server::start("").await;
    for object in [Value::Null, json!([]), json!("x"), json!({ "spec": 3 }), json!({ "metadata": { "labels": [] } })] {
        let response = server.review("/inject", &pod_review("shop", &object)).await;
        assert_eq!(response["allowed"], false, "{object}");
    }
}

#[tokio::test]
async fn other_content_types_methods_and_paths_are_named() {
    let server = Server::start("").await;
    let body = pod_review("shop", &pod()).to_string();
    for content_type in ["text/plain", "application/yaml", "application/jsonx", ""] {
        let (status, text) = server.post("/inject", content_type, body.clone()).await;
        assert_eq!(status, StatusCode::UNSUPPORTED_MEDIA_TYPE, "{content_type}");
        assert!(text.contains("send application/json"), "{text}");
    }
    let (status, _) = server.post("/inject", "application/json; charset=utf-8", body.clone()).await;
    assert_eq!(status, StatusCode::OK);
    let mut get = request("/inject", JSON, Bytes::new());
    *get.method_mut() = Method::GET;
    assert_eq!(server.send(get).await.0, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(server.post("/elsewhere", JSON, body).await.0, StatusCode::NOT_FOUND);
}

/// The API server takes objects of 3 MiB.
#[tokio::test]
async fn three_megabytes_are_injected_and_eight_are_refused() {
    let server = Server::start("").await;
    let mut large = pod();
    large["metadata"]["annotations"] = json!({ "note": "x".repeat(3 * 1024 * 1024) });
    let after = patched(&large, &server.review("/inject", &pod_review("shop", &large)).await);
    assert_eq!(after["spec"]["initContainers"].as_array().unwrap().len(), 2);
    let (status, text) = server.post("/inject", JSON, "x".repeat(8 * 1024 * 1024)).await;
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
    assert!(text.contains("more than 7340032 bytes"), "{text}");
}

#[tokio::test]
async fn fifty_containers_are_no_trouble() {
    let server = Server::start("").await;
    let mut large = pod();
    let probe = json!({ "httpGet": { "path": "/", "port": 80 } });
    let container = |number| json!({ "name": format!("c{number}"), "image": "a", "readinessProbe": probe });
    large["spec"]["containers"] = (0..50).map(container).collect();
    let after = patched(&large, &server.review("/inject", &pod_review("shop", &large)).await);
    assert_eq!(after["spec"]["containers"][49]["readinessProbe"]["httpGet"]["path"], "/app-health/c49/readyz");
}

/// Two large bodies that never come have no room side by side; small reviews have.
#[tokio::test]
async fn bodies_that_do_not_come_take_no_room_from_others_for_long() {
    let server = Server::start("").await;
    let head = "POST /inject HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 7000000\r\n\r\n{";
    let (mut first, mut second) = (server.connect(b"http/1.1").await, server.connect(b"http/1.1").await);
    first.write_all(head.as_bytes()).await.unwrap();
    second.write_all(head.as_bytes()).await.unwrap();
    patched(&pod(), &server.review("/inject", &pod_review("shop", &pod())).await);
    let mut answers = [String::new(), String::new()];
    for (stream, answer) in [first, second].iter_mut().zip(&mut answers) {
        let mut bytes = [0; 1024];
        let read = timeout(Duration::from_secs(20), stream.read(&mut bytes)).await.unwrap().unwrap();
        *answer = String::from_utf8_lossy(&bytes[..read]).into_owned();
    }
    answers.sort();
    assert!(answers[0].starts_with("HTTP/1.1 408") && answers[0].contains("did not arrive within 5s"), "{answers:?}");
    assert!(answers[1].starts_with("HTTP/1.1 503") && answers[1].contains("too many reviews under way"), "{answers:?}");
}

#[tokio::test]
async fn a_client_that_goes_away_costs_nothing() {
    let server = Server::start("").await;
    for _ in 0..20 {
        let mut stream = server.connect(b"http/1.1").await;
        stream.write_all(b"POST /inject HTTP/1.1\r\nhost: x\r\ncontent-length: 7000000\r\n\r\n").await.unwrap();
        drop(stream);
    }
    patched(&pod(), &server.review("/inject", &pod_review("shop", &pod())).await);
}
