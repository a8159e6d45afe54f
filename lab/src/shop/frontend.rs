//! `frontend`: the shop's entrance. It shows products and takes orders; both come from the catalog.

use super::Application;
use super::client::Client;
use super::server::{self, Answer, Ask};
use bytes::Bytes;
use http::{Method, StatusCode};
use serde_json::{Value, json};
use std::future::Future;

pub(super) async fn run(catalog: &str, application: Application, stop: impl Future<Output = ()>) -> anyhow::Result<()> {
    let catalog = Client::new(catalog);
    server::serve(application, stop, move |ask| answer(catalog.clone(), ask)).await
}

async fn answer(catalog: Client, ask: Ask) -> Answer {
    let (method, path) = (ask.method().clone(), ask.uri().path().to_owned());
    if path != "/orders" && !path.starts_with("/products/") {
        return server::text(StatusCode::NOT_FOUND, "the shop has /products/<number> and /orders");
    }
    let body = if method == Method::POST { ask.body().clone() } else { Bytes::new() };
    match catalog.send(catalog.request(method.as_str(), &path, ask.headers(), body)).await {
        Ok(response) => {
            let version = response.headers().get("x-version").and_then(|value| value.to_str().ok());
            let page = serde_json::from_slice::<Value>(response.body()).unwrap_or(Value::Null);
            server::json(response.status(), &json!({ "catalog": version, "page": page }))
        }
        Err(error) => server::text(StatusCode::BAD_GATEWAY, &format!("catalog: {error:#}")),
    }
}
