//! Plain TCP through the proxy: bytes both ways, counted as they pass.

mod account;
mod copy;
mod splice;

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use record::{ResponseFlags, Security, Workload};

use self::account::Account;
use self::copy::both_ways;
use crate::io::Io;
use crate::model::TcpProxy;
use crate::refuse::Refusal;
use crate::tls::ISTIO_TCP;
use crate::upstream::connect::connect;
use crate::upstream::{Busy, Upstream};
use crate::worker::{Direction, Worker};

/// The downstream side of a connection.
pub struct Downstream {
    /// Which way it goes.
    pub direction: Direction,
    /// The peer.
    pub remote: SocketAddr,
    /// Where it was going.
    pub destination: SocketAddr,
    /// The peer's proved identity.
    pub principal: Option<Arc<str>>,
    /// How the bytes came.
    pub security: Security,
}

/// An open connection to an upstream.
pub struct Opened {
    /// The bytes.
    pub io: Io,
    upstream: Rc<Upstream>,
    workload: Arc<Workload>,
    _busy: Busy,
}

/// Opens a connection to an endpoint of the chosen cluster, or to another one if that fails.
///
/// # Errors
/// When there is none, or none can be reached.
pub async fn open(worker: &Rc<Worker>, settings: &TcpProxy, destination: SocketAddr) -> Result<Opened, Refusal> {
    let target = settings.targets.pick(fastrand::u64(..));
    let none = || Refusal::NoUpstream(target.cluster.to_string());
    let upstream = worker.clusters.get(&worker.handover.tables.load(), &target.cluster).map_err(|_| none())?;
    let mut tried = Vec::new();
    loop {
        let host = upstream.pick(destination, &tried).map_err(|_| none())?;
        let busy = host.busy();
        match connect(&worker.handover, &upstream.cluster, &host.endpoint, Some(ISTIO_TCP)).await {
            Ok(connected) => {
                let workload = host.workload(connected.principal.as_deref());
                return Ok(Opened { io: connected.io, upstream, workload, _busy: busy });
            }
            Err(error) => {
                tried.push(host.endpoint.address);
                let more = upstream.pick(destination, &tried).is_ok_and(|next| !tried.contains(&next.endpoint.address));
                if !more || tried.len() >= settings.connect_attempts as usize {
                    return Err(Refusal::Connect(error));
                }
            }
        }
    }
}

/// Carries bytes until both sides have closed.
///
/// # Errors
/// When there is nowhere to carry them.
pub async fn serve(
    worker: &Rc<Worker>,
    settings: &TcpProxy,
    downstream: Downstream,
    mut io: Io,
    opened: Option<Opened>,
) -> Result<(), Refusal> {
    let opened = match opened {
        Some(opened) => Ok(opened),
        None => open(worker, settings, downstream.destination).await,
    };
    let mut opened = match opened {
        Ok(opened) => opened,
        Err(refusal) => {
            Account::failed(worker, &downstream, settings, &refusal).close(ResponseFlags::UF);
            return Err(refusal);
        }
    };
    let account = Account::open(worker, &downstream, &opened);
    let ended = tokio::select! {
        ended = both_ways(&mut io, &mut opened.io, &account.received, &account.sent) => ended,
        () = account.watch(settings.idle_timeout) => Err(io::ErrorKind::TimedOut.into()),
    };
    let flags = match &ended {
        Ok(()) => ResponseFlags::default(),
        Err(error) if error.kind() == io::ErrorKind::TimedOut => ResponseFlags::SI,
        Err(_) => ResponseFlags::UC,
    };
    account.close(flags);
    Ok(())
}
