//! The process: starts the control thread and the workers, and stops them in order.

use std::cell::OnceCell;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use citadel::client::{ClientOptions, Identity};
use citadel::spiffe::{SpiffeId, TrustDomain};
use citadel::tls::Roots;
use record::access_log::AccessLog;
use record::otlp::{Exporter, ExporterOptions};
use record::{Metrics, Workload};
use tokio::net::TcpListener;
use tokio::runtime::{Builder, LocalOptions};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tonic::transport::Channel;

use crate::admin;
use crate::capture::listen::{self, Port};
use crate::control::Control;
use crate::descriptors::Descriptors;
use crate::handover::{Demand, Handover, Phase};
use crate::memory;
use crate::options::{AccessLogTarget, ProxyOptions};
use crate::worker::{self, Sockets};

/// Questions to the control thread that may wait; more are asked again by the next connection.
const MAX_DEMANDS: usize = 4096;
/// From the first configuration until all that comes with it has been looked at.
const START: Duration = Duration::from_secs(1);
/// Between two looks whether all connections are gone.
const MOMENT: Duration = Duration::from_millis(20);

/// Why the proxy does not run.
#[derive(Debug, thiserror::Error)]
pub enum ProxyError {
    /// A socket or file.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// The system's answer.
        source: io::Error,
    },
    /// The identity that was asked for is none.
    #[error("cannot be a workload identity: {0}")]
    Identity(#[from] citadel::spiffe::SpiffeError),
    /// The control plane's address or name is none.
    #[error("cannot reach the control plane: {0}")]
    ControlPlane(String),
}

fn at(what: &'static str) -> impl FnOnce(io::Error) -> ProxyError {
    move |source| ProxyError::Io { what, source }
}

/// Runs until SIGTERM or SIGINT and the drain that follows.
///
/// # Errors
/// When a socket cannot be opened or a setting makes no sense. What the network does later is no error here.
pub fn run(options: ProxyOptions) -> Result<(), ProxyError> {
    memory::in_small_pages();
    let descriptors = Descriptors::raise();
    let sockets = open_sockets(&options)?;
    let metrics = Metrics::new();
    metrics.proxy_build(env!("CARGO_PKG_VERSION"));
    metrics.watch_process();
    let access_log = open_access_log(&options.access_log, &metrics)?;
    let trust_domain: TrustDomain = options.trust_domain.parse()?;
    let id = trust_domain.workload(&options.node.namespace, &options.node.service_account)?;
    let (phase_sender, phase) = watch::channel(Phase::Starting);
    let (demands, demand_queue) = mpsc::channel(MAX_DEMANDS);
    let own = Arc::new(own_workload(&options, &id));
    let handover =
        Arc::new(Handover::new(options, demands, phase, Identity::empty(), own, metrics, access_log, descriptors));

    let workers: Vec<JoinHandle<()>> =
        sockets.into_iter().map(|sockets| spawn_worker(handover.clone(), sockets)).collect::<Result<_, _>>()?;
    let control = Builder::new_current_thread().enable_all().build().map_err(at("cannot start the control thread"))?;
    let outcome = control.block_on(supervise(&handover, id, phase_sender, demand_queue));
    for worker in workers {
        // A worker that panicked has said so; the others are waited for all the same.
        let _ = worker.join();
    }
    if let Some(log) = &handover.access_log {
        log.flush(Duration::from_secs(1));
    }
    outcome
}

fn open_sockets(options: &ProxyOptions) -> Result<Vec<Sockets>, ProxyError> {
    let open = |port| listen::bind(SocketAddr::new(options.capture_address, port), Port::Shared).map_err(at("capture"));
    (0..options.workers.max(1))
        .map(|_| Ok(Sockets { outbound: open(options.outbound_port)?, inbound: open(options.inbound_port)? }))
        .collect()
}

fn open_access_log(target: &AccessLogTarget, metrics: &Metrics) -> Result<Option<AccessLog>, ProxyError> {
    match target {
        AccessLogTarget::Off => Ok(None),
        AccessLogTarget::Stdout => AccessLog::new(Box::new(io::stdout()), metrics).map(Some),
        AccessLogTarget::File(path) => AccessLog::to_path(path, metrics).map(Some),
    }
    .map_err(at("cannot open the access log"))
}

fn own_workload(options: &ProxyOptions, id: &SpiffeId) -> Workload {
    let node = &options.node;
    let canonical = node.cluster.split('.').next().unwrap_or(&node.workload).to_owned();
    let revision = if options.version.is_empty() { "latest" } else { &options.version };
    Workload {
        name: node.workload.clone(),
        namespace: node.namespace.clone(),
        principal: id.to_string(),
        app: options.app.clone(),
        version: options.version.clone(),
        cluster: node.cluster_id.clone(),
        canonical_service: canonical,
        canonical_revision: revision.to_owned(),
    }
}

fn spawn_worker(handover: Arc<Handover>, sockets: Sockets) -> Result<JoinHandle<()>, ProxyError> {
    let work = move || {
        let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default());
        let ended = runtime.and_then(|runtime| runtime.block_on(worker::run(handover, sockets)));
        if let Err(error) = ended {
            tracing::error!(%error, "a worker ended");
        }
    };
    std::thread::Builder::new().name("worker".into()).spawn(work).map_err(at("cannot start a worker"))
}

