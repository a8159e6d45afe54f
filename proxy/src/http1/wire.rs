//! The bytes of one HTTP/1 connection: what was received and not yet read, what is to be sent and not yet written.
//! Buffers are held only while there is something in them.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::AsyncWrite;
use tokio_util::io::poll_read_buf;

use crate::io::Io;

/// Room for a read while a head or a short body is awaited.
const READ: usize = 8 * 1024;
/// Room for a read in the middle of a long body.
const READ_BULK: usize = 64 * 1024;
/// Up to this many bytes copying is cheaper than another slice for the kernel.
const COPY: usize = 4 * 1024;
/// Slices handed to the kernel at once.
const SLICES: usize = 16;
/// Buffers that a worker keeps for its connections.
const SPARE: usize = 64;

thread_local! {
    static BUFFERS: RefCell<Vec<BytesMut>> = const { RefCell::new(Vec::new()) };
}

/// A connection's stream with its two buffers.
pub struct Wire {
    io: Io,
    /// Received, not yet consumed.
    pub input: BytesMut,
    output: BytesMut,
    segments: VecDeque<Bytes>,
    queued: usize,
    written: u64,
    dirty: bool,
}

impl Wire {
    /// Nothing received, nothing queued.
    pub fn new(io: Io) -> Self {
        let (input, output) = (BytesMut::new(), BytesMut::new());
        Self { io, input, output, segments: VecDeque::new(), queued: 0, written: 0, dirty: false }
    }

    /// Reads once; 0 is the end of the stream. `bulk` makes room for many bytes.
    ///
    /// # Errors
    /// As of the stream.
    pub fn poll_fill(&mut self, cx: &mut Context<'_>, bulk: bool) -> Poll<io::Result<usize>> {
        let room = if bulk { READ_BULK } else { READ };
        if self.input.capacity() == 0 {
            self.input = buffer();
        }
        if self.input.capacity() - self.input.len() < room / 2 {
            self.input.reserve(room);
        }
        let polled = poll_read_buf(Pin::new(&mut self.io), cx, &mut self.input);
        if polled.is_pending() && self.input.is_empty() {
            give_back(&mut self.input);
        }
        polled
    }

    /// Queues what `write` appends: heads and chunk sizes.
    pub fn write(&mut self, write: impl FnOnce(&mut BytesMut)) {
        if self.segments.is_empty() {
            let before = self.small().len();
            write(&mut self.output);
            self.queued += self.output.len() - before;
        } else {
            let mut bytes = BytesMut::new();
            write(&mut bytes);
            self.put(bytes.freeze());
        }
    }

    /// Queues bytes of a body.
    pub fn put(&mut self, bytes: Bytes) {
        self.queued += bytes.len();
        if self.segments.is_empty() && bytes.len() <= COPY {
            self.small().extend_from_slice(&bytes);
        } else if !bytes.is_empty() {
            self.segments.push_back(bytes);
        }
    }

    /// Bytes queued and not yet taken by the stream.
    pub fn queued(&self) -> usize {
        self.queued
    }

    /// Bytes that the stream has taken since its beginning.
    pub fn written(&self) -> u64 {
        self.written
    }

    /// Writes until nothing is queued.
    ///
    /// # Errors
    /// As of the stream; one that takes no more bytes is broken.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.queued > 0 {
            let written = ready!(self.poll_write(cx))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.taken(written);
        }
        if self.dirty {
            ready!(Pin::new(&mut self.io).poll_flush(cx))?;
            self.dirty = false;
        }
        if self.output.capacity() > 0 {
            give_back(&mut self.output);
        }
        Poll::Ready(Ok(()))
    }

    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        self.dirty = true;
        if self.segments.is_empty() {
            return Pin::new(&mut self.io).poll_write(cx, &self.output);
        }
        let mut slices = [IoSlice::new(&[]); SLICES];
        let all = std::iter::once(&self.output[..]).filter(|bytes| !bytes.is_empty());
        let mut count = 0;
        for (slot, bytes) in slices.iter_mut().zip(all.chain(self.segments.iter().map(|segment| &segment[..]))) {
            *slot = IoSlice::new(bytes);
            count += 1;
        }
        Pin::new(&mut self.io).poll_write_vectored(cx, &slices[..count])
    }

    fn taken(&mut self, mut written: usize) {
        self.queued -= written;
        self.written += written as u64;
        let small = written.min(self.output.len());
        self.output.advance(small);
        written -= small;
        while written > 0 {
            let Some(first) = self.segments.front_mut() else { return };
            let part = written.min(first.len());
            first.advance(part);
            written -= part;
            if first.is_empty() {
                self.segments.pop_front();
            }
        }
    }

    fn small(&mut self) -> &mut BytesMut {
        if self.output.capacity() == 0 {
            self.output = buffer();
        }
        &mut self.output
    }

    /// Lets go of the buffers that are empty: the connection waits for its next request.
    pub fn rest(&mut self) {
        if self.input.is_empty() {
            give_back(&mut self.input);
        }
    }

    /// Tells the peer that nothing more comes.
    ///
    /// # Errors
    /// As of the stream.
    pub fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }

    /// Whether nothing was received beyond what was read, and the peer has not closed: an idle connection is usable.
    pub fn is_quiet(&mut self) -> bool {
        let mut cx = Context::from_waker(std::task::Waker::noop());
        self.input.is_empty() && self.poll_fill(&mut cx, false).is_pending()
    }

    /// The stream and what was received ahead, for a protocol that is no longer HTTP.
    pub fn into_parts(self) -> (Io, BytesMut) {
        (self.io, self.input)
    }
}

fn buffer() -> BytesMut {
    BUFFERS.with_borrow_mut(Vec::pop).unwrap_or_else(|| BytesMut::with_capacity(READ))
}

/// Keeps the buffer for another connection, if nobody else holds a part of it and it is of the usual size.
fn give_back(buffer: &mut BytesMut) {
    let mut spare = std::mem::take(buffer);
    spare.clear();
    if spare.try_reclaim(READ) && spare.capacity() < 2 * READ_BULK {
        BUFFERS.with_borrow_mut(|all| {
            if all.len() < SPARE {
                all.push(spare);
            }
        });
    }
}
