//! `visitors`: steady load at a fixed rate, whatever the answers take. It counts what came back and says so at its end.

use super::client::Client;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::json;
use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;
use tokio::time::MissedTickBehavior;

/// More requests than these under way at once are not sent but counted as skipped: the load must not become the fault.
const AT_ONCE: usize = 1_000;
/// How long the last requests may take after the end.
const LAST_ONES: Duration = Duration::from_secs(3);
/// How many different failures are kept word for word.
const KEPT_FAILURES: usize = 10;

/// How visitors behave.
#[derive(Debug, Clone, PartialEq)]
pub struct Visits {
    /// Authority of the shop, such as `frontend`.
    pub target: String,
    /// Requests per second.
    pub rate: f64,
    /// The share of orders, which are POSTs with a body; the rest are GETs.
    pub post_share: f64,
    /// The share of requests on a connection of their own.
    pub new_connection_share: f64,
    /// The share of requests that carry the header `user: tester`.
    pub tester_share: f64,
    /// Bytes of a POST's body.
    pub body_bytes: usize,
    /// The end; without it, load lasts until the process is told to stop.
    pub duration: Option<Duration>,
}

#[derive(Debug, Default)]
struct Counts {
    sent: u64,
    skipped: u64,
    failed: u64,
    by_status: BTreeMap<u16, u64>,
    failures: Vec<String>,
}

/// Sends until `stop` or the end, then prints one line of JSON: sent, failed (a status of 500 or above, or no answer),
/// answers by status, the first failures.
pub(super) async fn run(visits: Visits, stop: impl Future<Output = ()>) -> anyhow::Result<()> {
    let client = Client::new(&visits.target);
    let counts = Arc::new(Mutex::new(Counts::default()));
    let under_way = Arc::new(Semaphore::new(AT_ONCE));
    let mut ticks = tokio::time::interval(Duration::from_secs_f64(1.0 / visits.rate.max(0.01)));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let started = Instant::now();
    let end = tokio::time::sleep(visits.duration.unwrap_or(Duration::from_secs(u64::from(u32::MAX))));
    tokio::pin!(stop, end);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = &mut stop => break,
            () = &mut end => break,
        }
        let Ok(permit) = Arc::clone(&under_way).try_acquire_owned() else {
            lock(&counts).skipped += 1;
            continue;
        };
        let (client, counts, visit) = (client.clone(), Arc::clone(&counts), Visit::draw(&visits));
        tokio::spawn(async move {
            visit.go(&client, &counts).await;
            drop(permit);
        });
    }
    let all = u32::try_from(AT_ONCE).unwrap_or(u32::MAX);
    let _ = tokio::time::timeout(LAST_ONES, under_way.acquire_many(all)).await;
    println!("{}", summary(&lock(&counts), started.elapsed()));
    Ok(())
}

/// One request, its kind drawn by lot.
struct Visit {
    post: bool,
    alone: bool,
    headers: HeaderMap,
    body: Bytes,
}

impl Visit {
    fn draw(visits: &Visits) -> Visit {
        let post = fastrand::f64() < visits.post_share;
        let mut headers = HeaderMap::new();
        let trace = format!("00-{:032x}-{:016x}-01", fastrand::u128(1..), fastrand::u64(1..));
        if let Ok(trace) = HeaderValue::from_str(&trace) {
            headers.insert(HeaderName::from_static("traceparent"), trace);
        }
        if fastrand::f64() < visits.tester_share {
            headers.insert(HeaderName::from_static("user"), HeaderValue::from_static("tester"));
        }
        let body = if post { Bytes::from(vec![b'x'; visits.body_bytes]) } else { Bytes::new() };
        Visit { post, alone: fastrand::f64() < visits.new_connection_share, headers, body }
    }

    async fn go(self, client: &Client, counts: &Mutex<Counts>) {
        let (method, path) = match self.post {
            true => ("POST", "/orders".to_owned()),
            false => ("GET", format!("/products/{}", fastrand::u32(1..=20))),
        };
        let request = client.request(method, &path, &self.headers, self.body);
        lock(counts).sent += 1;
        let answer = if self.alone { client.send_alone(request).await } else { client.send(request).await };
        let mut counts = lock(counts);
        let failure = match answer {
            Ok(response) => {
                *counts.by_status.entry(response.status().as_u16()).or_default() += 1;
                let text =
                    || format!("{method} {path}: {}: {}", response.status(), String::from_utf8_lossy(response.body()));
                response.status().is_server_error().then(text)
            }
            Err(error) => Some(format!("{method} {path}: {error:#}")),
        };
        if let Some(failure) = failure {
            counts.failed += 1;
            if counts.failures.len() < KEPT_FAILURES {
                counts.failures.push(failure);
            }
        }
    }
}

fn summary(counts: &Counts, lasted: Duration) -> serde_json::Value {
    json!({
        "seconds": lasted.as_secs_f64(),
        "sent": counts.sent,
        "failed": counts.failed,
        "skipped": counts.skipped,
        "by_status": counts.by_status,
        "failures": counts.failures,
    })
}

fn lock(counts: &Mutex<Counts>) -> std::sync::MutexGuard<'_, Counts> {
    counts.lock().unwrap_or_else(PoisonError::into_inner)
}
