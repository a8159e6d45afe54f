//! Pilot as a whole: reads a source, builds the world after every change and hands it to the catalog.

use crate::build::{Snapshot, build};
use crate::catalog::{MeshCatalog, WantedShare};
use crate::diff::{Changed, diff};
use crate::model::ObjectRef;
use crate::source::{Candidates, Cluster, Directory, Reload, Running};
use crate::status::{Finding, ObjectStatus, Statuses};
use crate::validate::Settings;
use crate::world::{Mesh, World};
use arc_swap::ArcSwap;
use record::{Counter, Gauge, Metrics};
use std::collections::HashSet;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::sync::{broadcast, watch};

/// Reloads that a slow listener may be behind.
const RELOADS: usize = 64;
/// Changed objects that the log names.
const NAMED: usize = 5;
/// Findings of one reload that the log repeats; the status has all.
const REPORTED: usize = 50;

/// What Pilot needs to know.
pub struct PilotOptions {
    /// Where objects come from.
    pub source: SourceOptions,
    /// Mesh-wide settings.
    pub mesh: Mesh,
}

/// Where objects come from.
pub enum SourceOptions {
    /// Every YAML file below a directory.
    Directory(PathBuf),
    /// A Kubernetes cluster. A configuration rather than a client: Pilot reads in a thread of its own, and connections
    /// belong to the thread that makes them.
    Kubernetes(Box<kube::Config>),
}

/// Pilot cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration directory cannot be read.
    #[error("cannot read the configuration directory {}: {error}; create it, or name another one", .directory.display())]
    Directory {
        /// The directory.
        directory: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// The reader's thread cannot be started.
    #[error("cannot start the thread that reads the configuration: {0}")]
    Thread(io::Error),
}

/// A running Pilot. Cheap to clone; it stops reading when the last clone is dropped.
#[derive(Clone)]
pub struct Pilot {
    shared: Arc<Shared>,
    /// Closed when the thread that reads has ended.
    reading: watch::Receiver<()>,
    _running: Arc<Running>,
}

/// What one look at the source gave.
#[derive(Debug)]
pub struct Update {
    /// The world since then.
    pub world: Arc<World>,
    /// What differs from the world before.
    pub changed: Changed,
    /// What became of each object.
    pub statuses: Arc<Statuses>,
    /// The objects of which there is another version, or another generation of the same, and those that are gone.
    pub objects: HashSet<Arc<ObjectRef>>,
    /// Everything that the source holds has been read. Until then there is nothing to serve.
    pub complete: bool,
}

struct Shared {
    catalog: Arc<MeshCatalog>,
    latest: ArcSwap<Update>,
    updates: broadcast::Sender<Arc<Update>>,
    complete: watch::Sender<bool>,
    metrics: ReloadMetrics,
}

struct ReloadMetrics {
    reloads: Counter,
    objects: Gauge,
    rejected: Gauge,
    broken_files: Gauge,
}

impl Pilot {
    /// Reads the configuration, and follows its changes from then on. Objects that are wrong are reported and left
    /// out; only a directory that cannot be read at all is an error. A cluster is read in the background:
    /// wait for [`Pilot::complete`] before anything is served.
    pub fn start(options: PilotOptions, metrics: &Metrics) -> Result<Self, StartError> {
        let mesh = Arc::new(options.mesh);
        let (alive, reading) = watch::channel(());
        match options.source {
            SourceOptions::Directory(root) => {
                let settings = Settings { mesh: mesh.clone(), assume_sidecars: true, from_cluster: false };
                let (directory, first, running) = Directory::open(root.clone(), settings)
                    .map_err(|error| StartError::Directory { directory: root, error })?;
                let (shared, mut loader) = Shared::new(mesh, first, metrics);
                let reloading = shared.clone();
                let publish = move |reload| {
                    let _alive = &alive;
                    reloading.publish(loader.load(reload));
                };
                directory.run(publish).map_err(StartError::Thread)?;
                Ok(Self { shared, reading, _running: Arc::new(running) })
            }
            SourceOptions::Kubernetes(config) => {
                let settings = Settings { mesh: mesh.clone(), assume_sidecars: false, from_cluster: true };
                let (shared, mut loader) = Shared::new(mesh, Reload::default(), metrics);
                let reloading = shared.clone();
                let publish = move |reload| {
                    let _alive = &alive;
                    reloading.publish(loader.load(reload));
                };
                let running = Cluster::new(*config, settings, metrics).run(publish).map_err(StartError::Thread)?;
                Ok(Self { shared, reading, _running: Arc::new(running) })
            }
        }
    }

    /// Waits until everything that the source holds has been read and the first world is made of it.
    pub async fn complete(&self) {
        // The sender is part of what this borrows.
        let _ = self.shared.complete.subscribe().wait_for(|complete| *complete).await;
    }

    /// Waits until nothing is read any more, which is so only after a bug: whoever serves what was read last must end then,
    /// or it would be served for ever.
    pub async fn ended(&self) {
        let mut reading = self.reading.clone();
        while reading.changed().await.is_ok() {}
    }

    /// Whether everything that the source holds has been read.
    pub fn is_complete(&self) -> bool {
        *self.shared.complete.borrow()
    }

    /// What Pilot has for each proxy; serves `xds::server::AdsServer`.
    pub fn catalog(&self) -> Arc<MeshCatalog> {
        self.shared.catalog.clone()
    }

    /// The world as it is.
    pub fn world(&self) -> Arc<World> {
        self.shared.latest.load().world.clone()
    }

    /// What became of each object, with what proxies refuse of it.
    pub fn status(&self) -> Vec<ObjectStatus> {
        self.shared.latest.load().statuses.objects(&self.shared.catalog.refused())
    }

