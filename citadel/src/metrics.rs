//! The metrics of identity, under Istio's names where Istio has one.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use record::{Counter, CounterVec, Gauge, GaugeVec, Histogram, Metrics};

use crate::ca::CertificateAuthority;

pub(crate) struct CaMetrics {
    requested: Counter,
    issued: Counter,
    refused: CounterVec,
    root_expiry: Gauge,
    chain_expiry: Gauge,
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
            chain_expiry: metrics.gauge(
                "citadel_server_cert_chain_expiry_timestamp",
                "When the first certificate between a workload's and the root expires, the root included, Unix seconds",
            ),
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

    pub(crate) fn in_force(&self, ca: &CertificateAuthority) {
        self.root_expiry.set(unix_seconds(ca.root_not_after()));
        self.chain_expiry.set(unix_seconds(ca.not_after()));
    }
}

/// The Secret that the CA comes from.
pub(crate) struct CaSecretMetrics {
    usable: GaugeVec,
    changes: Counter,
    ca: CaMetrics,
}

impl CaSecretMetrics {
    pub(crate) fn new(metrics: &Metrics) -> Self {
        Self {
            usable: metrics.gauge_vec(
                "meltemi_ca_secret_usable",
                "Whether the CA's Secret can be used as it is now: 1, or 0 while an earlier one stays in force",
                &["secret"],
            ),
            changes: metrics.counter("meltemi_ca_changes_total", "How often another CA came into force"),
            ca: CaMetrics::new(metrics),
        }
    }

    pub(crate) fn came_into_force(&self, ca: &CertificateAuthority) {
        self.changes.inc();
        self.ca.in_force(ca);
    }

    pub(crate) fn usable(&self, secret: &str, usable: bool) {
        self.usable.with(&[secret]).set(if usable { 1.0 } else { 0.0 });
    }

    /// The Secret has no say any more.
    pub(crate) fn forget(&self, secret: &str) {
        self.usable.remove(&[secret]);
    }
}

pub(crate) struct ReviewMetrics {
    reviews: CounterVec,
    duration: Histogram,
}

impl ReviewMetrics {
    pub(crate) fn new(metrics: &Metrics) -> Self {
        Self {
            reviews: metrics.counter_vec(
                "meltemi_ca_token_reviews_total",
                "Tokens checked, by result: accepted, refused, unavailable (no answer from the API server), cached",
                &["result"],
            ),
            duration: metrics.histogram(
                "meltemi_ca_token_review_duration_seconds",
                "How long the API server took for a TokenReview, waiting for a turn included",
                &[0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0],
            ),
        }
    }

    pub(crate) fn reviewed(&self, result: &str, took: Duration) {
        self.reviews.with(&[result]).inc();
        self.duration.observe(took.as_secs_f64());
    }

    pub(crate) fn cached(&self) {
        self.reviews.with(&["cached"]).inc();
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
