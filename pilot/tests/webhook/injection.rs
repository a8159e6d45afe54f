//! `/inject`.

use crate::fixture::{Server, patched, pod, pod_review, review};
use serde_json::{Value, json};

#[tokio::test]
async fn a_pod_gets_its_sidecar_over_both_versions_of_http() {
    let server = Server::start("").await;
    let review = pod_review("shop", &pod());
    for response in [server.review("/inject", &review).await, server.review_h2("/inject", &review).await] {
        assert_eq!(response["uid"], "705ab4f5-6393-11e8-b7cc-42010a800002");
        let after = patched(&pod(), &response);
        assert_eq!(after["spec"]["initContainers"][1]["name"], "istio-proxy");
        assert_eq!(response["warnings"], Value::Null);
    }
    assert_eq!(server.metric("sidecar_injection_requests_total"), 2.0);
    assert_eq!(server.metric("sidecar_injection_success_total"), 2.0);
    assert_eq!(server.metric("sidecar_injection_time_seconds_count"), 2.0);
}

#[tokio::test]
async fn a_pod_that_cannot_have_one_is_refused_with_the_reason() {
    let server = Server::start("").await;
    let mut wrong = pod();
    wrong["metadata"]["annotations"] = json!({ "sidecar.istio.io/proxyCPU": "lots" });
    let response = server.review("/inject", &pod_review("shop", &wrong)).await;
    assert_eq!((&response["allowed"], &response["patch"]), (&json!(false), &Value::Null));
    let message = response["status"]["message"].as_str().unwrap();
    let expected = "no sidecar can be injected: annotation sidecar.istio.io/proxyCPU: \"lots\" is no amount";
    assert!(message.starts_with(expected), "{message}");
    assert_eq!(server.metric("sidecar_injection_failure_total"), 1.0);
}

#[tokio::test]
async fn a_pod_of_the_hosts_network_is_left_alone_and_its_author_told() {
    let server = Server::start("").await;
    let mut host = pod();
    host["spec"]["hostNetwork"] = true.into();
    let response = server.review("/inject", &pod_review("shop", &host)).await;
    assert_eq!((&response["allowed"], &response["patch"]), (&json!(true), &Value::Null));
    assert!(response["warnings"][0].as_str().unwrap().contains("hostNetwork: true"), "{response}");
    let system = server.review("/inject", &pod_review("kube-system", &pod())).await;
    assert_eq!((&system["allowed"], &system["patch"], &system["warnings"]), (&json!(true), &Value::Null, &Value::Null));
    assert_eq!(server.metric("sidecar_injection_skip_total"), 2.0);
}

#[tokio::test]
async fn warnings_reach_whoever_sends_the_pod() {
    let server = Server::start("").await;
    let mut pod = pod();
    pod["metadata"]["annotations"] = json!({ "sidecar.istio.io/proxyCpu": "1", "sidecar.istio.io/evil\n": "\u{7}" });
    let response = server.review("/inject", &pod_review("guarded", &pod)).await;
    let warnings: Vec<_> = response["warnings"].as_array().unwrap().iter().map(|it| it.as_str().unwrap()).collect();
    assert_eq!(warnings.len(), 3, "{warnings:?}");
    // What the API server passes on whole, in a header.
    assert!(warnings.iter().all(|text| text.len() <= 256 && !text.contains(char::is_control)), "{warnings:?}");
    assert!(warnings.iter().any(|text| text.contains("enforces Pod Security")), "{warnings:?}");
}

#[tokio::test]
async fn very_many_warnings_are_cut_and_counted() {
    let server = Server::start("").await;
    let mut pod = pod();
    let many = (0..200).map(|number| (format!("sidecar.istio.io/unknown{number}{}", "x".repeat(100)), json!("")));
    pod["metadata"]["annotations"] = many.collect::<serde_json::Map<_, _>>().into();
    let response = server.review("/inject", &pod_review("shop", &pod)).await;
    let warnings = response["warnings"].as_array().unwrap();
    let length: usize = warnings.iter().map(|warning| warning.as_str().unwrap().len()).sum();
    assert!(length <= 4096, "{length}");
    let last = warnings.last().unwrap().as_str().unwrap();
    assert_eq!(last, format!("and {} warnings more", 200 - (warnings.len() - 1)));
}

#[tokio::test]
async fn what_is_no_new_pod_is_let_through() {
    let server = Server::start("").await;
    for (operation, resource) in [("CREATE", "deployments"), ("UPDATE", "pods"), ("DELETE", "pods")] {
        let response = server.review("/inject", &review(operation, ["", "v1", resource], "shop", &pod(), &pod())).await;
        assert_eq!((&response["allowed"], &response["patch"]), (&json!(true), &Value::Null), "{operation} {resource}");
    }
}
