//! WebSocket and other upgrades: after 101 both sides are bytes, joined until either ends.

use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;

/// Joins the two connections once both have switched.
pub fn join(downstream: OnUpgrade, upstream: OnUpgrade) {
    tokio::task::spawn_local(async move {
        let (downstream, upstream) = match tokio::try_join!(downstream, upstream) {
            Ok(both) => both,
            Err(error) => {
                tracing::debug!(%error, "a connection did not switch protocols");
                return;
            }
        };
        let (mut downstream, mut upstream) = (TokioIo::new(downstream), TokioIo::new(upstream));
        if let Err(error) = tokio::io::copy_bidirectional(&mut downstream, &mut upstream).await {
            tracing::debug!(%error, "a switched connection broke off");
        }
    });
}
