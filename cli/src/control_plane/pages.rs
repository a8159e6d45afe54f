//! What the control plane's HTTP ports show: to people on loopback the status of every object, to machines whether it is
//! ready and its metrics.

use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Json, Router};
use pilot::Pilot;
use pilot::status::{Condition, ObjectStatus, Place};
use record::Metrics;
use serde_json::{Value, json};

/// `/ready` and `/debug/status`, for the port that the hub's pages are on.
pub(super) fn for_people(pilot: Pilot) -> Router {
    Router::new().route("/ready", get(ready)).route("/debug/status", get(status)).with_state(pilot)
}

/// `/ready` and `/metrics`, and nothing else: this port is open to the cluster.
pub(super) fn for_machines(pilot: Pilot, metrics: Metrics) -> Router {
    let exported = move || async move { ([(CONTENT_TYPE, Metrics::content_type())], metrics.text()) };
    Router::new().route("/ready", get(ready)).with_state(pilot).route("/metrics", get(exported))
}

/// 200 once all configuration has been read.
async fn ready(State(pilot): State<Pilot>) -> impl IntoResponse {
    match pilot.is_complete() {
        true => (StatusCode::OK, "ready\n"),
        false => (StatusCode::SERVICE_UNAVAILABLE, "the configuration is not read to its end yet; the log says why\n"),
    }
}

/// Every object with its status, and all problems as lines of text.
async fn status(State(pilot): State<Pilot>) -> Json<Value> {
    let problems: Vec<String> = pilot.findings().into_iter().map(|finding| finding.to_string()).collect();
    let objects: Vec<Value> = pilot.status().iter().map(object).collect();
    Json(json!({ "problems": problems, "objects": objects }))
}

fn object(status: &ObjectStatus) -> Value {
    let mut told = json!({
        "object": status.object.to_string(),
        "status": condition(&status.condition),
        "findings": status.findings.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "parents": status.parents.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "refused_by_proxies": status.refused.iter().map(|refused| refused.to_string()).collect::<Vec<_>>(),
    });
    match &status.place {
        Place::File { file, line } => (told["file"], told["line"]) = (json!(**file), json!(line)),
        Place::Api(_) | Place::Object(_) => told["generation"] = json!(status.generation),
    }
    told
}

fn condition(condition: &Condition) -> String {
    match condition {
        Condition::InForce => "in force".to_owned(),
        Condition::Rejected { last_good_in_force: true } => "rejected; its last good version is in force".to_owned(),
        Condition::Rejected { last_good_in_force: false } => "rejected".to_owned(),
        Condition::Shadowed { by } => format!("shadowed by {by}"),
    }
}
