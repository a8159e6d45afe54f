//! Pooled connections of one endpoint: HTTP/1.1 one request at a time, HTTP/2 many at once.
//!
//! A connection is handed out only while hyper says that it is open and idle. When the peer closed it all the same
//! before a byte of the request left, the request comes back and goes out on another.

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::FutureExt;
use futures::future::{LocalBoxFuture, Shared};
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::{TrySendError, http1, http2};
use hyper_util::rt::{TokioIo, TokioTimer};

use super::connect::{ConnectError, connect};
use super::{Host, Upstream};
use crate::handover::Handover;
use crate::http::body::RequestBody;
use crate::model::UpstreamVersion;
use crate::runtime::LocalExecutor;
use crate::tls::{Alpn, ISTIO_HTTP1, ISTIO_HTTP2};

/// Streams on a connection whose peer has not said yet how many it takes; what Envoy and our sidecars allow.
const INITIAL_STREAMS: usize = 100;
/// Idle HTTP/1.1 connections kept for one endpoint; more are closed.
const MAX_IDLE: usize = 256;

/// The version that a request goes out in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2.
    Http2,
}

impl Version {
    /// What the cluster says, or what the downstream speaks where it leaves that open.
    pub fn of(wanted: UpstreamVersion, downstream: http::Version) -> Self {
        match wanted {
            UpstreamVersion::Http1 => Self::Http1,
            UpstreamVersion::Http2 => Self::Http2,
            UpstreamVersion::Downstream if downstream == http::Version::HTTP_2 => Self::Http2,
            UpstreamVersion::Downstream => Self::Http1,
        }
    }

    fn alpn(self) -> Alpn {
        match self {
            Self::Http1 => ISTIO_HTTP1,
            Self::Http2 => ISTIO_HTTP2,
        }
    }
}

/// Connections of one endpoint.
#[derive(Default)]
pub struct Pool {
    http1: RefCell<Vec<Http1>>,
    http2: RefCell<Vec<Rc<Http2>>>,
    dialling: RefCell<Option<Dial>>,
}

type Dial = Shared<LocalBoxFuture<'static, Result<Rc<Http2>, Rc<ConnectError>>>>;

/// An HTTP/1.1 connection.
struct Http1 {
    sender: http1::SendRequest<RequestBody>,
    principal: Option<Arc<str>>,
    idle_since: Instant,
}

/// An HTTP/2 connection.
pub struct Http2 {
    sender: http2::SendRequest<RequestBody>,
    principal: Option<Arc<str>>,
    streams: Cell<usize>,
    /// What the peer's SETTINGS allow.
    allowed: Rc<Cell<usize>>,
}

/// A response whose body is still to come, and what must happen when it has come.
pub struct Answer {
    /// Head and body.
    pub response: Response<Incoming>,
    /// The connection, to be given back when the body was read to its end.
    pub lease: Lease,
    /// Who the certificate proved the peer to be.
    pub principal: Option<Arc<str>>,
}

/// A connection in use. Dropped: an HTTP/1.1 connection closes, an HTTP/2 stream is over.
pub struct Lease(Held);

enum Held {
    Http1 { sender: http1::SendRequest<RequestBody>, principal: Option<Arc<str>>, host: Rc<Host> },
    Http2(#[expect(dead_code, reason = "held for its drop")] Stream),
}

/// One stream of an HTTP/2 connection, counted for as long as it lives.
struct Stream(Rc<Http2>);

/// A try that came to nothing.
pub struct Failure {
    /// What kind, which decides whether another try is safe.
    pub kind: FailureKind,
    /// The request, when no byte of it left.
    pub request: Option<Request<RequestBody>>,
    /// For the log.
    pub text: String,
}

/// Kinds of failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureKind {
    /// No connection.
    Connect,
    /// The peer said that it did not process the request: REFUSED_STREAM, or GOAWAY below its stream.
    Refused,
    /// The connection or stream broke after the request went out and before a response came.
    Reset,
    /// Our own downstream broke off its request body.
    Downstream,
}

impl Pool {
    /// The connections, leaving none.
    pub fn take(&self) -> Self {
        Self {
            http1: RefCell::new(self.http1.take()),
            http2: RefCell::new(self.http2.take()),
            dialling: RefCell::default(),
        }
    }

