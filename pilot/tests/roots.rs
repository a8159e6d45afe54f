//! The roots in every namespace, kept over a (fake) API server.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "../../citadel/tests/fake_api/mod.rs"]
mod fake_api;

use std::time::Duration;

use citadel::TrustDomain;
use citadel::ca::{Authority, CertificateAuthority};
use fake_api::{FakeApi, Mood};
use pilot::kubernetes::roots;
use record::Metrics;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::sleep;

struct Plane {
    api: FakeApi,
    authority: Authority,
    leads: watch::Sender<bool>,
    metrics: Metrics,
}

impl Plane {
    fn start(api: FakeApi, leads: bool) -> Self {
        let authority = Authority::new(CertificateAuthority::in_memory(TrustDomain::default()).unwrap());
        let (leads, receiver) = watch::channel(leads);
        let metrics = Metrics::new();
        tokio::spawn(roots::run(api.client(), authority.changes(), receiver, metrics.clone()));
        Self { api, authority, leads, metrics }
    }

    fn roots(&self) -> String {
        self.authority.current().roots_pem().to_owned()
    }

    async fn until_right(&self, namespace: &str) {
        let roots = self.roots();
        let right = |map: Option<&Value>| {
            map.is_some_and(|map| {
                map["data"]["root-cert.pem"] == roots.as_str() && map["metadata"]["labels"]["app"] == "meltemi"
            })
        };
        self.api.until(&config_map(namespace), right).await;
    }

    fn written(&self, namespace: &str) -> usize {
        self.api.calls(&format!("PATCH {}", config_map(namespace)))
    }

    fn counted(&self, line: &str) -> bool {
        self.metrics.text().lines().any(|l| l == line)
    }
}

fn config_map(namespace: &str) -> String {
    format!("/api/v1/namespaces/{namespace}/configmaps/meltemi-ca-root-cert")
}

fn add_namespace(api: &FakeApi, name: &str) {
    let object = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": {} });
    api.put(&format!("/api/v1/namespaces/{name}"), object);
}

fn with_namespaces(names: &[&str]) -> FakeApi {
    let api = FakeApi::new();
    names.iter().for_each(|name| add_namespace(&api, name));
    api
}

#[tokio::test(start_paused = true)]
async fn every_namespace_has_the_roots_and_a_new_one_at_once() {
    let plane = Plane::start(with_namespaces(&["shop", "bank"]), true);
    plane.until_right("shop").await;
    plane.until_right("bank").await;
    add_namespace(&plane.api, "mail");
    plane.until_right("mail").await;
    sleep(Duration::from_secs(600)).await;
    for namespace in ["shop", "bank", "mail"] {
        assert_eq!(plane.written(namespace), 1, "{namespace}");
    }
    assert!(plane.counted("meltemi_root_config_maps_total{result=\"written\"} 3"));
}

#[tokio::test(start_paused = true)]
async fn edits_and_deletions_are_undone_within_seconds() {
    let plane = Plane::start(with_namespaces(&["shop"]), true);
    plane.until_right("shop").await;
    let path = config_map("shop");
    let good = plane.api.get(&path).unwrap();
    for change in ["data", "label", "deletion"] {
        let mut bad = good.clone();
        match change {
            "data" => bad["data"]["root-cert.pem"] = json!("somebody else's"),
            "label" => bad["metadata"]["labels"] = json!({}),
            _ => {}
        }
        if change == "deletion" {
            plane.api.delete(&path)
        } else {
            plane.api.put(&path, bad)
        }
        tokio::time::timeout(Duration::from_secs(2), plane.until_right("shop")).await.expect(change);
    }
}

#[tokio::test(start_paused = true)]
async fn somebody_who_keeps_writing_the_opposite_causes_no_storm() {
    let plane = Plane::start(with_namespaces(&["shop"]), true);
    plane.until_right("shop").await;
    let path = config_map("shop");
    for _ in 0..1000 {
        plane.api.put(&path, json!({ "metadata": {}, "data": { "root-cert.pem": "mine" } }));
        sleep(Duration::from_millis(10)).await;
    }
    assert!((5..=12).contains(&plane.written("shop")), "{} writes in 10 s", plane.written("shop"));
}

