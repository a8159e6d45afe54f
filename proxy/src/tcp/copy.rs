//! Carries bytes both ways until both sides have closed. A side that closes is passed on while the other goes on.
//!
//! Nothing is held while nothing moves. What moves fills small buffers, then large ones; between two plain sockets the
//! kernel moves it once it is much.

use std::cell::Cell;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::AsyncWrite;

use super::splice::Pipe;
use crate::buffers::{Buffer, Size};
use crate::io::Io;

/// Bytes of one direction so far.
#[derive(Debug, Default)]
pub struct Moved {
    /// Read from where they come.
    pub read: Cell<u64>,
    /// Written to where they go.
    pub written: Cell<u64>,
}

/// Carries until both sides have closed.
///
/// # Errors
/// The first of either side; the connection is of no use after it.
pub async fn both_ways(a: &mut Io, b: &mut Io, from_a: &Moved, from_b: &Moved) -> io::Result<()> {
    let (mut forth, mut back) = (Way::new(from_a), Way::new(from_b));
    std::future::poll_fn(|cx| {
        let forth = forth.poll(cx, a, b)?;
        let back = back.poll(cx, b, a)?;
        if forth.is_ready() && back.is_ready() { Poll::Ready(Ok(())) } else { Poll::Pending }
    })
    .await
}

/// One direction.
struct Way<'a> {
    moved: &'a Moved,
    stage: Stage,
    pace: Pace,
    /// Something was written since the last flush.
    unflushed: bool,
}

/// How much came the last time, and so may come the next time.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Pace {
    /// Messages.
    Slow,
    /// A small buffer was filled.
    Fast,
    /// A large buffer was filled.
    Bulk,
}

impl Pace {
    fn of(bytes: usize) -> Self {
        match bytes {
            bytes if bytes < Size::Small.bytes() => Self::Slow,
            bytes if bytes < Size::Large.bytes() => Self::Fast,
            _ => Self::Bulk,
        }
    }
}

enum Stage {
    /// Nothing is on its way.
    Idle,
    /// These bytes were read and not yet written; `last`: nothing comes after them.
    Copying { buffer: Buffer, last: bool },
    /// The kernel carries; bytes may be in the pipe.
    Splicing(Pipe),
    /// No more will come; the other side is being told.
    Closing,
    /// It was told.
    Closed,
}

impl<'a> Way<'a> {
    fn new(moved: &'a Moved) -> Self {
        Self { moved, stage: Stage::Idle, pace: Pace::Slow, unflushed: false }
    }

    fn poll(&mut self, cx: &mut Context<'_>, from: &mut Io, to: &mut Io) -> Poll<io::Result<()>> {
        loop {
            match &mut self.stage {
                Stage::Idle => ready!(self.poll_begin(cx, from, to))?,
                Stage::Copying { buffer, last } => {
                    while !buffer.is_empty() {
                        let written = ready!(Pin::new(&mut *to).poll_write(cx, buffer.filled()))?;
                        if written == 0 {
                            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
                        }
                        buffer.consume(written);
                        add(&self.moved.written, written);
                        self.unflushed = true;
                    }
                    self.stage = if *last { Stage::Closing } else { Stage::Idle };
                }
                Stage::Splicing(pipe) => {
                    let (Some(source), Some(sink)) = (from.spliceable(), to.spliceable()) else {
                        return Poll::Ready(Err(io::ErrorKind::Unsupported.into()));
                    };
                    match pipe.poll_carry(cx, source, sink, self.moved) {
                        Poll::Ready(ended) => ended?,
                        Poll::Pending => {
                            if pipe.is_empty() {
                                self.pace = if pipe.carried() < Size::Small.bytes() { Pace::Slow } else { Pace::Bulk };
                                self.stage = Stage::Idle;
                            }
                            return Poll::Pending;
                        }
                    }
                    self.stage = Stage::Closing;
                }
                Stage::Closing => {
                    ready!(Pin::new(&mut *to).poll_shutdown(cx))?;
                    self.stage = Stage::Closed;
                }
                Stage::Closed => return Poll::Ready(Ok(())),
            }
        }
    }

    /// Waits for bytes, without holding anything meanwhile, and sees that what was written has left.
    fn poll_begin(&mut self, cx: &mut Context<'_>, from: &mut Io, to: &mut Io) -> Poll<io::Result<()>> {
        if self.pace == Pace::Bulk
            && from.spliceable().and(to.spliceable()).is_some()
            && let Some(pipe) = Pipe::take()
        {
            self.stage = Stage::Splicing(pipe);
            return Poll::Ready(Ok(()));
        }
        let mut buffer = Buffer::take(if self.pace == Pace::Slow { Size::Small } else { Size::Large });
        let last = loop {
            match buffer.poll_fill(cx, from)? {
                Poll::Ready(0) => break true,
                Poll::Ready(read) => add(&self.moved.read, read),
                Poll::Pending if buffer.is_empty() => {
                    drop(buffer);
                    if self.unflushed {
                        ready!(Pin::new(to).poll_flush(cx))?;
                        self.unflushed = false;
                    }
                    return Poll::Pending;
                }
                Poll::Pending => break false,
            }
            if buffer.is_full() {
                break false;
            }
        };
        self.pace = Pace::of(buffer.filled().len());
        self.stage = Stage::Copying { buffer, last };
        Poll::Ready(Ok(()))
    }
}

pub(super) fn add(cell: &Cell<u64>, bytes: usize) {
    cell.set(cell.get() + bytes as u64);
}
