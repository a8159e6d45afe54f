//! Serves one downstream HTTP/2 connection until it ends, falls silent, floods, or the proxy drains.

use std::error::Error;
use std::rc::Rc;
use std::time::Duration;

use h2::Reason;
use http::{Method, Request};
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::sync::watch;

use super::flood::Flood;
use super::frame_guard::{FrameGuard, Verdict};
use super::incoming::Incoming;
use super::server::{LAST_MOMENTS, refused_by_now};
use super::stalls::{Limits, Over, Sending, Stalls, StreamExecutor};
use crate::coalesce::Coalesced;
use crate::handover::Phase;
use crate::io::Io;
use crate::worker::{Connection, Worker};

/// A peer that answers no PING for so long is gone.
const PING_EVERY: Duration = Duration::from_secs(20);
const PING_ANSWER: Duration = Duration::from_secs(10);
/// Streams that a peer opened and reset before we looked (CVE-2023-44487): as many as it may have open.
const MAX_PENDING_RESETS: usize = 100;
/// Streams that a peer made us reset (CVE-2025-8671); hyper's default, never unbounded.
const MAX_LOCAL_RESETS: usize = 1024;
/// Bytes of a response that wait for the socket, for each stream: 12.5 MiB for 100 streams of a peer that reads nothing.
const MAX_UNSENT: usize = 128 * 1024;

/// Serves until the connection ends.
///
/// # Errors
/// The reason that is counted, unless it ended as connections end.
pub(super) async fn serve(worker: &Rc<Worker>, connection: &Rc<Connection>, io: Io) -> Result<(), &'static str> {
    let settings = &connection.settings;
    let (stalls, verdict) = (Stalls::new(), Verdict::default());
    let guard =
        FrameGuard::new(Coalesced::new(io), Flood::new(settings.max_head_bytes), stalls.clone(), verdict.clone());
    let service = service_fn(|request: Request<hyper::body::Incoming>| {
        let (worker, connection, stalls) = (worker.clone(), connection.clone(), stalls.clone());
        let (stream, head_only) = (stalls.open(), request.method() == Method::HEAD);
        async move {
            let response = super::serve(worker, connection, request.map(Incoming::Http2), None).await;
            Ok::<_, std::convert::Infallible>(response.map(|body| Sending::new(body, stalls, stream, head_only)))
        }
    });
    let serving = http2::Builder::new(StreamExecutor(stalls.clone()))
        .timer(TokioTimer::new())
        .initial_stream_window_size(settings.stream_window)
        .initial_connection_window_size(settings.connection_window)
        .max_concurrent_streams(settings.max_concurrent_streams)
        .max_header_list_size(u32::try_from(settings.max_head_bytes).unwrap_or(u32::MAX))
        .max_pending_accept_reset_streams(MAX_PENDING_RESETS)
        .max_local_error_reset_streams(MAX_LOCAL_RESETS)
        .max_send_buf_size(MAX_UNSENT)
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PING_ANSWER)
        .serve_connection(TokioIo::new(guard), service);
    let mut serving = std::pin::pin!(serving);
    let limits =
        Limits { socket: PING_EVERY + PING_ANSWER, stream: settings.stream_idle_timeout, idle: settings.idle_timeout };
    let count = |reason: &str| worker.handover.stats.invalid_requests.with(&[reason]).inc();
    let mut stalled = std::pin::pin!(stalls.watch(&limits, || count("http2_stream_stalled")));
    let mut phase = worker.handover.phase.clone();
    tokio::select! {
        served = serving.as_mut() => return served.map_err(|error| why(&error, &verdict)),
        over = stalled.as_mut() => match over {
            Over::Socket => return Err("http2_write_stalled"),
            Over::Idle => {
                serving.as_mut().graceful_shutdown();
                // A peer that does not let its last streams end is not waited for.
                let _ = tokio::time::timeout(LAST_MOMENTS, serving).await;
                return Ok(());
            }
        },
        () = time_to_go(&mut phase) => serving.as_mut().graceful_shutdown(),
        () = connection.chain.retired.wait() => serving.as_mut().graceful_shutdown(),
    }
    tokio::select! {
        served = serving => served.map_err(|error| why(&error, &verdict)),
        over = stalled => match over {
            Over::Socket => Err("http2_write_stalled"),
            Over::Idle => Ok(()),
        },
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
fn why(error: &hyper::Error, verdict: &Verdict) -> &'static str {
    tracing::debug!(%error, verdict = verdict.get(), "a downstream HTTP/2 connection ended early");
    if let Some(reason) = verdict.get() {
        return reason;
    }
    if error.is_timeout() {
        return "http2_ping_unanswered";
    }
    let of_h2 = error.source().and_then(|cause| cause.downcast_ref::<h2::Error>());
    match of_h2.filter(|error| error.is_library()) {
        Some(error) => detected(error),
        None => "connection_error",
    }
}

/// What h2 found wrong with the peer.
fn detected(error: &h2::Error) -> &'static str {
    match error.reason() {
        Some(Reason::ENHANCE_YOUR_CALM) => "http2_flood",
        Some(Reason::FLOW_CONTROL_ERROR) => "http2_flow_control_error",
        Some(Reason::FRAME_SIZE_ERROR) => "http2_frame_size_error",
        Some(Reason::COMPRESSION_ERROR) => "http2_compression_error",
        _ => "http2_protocol_error",
    }
}