    /// Closes connections that were idle for longer, and forgets those that are closed.
    pub fn prune(&self, timeout: Option<Duration>) {
        self.http1.borrow_mut().retain(|conn| {
            !conn.sender.is_closed() && timeout.is_none_or(|timeout| conn.idle_since.elapsed() < timeout)
        });
        self.http2.borrow_mut().retain(|conn| !conn.sender.is_closed());
    }

    /// An idle HTTP/1.1 connection that is still open.
    fn idle(&self, timeout: Option<Duration>) -> Option<Http1> {
        self.prune(timeout);
        let mut idle = self.http1.borrow_mut();
        let last = idle.iter().rposition(|conn| conn.sender.is_ready())?;
        Some(idle.remove(last))
    }

    /// An HTTP/2 connection with room for one more stream.
    fn shared(&self, limit: usize) -> Option<Rc<Http2>> {
        let mut open = self.http2.borrow_mut();
        open.retain(|conn| !conn.sender.is_closed());
        open.iter().find(|conn| conn.streams.get() < limit.min(conn.allowed.get())).cloned()
    }
}

/// Sends a request to an endpoint, on a pooled connection if there is one.
///
/// # Errors
/// [`Failure`], with the request inside when no byte of it left.
pub async fn send(
    handover: &Arc<Handover>,
    upstream: &Upstream,
    host: &Rc<Host>,
    version: Version,
    request: Request<RequestBody>,
) -> Result<Answer, Failure> {
    match version {
        Version::Http1 => send_http1(handover, upstream, host, request).await,
        Version::Http2 => send_http2(handover, upstream, host, request).await,
    }
}

async fn send_http1(
    handover: &Arc<Handover>,
    upstream: &Upstream,
    host: &Rc<Host>,
    mut request: Request<RequestBody>,
) -> Result<Answer, Failure> {
    loop {
        let pooled = host.pool.idle(upstream.cluster.http.idle_timeout);
        let reused = pooled.is_some();
        let mut conn = match pooled {
            Some(conn) => conn,
            None => match dial_http1(handover, upstream, host).await {
                Ok(conn) => conn,
                Err(error) => return Err(Failure::connect(&error, request)),
            },
        };
        match conn.sender.try_send_request(request).await {
            Ok(response) => {
                let principal = conn.principal.clone();
                let held = Held::Http1 { sender: conn.sender, principal: conn.principal, host: host.clone() };
                return Ok(Answer { response, lease: Lease(held), principal });
            }
            Err(error) => match Failure::of(error) {
                // The peer closed the idle connection first: nothing was sent, take another.
                Failure { request: Some(unsent), .. } if reused => request = unsent,
                failure => return Err(failure),
            },
        }
    }
}

async fn dial_http1(handover: &Handover, upstream: &Upstream, host: &Host) -> Result<Http1, ConnectError> {
    let cluster = &upstream.cluster;
    let connected = connect(handover, cluster, &host.endpoint, Some(Version::Http1.alpn())).await?;
    let (sender, connection) = http1::Builder::new()
        .preserve_header_case(true)
        .handshake(TokioIo::new(connected.io))
        .await
        .map_err(|error| handshake_failed(host, error))?;
    tokio::task::spawn_local(async move {
        if let Err(error) = connection.with_upgrades().await {
            tracing::debug!(%error, "an upstream HTTP/1.1 connection ended");
        }
    });
    Ok(Http1 { sender, principal: connected.principal, idle_since: Instant::now() })
}

async fn send_http2(
    handover: &Arc<Handover>,
    upstream: &Upstream,
    host: &Rc<Host>,
    mut request: Request<RequestBody>,
) -> Result<Answer, Failure> {
    let limit = upstream.cluster.http.max_concurrent_streams as usize;
    let mut fresh = false;
    loop {
        let connection = match host.pool.shared(limit) {
            Some(connection) => connection,
            None => {
                fresh = true;
                match dial_http2(handover, upstream, host).await {
                    Ok(connection) => connection,
                    Err(error) => return Err(Failure::connect(&error, request)),
                }
            }
        };
        let lease = Lease(Held::Http2(Stream::open(connection.clone())));
        match connection.sender.clone().try_send_request(request).await {
            Ok(response) => return Ok(Answer { response, lease, principal: connection.principal.clone() }),
            Err(error) => match Failure::of(error) {
                Failure { request: Some(unsent), .. } if !fresh => request = unsent,
                failure => return Err(failure),
            },
        }
    }
}

