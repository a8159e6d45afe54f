//! WebSocket and other upgrades: after 101 both sides are bytes, joined until either ends.

use std::rc::Rc;

use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;

use super::server;
use crate::handover::Phase;
use crate::worker::{Connection, Worker};

/// Joins the two connections once both have switched. They count as a connection, and end like one.
pub fn join(worker: &Rc<Worker>, connection: &Rc<Connection>, downstream: OnUpgrade, upstream: OnUpgrade) {
    let (worker, connection) = (worker.clone(), connection.clone());
    let open = worker.handover.connection();
    tokio::task::spawn_local(async move {
        let _open = open;
        let (downstream, upstream) = match tokio::try_join!(downstream, upstream) {
            Ok(both) => both,
            Err(error) => {
                tracing::debug!(%error, "a connection did not switch protocols");
                return;
            }
        };
        let (mut downstream, mut upstream) = (TokioIo::new(downstream), TokioIo::new(upstream));
        let mut phase = worker.handover.phase.clone();
        tokio::select! {
            joined = tokio::io::copy_bidirectional(&mut downstream, &mut upstream) => if let Err(error) = joined {
                tracing::debug!(%error, "a switched connection broke off");
            },
            () = server::refused_by_now(&worker, &connection) => {}
            _ = phase.wait_for(|phase| *phase >= Phase::Stopping) => {}
        }
    });
}
