//! The socket under TLS: rustls asks for 4 KiB at a time, which would cost five system calls for each full record, so
//! more is read at once and kept for its next questions.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use crate::buffers::{Buffer, Size};

/// A socket whose reads are large; writes go straight through.
pub struct Bulk {
    /// Read before this was made.
    first: Bytes,
    kept: Option<Buffer>,
    next: Size,
    socket: TcpStream,
}

impl Bulk {
    /// `first` was read of the socket already.
    pub fn new(first: Bytes, socket: TcpStream) -> Self {
        Self { first, kept: None, next: Size::Small, socket }
    }

    /// The socket beneath.
    pub fn socket(&self) -> &TcpStream {
        &self.socket
    }

    fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut buffer = Buffer::take(self.next);
        let read = ready!(buffer.poll_fill(cx, &mut self.socket))?;
        self.next = if read < Size::Small.bytes() { Size::Small } else { Size::Large };
        self.kept = Some(buffer);
        Poll::Ready(Ok(read))
    }
}

impl AsyncRead for Bulk {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if !self.first.is_empty() {
            let bytes = self.first.len().min(buf.remaining());
            buf.put_slice(&self.first[..bytes]);
            self.first.advance(bytes);
            return Poll::Ready(Ok(()));
        }
        if self.kept.is_none() {
            ready!(self.poll_more(cx))?;
        }
        if let Some(kept) = &mut self.kept {
            let bytes = kept.filled().len().min(buf.remaining());
            buf.put_slice(&kept.filled()[..bytes]);
            kept.consume(bytes);
            if kept.is_empty() {
                self.kept = None;
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Bulk {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}
