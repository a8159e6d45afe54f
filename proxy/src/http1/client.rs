//! The upstream end: one request at a time over a pooled connection, driven by the task of the request.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use bytes::Bytes;
use http::{Method, Response, StatusCode, request};
use http_body::{Frame, SizeHint};

use super::body::{BodyBroken, Decoder};
use super::encode;
use super::head::{self, Limits, Malformed, Progress};
use super::outgoing::{Outgoing, OutgoingError};
use super::spelling::Spelling;
use super::wire::Wire;
use crate::http::body::RequestBody;
use crate::http::incoming::Incoming;
use crate::io::Io;
use crate::upstream::Host;

/// What the head of a response may take.
pub const LIMITS: Limits = Limits { bytes: 64 * 1024, headers: 100 };
/// Interim responses before the one that counts.
const MOST_INTERIM: u32 = 100;

/// A connection to an upstream on which nothing is under way.
pub struct Connection {
    wire: RefCell<Wire>,
    /// Who the certificate proved the peer to be.
    pub principal: Option<Arc<str>>,
    /// Since when nothing is under way.
    pub idle_since: Instant,
    used: bool,
}

/// A request's head as it goes out.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    /// Method, target and headers.
    pub parts: &'a request::Parts,
    /// How its names were spelt.
    pub spelling: Option<&'a Spelling>,
    /// It asks for another protocol.
    pub upgrade: bool,
}

/// Why there is no response.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// No byte of the request left: the connection had been closed.
    #[error("the connection had been closed: {0}")]
    Unsent(io::Error),
    /// It broke after that.
    #[error("the connection broke before a response came: {0}")]
    Broken(BodyBroken),
    /// What came is no response that can be believed.
    #[error("the response is malformed: {0}")]
    Malformed(#[from] Malformed),
    /// The request's own body failed.
    #[error("{0}")]
    Downstream(String),
}

impl Connection {
    /// A new connection.
    pub fn new(io: Io, principal: Option<Arc<str>>) -> Box<Self> {
        Box::new(Self { wire: RefCell::new(Wire::new(io)), principal, idle_since: Instant::now(), used: false })
    }

    /// Whether the peer has neither closed it nor said anything unasked.
    pub fn is_quiet(&self) -> bool {
        self.wire.borrow_mut().is_quiet()
    }

    /// Whether it has served a request before.
    pub fn is_used(&self) -> bool {
        self.used
    }
}

/// Sends a request and returns its response when the head is here; `home` gets the connection back after the body.
///
/// # Errors
/// See [`SendError`]; the connection is closed then.
pub async fn send(
    mut connection: Box<Connection>,
    home: &Rc<Host>,
    request: Request<'_>,
    body: RequestBody,
) -> Result<Response<Incoming>, SendError> {
    connection.used = true;
    let mut framing = super::framing::Framing::None;
    connection.wire.get_mut().write(|out| {
        framing = encode::request(out, request.parts, request.spelling, &body, request.upgrade);
    });
    let written = connection.wire.borrow().written();
    let mut upload = Some(Outgoing::new(body, framing, true));
    let mut awaited =
        Awaited { method: &request.parts.method, upgrade: request.upgrade, progress: Progress::default(), interim: 0 };
    let mut write_error = None;
    let head = poll_fn(|cx| {
        if let Some(sending) = &mut upload {
            match sending.poll_send(&connection.wire, cx) {
                Poll::Pending => {}
                Poll::Ready(Ok(())) => upload = None,
                // The upstream may have answered before it stopped reading.
                Poll::Ready(Err(OutgoingError::Io(error))) => {
                    write_error = Some(error);
                    upload = None;
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(SendError::Downstream(error.to_string()))),
            }
        }
        awaited.poll(&mut connection.wire.borrow_mut(), cx)
    })
    .await;
    let unsent = connection.wire.borrow().written() == written;
    let head = match (head, write_error) {
        (Err(SendError::Broken(_)), Some(error)) if unsent => return Err(SendError::Unsent(error)),
        (Err(error), _) => return Err(error),
        (Ok(head), broken) => {
            // An upstream that answers before it has heard all may read the rest as another request.
            let keep = head.keep_alive && broken.is_none() && upload.is_none() && !request.upgrade;
            (head, keep)
        }
    };
    let (head, keep) = head;
    let body = ResponseBody {
        decoder: Decoder::new(head.framing),
        spelling: head.spelling,
        home: home.clone(),
        connection: Some(connection),
        upload,
        keep,
        broken: false,
    };
    Ok(Response::from_parts(head.parts, Incoming::Response(Box::new(body.settled()))))
}

