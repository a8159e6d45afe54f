//! Sends a body as its head has promised: exactly so many bytes, or in chunks with a proper end, or not at all.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{BufMut, Bytes};
use http::HeaderMap;
use http_body::{Body, Frame};

use super::framing::Framing;
use super::wire::Wire;
use crate::http::incoming::Meanwhile;

/// Bytes that are gathered before the socket is asked to take them.
const ENOUGH: usize = 64 * 1024;

/// A body on its way out.
pub struct Outgoing<B> {
    body: B,
    framing: Framing,
    left: u64,
    trailers: bool,
    ended: bool,
}

/// Why a body could not be sent.
#[derive(Debug, thiserror::Error)]
pub enum OutgoingError<E> {
    /// The connection takes no more.
    #[error("the connection broke: {0}")]
    Io(#[from] io::Error),
    /// Where the body came from.
    #[error("{0}")]
    Body(E),
    /// It has not the length that its head says.
    #[error("the body has another length than its head says")]
    Length,
}

impl<B: Body<Data = Bytes> + Meanwhile + Unpin> Outgoing<B> {
    /// Its head was written with this framing; `trailers`: the peer takes them.
    pub fn new(body: B, framing: Framing, trailers: bool) -> Self {
        let left = if let Framing::Length(length) = framing { length } else { 0 };
        Self { body, framing, left, trailers, ended: false }
    }

    /// Sends as much as there is; ready when all of it has left.
    pub fn poll_send(
        &mut self,
        wire: &RefCell<Wire>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), OutgoingError<B::Error>>> {
        loop {
            let waits = self.gather(wire, cx)?;
            let flushed = wire.borrow_mut().poll_flush(cx);
            if flushed.is_pending() {
                self.body.go_on(cx);
            }
            ready!(flushed)?;
            if self.ended {
                return Poll::Ready(Ok(()));
            }
            if waits {
                return Poll::Pending;
            }
        }
    }

    /// Queues frames until there are enough, or the body has none at the moment: then true.
    fn gather(&mut self, wire: &RefCell<Wire>, cx: &mut Context<'_>) -> Result<bool, OutgoingError<B::Error>> {
        while !self.ended && wire.borrow().queued() < ENOUGH {
            if self.framing == Framing::None || self.body.is_end_stream() {
                self.end(wire, None)?;
                break;
            }
            // The body may read from this very connection.
            match Pin::new(&mut self.body).poll_frame(cx) {
                Poll::Pending => return Ok(true),
                Poll::Ready(None) => self.end(wire, None)?,
                Poll::Ready(Some(Err(error))) => return Err(OutgoingError::Body(error)),
                Poll::Ready(Some(Ok(frame))) => self.frame(wire, frame)?,
            }
        }
        Ok(false)
    }

    fn frame(&mut self, wire: &RefCell<Wire>, frame: Frame<Bytes>) -> Result<(), OutgoingError<B::Error>> {
        let data = match frame.into_data() {
            Ok(data) => data,
            Err(frame) => {
                let trailers = frame.into_trailers().ok().filter(|_| self.trailers);
                return self.end(wire, trailers.as_ref());
            }
        };
        if data.is_empty() {
            return Ok(());
        }
        let mut wire = wire.borrow_mut();
        match self.framing {
            Framing::None => {}
            Framing::UntilClose => wire.put(data),
            Framing::Length(_) => {
                self.left = self.left.checked_sub(data.len() as u64).ok_or(OutgoingError::Length)?;
                wire.put(data);
            }
            Framing::Chunked => {
                wire.write(|out| size(out, data.len()));
                wire.put(data);
                wire.write(|out| out.put_slice(b"\r\n"));
            }
        }
        Ok(())
    }

    fn end(&mut self, wire: &RefCell<Wire>, trailers: Option<&HeaderMap>) -> Result<(), OutgoingError<B::Error>> {
        self.ended = true;
        if self.left > 0 {
            return Err(OutgoingError::Length);
        }
        if self.framing == Framing::Chunked {
            wire.borrow_mut().write(|out| {
                out.put_slice(b"0\r\n");
                for (name, value) in trailers.into_iter().flatten() {
                    out.put_slice(name.as_str().as_bytes());
                    out.put_slice(b": ");
                    out.put_slice(value.as_bytes());
                    out.put_slice(b"\r\n");
                }
                out.put_slice(b"\r\n");
            });
        }
        Ok(())
    }
}

fn size(out: &mut bytes::BytesMut, size: usize) {
    let digits = (usize::BITS - size.leading_zeros()).div_ceil(4).max(1);
    for shift in (0..digits).rev() {
        out.put_u8(b"0123456789abcdef"[size >> (4 * shift) & 0xf]);
    }
    out.put_slice(b"\r\n");
}
