//! Accepts TLS connections for a gRPC server. Each handshake runs in a task of its own with a time limit, so that a
//! slow client holds up nobody, and their number is bounded.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use record::LogLimit;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::server::Connected;

use super::PeerInfo;
use crate::metrics::ListenerMetrics;
use crate::tls;

const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
const MAX_HANDSHAKES: usize = 1024;
const READY_CONNECTIONS: usize = 64;
const FIRST_BACKOFF: Duration = Duration::from_millis(10);
const LONGEST_BACKOFF: Duration = Duration::from_secs(1);

static HANDSHAKES: LogLimit = LogLimit::new(Duration::from_secs(1));

/// A connection whose handshake is done.
#[derive(Debug)]
pub struct Connection {
    stream: TlsStream<TcpStream>,
    peer: PeerInfo,
}

/// The connections of a listener, accepted by a task of their own that ends with the stream.
pub fn incoming(
    listener: TcpListener,
    tls: Arc<ServerConfig>,
    metrics: &record::Metrics,
) -> impl Stream<Item = io::Result<Connection>> + Send + use<> {
    let (ready, connections) = mpsc::channel(READY_CONNECTIONS);
    let acceptor = Acceptor {
        tls: tls.into(),
        ready,
        handshakes: Arc::new(Semaphore::new(MAX_HANDSHAKES)),
        metrics: Arc::new(ListenerMetrics::new(metrics)),
    };
    tokio::spawn(acceptor.run(listener));
    ReceiverStream::new(connections)
}

struct Acceptor {
    tls: TlsAcceptor,
    ready: mpsc::Sender<io::Result<Connection>>,
    handshakes: Arc<Semaphore>,
    metrics: Arc<ListenerMetrics>,
}

impl Acceptor {
    async fn run(self, listener: TcpListener) {
        let mut backoff = FIRST_BACKOFF;
        loop {
            let Ok(permit) = Arc::clone(&self.handshakes).acquire_owned().await else {
                return;
            };
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = self.ready.closed() => return,
            };
            match accepted {
                Ok((stream, remote)) => {
                    backoff = FIRST_BACKOFF;
                    self.greet(stream, remote, permit);
                }
                // The client gave up while it waited; nothing is wrong here.
                Err(e) if e.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(error) => {
                    tracing::error!(retry_in = ?backoff, "cannot accept connections: {error}; is the limit of open files reached?");
                    sleep(backoff).await;
                    backoff = (backoff * 2).min(LONGEST_BACKOFF);
                }
            }
        }
    }

    fn greet(&self, stream: TcpStream, remote: SocketAddr, permit: OwnedSemaphorePermit) {
        let (tls, ready) = (self.tls.clone(), self.ready.clone());
        let metrics = Arc::clone(&self.metrics);
        tokio::spawn(async move {
            match handshake(tls, stream, remote).await {
                Ok(None) => {}
                Ok(Some(connection)) => {
                    drop(permit);
                    // An error means that the server has stopped; dropping the connection tells the client.
                    let _ = ready.send(Ok(connection)).await;
                }
                Err(error) => {
                    let (reason, text) = tls::failure(None, &error);
                    metrics.handshake_failed(reason);
                    if let Some(left_out) = HANDSHAKES.admit() {
                        tracing::warn!(%remote, reason, left_out, "TLS handshake failed: {text}");
                    }
                }
            }
        });
    }
}

/// `None`: the client closed before it said anything, as probes of a port do.
async fn handshake(tls: TlsAcceptor, stream: TcpStream, remote: SocketAddr) -> io::Result<Option<Connection>> {
    stream.set_nodelay(true)?;
    let accepting = async {
        if stream.peek(&mut [0]).await? == 0 {
            return Ok(None);
        }
        tls.accept(stream).await.map(Some)
    };
    let accepted = timeout(HANDSHAKE_TIMEOUT, accepting).await.map_err(|_| {
        let text = format!("the client did not finish the TLS handshake within {HANDSHAKE_TIMEOUT:?}");
        io::Error::new(io::ErrorKind::TimedOut, text)
    })??;
    Ok(accepted.map(|stream| {
        let id = tls::peer_id(stream.get_ref().1);
        Connection { stream, peer: PeerInfo { id, remote } }
    }))
}

impl Connected for Connection {
    type ConnectInfo = PeerInfo;

    fn connect_info(&self) -> PeerInfo {
        self.peer.clone()
    }
}

impl AsyncRead for Connection {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
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
