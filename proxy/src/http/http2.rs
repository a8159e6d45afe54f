//! Serves one downstream HTTP/2 connection until it ends or the proxy drains.

use std::rc::Rc;
use std::time::Duration;

use http::Request;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::sync::watch;

use super::incoming::Incoming;
use super::server::{LAST_MOMENTS, refused_by_now};
use crate::handover::Phase;
use crate::io::Io;
use crate::runtime::LocalExecutor;
use crate::worker::{Connection, Worker};

/// A peer that answers no PING for so long is gone.
const PING_EVERY: Duration = Duration::from_secs(20);
const PING_ANSWER: Duration = Duration::from_secs(10);
/// Streams that a peer opened and reset before we looked (CVE-2023-44487); hyper's default, never unbounded.
const MAX_PENDING_RESETS: usize = 20;
/// Streams that a peer made us reset (CVE-2025-8671); hyper's default, never unbounded.
const MAX_LOCAL_RESETS: usize = 1024;

/// Serves until the connection ends; the error is the reason that is counted.
pub(super) async fn serve(worker: &Rc<Worker>, connection: &Rc<Connection>, io: Io) -> Result<(), &'static str> {
    let settings = &connection.settings;
    let service = service_fn(|request: Request<hyper::body::Incoming>| {
        let (worker, connection) = (worker.clone(), connection.clone());
        let request = request.map(Incoming::Http2);
        async move { Ok::<_, std::convert::Infallible>(super::serve(worker, connection, request, None).await) }
    });
    let serving = http2::Builder::new(LocalExecutor)
        .timer(TokioTimer::new())
        .initial_stream_window_size(settings.stream_window)
        .initial_connection_window_size(settings.connection_window)
        .max_concurrent_streams(settings.max_concurrent_streams)
        .max_header_list_size(u32::try_from(settings.max_head_bytes).unwrap_or(u32::MAX))
        .max_pending_accept_reset_streams(MAX_PENDING_RESETS)
        .max_local_error_reset_streams(MAX_LOCAL_RESETS)
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PING_ANSWER)
        .serve_connection(TokioIo::new(io), service);
    let mut serving = std::pin::pin!(serving);
    let mut phase = worker.handover.phase.clone();
    tokio::select! {
        served = serving.as_mut() => return served.map_err(|error| why(&error)),
        () = time_to_go(&mut phase) => serving.as_mut().graceful_shutdown(),
        () = connection.chain.retired.wait() => serving.as_mut().graceful_shutdown(),
    }
    tokio::select! {
        served = serving => served.map_err(|error| why(&error)),
        () = refused_by_now(worker, connection) => Ok(()),
        _ = phase.wait_for(|phase| *phase >= Phase::Stopping) => Ok(()),
    }
}

/// Returns when clients should go elsewhere; one that has come since may send its first requests.
async fn time_to_go(phase: &mut watch::Receiver<Phase>) {
    let late = *phase.borrow() >= Phase::Draining;
    // The sender lives as long as the process.
    let _ = phase.wait_for(|phase| *phase >= Phase::Draining).await;
    if late {
        tokio::time::sleep(LAST_MOMENTS).await;
    }
}

/// The name under which the end of a connection is counted.
fn why(error: &hyper::Error) -> &'static str {
    tracing::debug!(%error, "a downstream HTTP/2 connection ended early");
    match () {
        () if error.is_parse() => "malformed",
        () if error.is_incomplete_message() => "incomplete",
        () => "connection_error",
    }
}
