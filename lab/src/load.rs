//! Load from inside a pod's network: kept and fresh connections, GETs and POSTs, every answer accounted for.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use crate::Namespaces;

/// A request that takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(10);
/// Failures that are told in their own words.
const TOLD: usize = 5;

/// What is sent.
#[derive(Debug, Clone)]
pub struct Load {
    /// Where the client connects to: a service address.
    pub target: SocketAddr,
    /// `Host`.
    pub authority: &'static str,
    /// Requests a second over all connections; `None`: as fast as answers come.
    pub rate: Option<u32>,
    /// Connections.
    pub connections: u32,
    /// Requests in all; `None`: until what is tested is over.
    pub count: Option<u64>,
    /// Every so many-th request is a POST with a body; 0: none.
    pub post_every: u64,
    /// Every so many-th request is on a new connection; 0: none.
    pub fresh_every: u64,
    /// More headers.
    pub headers: Vec<(&'static str, String)>,
}

/// What came back.
#[derive(Debug, Default)]
pub struct Summary {
    /// Requests made.
    pub sent: u64,
    /// By status.
    pub statuses: BTreeMap<u16, u64>,
    /// By the version that answered.
    pub versions: BTreeMap<String, u64>,
    /// Tries that upstreams saw, over all requests.
    pub attempts: u64,
    /// Requests that took longer than a second.
    pub slow: u64,
    /// The first answers with another status than 200, as they came.
    pub refusals: Vec<String>,
    /// Everything else than an answer, in words.
    pub errors: Vec<String>,
}

impl Load {
    /// A load on a service address, 500 requests a second on 16 connections, one in four a POST, one in ten on a new connection.
    pub fn steady(target: impl Into<SocketAddr>, authority: &'static str) -> Self {
        Self {
            target: target.into(),
            authority,
            rate: Some(500),
            connections: 16,
            count: None,
            post_every: 4,
            fresh_every: 10,
            headers: Vec::new(),
        }
    }

    /// So many GETs as fast as answers come.
    pub fn burst(target: impl Into<SocketAddr>, authority: &'static str, count: u64) -> Self {
        let count = Some(count);
        Self { rate: None, count, post_every: 0, fresh_every: 0, ..Self::steady(target, authority) }
    }

    /// Sends from inside of `from` while `during` runs and until the count is reached.
    pub fn run<T: Send>(&self, from: &Namespaces, during: impl FnOnce() -> T + Send) -> (Summary, T) {
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let sender = scope.spawn(|| from.enter(|| send(self, &stop)).and_then(|sent| sent));
            let result = during();
            stop.store(true, Ordering::Relaxed);
            let summary = match sender.join() {
                Ok(summary) => summary.unwrap_or_else(|error| Summary::nothing(format!("no load: {error}"))),
                Err(panic) => std::panic::resume_unwind(panic),
            };
            (summary, result)
        })
    }
}

impl Summary {
    fn nothing(why: String) -> Summary {
        Summary { errors: vec![why], ..Summary::default() }
    }

    /// Requests that did not end with status 200.
    pub fn failed(&self) -> u64 {
        let bad: u64 = self.statuses.iter().filter(|(status, _)| **status != 200).map(|(_, count)| count).sum();
        bad + self.errors.len() as u64
    }

    /// One line with the first errors.
    pub fn told(&self) -> String {
        let some: Vec<&String> = self.refusals.iter().chain(&self.errors).take(TOLD).collect();
        format!("{} sent, {} failed, statuses {:?}, errors {some:?}", self.sent, self.failed(), self.statuses)
    }
}

fn send(load: &Load, stop: &AtomicBool) -> std::io::Result<Summary> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let summary = Mutex::new(Summary::default());
    let next = AtomicU64::new(0);
    runtime.block_on(async {
        let clients = (0..load.connections).map(|number| client(load, number, stop, &next, &summary));
        join_all(clients).await;
    });
    Ok(summary.into_inner().unwrap_or_else(PoisonError::into_inner))
}

