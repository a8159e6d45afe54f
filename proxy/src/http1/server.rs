//! The downstream end: requests one after another, each timed, served and answered on the connection's own task.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::header::{TE, UPGRADE};
use http::{Method, Request, Response, StatusCode, Version};
use http_body::{Body, Frame};
use tokio::time::Instant;

use super::body::{Decoder, Downstream, RequestBody};
use super::clock::Clock;
use super::encode::{self, Asked};
use super::head::{self, Limits, Malformed, Progress, RequestHead};
use super::outgoing::Outgoing;
use super::spelling::Spelling;
use super::wire::Wire;
use crate::http::incoming::{Incoming, Meanwhile};
use crate::http::response_body::ResponseBody;
use crate::http::{self as pipeline, upgrade};
use crate::io::Io;
use crate::model::HttpSettings;
use crate::turns::{Pauses, REQUEST, Turns};
use crate::worker::{Connection, Worker};

/// A client that has not sent all of its request gets its answer and so much time to take note of it.
const LINGER: Duration = Duration::from_secs(1);
/// Bytes that are read over meanwhile.
const LINGER_BYTES: usize = 64 * 1024;
/// A client that takes no byte of what there is for it, or gives none of what it owes, gets no longer than this, however long
/// streams may be silent.
const TAKING: Duration = Duration::from_secs(300);
/// What a client may send of another protocol before it is switched to.
const AHEAD_OF_SWITCH: usize = 64 * 1024;

/// Why the head of a request did not come.
enum NoHead {
    /// The client is done.
    Closed,
    /// It was idle for too long.
    Idle,
    /// The head took too long.
    Slow,
    /// It is not served.
    Malformed(Malformed),
}

/// How a connection goes on after a response.
enum Next {
    Request,
    Close,
    /// Close, but let the client read its answer first.
    Linger,
    Switched(Box<Wire>),
}

/// Serves requests until the connection ends; tells meanwhile whether it is `idle`, with nothing under way.
///
/// # Errors
/// The reason under which the end is counted, when it was not the client's wish.
pub async fn serve(
    worker: &Rc<Worker>,
    connection: &Rc<Connection>,
    io: Io,
    idle: &Cell<bool>,
) -> Result<(), &'static str> {
    let downstream = Rc::new(Downstream {
        wire: RefCell::new(Wire::new(io)),
        decoder: RefCell::new(Decoder::Done),
        expects_continue: Cell::new(false),
    });
    let mut session =
        Session { worker, connection, downstream, clock: Clock::default(), turns: Turns::default(), first: true, idle };
    loop {
        let head = match session.head().await {
            Ok(head) => head,
            Err(NoHead::Closed) => return Ok(()),
            Err(NoHead::Idle) => return Err("idle_timeout"),
            Err(NoHead::Slow) => {
                session
                    .refuse(Malformed { status: StatusCode::REQUEST_TIMEOUT, details: "request_header_timeout" })
                    .await;
                return Err("timeout");
            }
            Err(NoHead::Malformed(malformed)) => {
                session.refuse(malformed).await;
                return Ok(());
            }
        };
        match session.exchange(head).await? {
            Next::Request => {}
            Next::Close => return session.close().await,
            Next::Linger => return session.linger().await,
            Next::Switched(upstream) => {
                session.switch(*upstream).await;
                return Ok(());
            }
        }
    }
}

/// The body of a response that does not keep the worker while both its ends are fast.
struct Paced {
    body: ResponseBody,
    pauses: Pauses,
}

impl Meanwhile for Paced {
    fn go_on(&mut self, cx: &mut Context<'_>) {
        self.body.go_on(cx);
    }
}

impl Body for Paced {
    type Data = Bytes;
    type Error = <ResponseBody as Body>::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        ready!(self.pauses.poll(cx));
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        match &polled {
            Poll::Ready(Some(Ok(frame))) => self.pauses.spend(frame.data_ref().map_or(0, Bytes::len)),
            Poll::Pending => self.pauses.rest(),
            Poll::Ready(_) => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }
}

struct Session<'a> {
    worker: &'a Rc<Worker>,
    connection: &'a Rc<Connection>,
    downstream: Rc<Downstream>,
    clock: Clock,
    /// By heads.
    turns: Turns,
    /// Nothing has been served yet: what was awaited so far was a head, not the client's next wish.
    first: bool,
    idle: &'a Cell<bool>,
}

