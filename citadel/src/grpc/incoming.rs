//! Accepts TLS connections for a gRPC server. Each handshake runs in a task of its own with a time limit, so that a
//! slow client holds up nobody. A connection for which there is no room is closed at once: the listener never waits.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use record::LogLimit;
use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;

use super::PeerInfo;
use super::admission::{Admission, Slot};
use super::connection::Connection;
use crate::metrics::ListenerMetrics;
use crate::tls;

const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
const READY_CONNECTIONS: usize = 64;
const FIRST_BACKOFF: Duration = Duration::from_millis(10);
const LONGEST_BACKOFF: Duration = Duration::from_secs(1);

static HANDSHAKES: LogLimit = LogLimit::new(Duration::from_secs(1));
static REFUSALS: LogLimit = LogLimit::new(Duration::from_secs(1));

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
        admission: Admission::for_this_process(),
        metrics: Arc::new(ListenerMetrics::new(metrics)),
    };
    tokio::spawn(acceptor.run(listener));
    ReceiverStream::new(connections)
}

struct Acceptor {
    tls: TlsAcceptor,
    ready: mpsc::Sender<io::Result<Connection>>,
    admission: Admission,
    metrics: Arc<ListenerMetrics>,
}

impl Acceptor {
    async fn run(self, listener: TcpListener) {
        let mut backoff = FIRST_BACKOFF;
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = self.ready.closed() => return,
            };
            match accepted {
                Ok((stream, remote)) => {
                    let remote = SocketAddr::new(remote.ip().to_canonical(), remote.port());
                    backoff = FIRST_BACKOFF;
                    if let Some(slot) = self.admit(remote) {
                        self.greet(stream, remote, slot);
                    }
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

    fn admit(&self, remote: SocketAddr) -> Option<Slot> {
        let refusal = match self.admission.admit(remote.ip()) {
            Ok(slot) => return Some(slot),
            Err(refusal) => refusal,
        };
        let reason = refusal.reason();
        self.metrics.handshake_failed(reason);
        if let Some(left_out) = REFUSALS.admit() {
            tracing::warn!(%remote, reason, left_out, "connection refused: {refusal}");
        }
        None
    }

    fn greet(&self, stream: TcpStream, remote: SocketAddr, mut slot: Slot) {
        let (tls, ready) = (self.tls.clone(), self.ready.clone());
        let metrics = Arc::clone(&self.metrics);
        tokio::spawn(async move {
            match handshake(tls, stream).await {
                Ok(None) => {}
                Ok(Some(stream)) => {
                    let id = tls::peer_id(stream.get_ref().1);
                    if id.is_some() {
                        slot.proved();
                    }
                    let connection = Connection::new(stream, PeerInfo { id, remote }, slot, metrics);
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
async fn handshake(tls: TlsAcceptor, stream: TcpStream) -> io::Result<Option<TlsStream<TcpStream>>> {
    stream.set_nodelay(true)?;
    let accepting = async {
        if stream.peek(&mut [0]).await? == 0 {
            return Ok(None);
        }
        tls.accept(stream).await.map(Some)
    };
    timeout(HANDSHAKE_TIMEOUT, accepting).await.map_err(|_| {
        let text = format!("the client did not finish the TLS handshake within {HANDSHAKE_TIMEOUT:?}");
        io::Error::new(io::ErrorKind::TimedOut, text)
    })?
}
