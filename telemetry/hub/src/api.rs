//! The HTTP door.

use axum::extract::{Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use record::Metrics;
use serde::Deserialize;

use crate::hub::{Health, Hub};
use crate::report::Report;
use crate::window::Window;

pub(crate) fn router(hub: Hub) -> Router {
    let router = Router::new().route("/api/edges", get(edges)).route("/api/health", get(health));
    let router = if hub.metrics().is_some() { router.route("/metrics", get(metrics)) } else { router };
    router.with_state(hub)
}

#[derive(Deserialize)]
struct EdgesQuery {
    #[serde(default = "default_window")]
    window: String,
}

fn default_window() -> String {
    "10s".to_owned()
}

async fn edges(State(hub): State<Hub>, Query(query): Query<EdgesQuery>) -> Result<Json<Report>, Response> {
    let window: Window = query
        .window
        .parse()
        .map_err(|error: crate::window::BadWindow| (StatusCode::BAD_REQUEST, format!("{error}\n")).into_response())?;
    Ok(Json(hub.report(window)))
}

async fn health(State(hub): State<Hub>) -> Json<Health> {
    Json(hub.health())
}

async fn metrics(State(hub): State<Hub>) -> impl IntoResponse {
    let text = hub.metrics().map(Metrics::text).unwrap_or_default();
    ([(header::CONTENT_TYPE, Metrics::content_type())], text)
}