impl Session<'_> {
    /// The next head. A connection between requests may be silent for long, one inside a head may not.
    async fn head(&mut self) -> Result<RequestHead, NoHead> {
        let settings = &self.connection.settings;
        let limits = Limits { bytes: settings.max_head_bytes, headers: settings.max_headers };
        let began = Instant::now();
        let mut inside = self.first.then_some(began);
        self.first = false;
        let mut progress = Progress::default();
        let (downstream, clock, turns, idle) = (&self.downstream, &mut self.clock, &mut self.turns, self.idle);
        poll_fn(|cx| {
            idle.set(false);
            ready!(turns.poll(cx));
            let mut wire = downstream.wire.borrow_mut();
            loop {
                if !wire.input.is_empty() {
                    inside.get_or_insert_with(Instant::now);
                    match head::request(&mut wire.input, &mut progress, limits) {
                        Ok(Some(head)) => {
                            turns.spend(REQUEST);
                            return Poll::Ready(Ok(head));
                        }
                        Ok(None) => {}
                        Err(malformed) => return Poll::Ready(Err(NoHead::Malformed(malformed))),
                    }
                }
                match wire.poll_fill(cx, false) {
                    Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(Err(NoHead::Closed)),
                    Poll::Ready(Ok(_)) => {}
                    Poll::Pending => break,
                }
            }
            turns.rest();
            idle.set(inside.is_none());
            let (deadline, over) = match inside {
                Some(since) => (settings.head_timeout.map(|limit| since + limit), NoHead::Slow),
                None => (settings.idle_timeout.map(|limit| began + limit), NoHead::Idle),
            };
            ready!(clock.poll(deadline, cx));
            Poll::Ready(Err(over))
        })
        .await
    }

    /// Serves one request and sends its response.
    async fn exchange(&mut self, head: RequestHead) -> Result<Next, &'static str> {
        let RequestHead { parts, spelling, framing, keep_alive, expects_continue } = head;
        let asked = Asked {
            head: parts.method == Method::HEAD,
            chunks: parts.version == Version::HTTP_11,
            told: parts.version == Version::HTTP_10 && keep_alive,
            keep_alive,
        };
        let trailers = parts.headers.get_all(TE).iter().any(|te| te.as_bytes().eq_ignore_ascii_case(b"trailers"));
        *self.downstream.decoder.borrow_mut() = Decoder::new(framing);
        self.downstream.expects_continue.set(expects_continue);
        let body = match Decoder::new(framing).is_done() {
            true => Incoming::Empty,
            false => Incoming::Request(RequestBody::new(&self.downstream)),
        };
        let response = {
            let ahead = if parts.headers.contains_key(UPGRADE) { AHEAD_OF_SWITCH } else { 0 };
            let request = Request::from_parts(parts, body);
            let mut serving = pin!(pipeline::serve(self.worker.clone(), self.connection.clone(), request, spelling));
            let downstream = &self.downstream;
            poll_fn(|cx| match serving.as_mut().poll(cx) {
                Poll::Ready(response) => Poll::Ready(Some(response)),
                Poll::Pending => poll_gone(downstream, ahead, cx).map(|()| None),
            })
            .await
        };
        let Some(response) = response else { return Ok(Next::Close) };
        self.respond(response, asked, trailers).await
    }

    async fn respond(
        &mut self,
        response: Response<ResponseBody>,
        asked: Asked,
        trailers: bool,
    ) -> Result<Next, &'static str> {
        self.downstream.expects_continue.set(false);
        let (parts, mut body) = response.into_parts();
        let spelling: Option<Spelling> = body.spelling();
        let switched = body.switched();
        let whole = self.downstream.decoder.borrow().is_done();
        let asked = Asked { keep_alive: asked.keep_alive && whole, ..asked };
        let mut sent = (super::framing::Framing::None, false);
        self.downstream.wire.borrow_mut().write(|out| {
            sent = encode::response(out, &parts, spelling.as_ref(), &body, asked);
        });
        drop((parts, spelling));
        let mut outgoing = Outgoing::new(Paced { body, pauses: Pauses::default() }, sent.0, trailers);
        self.send(&mut outgoing).await?;
        if let Some(upstream) = switched {
            return Ok(Next::Switched(Box::new(upstream)));
        }
        if !self.downstream.decoder.borrow().is_done() {
            return Ok(Next::Linger);
        }
        self.downstream.wire.borrow_mut().rest();
        Ok(if sent.1 { Next::Request } else { Next::Close })
    }

    /// Sends a response; a client that takes no byte for too long is given up, and so is an upstream that sends none.
    async fn send(&mut self, outgoing: &mut Outgoing<Paced>) -> Result<(), &'static str> {
        let settings = &self.connection.settings;
        let (downstream, clock) = (&self.downstream, &mut self.clock);
        let mut seen = None;
        poll_fn(|cx| {
            if let Poll::Ready(sent) = outgoing.poll_send(&downstream.wire, cx) {
                // What came before the body broke is the client's; one attempt, for there is nothing to wait for.
                let _ = downstream.wire.borrow_mut().poll_flush(cx);
                return Poll::Ready(sent.map_err(|error| {
                    tracing::debug!(%error, "a response broke off");
                    "response_broke_off"
                }));
            }
            let state = {
                let wire = downstream.wire.borrow();
                (wire.written(), wire.queued() > 0)
            };
            if seen.is_none_or(|(before, _)| before != state) {
                seen = Some((state, Instant::now()));
            }
            let patience = if state.1 { taking(settings) } else { settings.stream_idle_timeout };
            let since = seen.map(|(_, since)| since);
            ready!(clock.poll(since.zip(patience).map(|(since, patience)| since + patience), cx));
            Poll::Ready(Err("stream_idle_timeout"))
        })
        .await
    }

    /// Answers what is no request that we serve, and closes.
    async fn refuse(&mut self, malformed: Malformed) {
        let response = pipeline::malformed(self.worker, self.connection, malformed);
        let asked = Asked { head: false, chunks: true, keep_alive: false, told: false };
        if self.respond(response, asked, false).await.is_ok() {
            // The end of the connection is counted by its reason, not by how the client takes it.
            let _ = self.linger().await;
        }
    }

    async fn close(&mut self) -> Result<(), &'static str> {
        let downstream = &self.downstream;
        // A client that is gone already has nothing to be told.
        let _ = poll_fn(|cx| downstream.wire.borrow_mut().poll_shutdown(cx)).await;
        Ok(())
    }

    /// Closing at once would reset the connection under an answer that the client has not read (RFC 9112, section 9.6).
    async fn linger(&mut self) -> Result<(), &'static str> {
        self.close().await?;
        let until = Instant::now() + LINGER;
        let (downstream, clock) = (&self.downstream, &mut self.clock);
        let mut over = 0;
        poll_fn(|cx| {
            let mut wire = downstream.wire.borrow_mut();
            while over < LINGER_BYTES {
                wire.input.clear();
                match wire.poll_fill(cx, false) {
                    Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(()),
                    Poll::Ready(Ok(n)) => over += n,
                    Poll::Pending => return clock.poll(Some(until), cx),
                }
            }
            Poll::Ready(())
        })
        .await;
        Ok(())
    }

    async fn switch(self, upstream: Wire) {
        let Session { worker, connection, downstream, .. } = self;
        // The request's body was none, so nobody else holds the connection.
        let Some(downstream) = Rc::into_inner(downstream) else { return };
        upgrade::join(worker, connection, downstream.wire.into_inner(), upstream).await;
    }
}

/// How long a client may take nothing of what there is for it, or give nothing; `None`: for ever.
pub fn taking(settings: &HttpSettings) -> Option<Duration> {
    settings.stream_idle_timeout.map(|limit| limit.min(TAKING))
}

/// Ready when the client has left while its request is served. More than `ahead` bytes that it sends before the answer
/// are kept unread, and then nothing can be told.
fn poll_gone(downstream: &Downstream, ahead: usize, cx: &mut Context<'_>) -> Poll<()> {
    let mut wire = downstream.wire.borrow_mut();
    while downstream.decoder.borrow().is_done() && wire.input.len() <= ahead {
        if let Ok(0) | Err(_) = ready!(wire.poll_fill(cx, false)) {
            return Poll::Ready(());
        }
    }
    Poll::Pending
}
