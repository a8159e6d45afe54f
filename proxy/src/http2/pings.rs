//! Whether the peer of an HTTP/2 connection still answers.

use std::future::poll_fn;
use std::time::Duration;

use h2::{Ping, PingPong};

/// Asks every so often, and returns when no answer came within `patience`, or when the connection has ended.
pub async fn unanswered(pings: Option<PingPong>, every: Duration, patience: Duration) {
    // There is one for each connection.
    let Some(mut pings) = pings else { return std::future::pending().await };
    loop {
        tokio::time::sleep(every).await;
        if pings.send_ping(Ping::opaque()).is_err() {
            return;
        }
        match tokio::time::timeout(patience, poll_fn(|cx| pings.poll_pong(cx))).await {
            Ok(Ok(_)) => {}
            Ok(Err(_)) | Err(_) => return,
        }
    }
}
