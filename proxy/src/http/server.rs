//! Serves one downstream HTTP connection, HTTP/1 or HTTP/2, until it ends or the proxy drains.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use crate::handover::Phase;
use crate::io::Io;
use crate::worker::{Connection, Direction, Worker};
use crate::{http1, http2, inbound};

/// Between two looks whether a connection is idle by now.
const MOMENT: Duration = Duration::from_millis(50);
/// How often a connection of a chain that is gone looks whether it is still allowed.
pub const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// A limit that is none.
pub const NEVER: Duration = Duration::from_secs(365 * 24 * 3600);
/// What a connection that is no longer allowed gets to finish its request.
pub const LAST_MOMENTS: Duration = Duration::from_secs(2);

/// Serves until the connection ends.
pub async fn serve(worker: Rc<Worker>, connection: Rc<Connection>, io: Io) {
    let ended = if connection.http2 {
        Box::pin(http2::server::serve(&worker, &connection, io)).await
    } else {
        serve_http1(&worker, &connection, io).await
    };
    if let Err(reason) = ended {
        worker.handover.stats.invalid_requests.with(&[reason]).inc();
    }
}

async fn serve_http1(worker: &Rc<Worker>, connection: &Rc<Connection>, io: Io) -> Result<(), &'static str> {
    let idle = Cell::new(false);
    tokio::select! {
        biased;
        served = http1::server::serve(worker, connection, io, &idle) => served,
        () = time_to_leave(worker, connection.direction, &idle) => Ok(()),
        () = refused_by_now(worker, connection) => Ok(()),
    }
}

/// Returns when the proxy leaves and nothing is under way on a client's connection, or when it stops. The application's own
/// connections end with it.
async fn time_to_leave(worker: &Worker, direction: Direction, idle: &Cell<bool>) {
    let mut phase = worker.handover.phase.clone();
    let until = if direction == Direction::Inbound { Phase::Leaving } else { Phase::Stopping };
    // The sender lives as long as the process.
    let _ = phase.wait_for(|phase| *phase >= until).await;
    loop {
        let stops = tokio::time::timeout(MOMENT, phase.wait_for(|phase| *phase >= Phase::Stopping)).await.is_ok();
        if stops || idle.get() {
            return;
        }
    }
}

/// Returns a moment after a newer configuration has replaced the connection's filter chain by none that would take
/// it: plaintext under STRICT. Otherwise its next answer asks the client to connect anew, and nothing is cut.
pub async fn refused_by_now(worker: &Worker, connection: &Connection) {
    connection.chain.retired.wait().await;
    while connection.direction == Direction::Outbound
        || inbound::would_admit(worker, connection.original_dst, &connection.chain)
    {
        tokio::time::sleep(LOOK_AGAIN).await;
    }
    tokio::time::sleep(LAST_MOMENTS).await;
}
