//! Pooled connections of one endpoint: HTTP/1.1 one request at a time, HTTP/2 many at once.
//!
//! A connection is handed out only while it is open and nothing has come on it. When the peer closed it all the same
//! before a byte of the request left, the request goes out on another.

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::FutureExt;
use futures::future::{LocalBoxFuture, Shared};
use http::Response;
use http_body::Body as _;

use super::connect::{ConnectError, Connected, connect};
use super::{Host, Upstream};
use crate::handover::Handover;
use crate::http::body::RequestBody;
use crate::http::incoming::Incoming;
use crate::http1::client::{self, Connection, SendError};
pub use crate::http2::client::Stream;
use crate::http2::{self, multiplex};
use crate::model::{UpstreamHttp, UpstreamVersion};
use crate::tls::{Alpn, ISTIO_HTTP1, ISTIO_HTTP2, MULTIPLEXED};

/// Bytes of a body up to which its request may share a connection: frames and windows make longer ones dearer.
const MOST_SHARED: u64 = 64 * 1024;
/// An endpoint may have got a sidecar of ours meanwhile.
const ASK_AGAIN: Duration = Duration::from_secs(600);
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
    #[expect(clippy::vec_box, reason = "a connection moves with every request; only its address does so")]
    http1: RefCell<Vec<Box<Connection>>>,
    http2: RefCell<Vec<Rc<http2::client::Connection>>>,
    dialling: RefCell<Option<Dial>>,
    sharing: Cell<Sharing>,
}

/// What is known of whether requests of HTTP/1.1 may share a connection here.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Sharing {
    /// It can be tried.
    #[default]
    Open,
    /// It is being tried.
    Dialling,
    /// The endpoint was no sidecar of ours then.
    Refused(Instant),
}

type Dial = Shared<LocalBoxFuture<'static, Result<Rc<http2::client::Connection>, Rc<ConnectError>>>>;

/// A response whose body is still to come, and what must happen when it has come.
pub struct Answer {
    /// Head and body.
    pub response: Response<Incoming>,
    /// The stream of an HTTP/2 connection; an HTTP/1.1 connection belongs to the body.
    pub stream: Option<Stream>,
    /// Who the certificate proved the peer to be.
    pub principal: Option<Arc<str>>,
}

/// A try that came to nothing.
pub struct Failure {
    /// What kind, which decides whether another try is safe.
    pub kind: FailureKind,
    /// What happened.
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
    /// The response is none that can be believed.
    Malformed,
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
            sharing: Cell::new(match self.sharing.get() {
                Sharing::Open | Sharing::Dialling => Sharing::Open,
                refused @ Sharing::Refused(_) => refused,
            }),
        }
    }

    /// Closes connections that were idle for longer, and forgets those that are closed.
    pub fn prune(&self, timeout: Option<Duration>) {
        self.http1.borrow_mut().retain(|conn| is_fresh(conn, timeout) && conn.is_quiet());
        self.http2.borrow_mut().retain(|conn| !conn.is_closed() && !conn.is_idle(timeout));
        if let Sharing::Refused(since) = self.sharing.get()
            && since.elapsed() >= ASK_AGAIN
        {
            self.sharing.set(Sharing::Open);
        }
    }

    /// Keeps a connection for the next request.
    pub fn put(&self, connection: Box<Connection>) {
        let mut idle = self.http1.borrow_mut();
        if idle.len() < MAX_IDLE {
            idle.push(connection);
        }
    }

    /// An idle HTTP/1.1 connection that is still open: the one that rested last, so that the others may age.
    fn idle(&self, timeout: Option<Duration>) -> Option<Box<Connection>> {
        loop {
            let last = self.http1.borrow_mut().pop()?;
            if is_fresh(&last, timeout) && last.is_quiet() {
                return Some(last);
            }
        }
    }

    /// An HTTP/2 connection with room for one more stream.
    fn shared(
        &self,
        limit: usize,
        fits: impl Fn(&http2::client::Connection) -> bool,
    ) -> Option<Rc<http2::client::Connection>> {
        let mut open = self.http2.borrow_mut();
        open.retain(|conn| !conn.is_closed());
        open.iter().find(|conn| fits(conn) && conn.has_room(limit)).cloned()
    }
}