/// The response that is waited for.
struct Awaited<'a> {
    method: &'a Method,
    upgrade: bool,
    progress: Progress,
    interim: u32,
}

impl Awaited<'_> {
    fn poll(&mut self, wire: &mut Wire, cx: &mut Context<'_>) -> Poll<Result<head::ResponseHead, SendError>> {
        loop {
            while !wire.input.is_empty() {
                let Some(head) = head::response(&mut wire.input, &mut self.progress, LIMITS, self.method)? else {
                    break;
                };
                let status = head.parts.status;
                if !status.is_informational() {
                    return Poll::Ready(Ok(head));
                }
                if status == StatusCode::SWITCHING_PROTOCOLS {
                    let asked = self.upgrade && is_websocket(&head.parts.headers);
                    return Poll::Ready(if asked { Ok(head) } else { Err(unasked().into()) });
                }
                self.interim += 1;
                if self.interim > MOST_INTERIM {
                    return Poll::Ready(Err(unasked().into()));
                }
            }
            match ready!(wire.poll_fill(cx, false)) {
                Ok(0) => return Poll::Ready(Err(SendError::Broken(BodyBroken::Early))),
                Ok(_) => {}
                Err(error) => return Poll::Ready(Err(SendError::Broken(error.into()))),
            }
        }
    }
}

/// The one protocol that is switched to.
fn is_websocket(headers: &http::HeaderMap) -> bool {
    let mut lines = headers.get_all(http::header::UPGRADE).iter();
    matches!((lines.next(), lines.next()), (Some(only), None) if only.as_bytes().eq_ignore_ascii_case(b"websocket"))
}

const fn unasked() -> Malformed {
    Malformed { status: StatusCode::BAD_GATEWAY, details: "unexpected_interim_response" }
}

/// The body of a response. It goes on sending the request's body, if the response came before its end.
pub struct ResponseBody {
    decoder: Decoder,
    spelling: Option<Spelling>,
    home: Rc<Host>,
    connection: Option<Box<Connection>>,
    upload: Option<Outgoing<RequestBody>>,
    keep: bool,
    /// The request's body will never be whole.
    broken: bool,
}

impl ResponseBody {
    /// How the names of the head were spelt.
    pub fn spelling(&mut self) -> Option<Spelling> {
        self.spelling.take()
    }

    /// The next piece.
    pub fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyBroken>>> {
        self.go_on(cx);
        if self.broken {
            return Poll::Ready(Some(Err(BodyBroken::Request)));
        }
        let Some(connection) = &self.connection else { return Poll::Ready(None) };
        let polled = ready!(self.decoder.poll(&mut connection.wire.borrow_mut(), cx));
        self.settle();
        Poll::Ready(polled)
    }

    /// Goes on with the upload.
    pub fn go_on(&mut self, cx: &mut Context<'_>) {
        if let (Some(upload), Some(connection)) = (&mut self.upload, &self.connection)
            && let Poll::Ready(sent) = upload.poll_send(&connection.wire, cx)
        {
            self.keep &= sent.is_ok();
            self.upload = None;
            if let Err(OutgoingError::Body(_) | OutgoingError::Length) = sent {
                // Only the end of the connection tells the upstream that no more will come.
                self.connection = None;
                self.broken = true;
            }
        }
    }

    /// Whether there is nothing more.
    pub fn is_end_stream(&self) -> bool {
        self.decoder.is_done()
    }

    /// What is known of its length.
    pub fn size_hint(&self) -> SizeHint {
        self.decoder.size_hint()
    }

    /// The connection with all that was received ahead, after `101 Switching Protocols`.
    pub fn into_switched(mut self) -> Option<Wire> {
        self.connection.take().map(|connection| connection.wire.into_inner())
    }

    /// A response without a body gives its connection back at once.
    fn settled(mut self) -> Self {
        self.settle();
        self
    }

    /// At the end of both bodies the connection goes home, unless there is something on it that belongs to nobody.
    fn settle(&mut self) {
        if !self.keep || self.upload.is_some() || !self.decoder.is_done() {
            return;
        }
        let Some(mut connection) = self.connection.take() else { return };
        if connection.wire.get_mut().input.is_empty() {
            connection.wire.get_mut().rest();
            connection.idle_since = Instant::now();
            self.home.pool.put(connection);
        }
    }
}
