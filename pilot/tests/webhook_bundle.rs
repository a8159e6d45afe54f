//! `caBundle` of our webhooks, kept over a (fake) API server.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "../../citadel/tests/fake_api/mod.rs"]
mod fake_api;

use std::time::Duration;

use citadel::TrustDomain;
use citadel::ca::{Authority, CertificateAuthority};
use fake_api::{FakeApi, Mood};
use k8s_openapi::ByteString;
use pilot::kubernetes::webhook_bundle;
use record::Metrics;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

const INJECTOR: &str = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/meltemi-injector";
const VALIDATOR: &str = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/meltemi-validator";
const OTHER: &str = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/meltemi-injector-canary";
const FOREIGN: &str = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/istio-sidecar-injector";

struct Plane {
    api: FakeApi,
    authority: Authority,
    leads: watch::Sender<bool>,
    metrics: Metrics,
}

impl Plane {
    fn start() -> Self {
        let api = FakeApi::new();
        api.put(INJECTOR, configuration("meltemi", "default", &["namespace", "object"]));
        api.put(VALIDATOR, configuration("meltemi", "default", &["validate"]));
        api.put(OTHER, configuration("meltemi", "canary", &["namespace"]));
        api.put(FOREIGN, configuration("sidecar-injector", "default", &["namespace"]));
        let authority = Authority::new(CertificateAuthority::in_memory(TrustDomain::default()).unwrap());
        let (leads, receiver) = watch::channel(true);
        let metrics = Metrics::new();
        let (client, roots) = (api.client(), authority.changes());
        tokio::spawn(webhook_bundle::run(client, "default".to_owned(), roots, receiver, metrics.clone()));
        Self { api, authority, leads, metrics }
    }

    async fn until_right(&self, path: &str) {
        let bundle = json!(ByteString(self.authority.current().roots_pem().as_bytes().to_vec()));
        let right = |object: Option<&Value>| {
            let webhooks = object.unwrap()["webhooks"].as_array().unwrap();
            webhooks.iter().all(|webhook| webhook["clientConfig"]["caBundle"] == bundle)
        };
        self.api.until(path, right).await;
    }
}

fn configuration(app: &str, revision: &str, webhooks: &[&str]) -> Value {
    let webhooks: Vec<Value> = webhooks
        .iter()
        .map(|name| {
            json!({
                "name": format!("{name}.meltemi.dev"), "sideEffects": "None", "admissionReviewVersions": ["v1"],
                "clientConfig": { "service": { "name": "meltemi", "namespace": "meltemi-system", "path": "/inject" } },
            })
        })
        .collect();
    json!({ "metadata": { "labels": { "app": app, "istio.io/rev": revision } }, "webhooks": webhooks })
}

#[tokio::test(start_paused = true)]
async fn every_webhook_of_our_revision_has_the_roots_and_no_other_is_touched() {
    let plane = Plane::start();
    plane.until_right(INJECTOR).await;
    plane.until_right(VALIDATOR).await;
    sleep(Duration::from_secs(600)).await;
    assert_eq!(plane.api.calls("PATCH"), 2);
    assert!(plane.metrics.text().contains("meltemi_webhook_bundle_patches_total{result=\"patched\"} 2"));
    for path in [OTHER, FOREIGN] {
        assert!(plane.api.get(path).unwrap()["webhooks"][0]["clientConfig"]["caBundle"].is_null(), "{path}");
    }
    let webhook = plane.api.get(INJECTOR).unwrap()["webhooks"][1].clone();
    assert_eq!(webhook["clientConfig"]["service"]["path"], "/inject", "the rest is as it was");
}

#[tokio::test(start_paused = true)]
async fn a_bundle_that_somebody_changes_is_right_again_within_seconds() {
    let plane = Plane::start();
    plane.until_right(INJECTOR).await;
    for bundle in [json!(null), json!(ByteString(b"another root".to_vec()))] {
        let mut edited = plane.api.get(INJECTOR).unwrap();
        edited["webhooks"][1]["clientConfig"]["caBundle"] = bundle;
        plane.api.put(INJECTOR, edited);
        timeout(Duration::from_secs(2), plane.until_right(INJECTOR)).await.unwrap();
    }
    plane.api.delete(VALIDATOR);
    sleep(Duration::from_secs(5)).await;
    plane.api.put(VALIDATOR, configuration("meltemi", "default", &["validate", "another"]));
    timeout(Duration::from_secs(2), plane.until_right(VALIDATOR)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn new_roots_are_in_the_bundles_at_once() {
    let plane = Plane::start();
    plane.until_right(INJECTOR).await;
    plane.until_right(VALIDATOR).await;
    plane.authority.replace(CertificateAuthority::in_memory(TrustDomain::default()).unwrap());
    timeout(Duration::from_secs(2), plane.until_right(INJECTOR)).await.unwrap();
    timeout(Duration::from_secs(2), plane.until_right(VALIDATOR)).await.unwrap();
}

/// Each undid what the other had written, once a second.
#[tokio::test(start_paused = true)]
async fn replicas_that_know_different_roots_do_not_fight() {
    let plane = Plane::start();
    let other = Authority::new(CertificateAuthority::in_memory(TrustDomain::default()).unwrap());
    let (_leads, receiver) = watch::channel(true);
    let running =
        webhook_bundle::run(plane.api.client(), "default".to_owned(), other.changes(), receiver, plane.metrics.clone());
    tokio::spawn(running);
    sleep(Duration::from_secs(600)).await;
    let bundle = &plane.api.get(INJECTOR).unwrap()["webhooks"][1]["clientConfig"]["caBundle"];
    let bundle: ByteString = serde_json::from_value(bundle.clone()).unwrap();
    let bundle = String::from_utf8(bundle.0).unwrap();
    for authority in [&plane.authority, &other] {
        assert!(bundle.contains(authority.current().roots_pem()), "{bundle}");
    }
    assert!(plane.api.calls("PATCH") <= 8, "{} patches of two objects", plane.api.calls("PATCH"));
}

#[tokio::test(start_paused = true)]
async fn an_outage_is_survived_and_a_follower_patches_nothing() {
    let plane = Plane::start();
    plane.until_right(INJECTOR).await;
    plane.until_right(VALIDATOR).await;
    plane.api.mood(Mood::Away);
    sleep(Duration::from_secs(60)).await;
    plane.api.put(INJECTOR, configuration("meltemi", "default", &["namespace"]));
    plane.api.mood(Mood::Well);
    plane.until_right(INJECTOR).await;
    plane.leads.send_replace(false);
    sleep(Duration::from_secs(1)).await;
    let before = plane.api.calls("");
    plane.api.put(INJECTOR, configuration("meltemi", "default", &["namespace"]));
    sleep(Duration::from_secs(60)).await;
    assert_eq!(plane.api.calls(""), before);
}
