//! The upstream end: one connection with many requests, each on a stream of its own.

use std::cell::Cell;
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use h2::{Reason, SendStream};
use http::{Request, Response, Version};
use http_body::Body as _;

use super::body::Body;
use super::coalesce::Coalesced;
use super::paced::Paced;
use super::sending::Sending;
use super::{multiplex, pings, without_connection_headers};
use crate::http::body::{BodyError, RequestBody};
use crate::http::incoming::Incoming;
use crate::http1::client::{LIMITS, Request as Outbound};
use crate::model::UpstreamHttp;
use crate::upstream::connect::Connected;

/// Streams on a connection whose peer has not said yet how many it takes; what Envoy and our sidecars allow.
const INITIAL_STREAMS: usize = 100;
/// What the head of a response may take, in bytes as HPACK counts them.
const MAX_HEAD: u32 = 64 * 1024;
/// A peer that answers no PING for so long is gone.
const PING_EVERY: Duration = Duration::from_secs(30);
const PING_ANSWER: Duration = Duration::from_secs(10);

/// An HTTP/2 connection to an upstream.
pub struct Connection {
    sender: SendRequest<Bytes>,
    /// Who the certificate proved the peer to be.
    pub principal: Option<Arc<str>>,
    /// Its far end gives requests of HTTP/1.1 their form back.
    pub multiplexes: bool,
    streams: Cell<usize>,
    unused_since: Cell<Instant>,
    driven: Rc<Driven>,
}

/// What the connection's task tells.
struct Driven {
    /// Streams that the peer's SETTINGS allow.
    allowed: Cell<usize>,
    closed: Cell<bool>,
}

/// One stream of a connection, counted for as long as it lives.
pub struct Stream(Rc<Connection>);

/// Why there is no response.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// Nothing left: the connection takes no more streams.
    #[error("the connection takes no more streams: {0}")]
    Unsent(h2::Error),
    /// The peer's word that it did nothing with the stream (RFC 9113 sections 6.8 and 8.7).
    #[error("the peer refused the stream: {0}")]
    Refused(h2::Error),
    /// The stream broke.
    #[error("the stream broke before a response came: {0}")]
    Broken(h2::Error),
    /// The request's own body failed.
    #[error("{0}")]
    Downstream(BodyError),
}

impl Connection {
    /// A new connection over a stream.
    ///
    /// # Errors
    /// When the peer does not take the preface.
    pub async fn open(connected: Connected, http: &UpstreamHttp) -> Result<Rc<Self>, h2::Error> {
        let Connected { io, principal, alpn } = connected;
        let multiplexes = alpn.as_deref() == Some(multiplex::ALPN.as_bytes());
        let mut builder = h2::client::Builder::new();
        builder
            .enable_push(false)
            .initial_window_size(http.stream_window)
            .initial_connection_window_size(http.connection_window)
            .initial_max_send_streams(INITIAL_STREAMS)
            .max_header_list_size(MAX_HEAD);
        if multiplexes {
            builder
                .initial_window_size(multiplex::stream_window(http.connection_window, http.max_concurrent_streams))
                .data_frame_budget(multiplex::UNREAD_BUDGET)
                .max_header_list_size(multiplex::head_limit(LIMITS.bytes, LIMITS.headers));
        }
        let io = Coalesced::new(io);
        let moved = io.moved();
        let (sender, mut connection) = builder.handshake(Paced::new(io)).await?;
        let driven = Rc::new(Driven { allowed: Cell::new(INITIAL_STREAMS), closed: Cell::new(false) });
        // Sidecars bear PINGs; servers of gRPC end a connection that has more of them than they like.
        let pings = if principal.is_some() { connection.ping_pong() } else { None };
        let telling = driven.clone();
        tokio::task::spawn_local(async move {
            let driving = poll_fn(|cx| {
                let polled = std::pin::Pin::new(&mut connection).poll(cx);
                telling.allowed.set(connection.max_concurrent_send_streams());
                polled
            });
            tokio::select! {
                ended = driving => if let Err(error) = ended {
                    tracing::debug!(%error, "an upstream HTTP/2 connection ended");
                },
                () = pings::unanswered(pings, PING_EVERY, PING_ANSWER, &moved) => {
                    tracing::debug!("an upstream answers no PING");
                }
            }
            telling.closed.set(true);
        });
        let unused_since = Cell::new(Instant::now());
        Ok(Rc::new(Self { sender, principal, multiplexes, streams: Cell::new(0), unused_since, driven }))
    }

