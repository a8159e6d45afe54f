//! The byte streams of the data path: a socket, perhaps TLS on it, and bytes that were read ahead to tell what they are.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsStream;

use crate::bulk::Bulk;

/// Room for a ClientHello with a post-quantum key share, or a head.
const READ_AHEAD: usize = 2048;

/// A connection as the proxy handles it, downstream or upstream.
pub type Io = Prefixed<Transport>;

/// A stream of which the first bytes were read ahead; reads give them back first.
pub struct Prefixed<S> {
    ahead: BytesMut,
    inner: S,
}

/// With TLS or without.
pub enum Transport {
    /// As it is.
    Plain(TcpStream),
    /// TLS, of either side.
    Tls(Box<TlsStream<Bulk>>),
}

impl<S> Prefixed<S> {
    /// Nothing read ahead yet.
    pub fn new(inner: S) -> Self {
        Self { ahead: BytesMut::new(), inner }
    }

    /// What was read ahead and not taken.
    pub fn ahead(&self) -> &[u8] {
        &self.ahead
    }

    /// The stream beneath.
    pub fn get_ref(&self) -> &S {
        &self.inner
    }
}

impl<S: AsyncRead + Unpin> Prefixed<S> {
    /// Reads some more ahead. Returns how many bytes came; 0 at the end of the stream.
    pub async fn read_ahead(&mut self) -> io::Result<usize> {
        self.ahead.reserve(READ_AHEAD);
        self.inner.read_buf(&mut self.ahead).await
    }
}

impl Prefixed<Transport> {
    /// A plain connection.
    pub fn plain(stream: TcpStream) -> Self {
        Self::new(Transport::Plain(stream))
    }

    /// A connection in TLS.
    pub fn tls(stream: TlsStream<Bulk>) -> Self {
        Self::new(Transport::Tls(Box::new(stream)))
    }

    /// The socket with all that was read ahead of it, for TLS to begin on; `None` inside TLS.
    pub fn into_plain(self) -> Option<Bulk> {
        match self.inner {
            Transport::Plain(stream) => Some(Bulk::new(self.ahead.freeze(), stream)),
            Transport::Tls(_) => None,
        }
    }

    /// The socket, if its bytes are this stream's bytes as they are: no TLS, and nothing read ahead.
    pub fn spliceable(&self) -> Option<&TcpStream> {
        match &self.inner {
            Transport::Plain(stream) if self.ahead.is_empty() => Some(stream),
            _ => None,
        }
    }

    /// The socket beneath everything.
    pub fn socket(&self) -> &TcpStream {
        match &self.inner {
            Transport::Plain(stream) => stream,
            Transport::Tls(stream) => stream.get_ref().0.socket(),
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Prefixed<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.ahead.is_empty() {
            return Pin::new(&mut self.inner).poll_read(cx, buf);
        }
        let n = self.ahead.len().min(buf.remaining());
        buf.put_slice(&self.ahead[..n]);
        self.ahead.advance(n);
        if self.ahead.is_empty() {
            self.ahead = BytesMut::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Prefixed<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

impl AsyncRead for Transport {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Transport {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(stream) => stream.is_write_vectored(),
            Self::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_shutdown(cx),
        }
    }
}
