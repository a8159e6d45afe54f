//! Rounds of the writer against the fake: what is written, what is not, in which order and at what price.

use super::super::writer::{Left, StatusMetrics, Writer};
use super::fake_api::FakeApi;
use super::*;
use record::Metrics;
use serde_json::json;
use std::time::Duration;
use tokio::time::Instant;

fn writer(api: &FakeApi) -> Writer {
    Writer::new(api.client(), StatusMetrics::new(&Metrics::new()))
}

fn api_with(statuses: &[ObjectStatus]) -> FakeApi {
    let api = FakeApi::default();
    statuses.iter().for_each(|status| api.create(status));
    api
}

fn reason(api: &FakeApi, status: &ObjectStatus) -> String {
    api.status(&status.object)["conditions"][0]["reason"].as_str().unwrap_or("nothing").to_owned()
}

#[tokio::test(start_paused = true)]
async fn every_object_is_told_once() {
    let statuses = [virtual_service("a"), rejected(virtual_service("b"), "no")];
    let api = api_with(&statuses);
    let mut writer = writer(&api);
    assert_eq!(writer.round(&statuses).await, Left::Nothing);
    assert_eq!(api.log(), ["LIST virtualservices", "PATCH b", "PATCH a"], "what is wrong goes first");
    assert_eq!([reason(&api, &statuses[0]), reason(&api, &statuses[1])], ["InForce", "Rejected"]);
    assert_eq!(writer.round(&statuses).await, Left::Nothing);
    assert_eq!(api.log(), [""; 0], "nothing is new");
    let mended = [virtual_service("a"), ObjectStatus { generation: Some(2), ..virtual_service("b") }];
    writer.round(&mended).await;
    assert_eq!(api.log(), ["GET b", "PATCH b"]);
    assert_eq!(reason(&api, &mended[1]), "InForce");
}

#[tokio::test(start_paused = true)]
async fn who_takes_over_reads_everything_and_writes_only_what_is_wrong() {
    let statuses = [virtual_service("a"), virtual_service("b"), route("r", &[service("s", "")])];
    let api = api_with(&statuses);
    writer(&api).round(&statuses).await;
    api.log();
    let mut next = writer(&api);
    let now = [virtual_service("a"), rejected(virtual_service("b"), "no"), statuses[2].clone()];
    next.round(&now).await;
    assert_eq!(api.log(), ["LIST httproutes", "LIST virtualservices", "PATCH b"]);
}

#[tokio::test(start_paused = true)]
async fn what_another_controller_writes_at_the_same_time_is_not_lost() {
    let status = route("r", &[service("s", "core")]);
    let api = api_with(std::slice::from_ref(&status));
    let foreign = json!({ "parentRef": { "name": "g" }, "controllerName": "example.com/gateways", "conditions": [] });
    api.interfere(&status.object, json!({ "parents": [foreign] }));
    assert_eq!(writer(&api).round(std::slice::from_ref(&status)).await, Left::Nothing);
    assert_eq!(api.log(), ["LIST httproutes", "PATCH r", "GET r", "PATCH r"]);
    let parents = api.status(&status.object)["parents"].clone();
    assert_eq!(parents[0], foreign);
    assert_eq!(parents[1]["parentRef"], json!({ "group": "core", "kind": "Service", "name": "s" }));
}

#[tokio::test(start_paused = true)]
async fn objects_that_are_gone_or_replaced_are_let_be() {
    let statuses = [virtual_service("gone"), virtual_service("new")];
    let api = api_with(&statuses);
    let mut writer = writer(&api);
    writer.round(&statuses).await;
    api.log();
    api.delete(&statuses[0].object);
    api.create(&ObjectStatus { uid: Some("another".into()), ..statuses[1].clone() });
    let wrong = statuses.clone().map(|status| rejected(status, "no"));
    assert_eq!(writer.round(&wrong).await, Left::Nothing);
    assert_eq!(api.log(), ["GET gone", "GET new"], "the new one is not the one that was judged");
    let judged = [ObjectStatus { uid: Some("another".into()), ..statuses[1].clone() }];
    writer.round(&judged).await;
    assert_eq!(api.log(), ["GET new", "PATCH new"]);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_lost_while_the_api_server_is_away() {
    let statuses: Vec<_> = (0..50).map(|i| virtual_service(&format!("v{i}"))).collect();
    let api = api_with(&statuses);
    let mut writer = writer(&api);
    api.set_away(true);
    assert_eq!(writer.round(&statuses).await, Left::Away);
    api.set_away(false);
    assert_eq!(writer.round(&statuses).await, Left::Nothing);
    let wrong: Vec<_> = statuses.iter().cloned().map(|status| rejected(status, "no")).collect();
    api.set_away(true);
    assert_eq!(writer.round(&wrong).await, Left::Away);
    api.set_away(false);
    assert_eq!(writer.round(&wrong).await, Left::Nothing);
    assert!(wrong.iter().all(|status| reason(&api, status) == "Rejected"));
}

#[tokio::test(start_paused = true)]
async fn one_that_is_refused_keeps_none_of_the_others() {
    let statuses = [virtual_service("a"), virtual_service("b"), virtual_service("c")];
    let api = api_with(&statuses);
    api.forbid(&statuses[1].object);
    let mut writer = writer(&api);
    let Left::Until(again) = writer.round(&statuses).await else { panic!("b is to be tried again") };
    assert_eq!([reason(&api, &statuses[0]), reason(&api, &statuses[2])], ["InForce", "InForce"]);
    api.log();
    assert_eq!(writer.round(&statuses).await, Left::Until(again));
    assert_eq!(api.log(), [""; 0], "not before its time");
    tokio::time::sleep_until(again).await;
    let Left::Until(later) = writer.round(&statuses).await else { panic!("b is to be tried again") };
    assert_eq!(api.log(), ["GET b", "PATCH b"]);
    assert!(later - Instant::now() > Duration::from_millis(2500), "the pause grows");
}

/// 5,000 objects, a tenth of them wrong, all at once.
#[tokio::test(start_paused = true)]
async fn a_flood_is_written_in_half_a_minute_and_the_wrong_ones_first() {
    let name = |i: usize| virtual_service(&format!("v{i}"));
    let statuses: Vec<_> = (0..5000).map(|i| if i % 10 == 0 { rejected(name(i), "no") } else { name(i) }).collect();
    let api = api_with(&statuses);
    let mut writer = writer(&api);
    let start = Instant::now();
    assert_eq!(writer.round(&statuses).await, Left::More);
    let wrong = statuses.iter().filter(|status| reason(&api, status) == "Rejected").count();
    assert_eq!((wrong, statuses.iter().filter(|status| reason(&api, status) == "InForce").count()), (500, 0));
    assert!(start.elapsed() < Duration::from_secs(1), "the wrong ones took {:?}", start.elapsed());
    while writer.round(&statuses).await == Left::More {}
    assert!(statuses.iter().all(|status| reason(&api, status) != "nothing"));
    assert!(start.elapsed() < Duration::from_secs(30), "all took {:?}", start.elapsed());
    assert_eq!(api.most_under_way(), 10);
    let log = api.log();
    let count = |verb: &str| log.iter().filter(|entry| entry.starts_with(verb)).count();
    assert_eq!((count("LIST"), count("GET"), count("PATCH")), (10, 0, 5000), "one request for each, and ten pages");
}
