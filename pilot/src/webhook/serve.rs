//! The webhooks' TLS port: HTTP/2 and HTTP/1.1 for an API server that has no certificate of the mesh.

use super::Webhooks;
use citadel::Identity;
use citadel::tls::{self, TlsError};
use futures::StreamExt;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use record::Metrics;
use std::pin::pin;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::time::timeout;

/// For the head of each HTTP/1.1 request, and so also how long an idle connection stays.
const HEAD: Duration = Duration::from_secs(30);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(20);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);
const MAX_STREAMS: u32 = 100;
const MAX_HEADER_BYTES: u32 = 64 * 1024;
/// How long reviews under way may go on once the server is told to stop.
const DRAIN: Duration = Duration::from_secs(5);

/// Serves until `stop` completes and the reviews under way are answered. The server proves `identity`, whose current
/// certificate is read at each handshake.
///
/// # Errors
/// When there can be no TLS configuration.
pub async fn serve(
    listener: TcpListener,
    identity: &Identity,
    metrics: &Metrics,
    webhooks: Webhooks,
    stop: impl Future<Output = ()>,
) -> Result<(), TlsError> {
    let config = tls::open_server(identity, &[b"h2", b"http/1.1"])?;
    let router = webhooks.router();
    let builder = builder();
    let graceful = GracefulShutdown::new();
    let mut stop = pin!(stop);
    let mut connections = pin!(citadel::grpc::incoming(listener, config, metrics));
    loop {
        let connection = tokio::select! {
            Some(connection) = connections.next() => connection,
            () = &mut stop => break,
            else => break,
        };
        let Ok(connection) = connection else { continue };
        let service = TowerToHyperService::new(router.clone());
        let served = builder.serve_connection(TokioIo::new(connection), service).into_owned();
        let served = graceful.watch(served);
        tokio::spawn(async move {
            if let Err(error) = served.await {
                tracing::debug!("a connection to the webhooks ended: {error}");
            }
        });
    }
    // Who is still not answered then never will be.
    let _ = timeout(DRAIN, graceful.shutdown()).await;
    Ok(())
}

fn builder() -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(KEEPALIVE_INTERVAL)
        .keep_alive_timeout(KEEPALIVE_TIMEOUT)
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(MAX_HEADER_BYTES);
    builder
}
