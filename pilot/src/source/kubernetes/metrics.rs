//! What happens on the watches, under Istio's names.

use super::kinds::Watched;
use record::{CounterVec, Metrics};

/// The instruments.
#[derive(Clone)]
pub(super) struct WatchMetrics {
    configuration: CounterVec,
    registry: CounterVec,
    errors: CounterVec,
}

/// What an event did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Did {
    Add,
    Update,
    /// An update that made no difference to the mesh.
    UpdateSame,
    Delete,
}

impl WatchMetrics {
    pub(super) fn new(metrics: &Metrics) -> Self {
        Self {
            configuration: metrics.counter_vec(
                "pilot_k8s_cfg_events",
                "Events of the mesh's own kinds and of the Gateway API, by kind.",
                &["type", "event"],
            ),
            registry: metrics.counter_vec(
                "pilot_k8s_reg_events",
                "Events of Kubernetes' own kinds, by kind.",
                &["type", "event"],
            ),
            errors: metrics.counter_vec(
                "pilot_k8s_watch_errors",
                "Lists and watches that failed, by resource.",
                &["resource"],
            ),
        }
    }

    pub(super) fn event(&self, watched: &Watched, did: Did) {
        let event = match did {
            Did::Add => "add",
            Did::Update => "update",
            Did::UpdateSame => "updatesame",
            Did::Delete => "delete",
        };
        let kind = watched.resource.kind.as_str();
        if !watched.kind().is_kubernetes() {
            return self.configuration.with(&[kind, event]).inc();
        }
        // Istio's own names for these.
        let kind = match kind {
            "Namespace" => "Namespaces",
            "Service" => "Services",
            "Pod" => "Pods",
            "Node" => "Nodes",
            other => other,
        };
        self.registry.with(&[kind, event]).inc();
    }

    pub(super) fn error(&self, watched: &Watched) {
        self.errors.with(&[&watched.name]).inc();
    }
}
