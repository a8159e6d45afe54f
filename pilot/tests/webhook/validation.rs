//! `/validate`.

use crate::fixture::{Server, review};
use serde_json::{Value, json};

const ROUTES: [&str; 3] = ["networking.istio.io", "v1", "virtualservices"];

fn route(spec: Value) -> Value {
    json!({
        "apiVersion": "networking.istio.io/v1", "kind": "VirtualService",
        "metadata": { "name": "catalog", "namespace": "shop" }, "spec": spec
    })
}

fn good() -> Value {
    route(json!({ "hosts": ["catalog"], "http": [{ "route": [{ "destination": { "host": "catalog" } }] }] }))
}

fn wrong() -> Value {
    route(json!({ "hosts": ["catalog"], "http": [{ "timeout": "soon", "rout": [] }] }))
}

#[tokio::test]
async fn a_good_object_passes() {
    let server = Server::start("").await;
    let response = server.review_h2("/validate", &review("CREATE", ROUTES, "shop", &good(), &Value::Null)).await;
    assert_eq!((&response["allowed"], &response["warnings"]), (&json!(true), &Value::Null), "{response}");
    let name = "galley_validation_passed{group=\"networking.istio.io\",version=\"v1\",resource=\"virtualservices\"}";
    assert_eq!(server.metric(name), 1.0);
}

#[tokio::test]
async fn a_wrong_one_is_refused_with_every_finding() {
    let server = Server::start("").await;
    let response = server.review("/validate", &review("CREATE", ROUTES, "shop", &wrong(), &Value::Null)).await;
    assert_eq!((&response["allowed"], &response["status"]["code"]), (&json!(false), &json!(422)));
    let message = response["status"]["message"].as_str().unwrap();
    assert!(message.starts_with("VirtualService shop/catalog: "), "{message}");
    assert!(message.contains("spec.http[0].rout: no such field; did you mean \"route\"?"), "{message}");
    assert!(message.contains("\n  spec.http[0].timeout: \"soon\" is not a duration"), "{message}");
    let name = "galley_validation_failed{group=\"networking.istio.io\",version=\"v1\",resource=\"virtualservices\",\
                reason=\"invalid_resource\"}";
    assert_eq!(server.metric(name), 1.0);
}

#[tokio::test]
async fn warnings_let_the_object_pass() {
    let server = Server::start("").await;
    let mut object = good();
    object["spec"]["gateways"] = json!(["ingress"]);
    let response = server.review("/validate", &review("CREATE", ROUTES, "shop", &object, &Value::Null)).await;
    assert_eq!(response["allowed"], true);
    assert!(response["warnings"][0].as_str().unwrap().starts_with("spec.gateways: names gateways only"), "{response}");
}

#[tokio::test]
async fn a_wrong_object_from_before_can_still_go_away() {
    let server = Server::start("").await;
    let mut held = wrong();
    held["metadata"]["finalizers"] = json!(["x/y"]);
    let mut deleted = wrong();
    deleted["metadata"]["deletionTimestamp"] = "2026-11-21T00:00:00Z".into();
    let mut status = wrong();
    status["status"] = json!({ "conditions": [] });
    for (operation, object, old) in [
        ("UPDATE", wrong(), held),
        ("UPDATE", deleted, good()),
        ("UPDATE", status, wrong()),
        ("DELETE", Value::Null, wrong()),
    ] {
        let response = server.review("/validate", &review(operation, ROUTES, "shop", &object, &old)).await;
        assert_eq!(response["allowed"], true, "{operation} {response}");
    }
    let mut of_status = review("UPDATE", ROUTES, "shop", &wrong(), &good());
    of_status["request"]["subResource"] = "status".into();
    assert_eq!(server.review("/validate", &of_status).await["allowed"], true);
    let spec = server.review("/validate", &review("UPDATE", ROUTES, "shop", &wrong(), &good())).await;
    assert_eq!(spec["allowed"], false);
}

#[tokio::test]
async fn kinds_without_effect_say_so() {
    let server = Server::start("").await;
    for (version, kind, wanted) in [
        (
            "security.istio.io/v1",
            "AuthorizationPolicy",
            "Meltemi: AuthorizationPolicy is not supported yet: nothing enforces it",
        ),
        ("networking.istio.io/v1", "Sidecar", "Meltemi: Sidecar is not supported yet: it has no effect"),
        ("networking.istio.io/v9", "VirtualService", "has no version \"v9\""),
    ] {
        let object = json!({ "apiVersion": version, "kind": kind, "metadata": { "name": "x" }, "spec": {} });
        let response =
            server.review("/validate", &review("CREATE", ["g", "v", "r"], "shop", &object, &Value::Null)).await;
        assert_eq!(response["allowed"], true);
        assert!(response["warnings"][0].as_str().unwrap().contains(wanted), "{response}");
    }
}

#[tokio::test]
async fn a_kind_without_effect_warns_once_for_each_change() {
    let server = Server::start("").await;
    for (group, kind) in [
        ("networking.istio.io", "EnvoyFilter"),
        ("networking.istio.io", "Gateway"),
        ("networking.istio.io", "ProxyConfig"),
        ("networking.istio.io", "Sidecar"),
        ("networking.istio.io", "WorkloadEntry"),
        ("networking.istio.io", "WorkloadGroup"),
        ("security.istio.io", "AuthorizationPolicy"),
        ("security.istio.io", "RequestAuthentication"),
        ("telemetry.istio.io", "Telemetry"),
        ("extensions.istio.io", "WasmPlugin"),
    ] {
        let version = format!("{group}/v1alpha3");
        let mut object = json!({ "apiVersion": version, "kind": kind, "metadata": { "name": "x" }, "spec": {} });
        let resource = [group, "v1alpha3", "r"];
        let told = server.review("/validate", &review("CREATE", resource, "shop", &object, &Value::Null)).await;
        assert_eq!((&told["allowed"], told["warnings"].as_array().unwrap().len()), (&json!(true), 1), "{kind}: {told}");
        let before = object.clone();
        object["metadata"]["labels"] = json!({ "app": "x" });
        let silent = server.review("/validate", &review("UPDATE", resource, "shop", &object, &before)).await;
        assert_eq!((&silent["allowed"], &silent["warnings"]), (&json!(true), &Value::Null), "{kind}");
    }
}

/// A mistake of ours must never keep the cluster's own objects out.
#[tokio::test]
async fn kubernetes_own_objects_and_strangers_are_never_held_up() {
    let server = Server::start("").await;
    for (version, kind) in [("v1", "Service"), ("v1", "Pod"), ("apps/v1", "Deployment"), ("example.com/v1", "Thing")] {
        let object =
            json!({ "apiVersion": version, "kind": kind, "metadata": { "name": "x" }, "spec": { "ports": 7 } });
        let response =
            server.review("/validate", &review("CREATE", ["", "v1", "x"], "shop", &object, &Value::Null)).await;
        assert_eq!((&response["allowed"], &response["warnings"]), (&json!(true), &Value::Null), "{kind}");
    }
}