/// One dial at a time for an endpoint: whoever comes while it is under way waits for it and shares its outcome.
async fn dial_http2(
    handover: &Arc<Handover>,
    upstream: &Upstream,
    host: &Rc<Host>,
) -> Result<Rc<Http2>, Rc<ConnectError>> {
    let under_way = host.pool.dialling.borrow().clone();
    if let Some(dial) = under_way {
        return dial.await;
    }
    let (handover, cluster, endpoint) = (handover.clone(), upstream.cluster.clone(), host.endpoint.clone());
    let weak = Rc::downgrade(host);
    let dial = async move {
        let connected = connect(&handover, &cluster, &endpoint, Some(Version::Http2.alpn())).await.map_err(Rc::new)?;
        let http = &cluster.http;
        let (sender, connection) = http2::Builder::new(LocalExecutor)
            .timer(TokioTimer::new())
            .initial_stream_window_size(http.stream_window)
            .initial_connection_window_size(http.connection_window)
            .initial_max_send_streams(INITIAL_STREAMS)
            .keep_alive_interval(Duration::from_secs(30))
            .keep_alive_timeout(Duration::from_secs(10))
            .handshake(TokioIo::new(connected.io))
            .await
            .map_err(|error| {
                Rc::new(ConnectError::Io { address: endpoint.address, source: std::io::Error::other(error) })
            })?;
        let allowed = Rc::new(Cell::new(INITIAL_STREAMS));
        let publish = allowed.clone();
        tokio::task::spawn_local(async move {
            let mut connection = std::pin::pin!(connection);
            let driven = std::future::poll_fn(|cx| {
                let polled = connection.as_mut().poll(cx);
                publish.set(connection.current_max_send_streams());
                polled
            });
            if let Err(error) = driven.await {
                tracing::debug!(%error, "an upstream HTTP/2 connection ended");
            }
        });
        Ok(Rc::new(Http2 { sender, principal: connected.principal, streams: Cell::new(0), allowed }))
    };
    // Whoever polls the dial to its end also puts the connection into the pool: the first may have given up.
    let dial: Dial = dial.inspect(move |outcome| deliver(&weak, outcome)).boxed_local().shared();
    *host.pool.dialling.borrow_mut() = Some(dial.clone());
    // It goes on when all who wait have gone, so that nobody later meets a dial whose time is over.
    tokio::task::spawn_local(dial.clone().map(drop));
    dial.await
}

fn deliver(host: &Weak<Host>, outcome: &Result<Rc<Http2>, Rc<ConnectError>>) {
    let Some(host) = host.upgrade() else { return };
    host.pool.dialling.borrow_mut().take();
    if let Ok(connection) = outcome {
        host.pool.http2.borrow_mut().push(connection.clone());
    }
}

fn handshake_failed(host: &Host, error: hyper::Error) -> ConnectError {
    ConnectError::Io { address: host.endpoint.address, source: std::io::Error::other(error) }
}

impl Lease {
    /// Gives the connection back: the response was read to its end.
    pub fn give_back(self) {
        let Held::Http1 { sender, principal, host } = self.0 else { return };
        let mut idle = host.pool.http1.borrow_mut();
        if !sender.is_closed() && idle.len() < MAX_IDLE {
            idle.push(Http1 { sender, principal, idle_since: Instant::now() });
        }
    }
}

impl Stream {
    fn open(connection: Rc<Http2>) -> Self {
        connection.streams.set(connection.streams.get() + 1);
        Self(connection)
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.0.streams.set(self.0.streams.get().saturating_sub(1));
    }
}

impl Failure {
    fn connect(error: &ConnectError, request: Request<RequestBody>) -> Self {
        Self { kind: FailureKind::Connect, request: Some(request), text: error.to_string() }
    }

    fn of(mut error: TrySendError<Request<RequestBody>>) -> Self {
        let request = error.take_message();
        let error = error.into_error();
        let kind = match () {
            () if error.is_user() => FailureKind::Downstream,
            () if request.is_some() => FailureKind::Connect,
            () if was_not_processed(&error) => FailureKind::Refused,
            () => FailureKind::Reset,
        };
        Self { kind, request, text: with_causes(&error) }
    }
}

/// The peer's word that it did nothing with the stream (RFC 9113 sections 6.8 and 8.7).
fn was_not_processed(error: &hyper::Error) -> bool {
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        if let Some(h2) = error.downcast_ref::<h2::Error>() {
            return h2.reason() == Some(h2::Reason::REFUSED_STREAM) || (h2.is_go_away() && h2.is_remote());
        }
        cause = error.source();
    }
    false
}

fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
