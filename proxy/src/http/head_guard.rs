//! Times an HTTP/1 connection as its two silences deserve: a head that dribbles in is cut soon, an idle connection late.
//!
//! hyper has one timer for both, which would close idle connections under clients that are about to use them.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

use crate::io::Io;

const TIMEOUT_ANSWER: &[u8] =
    b"HTTP/1.1 408 Request Timeout\r\ncontent-type: text/plain\r\ncontent-length: 15\r\nconnection: close\r\n\r\nrequest timeout";

/// What a connection is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Between requests, since then.
    Idle(Instant),
    /// A head has begun to arrive, since then.
    Head(Instant),
    /// A request is being served; its body has timers of its own.
    Busy,
    /// The time was over.
    TimedOut,
}

/// A connection's stage, shared with whoever serves its requests. One word, because hyper wants its streams `Send`.
#[derive(Debug, Clone)]
pub struct SharedStage {
    base: Instant,
    word: Arc<AtomicU64>,
}

impl Default for SharedStage {
    /// A head is awaited from now on.
    fn default() -> Self {
        Self { base: Instant::now(), word: Arc::new(AtomicU64::new(HEAD)) }
    }
}

impl SharedStage {
    /// What the connection is doing.
    pub fn get(&self) -> Stage {
        let word = self.word.load(Ordering::Relaxed);
        let since = self.base + Duration::from_micros(word >> TAG_BITS);
        match word & TAG {
            IDLE => Stage::Idle(since),
            HEAD => Stage::Head(since),
            BUSY => Stage::Busy,
            _ => Stage::TimedOut,
        }
    }

    /// Says what it does from now on.
    pub fn set(&self, stage: Stage) {
        let since = |at: Instant| u64::try_from((at - self.base).as_micros()).unwrap_or(u64::MAX) << TAG_BITS;
        let word = match stage {
            Stage::Idle(at) => since(at) | IDLE,
            Stage::Head(at) => since(at) | HEAD,
            Stage::Busy => BUSY,
            Stage::TimedOut => TIMED_OUT,
        };
        self.word.store(word, Ordering::Relaxed);
    }
}

const TAG_BITS: u32 = 2;
const TAG: u64 = 3;
const IDLE: u64 = 0;
const HEAD: u64 = 1;
const BUSY: u64 = 2;
const TIMED_OUT: u64 = 3;

/// The stream beneath an HTTP/1 server connection.
pub struct HeadGuard {
    io: Io,
    stage: SharedStage,
    head: Option<Duration>,
    idle: Option<Duration>,
    timer: Option<(Instant, Pin<Box<Sleep>>)>,
}

impl HeadGuard {
    /// Guards `io`, of which a head may already have begun.
    pub fn new(io: Io, stage: SharedStage, head: Option<Duration>, idle: Option<Duration>) -> Self {
        Self { io, stage, head, idle, timer: None }
    }

    fn deadline(&self) -> Option<Instant> {
        match self.stage.get() {
            Stage::Idle(since) => self.idle.map(|idle| since + idle),
            Stage::Head(since) => self.head.map(|head| since + head),
            Stage::Busy | Stage::TimedOut => None,
        }
    }

    fn poll_deadline(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(at) = self.deadline() else {
            self.timer = None;
            return Poll::Pending;
        };
        if self.timer.as_ref().is_none_or(|(armed, _)| *armed != at) {
            self.timer = Some((at, Box::pin(tokio::time::sleep_until(at))));
        }
        let Some((_, sleep)) = &mut self.timer else { return Poll::Pending };
        if sleep.as_mut().poll(cx).is_pending() {
            return Poll::Pending;
        }
        if matches!(self.stage.get(), Stage::Head(_)) {
            // One attempt: a client that does not even read gets no answer.
            let _ = Pin::new(&mut self.io).poll_write(cx, TIMEOUT_ANSWER);
        }
        self.stage.set(Stage::TimedOut);
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for HeadGuard {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        match Pin::new(&mut self.io).poll_read(cx, buf) {
            Poll::Ready(result) => {
                if buf.filled().len() > before && matches!(self.stage.get(), Stage::Idle(_)) {
                    self.stage.set(Stage::Head(Instant::now()));
                }
                Poll::Ready(result)
            }
            Poll::Pending => self.poll_deadline(cx),
        }
    }
}

impl AsyncWrite for HeadGuard {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