fn is_fresh(connection: &Connection, timeout: Option<Duration>) -> bool {
    timeout.is_none_or(|timeout| connection.idle_since.elapsed() < timeout)
}

/// Sends a request to an endpoint, on a pooled connection if there is one.
///
/// # Errors
/// [`Failure`].
pub async fn send(
    handover: &Arc<Handover>,
    upstream: &Upstream,
    host: &Rc<Host>,
    version: Version,
    request: client::Request<'_>,
    body: RequestBody,
) -> Result<Answer, Failure> {
    match version {
        Version::Http1 => send_http1(handover, upstream, host, request, body).await,
        Version::Http2 => send_http2(handover, upstream, host, request, body).await,
    }
}

/// A connection that a request of HTTP/1.1 may share. Only where many are under way does it cost less than one of its own,
/// so the first ones do not wait for it.
fn shareable(
    handover: &Arc<Handover>,
    upstream: &Upstream,
    host: &Rc<Host>,
    request: client::Request<'_>,
    body: &RequestBody,
) -> Option<Rc<http2::client::Connection>> {
    let http = &upstream.cluster.http;
    let few = http.multiplex_above.is_none_or(|above| host.active.get() <= above);
    let bulk = body.size_hint().lower() > MOST_SHARED;
    if few || bulk || request.upgrade || matches!(host.pool.sharing.get(), Sharing::Refused(_)) {
        return None;
    }
    let found = host.pool.shared(http.max_concurrent_streams as usize, |connection| connection.multiplexes);
    if found.is_none() && host.pool.sharing.replace(Sharing::Dialling) == Sharing::Open {
        let (handover, cluster, endpoint) = (handover.clone(), upstream.cluster.clone(), host.endpoint.clone());
        let weak = Rc::downgrade(host);
        tokio::task::spawn_local(async move {
            let connected = connect(&handover, &cluster, &endpoint, Some(MULTIPLEXED)).await;
            let Some(host) = weak.upgrade() else { return };
            let sharing = share(&host.pool, connected, &cluster.http).await;
            host.pool.sharing.set(sharing);
        });
    }
    found
}

/// Puts a new connection where it belongs.
async fn share(pool: &Pool, connected: Result<Connected, ConnectError>, http: &UpstreamHttp) -> Sharing {
    let Ok(connected) = connected else { return Sharing::Open };
    if connected.alpn.as_deref() != Some(multiplex::ALPN.as_bytes()) {
        pool.put(Connection::new(connected.io, connected.principal));
        return Sharing::Refused(Instant::now());
    }
    if let Ok(connection) = http2::client::Connection::open(connected, http).await {
        pool.http2.borrow_mut().push(connection);
    }
    Sharing::Open
}

async fn send_http1(
    handover: &Arc<Handover>,
    upstream: &Upstream,
    host: &Rc<Host>,
    request: client::Request<'_>,
    mut body: RequestBody,
) -> Result<Answer, Failure> {
    if let Some(connection) = shareable(handover, upstream, host, request, &body) {
        let stream = Some(Stream::open(connection.clone()));
        match http2::client::send(&connection, request, body).await {
            Ok(response) => return Ok(Answer { response, stream, principal: connection.principal.clone() }),
            Err((_, Some(unsent))) => body = unsent,
            Err((error, _)) => return Err(error.into()),
        }
    }
    loop {
        let connection = match host.pool.idle(upstream.cluster.http.idle_timeout) {
            Some(connection) => connection,
            None => dial_http1(handover, upstream, host).await.map_err(|error| Failure::connect(&error))?,
        };
        let principal = connection.principal.clone();
        let again = connection.is_used().then(|| body.again()).flatten();
        match client::send(connection, host, request, body).await {
            Ok(response) => return Ok(Answer { response, stream: None, principal }),
            // The peer closed the idle connection first: nothing was sent, take another.
            Err(error) => match (again.filter(RequestBody::can_replay), error) {
                (Some(again), SendError::Unsent(_)) => body = again,
                (_, error) => return Err(error.into()),
            },
        }
    }
}

