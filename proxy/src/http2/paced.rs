//! The stream beneath h2: whoever sends much is read from in pauses, so that others have their turn.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::turns::Pauses;

/// A stream whose reads pause. It lies above the guard against floods, which takes a read that is not ready for a peer that
/// is silent.
pub struct Paced<S> {
    io: S,
    pauses: Pauses,
}

impl<S> Paced<S> {
    /// It must be read by a task on a worker's runtime.
    pub fn new(io: S) -> Self {
        Self { io, pauses: Pauses::default() }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Paced<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        ready!(self.pauses.poll(cx));
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.io).poll_read(cx, buf);
        if polled.is_ready() {
            self.pauses.spend(buf.filled().len() - before);
        } else {
            self.pauses.rest();
        }
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Paced<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use futures::poll;
    use tokio::io::AsyncReadExt;
    use tokio::runtime::{Builder, LocalOptions};

    use super::*;

    #[test]
    fn a_peer_that_sends_without_end_is_read_from_in_pauses() {
        let runtime = Builder::new_current_thread().enable_time().build_local(LocalOptions::default()).unwrap();
        runtime.block_on(async {
            let mut paced = Paced::new(tokio::io::repeat(b'x'));
            let mut buffer = vec![0; 16 * 1024];
            for _round in 0..3 {
                let mut read = 0;
                while let Poll::Ready(n) = poll!(std::pin::pin!(paced.read(&mut buffer))) {
                    read += n.unwrap();
                }
                assert_eq!(read, 128 * 1024);
                read = paced.read(&mut buffer).await.unwrap();
                assert_eq!(read, buffer.len());
                paced.pauses.rest();
            }
        });
    }
}
