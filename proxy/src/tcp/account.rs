//! What the metrics and the access log are told of a TCP connection.

use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use record::access_log::Entry;
use record::{Reporter, ResponseFlags, Security, TcpKey, Workload};

use super::copy::Moved;
use super::{Downstream, Opened};
use crate::model::TcpProxy;
use crate::refuse::Refusal;
use crate::worker::{Direction, Worker};

/// How often a long connection tells the metrics how far it is; Istio's interval.
const REPORT: Duration = Duration::from_secs(5);

/// The bytes of one connection, told to the metrics from time to time.
pub(super) struct Account<'a> {
    worker: &'a Rc<Worker>,
    inbound: bool,
    source: Arc<Workload>,
    destination: Arc<Workload>,
    service: Arc<record::Service>,
    security: Security,
    /// Towards the downstream.
    pub(super) sent: Moved,
    /// From the downstream.
    pub(super) received: Moved,
    reported: Cell<(u64, u64)>,
    started: Instant,
    closed: Cell<bool>,
    logged: Logged,
}

/// What only the access log needs.
struct Logged {
    at: SystemTime,
    remote: SocketAddr,
    destination: SocketAddr,
    upstream: Option<SocketAddr>,
    cluster: Option<Arc<str>>,
    failure: Option<String>,
}

impl<'a> Account<'a> {
    pub(super) fn open(worker: &'a Rc<Worker>, downstream: &Downstream, opened: &Opened) -> Self {
        let service = opened.upstream.cluster.service.clone();
        let mut account = Self::new(worker, downstream, opened.workload.clone(), service);
        account.logged.upstream = opened.io.socket().peer_addr().ok();
        account.logged.cluster = Some(opened.upstream.cluster.name.clone());
        account.series(ResponseFlags::default(), record::TcpSeries::opened);
        account
    }

    /// A connection that reached no endpoint counts all the same.
    pub(super) fn failed(
        worker: &'a Rc<Worker>,
        downstream: &Downstream,
        settings: &TcpProxy,
        refusal: &Refusal,
    ) -> Self {
        let tables = worker.handover.tables.load();
        let cluster = settings.targets.iter().find_map(|target| worker.clusters.get(&tables, &target.cluster).ok());
        let service =
            cluster.map_or_else(|| worker.unknown_service.clone(), |upstream| upstream.cluster.service.clone());
        let mut account = Self::new(worker, downstream, worker.unknown.clone(), service);
        account.logged.cluster = settings.targets.clusters().next().cloned();
        account.logged.failure = Some(refusal.to_string());
        account.series(ResponseFlags::UF, record::TcpSeries::opened);
        account
    }

    fn new(
        worker: &'a Rc<Worker>,
        downstream: &Downstream,
        peer: Arc<Workload>,
        service: Arc<record::Service>,
    ) -> Self {
        let inbound = downstream.direction == Direction::Inbound;
        let own = worker.handover.own.clone();
        let (source, destination) = if inbound {
            (worker.peer(downstream.remote.ip(), downstream.principal.as_ref()), own)
        } else {
            (own, peer)
        };
        let security = if inbound { downstream.security } else { Security::Unknown };
        let (sent, received, reported) = (Moved::default(), Moved::default(), Cell::new((0, 0)));
        let (started, closed) = (Instant::now(), Cell::new(false));
        let logged = Logged {
            at: SystemTime::now(),
            remote: downstream.remote,
            destination: downstream.destination,
            upstream: None,
            cluster: None,
            failure: None,
        };
        Self {
            worker,
            inbound,
            source,
            destination,
            service,
            security,
            sent,
            received,
            reported,
            started,
            closed,
            logged,
        }
    }

    fn series(&self, flags: ResponseFlags, record: impl FnOnce(&record::TcpSeries)) {
        let key = TcpKey {
            reporter: if self.inbound { Reporter::Destination } else { Reporter::Source },
            source: &self.source,
            destination: &self.destination,
            service: &self.service,
            flags,
            security: self.security,
        };
        record(self.worker.series.borrow_mut().tcp(key));
    }

    /// Bytes sent to the downstream and received from it.
    fn moved(&self) -> (u64, u64) {
        (self.sent.written.get(), self.received.read.get())
    }

    fn report(&self) {
        let now @ (sent, received) = self.moved();
        let (sent_before, received_before) = self.reported.replace(now);
        self.series(ResponseFlags::default(), |series| {
            series.sent(sent - sent_before);
            series.received(received - received_before);
        });
    }

    /// Reports now and then; returns when nothing has moved for `idle`.
    pub(super) async fn watch(&self, idle: Option<Duration>) {
        let pause = idle.map_or(REPORT, |idle| REPORT.min(idle));
        let mut since = tokio::time::Instant::now();
        let mut pausing = std::pin::pin!(tokio::time::sleep(pause));
        loop {
            pausing.as_mut().await;
            let now = tokio::time::Instant::now();
            pausing.as_mut().reset(now + pause);
            if self.moved() != self.reported.get() {
                self.report();
                since = now;
            } else if idle.is_some_and(|idle| now - since >= idle) {
                return;
            }
        }
    }

    pub(super) fn close(&self, flags: ResponseFlags) {
        self.closed.set(true);
        self.report();
        self.series(flags, |series| series.closed(self.started.elapsed()));
        self.log(flags);
    }

    /// A line of the access log; a connection has no method, path or status.
    fn log(&self, flags: ResponseFlags) {
        let Some(log) = &self.worker.handover.access_log else { return };
        let mut entry = Entry::new(self.logged.at);
        entry.response_flags = flags;
        entry.upstream_transport_failure_reason = self.logged.failure.as_deref();
        (entry.bytes_sent, entry.bytes_received) = self.moved();
        entry.duration = self.started.elapsed();
        entry.upstream_host = self.logged.upstream;
        entry.upstream_cluster = self.logged.cluster.as_deref();
        entry.downstream_local_address = Some(self.logged.destination);
        entry.downstream_remote_address = Some(self.logged.remote);
        log.log(&entry);
    }
}

impl Drop for Account<'_> {
    /// The connection was cut: by a newer configuration, or at the end of the drain.
    fn drop(&mut self) {
        if !self.closed.get() {
            self.close(ResponseFlags::LR);
        }
    }
}
