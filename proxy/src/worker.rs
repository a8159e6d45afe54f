//! A worker: one thread that carries traffic, with its own sockets, pools and handles. Nothing of it is shared.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use record::{Security, SeriesCache, Service, Workload};
use tokio::net::{TcpListener, TcpStream};

use crate::capture::listen;
use crate::capture::original_dst::original_dst;
use crate::handover::{Demand, Handover, Phase};
use crate::model::{FilterChain, HttpSettings, Known};
use crate::refuse::{self, Refusal};
use crate::upstream::{self, Clusters};
use crate::{inbound, outbound};

/// Who peers are is remembered for so many of them; then the memory starts anew.
const MAX_PEERS: usize = 10_000;
const HOUSEKEEPING: Duration = Duration::from_secs(10);
/// Connections that are accepted before those that are open are served again: a burst of thousands must not hold these up.
const ACCEPTS: u32 = 4;

/// State of one worker.
pub struct Worker {
    /// What all threads share.
    pub handover: Arc<Handover>,
    /// Clusters in use.
    pub clusters: Clusters,
    /// Metric handles.
    pub series: RefCell<SeriesCache>,
    /// Destinations of undeclared protocol whose server speaks first.
    pub server_first: RefCell<HashSet<SocketAddr>>,
    /// Whoever is not known.
    pub unknown: Arc<Workload>,
    /// Whatever is not known.
    pub unknown_service: Arc<Service>,
    peers: RefCell<HashMap<PeerKey, Peer>>,
    /// Addresses that were asked about since the last housekeeping.
    asked: RefCell<HashSet<IpAddr>>,
}

/// An address and the identity that its certificate proved.
type PeerKey = (IpAddr, Option<Arc<str>>);

/// A downstream peer as metrics name it, and the description that it was made from.
struct Peer {
    described: Option<Arc<Workload>>,
    workload: Arc<Workload>,
}

/// Which way a connection goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From the workload to the world.
    Outbound,
    /// From the world to the workload.
    Inbound,
}

/// A downstream HTTP connection.
pub struct Connection {
    /// Which way.
    pub direction: Direction,
    /// The filter chain that serves it.
    pub chain: Arc<FilterChain>,
    /// Settings of its connection manager.
    pub settings: Arc<HttpSettings>,
    /// HTTP/2.
    pub http2: bool,
    /// The peer is one of ours, and some of its requests are of HTTP/1.1 whatever the connection is.
    pub multiplexed: bool,
    /// The peer.
    pub remote: SocketAddr,
    /// Where it was going.
    pub original_dst: SocketAddr,
    /// The peer's SPIFFE identity, proved by its certificate.
    pub principal: Option<Arc<str>>,
    /// SHA-256 of the peer's certificate in hex.
    pub certificate_hash: Option<Box<str>>,
    /// How the bytes came.
    pub security: Security,
    /// SNI.
    pub server_name: Option<Box<str>>,
}

impl Connection {
    /// The peer as metrics name it.
    pub fn source(&self, worker: &Worker) -> Arc<Workload> {
        worker.peer(self.remote.ip(), self.principal.as_ref())
    }
}

impl Worker {
    fn new(handover: Arc<Handover>) -> Self {
        Self {
            series: RefCell::new(SeriesCache::new(handover.metrics.clone())),
            handover,
            clusters: Clusters::default(),
            server_first: RefCell::default(),
            unknown: Arc::default(),
            unknown_service: Arc::default(),
            peers: RefCell::default(),
            asked: RefCell::default(),
        }
    }

    /// Who is at this address, as far as is known; who is not known is asked for in the background.
    pub fn peer(&self, ip: IpAddr, principal: Option<&Arc<str>>) -> Arc<Workload> {
        let tables = self.handover.tables.load();
        let known = tables.workloads.get(&ip);
        if known.is_none() && self.asked.borrow_mut().insert(ip) {
            // A full queue only means that the answer comes later.
            let _ = self.handover.demands.try_send(Demand::Workload(ip));
        }
        let described = known.and_then(Known::present);
        let mut peers = self.peers.borrow_mut();
        if peers.len() > MAX_PEERS {
            peers.clear();
        }
        let key = (ip, principal.cloned());
        match peers.get(&key) {
            Some(peer) if same(peer.described.as_ref(), described) => peer.workload.clone(),
            _ => {
                let workload = Arc::new(describe(described, principal));
                peers.insert(key, Peer { described: described.cloned(), workload: workload.clone() });
                workload
            }
        }
    }
}

fn same(a: Option<&Arc<Workload>>, b: Option<&Arc<Workload>>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => Arc::ptr_eq(a, b),
        (None, None) => true,
        _ => false,
    }
}

/// What the certificate proves wins over what the registry says.
fn describe(described: Option<&Arc<Workload>>, principal: Option<&Arc<str>>) -> Workload {
    let mut workload = described.map_or_else(Workload::default, |workload| (**workload).clone());
    if let Some(principal) = principal {
        workload.principal = principal.to_string();
        if let Ok(id) = principal.parse::<citadel::spiffe::SpiffeId>() {
            workload.namespace = id.namespace().to_owned();
        }
    }
    workload
}

/// The sockets of one worker.
pub struct Sockets {
    /// Outbound connections arrive here.
    pub outbound: std::net::TcpListener,
    /// Inbound connections arrive here.
    pub inbound: std::net::TcpListener,
}

/// Accepts and serves until the proxy stops.
pub async fn run(handover: Arc<Handover>, sockets: Sockets) -> std::io::Result<()> {
    let outbound = TcpListener::from_std(sockets.outbound)?;
    let inbound = TcpListener::from_std(sockets.inbound)?;
    let mut phase = handover.phase.clone();
    let worker = Rc::new(Worker::new(handover));
    let mut housekeeping = tokio::time::interval(HOUSEKEEPING);
    let mut accepted = 0;
    loop {
        if accepted >= ACCEPTS {
            accepted = 0;
            tokio::task::yield_now().await;
        }
        tokio::select! {
            (stream, remote) = listen::accept(&outbound) => {
                accepted += 1;
                worker.handover.stats.accepted_outbound.inc();
                if let Some(stream) = admit(&worker, stream, remote) {
                    tokio::task::spawn_local(outbound::serve(worker.clone(), stream, remote));
                }
            }
            (stream, remote) = listen::accept(&inbound) => {
                accepted += 1;
                worker.handover.stats.accepted_inbound.inc();
                if let Some(stream) = admit(&worker, stream, remote) {
                    tokio::task::spawn_local(inbound::serve(worker.clone(), stream, remote));
                }
            }
            _ = housekeeping.tick() => {
                worker.asked.borrow_mut().clear();
                upstream::forget_old(&worker.clusters, &worker.handover);
            }
            _ = phase.wait_for(|phase| *phase >= Phase::Stopping) => return Ok(()),
        }
    }
}

/// Closes a connection at once when descriptors run out, so that its client need not wait to learn of it.
fn admit(worker: &Worker, stream: TcpStream, remote: SocketAddr) -> Option<TcpStream> {
    let descriptors = &worker.handover.descriptors;
    if descriptors.admit_downstream(&stream) {
        return Some(stream);
    }
    let destination = original_dst(&stream, remote, 0).ok().flatten().unwrap_or(remote);
    refuse::note(&worker.handover, remote, destination, &Refusal::OutOfDescriptors(descriptors.limit()));
    None
}
