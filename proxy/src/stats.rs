//! The proxy's own counters: what happened that Istio's metrics have no name for. Each refusal has one.

use record::{Counter, CounterVec, Gauge, Metrics};

/// Handles, resolved once.
pub struct Stats {
    /// Connections accepted, by direction.
    pub accepted_outbound: Counter,
    /// Connections accepted, inbound.
    pub accepted_inbound: Counter,
    /// Connections closed without being served, by reason.
    pub refused: CounterVec,
    /// Requests refused before routing, by reason.
    pub invalid_requests: CounterVec,
    /// xDS resources refused, by type.
    pub rejected_resources: CounterVec,
    /// Whether a control plane is connected: 0 or 1.
    pub connected: Gauge,
    /// Version of the snapshot in force.
    pub snapshot_version: Gauge,
    /// Tries beyond the first, by reason.
    pub retries: CounterVec,
    /// Requests to an address that was not known yet.
    pub discoveries: Counter,
    /// Copies of requests, by outcome.
    pub mirrored: CounterVec,
    /// Requests of HTTP/1.1 that came over HTTP/2 from another sidecar.
    pub multiplexed: Counter,
    /// xDS responses received.
    pub updates: CounterVec,
}

impl Stats {
    /// Registers all of them.
    pub fn new(metrics: &Metrics) -> Self {
        let accepted = metrics.counter_vec(
            "meltemi_connections_accepted_total",
            "Downstream connections accepted, by direction.",
            &["direction"],
        );
        Self {
            accepted_outbound: accepted.with(&["outbound"]),
            accepted_inbound: accepted.with(&["inbound"]),
            refused: metrics.counter_vec(
                "meltemi_connections_refused_total",
                "Downstream connections closed without being served, by reason.",
                &["reason"],
            ),
            invalid_requests: metrics.counter_vec(
                "meltemi_invalid_requests_total",
                "Requests refused before routing, by reason.",
                &["reason"],
            ),
            rejected_resources: metrics.counter_vec(
                "meltemi_xds_rejected_total",
                "Resources of the control plane that this proxy refused, by type.",
                &["type"],
            ),
            connected: metrics
                .gauge("meltemi_control_plane_connected", "1 while a control plane is connected, else 0."),
            snapshot_version: metrics
                .gauge("meltemi_snapshot_version", "Number of the configuration snapshot in force."),
            retries: metrics.counter_vec(
                "meltemi_retries_total",
                "Tries of a request beyond its first, by reason.",
                &["reason"],
            ),
            discoveries: metrics.counter(
                "meltemi_discoveries_total",
                "Connections that waited for the control plane because their destination was new.",
            ),
            mirrored: metrics.counter_vec(
                "meltemi_mirrored_requests_total",
                "Copies of requests, by outcome; too_large: its body was longer than what is kept, or still arriving.",
                &["outcome"],
            ),
            multiplexed: metrics.counter(
                "meltemi_multiplexed_requests_total",
                "Requests of HTTP/1.1 that came from another sidecar on a connection shared with others.",
            ),
            updates: metrics.counter_vec(
                "meltemi_xds_updates_total",
                "Responses received from the control plane, by type.",
                &["type"],
            ),
        }
    }
}
