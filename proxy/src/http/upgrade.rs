//! WebSocket and other upgrades: after 101 both sides are bytes, joined until either ends.

use std::rc::Rc;

use bytes::BytesMut;
use tokio::io::AsyncWriteExt;

use crate::http1::wire::Wire;
use crate::io::Io;
use crate::worker::{Connection, Worker};

/// Joins two connections that have switched. They count as a connection, and end like one.
pub async fn join(worker: &Rc<Worker>, connection: &Rc<Connection>, downstream: Wire, upstream: Wire) {
    let _open = worker.handover.connection();
    let ((mut downstream, from_client), (mut upstream, from_server)) = (downstream.into_parts(), upstream.into_parts());
    let joined = async {
        ahead(&mut upstream, from_client).await?;
        ahead(&mut downstream, from_server).await?;
        tokio::io::copy_bidirectional(&mut downstream, &mut upstream).await
    };
    if let Err(error) = joined.await {
        tracing::debug!(%error, remote = %connection.remote, "a switched connection broke off");
    }
}

/// What was sent ahead of the switch goes first.
async fn ahead(io: &mut Io, bytes: BytesMut) -> std::io::Result<()> {
    if bytes.is_empty() {
        return Ok(());
    }
    io.write_all(&bytes).await?;
    io.flush().await
}
