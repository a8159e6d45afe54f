//! When statuses are written: by the leader, after every change of what is to be said.

use super::distributed::distributed;
use super::writer::{Left, StatusMetrics, Writer};
use crate::pilot::{Pilot, Update};
use crate::status::ObjectStatus;
use kube::Client;
use record::Metrics;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{broadcast, watch};
use tokio::time::{Instant, sleep, sleep_until};

/// How long changes are gathered before they are written.
const GATHER: Duration = Duration::from_millis(100);
/// How often everything is compared with the cluster, where others may have written.
const COMPARE: Duration = Duration::from_secs(600);
/// The pause while the API server is away, at first and at most.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(15);

/// Keeps the statuses in the cluster right for as long as `leader` says that this replica is the one to do it. Ends when
/// nobody can say so any more.
pub async fn keep_statuses(client: Client, leader: watch::Receiver<bool>, pilot: Pilot, metrics: &Metrics) {
    let news = News { updates: pilot.updates(), refusals: pilot.catalog().refused_changes() };
    let writer = Writer::new(client, StatusMetrics::new(metrics));
    let statuses = || {
        let pilot = pilot.clone();
        async move {
            distributed(&pilot.catalog()).await;
            pilot.status()
        }
    };
    // Half of a cluster would make every other reference look broken.
    pilot.complete().await;
    keep(writer, leader, news, statuses).await;
}

/// Tells when there may be something else to say.
pub(super) struct News {
    pub(super) updates: broadcast::Receiver<Arc<Update>>,
    pub(super) refusals: watch::Receiver<u64>,
}

impl News {
    async fn next(&mut self) {
        tokio::select! {
            // Who has missed some has not missed that there were some.
            Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) = self.updates.recv() => {}
            Ok(()) = self.refusals.changed() => {}
            else => std::future::pending().await,
        }
    }
}

/// As [`keep_statuses`]; `statuses` gives what is to be said, once it may be said.
pub(super) async fn keep<F: Future<Output = Vec<ObjectStatus>>>(
    mut writer: Writer,
    mut leader: watch::Receiver<bool>,
    mut news: News,
    statuses: impl Fn() -> F,
) {
    while leader.wait_for(|leads| *leads).await.is_ok() {
        let mut deposed = leader.clone();
        writer.start_over();
        tokio::select! {
            told = deposed.wait_for(|leads| !*leads) => {
                if told.is_err() {
                    return;
                }
            }
            () = term(&mut writer, &mut news, &statuses) => {}
        }
    }
}

/// One term as the leader; it does not end by itself.
async fn term<F: Future<Output = Vec<ObjectStatus>>>(writer: &mut Writer, news: &mut News, statuses: &impl Fn() -> F) {
    let mut pause = FIRST_PAUSE;
    let mut compare = Instant::now() + COMPARE;
    loop {
        if compare <= Instant::now() {
            writer.start_over();
            compare = Instant::now() + COMPARE.mul_f64(0.9 + fastrand::f64() * 0.2);
        }
        let left = writer.round(&statuses().await).await;
        if left == Left::Away {
            sleep(pause.mul_f64(0.5 + fastrand::f64())).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
            continue;
        }
        pause = FIRST_PAUSE;
        let until = match left {
            Left::More => continue,
            Left::Until(again) => again.min(compare),
            Left::Nothing | Left::Away => compare,
        };
        tokio::select! {
            () = news.next() => sleep(GATHER).await,
            () = sleep_until(until) => {}
        }
    }
}
