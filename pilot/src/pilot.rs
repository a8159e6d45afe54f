//! Pilot as a whole: reads a source, builds the world after every change and hands it to the catalog.

use crate::build::{Snapshot, build};
use crate::catalog::{MeshCatalog, WantedShare};
use crate::diff::{Changed, diff};
use crate::model::ObjectRef;
use crate::source::{Candidates, Directory, Reload, Running};
use crate::status::{Finding, ObjectStatus, Statuses};
use crate::validate::Settings;
use crate::world::{Mesh, World};
use arc_swap::ArcSwap;
use record::{Counter, Gauge, Metrics};
use std::collections::HashSet;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::sync::broadcast;

/// Reloads that a slow listener may be behind.
const RELOADS: usize = 64;
/// Changed objects that the log names.
const NAMED: usize = 5;
/// Findings of one reload that the log repeats; the status has all.
const REPORTED: usize = 50;

/// What Pilot needs to know.
#[derive(Clone, Debug)]
pub struct PilotOptions {
    /// The directory with the configuration.
    pub config_dir: PathBuf,
    /// Mesh-wide settings.
    pub mesh: Mesh,
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
    /// How many objects came, went or have another text.
    pub objects: usize,
}

struct Shared {
    catalog: Arc<MeshCatalog>,
    latest: ArcSwap<Update>,
    updates: broadcast::Sender<Arc<Update>>,
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
    /// out; only a directory that cannot be read at all is an error.
    pub fn start(options: PilotOptions, metrics: &Metrics) -> Result<Self, StartError> {
        let PilotOptions { config_dir, mesh } = options;
        let mesh = Arc::new(mesh);
        let settings = Settings { mesh: mesh.clone(), assume_sidecars: true };
        let (directory, first, running) = Directory::open(config_dir.clone(), settings)
            .map_err(|error| StartError::Directory { directory: config_dir, error })?;
        let mut loader = Loader::new(mesh);
        let update = Arc::new(loader.load(first));
        let shared = Arc::new(Shared {
            catalog: Arc::new(MeshCatalog::new(update.world.clone(), metrics)),
            latest: ArcSwap::new(update.clone()),
            updates: broadcast::Sender::new(RELOADS),
            metrics: ReloadMetrics::new(metrics),
        });
        shared.metrics.record(&update);
        let reloading = shared.clone();
        directory.run(move |reload| reloading.publish(loader.load(reload))).map_err(StartError::Thread)?;
        Ok(Self { shared, _running: Arc::new(running) })
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
        self.shared.latest.load().statuses.findings()
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
    fn publish(&self, update: Update) {
        let update = Arc::new(update);
        let quiet = update.changed.is_empty()
            && update.objects == 0
            && update.statuses.findings() == self.latest.load().statuses.findings();
        self.latest.store(update.clone());
        if !update.changed.is_empty() {
            self.catalog.update(update.world.clone(), &update.changed);
        }
        self.metrics.record(&update);
        if !quiet {
            // Nobody need listen.
            let _ = self.updates.send(update);
        }
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
        let Reload { candidates, problems } = reload;
        let objects = candidates.changed_since(&self.candidates);
        let next = Arc::new(build(&candidates, &objects, &self.snapshot));
        let changed = diff(&self.snapshot.world, &next.world);
        self.candidates = Arc::new(candidates);
        let statuses = Arc::new(Statuses::new(next.clone(), self.candidates.clone(), problems));
        self.report(&statuses, &objects, &changed);
        self.snapshot = next;
        Update { world: Arc::new(self.snapshot.world.clone()), changed, statuses, objects: objects.len() }
    }

    /// One line for the reload, and one for each finding that was not there before.
    fn report(&mut self, statuses: &Statuses, objects: &HashSet<Arc<ObjectRef>>, changed: &Changed) {
        let findings: HashSet<Finding> = statuses.findings().into_iter().collect();
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
        if !objects.is_empty() || !fresh.is_empty() {
            let (all, rejected) = statuses.counts();
            let keys = changed.len();
            tracing::info!(all, rejected, keys, "configuration read; {} changed{}", objects.len(), named(objects));
        }
        self.reported = findings;
    }
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
                "Documents that cannot be read as objects, and files that cannot be read.",
            ),
        }
    }

    fn record(&self, update: &Update) {
        let (all, rejected) = update.statuses.counts();
        self.objects.set(all as f64);
        self.rejected.set(rejected as f64);
        self.broken_files.set(update.statuses.file_findings().len() as f64);
        if !update.changed.is_empty() {
            self.reloads.inc();
        }
    }
}
