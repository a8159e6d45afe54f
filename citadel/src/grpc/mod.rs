//! gRPC over the mesh's own TLS: tonic brings no TLS of its own here, because its configurations can neither rotate
//! nor verify SPIFFE ids.

mod admission;
mod channel;
mod connection;
mod incoming;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tonic::transport::Server;
use tonic::transport::server::Router;

use crate::spiffe::SpiffeId;

pub use channel::{ConnectError, channel, connect};
pub use connection::Connection;
pub use incoming::incoming;

const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(20);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);
const STREAM_WINDOW: u32 = 1024 * 1024;
/// Many small frames on one connection are cut off by h2 below a window of this size.
const CONNECTION_WINDOW: u32 = 16 * 1024 * 1024;
const MAX_HEADER_BYTES: u32 = 64 * 1024;
const MAX_STREAMS: u32 = 100;
/// How long open streams may go on once the server is told to stop.
const DRAIN: Duration = Duration::from_secs(5);

/// Who is at the other end of a connection; in the extensions of each request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerInfo {
    /// From the verified client certificate, `None` if none was shown.
    pub id: Option<SpiffeId>,
    /// The client's address.
    pub remote: SocketAddr,
}

/// A tonic server with the limits of a control plane: HTTP/2 keepalive 20 s / 10 s, 100 streams a connection,
/// 64 KiB of headers. Add services to it and give the router to [`serve`].
pub fn server() -> Server {
    Server::builder()
        .http2_keepalive_interval(Some(KEEPALIVE_INTERVAL))
        .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .http2_max_header_list_size(MAX_HEADER_BYTES)
        .max_concurrent_streams(MAX_STREAMS)
}

/// Serves until `stop` completes, then lets open streams finish for at most 5 s.
pub async fn serve(
    listener: TcpListener,
    tls: Arc<ServerConfig>,
    metrics: &record::Metrics,
    router: Router,
    stop: impl Future<Output = ()> + Send + 'static,
) -> Result<(), tonic::transport::Error> {
    let (stopping, stopped) = oneshot::channel();
    let signal = async move {
        stop.await;
        // The receiver is gone only when the server is.
        let _ = stopping.send(());
    };
    let drained = async move {
        if stopped.await.is_err() {
            std::future::pending::<()>().await;
        }
        tokio::time::sleep(DRAIN).await;
    };
    tokio::select! {
        result = router.serve_with_incoming_shutdown(incoming(listener, tls, metrics), signal) => result,
        () = drained => Ok(()),
    }
}