fn lock(summary: &Mutex<Summary>) -> MutexGuard<'_, Summary> {
    summary.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn join_all(futures: impl Iterator<Item = impl Future<Output = ()>>) {
    let mut all: Vec<_> = futures.map(Box::pin).collect();
    std::future::poll_fn(|cx| {
        all.retain_mut(|future| future.as_mut().poll(cx).is_pending());
        if all.is_empty() { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
}

async fn client(load: &Load, number: u32, stop: &AtomicBool, next: &AtomicU64, summary: &Mutex<Summary>) {
    let pace = load.rate.map(|rate| Duration::from_secs_f64(f64::from(load.connections) / f64::from(rate)));
    let mut due = Instant::now() + pace.unwrap_or_default().mul_f64(f64::from(number) / f64::from(load.connections));
    let mut kept: Option<SendRequest<Full<Bytes>>> = None;
    loop {
        let id = next.fetch_add(1, Ordering::Relaxed);
        if load.count.map_or_else(|| stop.load(Ordering::Relaxed), |count| id >= count) {
            return;
        }
        if let Some(pace) = pace {
            tokio::time::sleep_until(due).await;
            due += pace;
        }
        let started = Instant::now();
        let outcome = timeout(PATIENCE, one(load, id, &mut kept)).await;
        let mut summary = lock(summary);
        summary.sent += 1;
        summary.slow += u64::from(started.elapsed() > Duration::from_secs(1));
        match outcome {
            Ok(Ok(response)) => summary.add(&response),
            Ok(Err(error)) => summary.errors.push(format!("request {id}: {error}")),
            Err(_) => summary.errors.push(format!("request {id}: no answer within {PATIENCE:?}")),
        }
    }
}

impl Summary {
    fn add(&mut self, response: &Response<Bytes>) {
        *self.statuses.entry(response.status().as_u16()).or_default() += 1;
        if response.status() != StatusCode::OK && self.refusals.len() < TOLD {
            self.refusals.push(format!("{response:?}"));
        }
        if let Ok(body) = serde_json::from_slice::<serde_json::Value>(response.body()) {
            self.attempts += body["attempt"].as_u64().unwrap_or(0);
            if let Some(version) = body["version"].as_str() {
                *self.versions.entry(version.to_owned()).or_default() += 1;
            }
        }
    }
}

async fn one(load: &Load, id: u64, kept: &mut Option<SendRequest<Full<Bytes>>>) -> Result<Response<Bytes>, String> {
    let every = |n: u64| n > 0 && id % n == n - 1;
    let mut sender = match kept.take().filter(|sender| !sender.is_closed() && !every(load.fresh_every)) {
        Some(sender) => sender,
        None => open(load.target).await?,
    };
    let post = every(load.post_every);
    let body = if post { Bytes::from(vec![b'x'; 1024]) } else { Bytes::new() };
    let mut request = Request::new(Full::new(body));
    *request.method_mut() = if post { http::Method::POST } else { http::Method::GET };
    *request.uri_mut() = format!("/{id}").parse().map_err(|error| format!("path: {error}"))?;
    head(request.headers_mut(), load, id)?;
    let response = sender.send_request(request).await.map_err(|error| format!("{error:?}"))?;
    let (parts, body) = response.into_parts();
    let body = body.collect().await.map_err(|error| format!("the body broke off: {error:?}"))?.to_bytes();
    if sender.ready().await.is_ok() {
        *kept = Some(sender);
    }
    Ok(Response::from_parts(parts, body))
}

fn head(headers: &mut HeaderMap, load: &Load, id: u64) -> Result<(), String> {
    let mut insert = |name: &'static str, value: &str| -> Result<(), String> {
        headers.insert(name, value.parse().map_err(|error| format!("{name}: {error}"))?);
        Ok(())
    };
    insert("host", load.authority)?;
    insert("x-request-id", &format!("load-{id}"))?;
    load.headers.iter().try_for_each(|(name, value)| insert(name, value))
}

async fn open(target: SocketAddr) -> Result<SendRequest<Full<Bytes>>, String> {
    let stream = TcpStream::connect(target).await.map_err(|error| format!("connect: {error}"))?;
    stream.set_nodelay(true).map_err(|error| error.to_string())?;
    let (sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
    tokio::spawn(connection);
    Ok(sender)
}
