//! The debug gateway: what a person's browser on the host may see of the pods, read-only.

use axum::Router;
use axum::extract::{Path, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use lab::{Lab, Pod};
use std::sync::Arc;
use tokio::task::spawn_blocking;

/// `/` lists the pods; below `/pods/<pod>/` are the pages of its sidecar's admin port, and `logs/{proxy,app}`.
pub fn router(lab: Arc<Lab>) -> Router {
    Router::new()
        .route("/", get(index))
        .route("/pods/{pod}/logs/{process}", get(logs))
        .route("/pods/{pod}/{*page}", get(admin))
        .layer(middleware::from_fn(only_by_loopback_name))
        .with_state(lab)
}

/// A page from elsewhere must not read this one by giving its own name our address.
async fn only_by_loopback_name(request: Request, next: Next) -> Response {
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    if matches!(name, "127.0.0.1" | "localhost") {
        next.run(request).await
    } else {
        (StatusCode::FORBIDDEN, "open it as http://127.0.0.1\n").into_response()
    }
}

async fn index(State(lab): State<Arc<Lab>>) -> Html<String> {
    let mut page = String::from("<!doctype html><title>Meltemi demo</title><h1>Pods</h1><ul>\n");
    for pod in lab.pods() {
        let name = &pod.spec().name;
        page.push_str(&format!("<li>{name} ({})", pod.ip()));
        for link in ["config_dump", "stats/prometheus", "certs", "logs/proxy", "logs/app"] {
            page.push_str(&format!(" <a href=\"/pods/{name}/{link}\">{link}</a>"));
        }
        page.push_str("</li>\n");
    }
    page.push_str("</ul>\n");
    Html(page)
}

async fn admin(State(lab): State<Arc<Lab>>, Path((pod, page)): Path<(String, String)>) -> Response {
    with_pod(&lab, &pod, move |pod| match pod.admin(&format!("/{page}")) {
        Ok(answer) => {
            let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::BAD_GATEWAY);
            let kind = answer.header("content-type").unwrap_or("text/plain").to_owned();
            (status, [(header::CONTENT_TYPE, kind)], answer.body).into_response()
        }
        Err(error) => {
            (StatusCode::BAD_GATEWAY, format!("the sidecar's admin port does not answer: {error}\n")).into_response()
        }
    })
    .await
}

async fn logs(State(lab): State<Arc<Lab>>, Path((pod, process)): Path<(String, String)>) -> Response {
    if !matches!(process.as_str(), "proxy" | "app" | "init") {
        return (StatusCode::NOT_FOUND, "there are logs of proxy, app and init\n").into_response();
    }
    with_pod(&lab, &pod, move |pod| match std::fs::read(pod.folder().join(format!("{process}.log"))) {
        Ok(text) => ([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], text).into_response(),
        Err(error) => (StatusCode::NOT_FOUND, format!("no log of {process}: {error}\n")).into_response(),
    })
    .await
}

/// Runs what blocks away from the runtime.
async fn with_pod(lab: &Lab, name: &str, work: impl FnOnce(&Pod) -> Response + Send + 'static) -> Response {
    let pod = match lab.pod(name) {
        Ok(pod) => Arc::clone(pod),
        Err(error) => return (StatusCode::NOT_FOUND, format!("{error}\n")).into_response(),
    };
    let answer = spawn_blocking(move || work(&pod)).await;
    answer.unwrap_or_else(|error| (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response())
}