async fn dial_http1(handover: &Handover, upstream: &Upstream, host: &Host) -> Result<Box<Connection>, ConnectError> {
    let connected = connect(handover, &upstream.cluster, &host.endpoint, Some(Version::Http1.alpn())).await?;
    Ok(Connection::new(connected.io, connected.principal))
}

async fn send_http2(
    handover: &Arc<Handover>,
    upstream: &Upstream,
    host: &Rc<Host>,
    request: client::Request<'_>,
    mut body: RequestBody,
) -> Result<Answer, Failure> {
    let limit = upstream.cluster.http.max_concurrent_streams as usize;
    let mut fresh = false;
    loop {
        let Some(connection) = host.pool.shared(limit, |_| true) else {
            fresh = true;
            let dialled = dial_http2(handover, upstream, host).await.map_err(|error| Failure::connect(&error))?;
            if dialled.takes_none() || dialled.is_closed() {
                return Err(Failure::connect(&"the upstream takes no HTTP/2 stream"));
            }
            // Others may have waited for it too, more than it takes.
            continue;
        };
        let stream = Some(Stream::open(connection.clone()));
        match http2::client::send(&connection, request, body).await {
            Ok(response) => return Ok(Answer { response, stream, principal: connection.principal.clone() }),
            // The connection was closed before: take another.
            Err((_, Some(unsent))) if !fresh => body = unsent,
            Err((error, _)) => return Err(error.into()),
        }
    }
}

/// One dial at a time for an endpoint: whoever comes while it is under way waits for it and shares its outcome.
async fn dial_http2(
    handover: &Arc<Handover>,
    upstream: &Upstream,
    host: &Rc<Host>,
) -> Result<Rc<http2::client::Connection>, Rc<ConnectError>> {
    let under_way = host.pool.dialling.borrow().clone();
    if let Some(dial) = under_way {
        return dial.await;
    }
    let (handover, cluster, endpoint) = (handover.clone(), upstream.cluster.clone(), host.endpoint.clone());
    let weak = Rc::downgrade(host);
    let dial = async move {
        let connected = connect(&handover, &cluster, &endpoint, Some(Version::Http2.alpn())).await.map_err(Rc::new)?;
        let opened = http2::client::Connection::open(connected, &cluster.http).await;
        opened.map_err(|error| {
            Rc::new(ConnectError::Io { address: endpoint.address, source: std::io::Error::other(error) })
        })
    };
    // Whoever polls the dial to its end also puts the connection into the pool: the first may have given up.
    let dial: Dial = dial.inspect(move |outcome| deliver(&weak, outcome)).boxed_local().shared();
    *host.pool.dialling.borrow_mut() = Some(dial.clone());
    // It goes on when all who wait have gone, so that nobody later meets a dial whose time is over.
    tokio::task::spawn_local(dial.clone().map(drop));
    dial.await
}

fn deliver(host: &Weak<Host>, outcome: &Result<Rc<http2::client::Connection>, Rc<ConnectError>>) {
    let Some(host) = host.upgrade() else { return };
    host.pool.dialling.borrow_mut().take();
    if let Ok(connection) = outcome {
        host.pool.http2.borrow_mut().push(connection.clone());
    }
}

impl Failure {
    fn connect(error: &impl ToString) -> Self {
        Self { kind: FailureKind::Connect, text: error.to_string() }
    }
}

impl From<SendError> for Failure {
    fn from(error: SendError) -> Self {
        let kind = match &error {
            SendError::Unsent(_) => FailureKind::Connect,
            SendError::Broken(_) => FailureKind::Reset,
            SendError::Malformed(_) => FailureKind::Malformed,
            SendError::Downstream(_) => FailureKind::Downstream,
        };
        Self { kind, text: error.to_string() }
    }
}

impl From<http2::client::SendError> for Failure {
    fn from(error: http2::client::SendError) -> Self {
        use http2::client::SendError;
        let kind = match &error {
            SendError::Unsent(_) => FailureKind::Connect,
            SendError::Refused(_) => FailureKind::Refused,
            SendError::Broken(_) => FailureKind::Reset,
            SendError::Downstream(_) => FailureKind::Downstream,
        };
        Self { kind, text: error.to_string() }
    }
}