    /// Whether it takes no more requests.
    pub fn is_closed(&self) -> bool {
        self.driven.closed.get()
    }

    /// Whether it has been without streams for so long.
    pub fn is_idle(&self, timeout: Option<Duration>) -> bool {
        self.streams.get() == 0 && timeout.is_some_and(|timeout| self.unused_since.get().elapsed() >= timeout)
    }

    /// Whether the peer takes no stream at all.
    pub fn takes_none(&self) -> bool {
        self.driven.allowed.get() == 0
    }

    /// Whether there is room for one more stream, of `limit` or what the peer allows.
    pub fn has_room(&self, limit: usize) -> bool {
        self.streams.get() < limit.min(self.driven.allowed.get())
    }

    async fn begin(
        &self,
        Outbound { parts, spelling, .. }: Outbound<'_>,
        end: bool,
    ) -> Result<(ResponseFuture, SendStream<Bytes>), h2::Error> {
        let mut sender = self.sender.clone();
        poll_fn(|cx| sender.poll_ready(cx)).await?;
        let mut request = Request::new(());
        let (mut uri, mut headers) = (parts.uri.clone(), parts.headers.clone());
        if parts.version != Version::HTTP_2 {
            multiplex::disguise(&mut uri, &mut headers, spelling);
        }
        *request.method_mut() = parts.method.clone();
        *request.uri_mut() = uri;
        *request.version_mut() = Version::HTTP_2;
        *request.headers_mut() = headers;
        without_connection_headers(request.headers_mut());
        sender.send_request(request, end)
    }
}

/// Sends a request and returns its response when the head is here. One of HTTP/1.1 needs a connection that multiplexes.
///
/// # Errors
/// See [`SendError`]; the body is given back when nothing was sent of it.
pub async fn send(
    connection: &Rc<Connection>,
    request: Outbound<'_>,
    body: RequestBody,
) -> Result<Response<Incoming>, (SendError, Option<RequestBody>)> {
    let end = body.is_end_stream();
    let (response, stream) = match connection.begin(request, end).await {
        Ok(begun) => begun,
        Err(error) => {
            connection.driven.closed.set(true);
            return Err((SendError::Unsent(error), Some(body)));
        }
    };
    let upload = (!end).then(|| Sending::new(body, stream));
    converse(response, upload, connection.multiplexes).await.map_err(|error| (error, None))
}

async fn converse(
    mut response: ResponseFuture,
    mut upload: Option<Sending<RequestBody>>,
    multiplexes: bool,
) -> Result<Response<Incoming>, SendError> {
    let response = poll_fn(|cx| {
        if let Some(sending) = &mut upload
            && let Poll::Ready(sent) = sending.poll(cx)
        {
            if let Err(error) = sent {
                sending.reset();
                return Poll::Ready(Err(SendError::Downstream(error)));
            }
            upload = None;
        }
        std::pin::Pin::new(&mut response).poll(cx).map_err(SendError::of)
    })
    .await?;
    let (mut parts, stream) = response.into_parts();
    let spelling = if multiplexes { multiplex::take(&mut parts.headers) } else { None };
    let body = Body::new(stream, &parts.headers, upload).spelt(spelling);
    Ok(Response::from_parts(parts, Incoming::Http2(Box::new(body))))
}

impl SendError {
    fn of(error: h2::Error) -> Self {
        let refused = error.is_remote() && (error.reason() == Some(Reason::REFUSED_STREAM) || error.is_go_away());
        if refused { Self::Refused(error) } else { Self::Broken(error) }
    }
}

impl Stream {
    /// One more.
    pub fn open(connection: Rc<Connection>) -> Self {
        connection.streams.set(connection.streams.get() + 1);
        Self(connection)
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.0.streams.set(self.0.streams.get().saturating_sub(1));
        self.0.unused_since.set(Instant::now());
    }
}
