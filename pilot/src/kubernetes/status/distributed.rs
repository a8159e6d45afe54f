//! That a route is accepted is written when it is true in the proxies, not before: who waits for it may send the first request at once.

use crate::catalog::MeshCatalog;
use std::time::Duration;
use tokio::time::{sleep, timeout};

/// How long proxies are waited for that do not answer.
const PATIENCE: Duration = Duration::from_secs(2);
/// What a proxy may take to ask for clusters and endpoints that a new route names, and to put all in force.
const SETTLING: Duration = Duration::from_millis(50);

/// Waits until the proxies have what the world says, for a bounded time.
pub(super) async fn distributed(catalog: &MeshCatalog) {
    // A proxy that hangs must not keep the news from everybody else's authors.
    let _ = timeout(PATIENCE, catalog.distributed()).await;
    sleep(SETTLING).await;
}
