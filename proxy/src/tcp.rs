//! Plain TCP through the proxy: bytes both ways, counted as they pass.

use std::cell::Cell;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant, SystemTime};

use record::access_log::Entry;
use record::{Reporter, ResponseFlags, Security, TcpKey, Workload};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf, copy_bidirectional_with_sizes};

use crate::io::Io;
use crate::model::TcpProxy;
use crate::refuse::Refusal;
use crate::tls::ISTIO_TCP;
use crate::upstream::connect::connect;
use crate::upstream::{Busy, Upstream};
use crate::worker::{Direction, Worker};

/// Bytes on their way in each direction; more costs memory on idle connections, less costs system calls on busy ones.
const BUFFER: usize = 16 * 1024;
/// How often a long connection tells the metrics how far it is; Istio's interval.
const REPORT: Duration = Duration::from_secs(5);

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
    io: Io,
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
    let mut counted = Counted { io, account: &account };
    let carrying = copy_bidirectional_with_sizes(&mut counted, &mut opened.io, BUFFER, BUFFER);
    let ended = tokio::select! {
        ended = carrying => ended.map(drop),
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

/// The bytes of one connection, told to the metrics from time to time.
struct Account<'a> {
    worker: &'a Rc<Worker>,
    inbound: bool,
    source: Arc<Workload>,
    destination: Arc<Workload>,
    service: Arc<record::Service>,
    security: Security,
    sent: Cell<u64>,
    received: Cell<u64>,
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
    fn open(worker: &'a Rc<Worker>, downstream: &Downstream, opened: &Opened) -> Self {
        let service = opened.upstream.cluster.service.clone();
        let mut account = Self::new(worker, downstream, opened.workload.clone(), service);
        account.logged.upstream = opened.io.socket().peer_addr().ok();
        account.logged.cluster = Some(opened.upstream.cluster.name.clone());
        account.series(ResponseFlags::default(), record::TcpSeries::opened);
        account
    }

    /// A connection that reached no endpoint counts all the same.
    fn failed(worker: &'a Rc<Worker>, downstream: &Downstream, settings: &TcpProxy, refusal: &Refusal) -> Self {
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
        let (sent, received, reported) = (Cell::new(0), Cell::new(0), Cell::new((0, 0)));
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

    fn report(&self) {
        let (sent, received) = self.reported.replace((self.sent.get(), self.received.get()));
        self.series(ResponseFlags::default(), |series| {
            series.sent(self.sent.get() - sent);
            series.received(self.received.get() - received);
        });
    }

    /// Reports now and then; returns when nothing has moved for `idle`.
    async fn watch(&self, idle: Option<Duration>) {
        let mut last = (self.sent.get(), self.received.get());
        let mut since = tokio::time::Instant::now();
        loop {
            tokio::time::sleep(idle.map_or(REPORT, |idle| REPORT.min(idle))).await;
            self.report();
            let now = (self.sent.get(), self.received.get());
            if now != last {
                (last, since) = (now, tokio::time::Instant::now());
            } else if idle.is_some_and(|idle| since.elapsed() >= idle) {
                return;
            }
        }
    }

    fn close(&self, flags: ResponseFlags) {
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
        entry.bytes_received = self.received.get();
        entry.bytes_sent = self.sent.get();
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

/// The downstream's stream; what passes is counted.
struct Counted<'a, 'b> {
    io: Io,
    account: &'b Account<'a>,
}

fn add(cell: &Cell<u64>, bytes: usize) {
    cell.set(cell.get() + bytes as u64);
}

impl AsyncRead for Counted<'_, '_> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.io).poll_read(cx, buf);
        add(&self.account.received, buf.filled().len() - before);
        polled
    }
}

impl AsyncWrite for Counted<'_, '_> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.io).poll_write(cx, buf);
        if let Poll::Ready(Ok(bytes)) = &polled {
            add(&self.account.sent, *bytes);
        }
        polled
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
