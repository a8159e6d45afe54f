//! Who writes, and when.

use super::super::run::{News, keep};
use super::super::writer::{StatusMetrics, Writer};
use super::fake_api::FakeApi;
use super::*;
use parking_lot::Mutex;
use record::Metrics;
use std::time::Duration;
use tokio::sync::{broadcast, watch};
use tokio::task::JoinHandle;
use tokio::time::sleep;

/// A writer that runs, and what it hears.
struct Running {
    api: FakeApi,
    statuses: Arc<Mutex<Vec<ObjectStatus>>>,
    leader: watch::Sender<bool>,
    refusals: watch::Sender<u64>,
    task: JoinHandle<()>,
}

fn start(statuses: Vec<ObjectStatus>) -> Running {
    let api = FakeApi::default();
    statuses.iter().for_each(|status| api.create(status));
    let (leader, leads) = watch::channel(false);
    let (refusals, refused) = watch::channel(0);
    let (updates, heard) = broadcast::channel(1);
    let statuses = Arc::new(Mutex::new(statuses));
    let (writer, told) = (Writer::new(api.client(), StatusMetrics::new(&Metrics::new())), statuses.clone());
    let task = tokio::spawn(async move {
        let _updates = updates;
        let news = News { updates: heard, refusals: refused };
        keep(writer, leads, news, || std::future::ready(told.lock().clone())).await;
    });
    Running { api, statuses, leader, refusals, task }
}

impl Running {
    async fn requests(&self) -> Vec<String> {
        sleep(Duration::from_secs(5)).await;
        self.api.log()
    }

    fn tell(&self, statuses: Vec<ObjectStatus>) {
        *self.statuses.lock() = statuses;
        self.refusals.send_modify(|count| *count += 1);
    }
}

#[tokio::test(start_paused = true)]
async fn only_the_leader_writes() {
    let running = start(vec![virtual_service("a")]);
    assert_eq!(running.requests().await, [""; 0]);
    running.leader.send_replace(true);
    assert_eq!(running.requests().await, ["LIST virtualservices", "PATCH a"]);
    running.tell(vec![rejected(virtual_service("a"), "no")]);
    assert_eq!(running.requests().await, ["GET a", "PATCH a"]);
    running.leader.send_replace(false);
    running.tell(vec![virtual_service("a")]);
    assert_eq!(running.requests().await, [""; 0], "another one's turn");
    running.leader.send_replace(true);
    assert_eq!(running.requests().await, ["LIST virtualservices", "PATCH a"], "what was missed is made good");
    drop(running.leader);
    running.task.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_others_overwrite_is_put_right_in_time() {
    let running = start(vec![virtual_service("a")]);
    running.leader.send_replace(true);
    running.requests().await;
    running.api.create(&virtual_service("a"));
    assert_eq!(running.requests().await, [""; 0]);
    sleep(Duration::from_secs(700)).await;
    assert_eq!(running.api.log(), ["LIST virtualservices", "PATCH a"]);
}

#[tokio::test(start_paused = true)]
async fn an_api_server_that_is_away_is_asked_ever_less_often_and_then_told_everything() {
    let running = start(vec![virtual_service("a")]);
    running.api.set_away(true);
    running.leader.send_replace(true);
    sleep(Duration::from_secs(60)).await;
    running.tell(vec![rejected(virtual_service("a"), "no")]);
    running.api.set_away(false);
    sleep(Duration::from_secs(25)).await;
    assert_eq!(running.api.log(), ["LIST virtualservices", "PATCH a"]);
    assert_eq!(running.api.status(&virtual_service("a").object)["conditions"][0]["reason"], "Rejected");
}
