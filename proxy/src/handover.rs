//! What the control thread and the workers share: finished snapshots one way, questions the other.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use arc_swap::ArcSwap;
use citadel::client::Identity;
use record::access_log::AccessLog;
use record::{Metrics, Workload};
use tokio::sync::{mpsc, oneshot, watch};

use crate::app_probes::AppProbes;
use crate::descriptors::Descriptors;
use crate::model::Tables;
use crate::options::ProxyOptions;
use crate::stats::Stats;
use crate::tls::TlsConfigs;

/// One for the process.
pub struct Handover {
    /// Settings of the process.
    pub options: ProxyOptions,
    /// The newest finished snapshot.
    pub tables: ArcSwap<Tables>,
    /// Questions to the control thread.
    pub demands: mpsc::Sender<Demand>,
    /// How many files may be open.
    pub descriptors: Descriptors,
    /// Where the proxy is in its life.
    pub phase: watch::Receiver<Phase>,
    /// Our certificate.
    pub identity: Identity,
    /// TLS configurations, built once each.
    pub tls: TlsConfigs,
    /// Who we are, as metrics name it.
    pub own: Arc<Workload>,
    /// The process's metrics.
    pub metrics: Metrics,
    /// Counters that are not Istio's.
    pub stats: Stats,
    /// The application's probes.
    pub app_probes: AppProbes,
    /// The access log, if one is kept.
    pub access_log: Option<AccessLog>,
    started: Instant,
    connections: AtomicU64,
}

/// Where a proxy is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Waiting for a certificate and the first configuration.
    Starting,
    /// Serving.
    Ready,
    /// Told to stop: serving what comes, sending clients elsewhere.
    Draining,
    /// The news has reached everybody: clients' connections on which nothing is under way are closed.
    Leaving,
    /// Past the drain time: connections are cut.
    Stopping,
}

/// A question of a worker.
pub enum Demand {
    /// What is at this address? Answered when everything that a connection to it needs is known.
    Destination(SocketAddr, oneshot::Sender<()>),
    /// Who is at this address? Answered in the tables, some time.
    Workload(IpAddr),
}

impl Handover {
    /// Puts the parts together; called once at start.
    #[allow(clippy::too_many_arguments)]
    pub fn new(
        options: ProxyOptions,
        demands: mpsc::Sender<Demand>,
        phase: watch::Receiver<Phase>,
        identity: Identity,
        own: Arc<Workload>,
        metrics: Metrics,
        access_log: Option<AccessLog>,
        descriptors: Descriptors,
    ) -> Self {
        Self {
            tls: TlsConfigs::new(identity.clone(), &options.trust_domain),
            stats: Stats::new(&metrics),
            tables: ArcSwap::default(),
            app_probes: AppProbes::new(&options.app_probes, options.node.ip, options.mark),
            started: Instant::now(),
            connections: AtomicU64::new(0),
            options,
            demands,
            descriptors,
            phase,
            identity,
            own,
            metrics,
            access_log,
        }
    }

    /// Seconds since start: the clock of `last_used`.
    pub fn seconds(&self) -> u64 {
        self.started.elapsed().as_secs()
    }

    /// Whether new requests should be sent elsewhere.
    pub fn draining(&self) -> bool {
        *self.phase.borrow() >= Phase::Draining
    }

    /// Counts a connection for as long as the guard lives.
    pub fn connection(self: &Arc<Self>) -> ConnectionGuard {
        self.connections.fetch_add(1, Ordering::Relaxed);
        ConnectionGuard(self.clone())
    }

    /// Downstream connections that are open.
    pub fn connections(&self) -> u64 {
        self.connections.load(Ordering::Relaxed)
    }
}

/// One open downstream connection.
pub struct ConnectionGuard(Arc<Handover>);

impl Drop for ConnectionGuard {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Ordering::Relaxed);
    }
}
