//! Whether the peer of an HTTP/2 connection still answers.

use std::cell::Cell;
use std::future::poll_fn;
use std::time::Duration;

use h2::{Ping, PingPong};

/// Asks every so often, and returns when for `patience` neither an answer came nor `moved` any byte of the socket, or when the
/// connection has ended. The answer of a slow peer waits behind all that it is still to be sent.
pub async fn unanswered(pings: Option<PingPong>, every: Duration, patience: Duration, moved: &Cell<u64>) {
    // There is one for each connection.
    let Some(mut pings) = pings else { return std::future::pending().await };
    loop {
        tokio::time::sleep(every).await;
        if pings.send_ping(Ping::opaque()).is_err() {
            return;
        }
        loop {
            let before = moved.get();
            match tokio::time::timeout(patience, poll_fn(|cx| pings.poll_pong(cx))).await {
                Ok(Ok(_)) => break,
                Err(_) if moved.get() != before => {}
                Ok(Err(_)) | Err(_) => return,
            }
        }
    }
}
