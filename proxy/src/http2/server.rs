//! Serves one downstream HTTP/2 connection until it ends, falls silent, floods, or the proxy drains.

use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use h2::server::{self, SendResponse};
use h2::{Reason, RecvStream};
use http::header::{CONTENT_LENGTH, DATE};
use http::{HeaderValue, Method, Request, Response, Version};
use http_body::Body as _;
use tokio::sync::watch;

use super::body::{Body, UNREAD_BUDGET};
use super::coalesce::Coalesced;
use super::flood::Flood;
use super::frame_guard::{FrameGuard, Verdict};
use super::heads::Heads;
use super::paced::Paced;
use super::sending::Sending;
use super::stalls::{Limits, Over, Slot, Stalls};
use super::{multiplex, pings, without_connection_headers};
use crate::handover::Phase;
use crate::http::incoming::Incoming;
use crate::http::response_body::ResponseBody;
use crate::http::server::{LAST_MOMENTS, NEVER, refused_by_now};
use crate::http1::encode;
use crate::http1::server::taking;
use crate::io::Io;
use crate::worker::{Connection, Direction, Worker};

/// A peer that answers no PING for so long is gone.
const PING_EVERY: Duration = Duration::from_secs(20);
const PING_ANSWER: Duration = Duration::from_secs(10);
/// Streams that a peer opened and reset before we looked (CVE-2023-44487): as many as it may have open.
const MAX_PENDING_RESETS: usize = 100;
/// Streams that a peer made us reset (CVE-2025-8671); h2's default, never unbounded.
const MAX_LOCAL_RESETS: usize = 1024;
/// Bytes of a response that wait for the socket, for each stream: 12.5 MiB for 100 streams of a peer that reads nothing.
const MAX_UNSENT: usize = 128 * 1024;

const WRITE_STALLED: &str = "http2_write_stalled";

type Guarded = Paced<FrameGuard<Coalesced<Io>>>;
type Serving = server::Connection<Guarded, Bytes>;

/// Serves until the connection ends.
///
/// # Errors
/// The reason that is counted, unless it ended as connections end.
pub async fn serve(worker: &Rc<Worker>, connection: &Rc<Connection>, io: Io) -> Result<(), &'static str> {
    let settings = &connection.settings;
    let (stalls, verdict) = (Stalls::new(), Verdict::default());
    let io = Coalesced::new(io);
    let moved = io.moved();
    let known = connection.direction == Direction::Outbound || connection.principal.is_some();
    let (flood, heads) = (Flood::new(settings.max_head_bytes), Heads::new(settings.head_timeout));
    let guard = FrameGuard::new(io, known, flood, heads, stalls.clone(), verdict.clone());
    let limits = Limits { socket: PING_EVERY + PING_ANSWER, stream: taking(settings), idle: settings.idle_timeout };
    let count_stalled = || worker.handover.stats.invalid_requests.with(&["http2_stream_stalled"]).inc();
    let mut stalled = pin!(stalls.watch(&limits, &count_stalled));
    let mut phase = worker.handover.phase.clone();
    let head_timeout = settings.head_timeout.unwrap_or(NEVER);
    let mut serving = tokio::select! {
        opened = tokio::time::timeout(head_timeout, open(connection, Paced::new(guard))) =>
            opened.map_err(|_| "timeout")?.map_err(|error| why(&error, &verdict))?,
        over = stalled.as_mut() => return ended(over),
        _ = phase.wait_for(|phase| *phase >= Phase::Stopping) => return Ok(()),
    };
    let mut pings = pin!(pings::unanswered(serving.ping_pong(), PING_EVERY, PING_ANSWER, &moved));
    let told = |served: Result<(), h2::Error>| served.map_err(|error| why(&error, &verdict));
    tokio::select! {
        biased;
        served = accept(&mut serving, worker, connection, &stalls) => return told(served),
        () = pings.as_mut() => return Err(unanswered(&stalls)),
        over = stalled.as_mut() => match over {
            Over::Socket => return ended(over),
            // A stream that its client has opened meanwhile is served.
            Over::Idle => stalled.set(stalls.watch(&limits, &count_stalled)),
        },
        () = time_to_go(&mut phase) => {}
        () = connection.chain.retired.wait() => {}
    }
    serving.graceful_shutdown();
    tokio::select! {
        biased;
        served = accept(&mut serving, worker, connection, &stalls) => told(served),
        () = pings => Err(unanswered(&stalls)),
        over = stalled => ended(over),
        () = refused_by_now(worker, connection) => Ok(()),
        _ = phase.wait_for(|phase| *phase >= Phase::Stopping) => Ok(()),
    }
}

