//! A connection whose TLS handshake is done. It holds its place among the listener's connections for as long as it
//! lives, and is closed if the client does not start HTTP/2 in time: h2's keepalive only begins after that.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use record::LogLimit;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep};
use tokio_rustls::server::TlsStream;
use tonic::transport::server::Connected;

use super::PeerInfo;
use super::admission::Slot;
use crate::metrics::ListenerMetrics;

const PREFACE_TIMEOUT: Duration = Duration::from_secs(10);
/// The client's connection preface, RFC 9113 section 3.4.
const PREFACE_BYTES: usize = 24;

static SILENT: LogLimit = LogLimit::new(Duration::from_secs(1));

/// A connection whose handshake is done.
#[derive(Debug)]
pub struct Connection {
    stream: TlsStream<TcpStream>,
    peer: PeerInfo,
    preface: Option<Preface>,
    _slot: Slot,
}

/// What is still to come of the client's preface, and until when.
#[derive(Debug)]
struct Preface {
    bytes_left: usize,
    deadline: Pin<Box<Sleep>>,
    metrics: Arc<ListenerMetrics>,
}

impl Connection {
    pub(super) fn new(stream: TlsStream<TcpStream>, peer: PeerInfo, slot: Slot, metrics: Arc<ListenerMetrics>) -> Self {
        let deadline = Box::pin(sleep(PREFACE_TIMEOUT));
        let preface = Preface { bytes_left: PREFACE_BYTES, deadline, metrics };
        Self { stream, peer, preface: Some(preface), _slot: slot }
    }

    fn came(&mut self, bytes: usize) {
        if let Some(preface) = &mut self.preface {
            preface.bytes_left = preface.bytes_left.saturating_sub(bytes);
            if preface.bytes_left == 0 {
                self.preface = None;
            }
        }
    }

    fn poll_overdue(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        let Some(preface) = &mut self.preface else {
            return Poll::Pending;
        };
        ready!(preface.deadline.as_mut().poll(cx));
        preface.metrics.handshake_failed("silent");
        let text = format!("the client did not start HTTP/2 within {PREFACE_TIMEOUT:?} after the TLS handshake");
        if let Some(left_out) = SILENT.admit() {
            tracing::warn!(remote = %self.peer.remote, left_out, "connection closed: {text}");
        }
        self.preface = None;
        Poll::Ready(io::Error::new(io::ErrorKind::TimedOut, text))
    }
}

impl Connected for Connection {
    type ConnectInfo = PeerInfo;

    fn connect_info(&self) -> PeerInfo {
        self.peer.clone()
    }
}

impl AsyncRead for Connection {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        match Pin::new(&mut self.stream).poll_read(cx, buf) {
            Poll::Ready(result) => {
                self.came(buf.filled().len() - before);
                Poll::Ready(result)
            }
            Poll::Pending => self.poll_overdue(cx).map(Err),
        }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
