//! Envoy's graceful drain, asked for over its admin port: new requests are told to go elsewhere, those under way finish.

use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Outbound stays open meanwhile: the application may still need it to finish.
const REQUEST: &str = "POST /drain_listeners?inboundonly&graceful HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

/// Asks for the drain and waits for its duration.
pub async fn drain(admin: SocketAddr, duration: Duration) {
    if let Err(error) = ask(admin).await {
        tracing::warn!("cannot ask the data plane to drain: {error}");
    }
    tokio::time::sleep(duration).await;
}

async fn ask(admin: SocketAddr) -> std::io::Result<()> {
    let mut stream = TcpStream::connect(admin).await?;
    stream.write_all(REQUEST.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.take(4096).read_to_end(&mut answer).await?;
    Ok(())
}