/// The control thread's life: identity, xDS, administration, reports; then the drain.
async fn supervise(
    handover: &Arc<Handover>,
    id: SpiffeId,
    phase: watch::Sender<Phase>,
    demands: mpsc::Receiver<Demand>,
) -> Result<(), ProxyError> {
    let options = &handover.options;
    let mut terminate = signal(SignalKind::terminate()).map_err(at("cannot listen for SIGTERM"))?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(at("cannot listen for SIGINT"))?;
    let (dump, dump_queue) = mpsc::channel(4);
    for (address, surface) in admin::surfaces(options) {
        let listener = listen::bind(address, Port::Alone).and_then(TcpListener::from_std);
        let listener = listener.map_err(at("cannot open an administration port"))?;
        tokio::spawn(admin::serve(listener, surface, handover.clone(), dump.clone()));
    }
    let renewing = citadel::client::run(ca_options(options, id.clone()), handover.identity.clone(), &handover.metrics);
    let channel = control_plane(handover)?;
    let exporter = OnceCell::new();
    let stopping = phase.clone();
    let configuring = async {
        // Nothing before: a connection that was made without a certificate has none for as long as it lives.
        handover.identity.ready().await;
        exporter.get_or_init(|| reporting(handover, channel.clone()));
        let (xds, events) = xds::client::start(xds::client::ClientOptions::new(options.node.clone(), channel));
        Control::new(handover.clone(), xds, phase, dump_queue).run(events, demands).await;
    };
    let stop = async {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        // While it drains the proxy still renews its certificate and follows its configuration.
        drain(handover, &stopping).await;
    };
    tokio::select! {
        () = async { tokio::join!(renewing, configuring, forget_the_start(handover)); } => {}
        () = stop => {}
    }
    if let Some(exporter) = exporter.into_inner()
        && let Err(error) = exporter.shutdown(Duration::from_secs(2)).await
    {
        tracing::warn!(%error, "the last metrics report was lost");
    }
    Ok(())
}

/// Sends metrics to the hub from now on.
fn reporting(handover: &Handover, channel: Channel) -> Exporter {
    let interval = handover.options.report_every;
    let options = ExporterOptions { interval, resource: who_reports(handover), ..ExporterOptions::default() };
    Exporter::start(handover.metrics.clone(), channel, options)
}

/// Lets go of what only the start needed, a moment after it.
async fn forget_the_start(handover: &Handover) {
    // The sender lives as long as the process.
    let _ = handover.phase.clone().wait_for(|phase| *phase >= Phase::Ready).await;
    tokio::time::sleep(START).await;
    memory::forget_the_start();
    tracing::info!("the start is over: code that only it needed is let go");
}

/// Serves what still comes, sends clients elsewhere, and ends when nothing is under way or the time is over. Beside a Job,
/// which nobody ever called, there are no clients to tell.
async fn drain(handover: &Handover, phase: &watch::Sender<Phase>) {
    let options = &handover.options;
    let until = Instant::now() + options.drain;
    tracing::info!(connections = handover.connections(), at_most = ?options.drain, "draining");
    // Whoever has connected by now is accepted first.
    tokio::time::sleep(MOMENT).await;
    if handover.stats.accepted_inbound.get() > 0 {
        phase.send_replace(Phase::Draining);
        tokio::time::sleep(options.drain_at_least.min(options.drain)).await;
    }
    phase.send_replace(Phase::Leaving);
    while handover.connections() > 0 && Instant::now() < until {
        tokio::time::sleep(MOMENT).await;
    }
    tracing::info!(connections = handover.connections(), "stopping");
    phase.send_replace(Phase::Stopping);
}

fn ca_options(options: &ProxyOptions, id: SpiffeId) -> ClientOptions {
    ClientOptions {
        address: options.control_plane.clone(),
        server_name: options.control_plane_name.clone(),
        roots: Roots::File(options.root_file.clone()),
        token_path: Some(options.token_file.clone()),
        ttl: options.certificate_ttl,
        expected: Some(id),
        mark: options.mark,
    }
}

fn control_plane(handover: &Handover) -> Result<Channel, ProxyError> {
    let options = &handover.options;
    let roots = Roots::File(options.root_file.clone());
    let tls = citadel::tls::control_plane_client(&roots, &handover.identity)
        .map_err(|error| ProxyError::ControlPlane(error.to_string()))?;
    citadel::grpc::channel(options.control_plane.clone(), tls, &options.control_plane_name, options.mark)
        .map_err(|error| ProxyError::ControlPlane(error.to_string()))
}

fn who_reports(handover: &Handover) -> Vec<(String, String)> {
    let node = &handover.options.node;
    [
        ("service.name", &handover.own.canonical_service),
        ("k8s.namespace.name", &node.namespace),
        ("k8s.pod.name", &node.pod),
        ("meltemi.service.account", &node.service_account),
    ]
    .map(|(key, value)| (key.to_owned(), value.clone()))
    .to_vec()
}
