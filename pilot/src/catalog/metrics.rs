//! The catalog's metrics, under Istio's names where Istio has one.

use record::{CounterVec, Gauge, Metrics};
use xds::ResourceType;

/// The instruments.
pub(super) struct CatalogMetrics {
    /// Connected proxies.
    pub connected: Gauge,
    pushes: CounterVec,
    rejects: CounterVec,
    generated: CounterVec,
    refused_clients: record::Counter,
}

impl CatalogMetrics {
    pub(super) fn new(metrics: &Metrics) -> Self {
        Self {
            connected: metrics.gauge("pilot_xds", "Proxies that are connected over xDS."),
            pushes: metrics.counter_vec(
                "pilot_xds_pushes",
                "Resources that proxies were sent and answered, by type.",
                &["type"],
            ),
            rejects: metrics.counter_vec(
                "pilot_total_xds_rejects",
                "Resources that proxies refused, by type.",
                &["type"],
            ),
            generated: metrics.counter_vec(
                "pilot_xds_resources_generated",
                "Resources that were generated because nobody had them yet or something they read changed, by type.",
                &["type"],
            ),
            refused_clients: metrics.counter(
                "pilot_xds_refused_clients",
                "Proxies that were not let in: who they say they are is not what their certificate proves.",
            ),
        }
    }

    pub(super) fn pushed(&self, kind: ResourceType, count: usize) {
        self.pushes.with(&[&label(kind)]).add(count as u64);
    }

    pub(super) fn rejected(&self, kind: ResourceType, count: usize) {
        self.rejects.with(&[&label(kind)]).add(count as u64);
    }

    pub(super) fn generated(&self, kind: ResourceType) {
        self.generated.with(&[&label(kind)]).inc();
    }

    pub(super) fn refused_client(&self) {
        self.refused_clients.inc();
    }
}

/// `cds`, `eds`, ...
fn label(kind: ResourceType) -> String {
    kind.short_name().to_ascii_lowercase()
}
