//! The hub itself: its state, its clock, and the doors to it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_server::MetricsServiceServer;
use parking_lot::Mutex;
use record::{Counter, Gauge, Metrics, names};

use crate::history::{KEPT, Second};
use crate::identity::Peer;
use crate::ingest::Reading;
use crate::receiver::{OtlpReceiver, PeerIdentity};
use crate::report::{Edge, Report};
use crate::summary;
use crate::table::{Limits, Table};
use crate::window::Window;

/// What the hub asks of whoever knows the configuration.
pub trait MeshState: Send + Sync {
    /// The splits of traffic over versions that configuration wants.
    fn shares(&self) -> Vec<WantedShare>;
}

/// The share of a service's requests that configuration wants one version to get.
#[derive(Clone, Debug, PartialEq)]
pub struct WantedShare {
    /// Host name of the service, such as `catalog.shop.svc.cluster.local`.
    pub service: String,
    /// Canonical revision of the workloads, as the metrics' label `destination_canonical_revision` has it.
    pub version: String,
    /// From 0 to 1.
    pub weight: f64,
}

/// The telemetry hub. Clones share the same state.
#[derive(Clone)]
pub struct Hub(Arc<Inner>);

struct Inner {
    mesh: Arc<dyn MeshState>,
    table: Mutex<Table>,
    start: Instant,
    own: Option<OwnMetrics>,
}

/// The hub's counters about itself.
struct OwnMetrics {
    all: Metrics,
    taken: Counter,
    repeated: Counter,
    refused: Counter,
    no_room: Counter,
    reports_taken: Counter,
    reports_refused: Counter,
    edges: Gauge,
}

impl OwnMetrics {
    fn new(all: Metrics) -> Self {
        let points =
            all.counter_vec(names::HUB_POINTS_TOTAL, "Data points received, by what became of them.", &["result"]);
        let reports =
            all.counter_vec(names::HUB_REPORTS_TOTAL, "Reports received, by what became of them.", &["result"]);
        Self {
            taken: points.with(&["taken"]),
            repeated: points.with(&["repeated"]),
            refused: points.with(&["refused"]),
            no_room: points.with(&["no_room"]),
            reports_taken: reports.with(&["taken"]),
            reports_refused: reports.with(&["refused"]),
            edges: all.gauge(names::HUB_EDGES, "Edges of the mesh in memory."),
            all,
        }
    }
}

/// How the hub is.
#[derive(Debug, serde::Serialize)]
pub(crate) struct Health {
    status: &'static str,
    edges: usize,
    /// Accounts that reported within the last five minutes.
    reporters: usize,
    /// `null` before the first report.
    last_report_seconds_ago: Option<u64>,
}

impl Hub {
    /// An empty hub that asks `mesh` what is wanted.
    pub fn new(mesh: Arc<dyn MeshState>) -> Self {
        Self::with(mesh, None, Limits::default())
    }

    /// As [`Hub::new`], counting what it does in `metrics`, which its router then also serves.
    pub fn with_metrics(mesh: Arc<dyn MeshState>, metrics: Metrics) -> Self {
        Self::with(mesh, Some(metrics), Limits::default())
    }

    fn with(mesh: Arc<dyn MeshState>, metrics: Option<Metrics>, limits: Limits) -> Self {
        let table = Mutex::new(Table::new(limits));
        Self(Arc::new(Inner { mesh, table, start: Instant::now(), own: metrics.map(OwnMetrics::new) }))
    }

    /// The OTLP service for the control plane's gRPC port. `peer` gives the SPIFFE id that the client's
    /// certificate proves, from the request's extensions.
    pub fn metrics_service(&self, peer: PeerIdentity) -> MetricsServiceServer<OtlpReceiver> {
        MetricsServiceServer::new(OtlpReceiver::new(self.clone(), peer))
    }

    /// `GET /api/edges?window=10s`, `GET /api/health`, and `GET /metrics` if the hub has metrics.
    pub fn router(&self) -> axum::Router {
        crate::api::router(self.clone())
    }

    /// What happened in `window`.
    pub fn report(&self, window: Window) -> Report {
        let elapsed = self.0.start.elapsed();
        let from = self.first_second(window, elapsed);
        let covered = elapsed.saturating_sub(Duration::from_secs(from.unwrap_or(0)));
        let wanted = self.0.mesh.shares();
        let rows = summary::rows(&self.0.table.lock(), from);
        Report { seconds: covered.as_millis() as f64 / 1000.0, edges: summary::edges(&rows, &wanted) }
    }

    /// The edges of [`Hub::report`].
    pub fn edges(&self, window: Window) -> Vec<Edge> {
        self.report(window).edges
    }

    /// The second in which `window` begins; `None` for all since the start.
    fn first_second(&self, window: Window, elapsed: Duration) -> Option<Second> {
        let length = match window {
            Window::Last(length) => length.min(KEPT),
            Window::Since(instant) if instant <= self.0.start => return None,
            Window::Since(instant) => Some(instant.elapsed()).filter(|length| *length <= KEPT)?,
            Window::All => return None,
        };
        Some(elapsed.saturating_sub(length).as_secs())
    }

    /// Counts what `peer` reported; points that find no room are added to the refused.
    pub(crate) fn take(&self, peer: &Peer, reading: &mut Reading) {
        let now = self.0.start.elapsed().as_secs();
        let mut table = self.0.table.lock();
        for batch in std::mem::take(&mut reading.batches) {
            let applied = table.apply(&peer.account, batch, now);
            if applied.no_room > 0 {
                let reason = "the hub has no room for more edges, in all or from this reporter";
                reading.refused += applied.no_room;
                reading.reason.get_or_insert_with(|| reason.to_owned());
            }
            if let Some(own) = &self.0.own {
                own.taken.add(applied.taken);
                own.repeated.add(applied.repeated);
                own.no_room.add(applied.no_room);
            }
        }
        if let Some(own) = &self.0.own {
            own.reports_taken.inc();
            own.edges.set(table.edge_count() as f64);
        }
    }

    pub(crate) fn note_refused_points(&self, points: u64) {
        if let Some(own) = &self.0.own {
            own.refused.add(points);
        }
    }

    pub(crate) fn note_refused_report(&self) {
        if let Some(own) = &self.0.own {
            own.reports_refused.inc();
        }
    }

    pub(crate) fn health(&self) -> Health {
        let now = self.0.start.elapsed().as_secs();
        let table = self.0.table.lock();
        Health {
            status: "ok",
            edges: table.edge_count(),
            reporters: table.reporters(now),
            last_report_seconds_ago: table.last_report().map(|last| now.saturating_sub(last)),
        }
    }

    pub(crate) fn metrics(&self) -> Option<&Metrics> {
        self.0.own.as_ref().map(|own| &own.all)
    }
}