    /// Everything that is wrong with files and objects, or worth knowing.
    pub fn findings(&self) -> Vec<Finding> {
        self.shared.latest.load().statuses.findings().to_vec()
    }

    /// The canary shares that the configuration asks for.
    pub fn shares(&self) -> Vec<WantedShare> {
        self.shared.catalog.shares()
    }

    /// Hears of every reload that changed something: objects, the world, or what is to be said of objects. A listener that
    /// falls behind takes [`Pilot::world`].
    pub fn updates(&self) -> broadcast::Receiver<Arc<Update>> {
        self.shared.updates.subscribe()
    }
}

impl Shared {
    fn new(mesh: Arc<Mesh>, first: Reload, metrics: &Metrics) -> (Arc<Self>, Loader) {
        let mut loader = Loader::new(mesh);
        let update = Arc::new(loader.load(first));
        let shared = Self {
            catalog: Arc::new(MeshCatalog::new(update.world.clone(), metrics)),
            complete: watch::Sender::new(update.complete),
            latest: ArcSwap::new(update.clone()),
            updates: broadcast::Sender::new(RELOADS),
            metrics: ReloadMetrics::new(metrics),
        };
        shared.metrics.record(&update);
        (Arc::new(shared), loader)
    }

    fn publish(&self, update: Update) {
        let update = Arc::new(update);
        let quiet = update.changed.is_empty()
            && update.objects.is_empty()
            && update.statuses.findings() == self.latest.load().statuses.findings();
        self.latest.store(update.clone());
        if !update.changed.is_empty() {
            self.catalog.update(update.world.clone(), &update.changed);
        }
        self.metrics.record(&update);
        let complete = update.complete;
        if !quiet {
            // Nobody need listen.
            let _ = self.updates.send(update);
        }
        self.complete.send_if_modified(|known| !std::mem::replace(known, complete) && complete);
    }
}

/// Turns what the source holds into worlds, each from the one before.
struct Loader {
    snapshot: Arc<Snapshot>,
    candidates: Arc<Candidates>,
    reported: HashSet<Finding>,
}

impl Loader {
    fn new(mesh: Arc<Mesh>) -> Self {
        let snapshot = Arc::new(Snapshot::empty(mesh));
        Self { snapshot, candidates: Arc::default(), reported: HashSet::new() }
    }

    fn load(&mut self, reload: Reload) -> Update {
        let Reload { candidates, problems, complete } = reload;
        let fresh = candidates.changed_since(&self.candidates);
        let objects = candidates.touched_since(&self.candidates);
        let next = Arc::new(build(&candidates, &fresh, &self.snapshot));
        let changed = diff(&self.snapshot.world, &next.world);
        self.candidates = Arc::new(candidates);
        let statuses = Arc::new(Statuses::new(next.clone(), self.candidates.clone(), problems));
        self.report(&statuses, &fresh, &changed);
        self.snapshot = next;
        Update { world: Arc::new(self.snapshot.world.clone()), changed, statuses, objects, complete }
    }

    /// One line for the reload, and one for each finding that was not there before.
    fn report(&mut self, statuses: &Statuses, objects: &HashSet<Arc<ObjectRef>>, changed: &Changed) {
        let findings: HashSet<Finding> = statuses.findings().iter().cloned().collect();
        let mut fresh: Vec<_> = findings.difference(&self.reported).collect();
        fresh.sort();
        for finding in fresh.iter().take(REPORTED) {
            match finding.is_error {
                true => tracing::error!("{finding}"),
                false => tracing::warn!("{finding}"),
            }
        }
        if fresh.len() > REPORTED {
            tracing::error!("and {} findings more; fix the first ones first", fresh.len() - REPORTED);
        }
        if !objects.is_empty() {
            let (all, rejected) = statuses.counts();
            let keys = changed.len();
            let text = format!("configuration read; {} changed{}", objects.len(), named(objects));
            // Pods come and go all the time where people run them.
            match fresh.is_empty() && objects.iter().all(|object| is_of_workloads(object)) {
                true => tracing::debug!(all, rejected, keys, "{text}"),
                false => tracing::info!(all, rejected, keys, "{text}"),
            }
        }
        self.reported = findings;
    }
}

/// Not written by a person, but made and remade by a cluster.
fn is_of_workloads(object: &ObjectRef) -> bool {
    matches!(&*object.kind, "Pod" | "EndpointSlice" | "Node")
}

/// The first few objects, for the log.
fn named(objects: &HashSet<Arc<ObjectRef>>) -> String {
    let mut names: Vec<_> = objects.iter().map(ToString::to_string).collect();
    names.sort();
    let more = if names.len() > NAMED { ", ..." } else { "" };
    names.truncate(NAMED);
    let colon = if names.is_empty() { "" } else { ": " };
    format!("{colon}{}{more}", names.join(", "))
}

impl ReloadMetrics {
    fn new(metrics: &Metrics) -> Self {
        Self {
            reloads: metrics.counter("pilot_config_reloads", "Times that the configuration was read and had changed."),
            objects: metrics.gauge("pilot_config_objects", "Objects in the configuration."),
            rejected: metrics
                .gauge("pilot_config_rejected_objects", "Objects whose newest version is wrong and not in force."),
            broken_files: metrics.gauge(
                "pilot_config_file_errors",
                "Documents that cannot be read as objects, files that cannot be read, and kinds that cannot be watched.",
            ),
        }
    }

    fn record(&self, update: &Update) {
        let (all, rejected) = update.statuses.counts();
        self.objects.set(all as f64);
        self.rejected.set(rejected as f64);
        self.broken_files.set(update.statuses.source_findings().len() as f64);
        if !update.changed.is_empty() {
            self.reloads.inc();
        }
    }
}
