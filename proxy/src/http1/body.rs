//! Bodies as they arrive: read from the connection by whoever wants the next piece.

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::{BufMut, Bytes};
use http_body::{Frame, SizeHint};

use super::chunked::{Chunked, InvalidChunk, Step};
use super::framing::Framing;
use super::wire::Wire;

/// Why a body did not arrive whole.
#[derive(Debug, thiserror::Error)]
pub enum BodyBroken {
    /// The connection failed.
    #[error("the connection broke: {0}")]
    Io(#[from] io::Error),
    /// The connection ended.
    #[error("the connection ended before the body did")]
    Early,
    /// The body of the request, which was still under way, broke.
    #[error("the body of its request did not arrive")]
    Request,
    /// It is no chunked body.
    #[error(transparent)]
    Chunk(#[from] InvalidChunk),
}

/// What is still to come of a body.
#[derive(Debug)]
pub enum Decoder {
    /// So many bytes.
    Length(u64),
    /// Chunks.
    Chunked(Chunked),
    /// Whatever comes until the connection ends.
    UntilClose,
    /// Nothing.
    Done,
    /// It broke; nothing that follows can be told apart.
    Broken,
}

impl Decoder {
    /// For a body with this framing.
    pub fn new(framing: Framing) -> Self {
        match framing {
            Framing::None | Framing::Length(0) => Self::Done,
            Framing::Length(length) => Self::Length(length),
            Framing::Chunked => Self::Chunked(Chunked::default()),
            Framing::UntilClose => Self::UntilClose,
        }
    }

    /// Whether all of it was read.
    pub fn is_done(&self) -> bool {
        matches!(self, Self::Done)
    }

    /// What is known of its length.
    pub fn size_hint(&self) -> SizeHint {
        match self {
            Self::Length(left) => SizeHint::with_exact(*left),
            Self::Done => SizeHint::with_exact(0),
            Self::Chunked(_) | Self::UntilClose | Self::Broken => SizeHint::default(),
        }
    }

    /// The next piece.
    pub fn poll(&mut self, wire: &mut Wire, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyBroken>>> {
        let polled = ready!(self.poll_next(wire, cx));
        match &polled {
            Ok(Some(frame)) if frame.is_trailers() => *self = Self::Done,
            Ok(Some(_)) => {}
            Ok(None) => *self = Self::Done,
            Err(_) => *self = Self::Broken,
        }
        Poll::Ready(polled.transpose())
    }

    fn poll_next(&mut self, wire: &mut Wire, cx: &mut Context<'_>) -> Poll<Result<Option<Frame<Bytes>>, BodyBroken>> {
        loop {
            match self {
                Self::Done | Self::Broken => return Poll::Ready(Ok(None)),
                Self::Length(left) if !wire.input.is_empty() => {
                    let n = usize::try_from(*left).map_or(wire.input.len(), |left| left.min(wire.input.len()));
                    *left -= n as u64;
                    if *left == 0 {
                        *self = Self::Done;
                    }
                    return Poll::Ready(Ok(Some(Frame::data(wire.input.split_to(n).freeze()))));
                }
                Self::UntilClose if !wire.input.is_empty() => {
                    return Poll::Ready(Ok(Some(Frame::data(wire.input.split().freeze()))));
                }
                Self::Chunked(chunked) => match chunked.next(&mut wire.input)? {
                    Step::More => {}
                    Step::Data(data) => return Poll::Ready(Ok(Some(Frame::data(data)))),
                    Step::End(trailers) => return Poll::Ready(Ok(trailers.map(Frame::trailers))),
                },
                Self::Length(_) | Self::UntilClose => {}
            }
            let bulk = !matches!(self, Self::Length(left) if *left < 8192);
            if ready!(wire.poll_fill(cx, bulk))? == 0 {
                return match self {
                    Self::UntilClose => Poll::Ready(Ok(None)),
                    _ => Poll::Ready(Err(BodyBroken::Early)),
                };
            }
        }
    }
}

/// A downstream connection, shared by its server and the body of the request under way.
pub struct Downstream {
    /// Its bytes.
    pub wire: RefCell<Wire>,
    /// What is left of the request's body.
    pub decoder: RefCell<Decoder>,
    /// The client sends the body only when it is asked to.
    pub expects_continue: Cell<bool>,
}

/// The body of a downstream request.
pub struct RequestBody(Rc<Downstream>);

impl RequestBody {
    /// Of the request whose head was just read.
    pub fn new(downstream: &Rc<Downstream>) -> Self {
        Self(downstream.clone())
    }

    /// The next piece; the first call asks a client that waits for `100 Continue`.
    pub fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyBroken>>> {
        let mut wire = self.0.wire.borrow_mut();
        if self.0.expects_continue.take() && wire.input.is_empty() {
            wire.write(|out| out.put_slice(b"HTTP/1.1 100 Continue\r\n\r\n"));
        }
        if wire.queued() > 0 {
            // Only those 25 bytes; a socket that does not take them at once takes them with the next call.
            let _ = wire.poll_flush(cx)?;
        }
        self.0.decoder.borrow_mut().poll(&mut wire, cx)
    }

    /// Whether there is nothing more.
    pub fn is_end_stream(&self) -> bool {
        self.0.decoder.borrow().is_done()
    }

    /// What is known of its length.
    pub fn size_hint(&self) -> SizeHint {
        self.0.decoder.borrow().size_hint()
    }
}
