//! The stream beneath an HTTP/2 connection: small writes are gathered until every task that is ready has had its turn, so
//! that the frames of many streams leave in one TLS record and one system call.

use std::cell::{Cell, RefCell};
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A write of so many bytes or more is not worth copying.
const BULK: usize = 8 * 1024;
/// Gathered bytes at which a writer waits for the socket.
const FULL: usize = 64 * 1024;
/// Writes of one request.
const ALONE: u32 = 4;
/// From a head that was written to the request's task, which learns that there is a window, and back with the body.
const HOPS: u32 = 2;
/// Room for a few heads.
const ROOM: usize = 4 * 1024;

/// A stream whose flushes are done for it a moment later. It must be made on a worker's runtime.
pub struct Coalesced<S>(Rc<RefCell<State<S>>>, Rc<Cell<u64>>);

struct State<S> {
    io: S,
    gathered: BytesMut,
    /// Bytes are in TLS that the socket has not taken.
    dirty: bool,
    /// The socket takes no more for now.
    blocked: bool,
    /// What a later write has to be told.
    broken: Option<io::ErrorKind>,
    /// The flusher has something to do.
    due: bool,
    /// Since the flusher last wrote.
    writes: u32,
    /// Bytes that were read, or that the socket has taken.
    moved: Rc<Cell<u64>>,
    /// The connection is gone.
    closed: bool,
    /// Woken when something is due, and at the end, whatever it waits for.
    flusher: Option<Waker>,
    /// Woken when the flusher is through: it may have taken the socket's only place for one who waits to write.
    writer: Option<Waker>,
}

impl<S: AsyncRead + AsyncWrite + Unpin + 'static> Coalesced<S> {
    /// Starts the task that flushes; it ends with the stream.
    pub fn new(io: S) -> Self {
        let moved = Rc::new(Cell::new(0));
        let state = Rc::new(RefCell::new(State {
            io,
            gathered: BytesMut::new(),
            dirty: false,
            blocked: false,
            broken: None,
            due: false,
            writes: 0,
            moved: moved.clone(),
            closed: false,
            flusher: None,
            writer: None,
        }));
        tokio::task::spawn_local(flush(state.clone()));
        Self(state, moved)
    }

    /// Counts the bytes that were read, or that the socket has taken.
    pub fn moved(&self) -> Rc<Cell<u64>> {
        self.1.clone()
    }
}

/// Writes what was gathered, each time when the tasks that were ready have run.
async fn flush<S: AsyncWrite + Unpin>(state: Rc<RefCell<State<S>>>) {
    loop {
        let due = std::future::poll_fn(|cx| state.borrow_mut().poll_due(cx)).await;
        if !due {
            return;
        }
        behind_others(HOPS).await;
        // A request alone writes head, data and windows: nobody else will add to them.
        if state.borrow().writes > ALONE {
            tokio::task::yield_now().await;
        }
        std::future::poll_fn(|cx| state.borrow_mut().poll_deferred(cx)).await;
    }
}

/// Goes to the end of the queue of tasks so many times. Unlike `yield_now` it asks the system for nothing.
async fn behind_others(mut times: u32) {
    std::future::poll_fn(|cx| {
        if times == 0 {
            return Poll::Ready(());
        }
        times -= 1;
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

impl<S: AsyncWrite + Unpin> State<S> {
    /// Whether there is something to do; `false`: never again.
    fn poll_due(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        if std::mem::take(&mut self.due) {
            return Poll::Ready(true);
        }
        if self.closed {
            return Poll::Ready(false);
        }
        self.flusher = Some(cx.waker().clone());
        Poll::Pending
    }

    fn poll_deferred(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.writes = 0;
        let polled = self.poll_drain(cx);
        self.blocked = polled.is_pending();
        if self.blocked && self.closed {
            // Nobody will ask again whether the peer takes it, and the socket is to close.
            return Poll::Ready(());
        }
        if self.blocked {
            self.flusher = Some(cx.waker().clone());
        }
        if let Err(error) = ready!(polled) {
            self.broken = Some(error.kind());
            self.gathered = BytesMut::new();
        }
        if let Some(writer) = self.writer.take() {
            writer.wake();
        }
        Poll::Ready(())
    }

    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.gathered.is_empty() {
            self.dirty = true;
            let written = ready!(Pin::new(&mut self.io).poll_write(cx, &self.gathered))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.moved.update(|moved| moved + written as u64);
            self.gathered.advance(written);
        }
        self.gathered = BytesMut::new();
        if self.dirty {
            ready!(Pin::new(&mut self.io).poll_flush(cx))?;
            self.dirty = false;
        }
        Poll::Ready(Ok(()))
    }

    /// Ready when the socket takes bytes and fewer than `limit` wait for it.
    fn poll_room(&mut self, cx: &mut Context<'_>, limit: usize) -> Poll<io::Result<()>> {
        if let Some(kind) = self.broken {
            return Poll::Ready(Err(kind.into()));
        }
        if self.blocked || self.gathered.len() >= limit {
            self.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, pieces: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        ready!(self.poll_room(cx, FULL))?;
        let length = pieces.iter().map(|piece| piece.len()).sum();
        if length >= BULK {
            return self.poll_bulk(cx, pieces);
        }
        if self.gathered.capacity() == 0 {
            self.gathered = BytesMut::with_capacity(ROOM.max(length));
        }
        pieces.iter().for_each(|piece| self.gathered.extend_from_slice(piece));
        self.call();
        Poll::Ready(Ok(length))
    }

    fn poll_bulk(&mut self, cx: &mut Context<'_>, pieces: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let polled = match self.poll_drain(cx) {
            Poll::Ready(Ok(())) => {
                self.dirty = true;
                Pin::new(&mut self.io).poll_write_vectored(cx, pieces)
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => Poll::Pending,
        };
        if let Poll::Ready(Ok(written)) = &polled {
            self.moved.update(|moved| moved + *written as u64);
        }
        if polled.is_ready() {
            self.call();
        }
        self.await_turn(cx, polled)
    }

    /// Notes that the writer waits, if it does.
    fn await_turn<T>(&mut self, cx: &mut Context<'_>, polled: Poll<T>) -> Poll<T> {
        if polled.is_pending() {
            self.writer = Some(cx.waker().clone());
        }
        polled
    }

    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_room(cx, usize::MAX))?;
        ready!(self.poll_drain(cx))?;
        Pin::new(&mut self.io).poll_shutdown(cx)
    }

    fn call(&mut self) {
        self.due = true;
        self.writes += 1;
        if let Some(flusher) = self.flusher.take() {
            flusher.wake();
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Coalesced<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.0.borrow_mut().io).poll_read(cx, buf);
        self.1.update(|moved| moved + (buf.filled().len() - before) as u64);
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Coalesced<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.0.borrow_mut().poll_write(cx, &[IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.0.borrow_mut().poll_write(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// Ready unless the socket takes nothing: the rest is the flusher's.
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.borrow_mut().poll_room(cx, usize::MAX)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut state = self.0.borrow_mut();
        let polled = state.poll_end(cx);
        state.await_turn(cx, polled)
    }
}

impl<S> Drop for Coalesced<S> {
    fn drop(&mut self) {
        let mut state = self.0.borrow_mut();
        state.closed = true;
        if let Some(flusher) = state.flusher.take() {
            flusher.wake();
        }
    }
}

#[cfg(test)]
mod tests;