#[tokio::test(start_paused = true)]
async fn a_namespace_that_is_going_is_left_alone() {
    let api = with_namespaces(&["shop"]);
    let going = json!({ "metadata": { "deletionTimestamp": "2026-01-01T00:00:00Z" } });
    api.put("/api/v1/namespaces/going", going.clone());
    let plane = Plane::start(api, true);
    plane.until_right("shop").await;
    plane.api.put("/api/v1/namespaces/shop", going);
    plane.api.delete(&config_map("shop"));
    add_namespace(&plane.api, "bank");
    plane.until_right("bank").await;
    sleep(Duration::from_secs(60)).await;
    assert!(plane.api.get(&config_map("going")).is_none());
    assert!(plane.api.get(&config_map("shop")).is_none());
}

#[tokio::test(start_paused = true)]
async fn a_namespace_whose_end_has_not_been_heard_of_causes_no_storm() {
    let plane = Plane::start(with_namespaces(&["shop", "bank"]), true);
    plane.until_right("shop").await;
    plane.until_right("bank").await;
    plane.api.delete_unheard("/api/v1/namespaces/shop");
    plane.api.delete(&config_map("shop"));
    sleep(Duration::from_secs(60)).await;
    let tries = plane.written("shop") - 1;
    assert!((4..=12).contains(&tries), "{tries} tries in a minute");
    add_namespace(&plane.api, "shop");
    plane.until_right("shop").await;
}

#[tokio::test(start_paused = true)]
async fn a_thousand_namespaces_are_written_once_each_and_few_at_a_time() {
    let names: Vec<String> = (0..1000).map(|number| format!("team-{number}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let plane = Plane::start(with_namespaces(&names), true);
    for name in &names {
        plane.until_right(name).await;
    }
    let most = plane.api.most_at_once();
    assert!(most > 1 && most <= 8, "{most} at once");
    assert_eq!(plane.api.calls("PATCH"), 1000);
}

#[tokio::test(start_paused = true)]
async fn new_roots_reach_every_namespace() {
    let plane = Plane::start(with_namespaces(&["shop", "bank"]), true);
    plane.until_right("shop").await;
    plane.until_right("bank").await;
    let before = plane.roots();
    plane.authority.replace(CertificateAuthority::in_memory(TrustDomain::default()).unwrap());
    assert_ne!(plane.roots(), before);
    plane.until_right("shop").await;
    plane.until_right("bank").await;
    let until =
        &plane.api.get(&config_map("shop")).unwrap()["metadata"]["annotations"]["meltemi.io/former-roots-until"];
    assert!(until.is_string(), "who starts later must know how long the former root is needed: {until}");
}

#[tokio::test(start_paused = true)]
async fn what_fails_is_tried_again_and_counted() {
    let api = with_namespaces(&["shop"]);
    api.mood(Mood::Forbidding);
    let plane = Plane::start(api, true);
    sleep(Duration::from_secs(300)).await;
    let tries = plane.written("shop");
    assert!((6..=14).contains(&tries), "{tries} tries in 5 min");
    assert!(plane.counted(&format!("meltemi_root_config_maps_total{{result=\"failed\"}} {tries}")));
    plane.api.mood(Mood::Well);
    plane.until_right("shop").await;
}

#[tokio::test(start_paused = true)]
async fn only_the_leader_writes() {
    let plane = Plane::start(with_namespaces(&["shop"]), false);
    sleep(Duration::from_secs(60)).await;
    assert_eq!(plane.api.calls(""), 0, "a follower asks for nothing");
    plane.leads.send_replace(true);
    plane.until_right("shop").await;
    plane.leads.send_replace(false);
    sleep(Duration::from_secs(1)).await;
    plane.api.delete(&config_map("shop"));
    sleep(Duration::from_secs(60)).await;
    assert!(plane.api.get(&config_map("shop")).is_none());
    plane.leads.send_replace(true);
    plane.until_right("shop").await;
}

#[tokio::test(start_paused = true)]
async fn after_an_outage_of_the_api_server_everything_is_looked_at_again() {
    let plane = Plane::start(with_namespaces(&["shop", "bank"]), true);
    plane.until_right("shop").await;
    plane.until_right("bank").await;
    plane.api.mood(Mood::Away);
    sleep(Duration::from_secs(60)).await;
    plane.api.delete(&config_map("shop"));
    plane.api.delete(&config_map("bank"));
    plane.api.delete("/api/v1/namespaces/bank");
    add_namespace(&plane.api, "mail");
    plane.api.mood(Mood::Well);
    plane.until_right("shop").await;
    plane.until_right("mail").await;
    sleep(Duration::from_secs(60)).await;
    assert!(plane.api.get(&config_map("bank")).is_none());
    assert_eq!(plane.metrics.text().matches("result=\"failed\"").count(), 0, "a namespace that is gone is no failure");
}
