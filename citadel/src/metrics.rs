//! The metrics of identity, under Istio's names where Istio has one.

use std::time::{SystemTime, UNIX_EPOCH};

use record::{Counter, CounterVec, Gauge, Metrics};

pub(crate) struct CaMetrics {
    requested: Counter,
    issued: Counter,
    refused: CounterVec,
    root_expiry: Gauge,
}

impl CaMetrics {
    pub(crate) fn new(metrics: &Metrics) -> Self {
        Self {
            requested: metrics.counter("citadel_server_csr_count", "Certificate signing requests received"),
            issued: metrics.counter("citadel_server_success_cert_issuance_count", "Certificates signed"),
            refused: metrics.counter_vec(
                "citadel_server_refusals_total",
                "Certificate signing requests refused, by reason",
                &["reason"],
            ),
            root_expiry: metrics
                .gauge("citadel_server_root_cert_expiry_timestamp", "When the root certificate expires, Unix seconds"),
        }
    }

    pub(crate) fn requested(&self) {
        self.requested.inc();
    }

    pub(crate) fn issued(&self) {
        self.issued.inc();
    }

    pub(crate) fn refused(&self, reason: &str) {
        self.refused.with(&[reason]).inc();
    }

    pub(crate) fn root_expiry(&self, at: SystemTime) {
        self.root_expiry.set(unix_seconds(at));
    }
}

pub(crate) struct IdentityMetrics {
    expiry: Gauge,
    renewals: Counter,
    failures: Counter,
}

impl IdentityMetrics {
    pub(crate) fn new(metrics: &Metrics) -> Self {
        Self {
            expiry: metrics.gauge(
                "meltemi_identity_expiry_timestamp_seconds",
                "When this process's own certificate expires, Unix seconds",
            ),
            renewals: metrics.counter("meltemi_identity_renewals_total", "Certificates fetched from the CA"),
            failures: metrics.counter(
                "meltemi_identity_renewal_failures_total",
                "Failed attempts to fetch a certificate from the CA",
            ),
        }
    }

    pub(crate) fn renewed(&self, not_after: SystemTime) {
        self.renewals.inc();
        self.expiry.set(unix_seconds(not_after));
    }

    pub(crate) fn failed(&self) {
        self.failures.inc();
    }
}

#[derive(Debug)]
pub(crate) struct ListenerMetrics {
    handshakes_failed: CounterVec,
}

impl ListenerMetrics {
    pub(crate) fn new(metrics: &Metrics) -> Self {
        Self {
            handshakes_failed: metrics.counter_vec(
                "meltemi_control_plane_handshake_failures_total",
                "Connections to the control plane that were closed before they could carry a request, by reason",
                &["reason"],
            ),
        }
    }

    pub(crate) fn handshake_failed(&self, reason: &str) {
        self.handshakes_failed.with(&[reason]).inc();
    }
}

fn unix_seconds(at: SystemTime) -> f64 {
    at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}