async fn open(connection: &Connection, guard: Guarded) -> Result<Serving, h2::Error> {
    let settings = &connection.settings;
    let mut builder = server::Builder::new();
    builder
        .initial_window_size(settings.stream_window)
        .initial_connection_window_size(settings.connection_window)
        .max_concurrent_streams(settings.max_concurrent_streams)
        .max_header_list_size(u32::try_from(settings.max_head_bytes).unwrap_or(u32::MAX))
        .max_pending_accept_reset_streams(MAX_PENDING_RESETS)
        .max_local_error_reset_streams(Some(MAX_LOCAL_RESETS))
        .max_send_buffer_size(MAX_UNSENT)
        .data_frame_budget(UNREAD_BUDGET);
    if connection.multiplexed {
        builder
            .initial_window_size(multiplex::stream_window(settings.connection_window, settings.max_concurrent_streams))
            .data_frame_budget(multiplex::UNREAD_BUDGET)
            .max_header_list_size(multiplex::head_limit(settings.max_head_bytes, settings.max_headers));
    }
    builder.handshake(guard).await
}

/// A PING that cannot leave has no answer either, and then that is the reason.
fn unanswered(stalls: &Stalls) -> &'static str {
    if stalls.is_blocked() { WRITE_STALLED } else { "http2_ping_unanswered" }
}

fn ended(over: Over) -> Result<(), &'static str> {
    match over {
        Over::Socket => Err(WRITE_STALLED),
        Over::Idle => Ok(()),
    }
}

/// Takes streams until no more come; each is served by a task of its own.
async fn accept(
    serving: &mut Serving,
    worker: &Rc<Worker>,
    connection: &Rc<Connection>,
    stalls: &Rc<Stalls>,
) -> Result<(), h2::Error> {
    while let Some(accepted) = serving.accept().await {
        let (request, respond) = accepted?;
        let (worker, connection) = (worker.clone(), connection.clone());
        stalls.open().spawn(async move |slot| stream(worker, connection, request, respond, slot).await);
    }
    Ok(())
}

/// Serves one request, unless its client takes it back.
async fn stream(
    worker: Rc<Worker>,
    connection: Rc<Connection>,
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
    slot: &Slot,
) {
    let (mut parts, stream) = request.into_parts();
    let spelling = if connection.multiplexed { multiplex::restore(&mut parts) } else { None };
    let of_http1 = parts.version != Version::HTTP_2;
    if of_http1 {
        worker.handover.stats.multiplexed.inc();
    }
    let head_only = parts.method == Method::HEAD;
    let body = Incoming::Http2(Box::new(Body::new(stream, &parts.headers, None)));
    let response = {
        let request = Request::from_parts(parts, body);
        let mut serving = pin!(crate::http::serve(worker, connection, request, spelling));
        poll_fn(|cx| match serving.as_mut().poll(cx) {
            Poll::Ready(response) => Poll::Ready(Some(response)),
            Poll::Pending => respond.poll_reset(cx).map(|_| None),
        })
        .await
    };
    let Some(response) = response else { return };
    let (mut head, mut body) = head_and_body(response);
    if of_http1 {
        multiplex::mark(head.headers_mut(), body.spelling().as_ref());
    }
    let end = head_only || body.is_end_stream();
    let Ok(stream) = respond.send_response(head, end) else {
        respond.send_reset(Reason::INTERNAL_ERROR);
        return;
    };
    if end {
        return;
    }
    let mut sending = Sending::new(body, stream);
    let sent = poll_fn(|cx| {
        let polled = sending.poll(cx);
        slot.note(sending.is_blocked());
        polled
    });
    if let Err(error) = sent.await {
        tracing::debug!(%error, "a response broke off");
        // What came before is the client's: the connection's task writes it first.
        tokio::task::yield_now().await;
        sending.reset();
    }
}

/// The head as HTTP/2 wants it, complete.
fn head_and_body(response: Response<ResponseBody>) -> (Response<()>, ResponseBody) {
    let (parts, body) = response.into_parts();
    let mut head = Response::from_parts(parts, ());
    *head.version_mut() = Version::HTTP_2;
    let headers = head.headers_mut();
    without_connection_headers(headers);
    if !headers.contains_key(DATE) {
        encode::with_date(|date| headers.insert(DATE, date.clone()));
    }
    if let Some(length) = body.size_hint().exact().filter(|_| !body.is_end_stream())
        && !headers.contains_key(CONTENT_LENGTH)
    {
        headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
    (head, body)
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
fn why(error: &h2::Error, verdict: &Verdict) -> &'static str {
    tracing::debug!(%error, verdict = verdict.get(), "a downstream HTTP/2 connection ended early");
    match verdict.get() {
        Some(reason) => reason,
        None if error.is_library() => detected(error),
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
