//! What the webhooks count, under Istio's names where Istio has one.

use super::review::Resource;
use axum::http::StatusCode;
use record::{Counter, CounterVec, Gauge, Histogram, Metrics};
use std::time::Duration;

pub(super) struct WebhookMetrics {
    requests: Counter,
    injected: Counter,
    failed: Counter,
    skipped: Counter,
    time: Histogram,
    passed: CounterVec,
    refused: CounterVec,
    http_errors: CounterVec,
}

/// Ends of the buckets of `sidecar_injection_time_seconds`.
const TIMES: [f64; 8] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.25, 1.0];

impl WebhookMetrics {
    pub(super) fn new(metrics: &Metrics) -> Self {
        let kind = ["group", "version", "resource"];
        Self {
            requests: metrics.counter("sidecar_injection_requests_total", "Pods that the injector was asked about."),
            injected: metrics.counter("sidecar_injection_success_total", "Pods that were given a sidecar."),
            failed: metrics.counter(
                "sidecar_injection_failure_total",
                "Pods that should have got a sidecar and were refused, and requests that could not be read.",
            ),
            skipped: metrics.counter("sidecar_injection_skip_total", "Pods that were left without a sidecar."),
            time: metrics.histogram("sidecar_injection_time_seconds", "Time that an injection took.", &TIMES),
            passed: metrics.counter_vec("galley_validation_passed", "Objects that were found good.", &kind),
            refused: metrics.counter_vec(
                "galley_validation_failed",
                "Objects that were refused.",
                &["group", "version", "resource", "reason"],
            ),
            http_errors: metrics.counter_vec(
                "galley_validation_http_error",
                "Requests to validate that could not be read, by the status they were answered with.",
                &["status"],
            ),
        }
    }

    pub(super) fn injection_asked(&self) {
        self.requests.inc();
    }

    pub(super) fn injected(&self, took: Duration) {
        self.injected.inc();
        self.time.observe(took.as_secs_f64());
    }

    pub(super) fn skipped(&self) {
        self.skipped.inc();
    }

    pub(super) fn injection_failed(&self) {
        self.failed.inc();
    }

    pub(super) fn passed(&self, resource: &Resource) {
        self.passed.with(&[&resource.group, &resource.version, &resource.resource]).inc();
    }

    pub(super) fn refused(&self, resource: &Resource) {
        self.refused.with(&[&resource.group, &resource.version, &resource.resource, "invalid_resource"]).inc();
    }

    pub(super) fn validation_http_error(&self, status: StatusCode) {
        self.http_errors.with(&[status.as_str()]).inc();
    }
}

/// What the injector's configuration file counts.
pub(super) struct FileMetrics {
    pub(super) reloads: Counter,
    pub(super) valid: Gauge,
}

impl FileMetrics {
    pub(super) fn new(metrics: &Metrics) -> Self {
        Self {
            reloads: metrics.counter("meltemi_injector_config_reloads_total", "New configurations of the injector."),
            valid: metrics.gauge(
                "meltemi_injector_config_valid",
                "1 while the injector's configuration file is in force, 0 while it is wrong and an earlier one is.",
            ),
        }
    }
}
