//! `catalog`: products with their reviews and how many are left. It runs in two versions, of which v2 is the canary.

use super::Application;
use super::client::Client;
use super::server::{self, Answer, Ask};
use super::stock;
use bytes::Bytes;
use http::{Method, StatusCode};
use serde_json::{Value, json};
use std::future::Future;

pub(super) async fn run(
    reviews: &str,
    stock: String,
    application: Application,
    stop: impl Future<Output = ()>,
) -> anyhow::Result<()> {
    let catalog = Catalog { reviews: Client::new(reviews), stock, version: application.version.clone() };
    server::serve(application, stop, move |ask| answer(catalog.clone(), ask)).await
}

#[derive(Clone)]
struct Catalog {
    reviews: Client,
    stock: String,
    version: String,
}

async fn answer(catalog: Catalog, ask: Ask) -> Answer {
    if *ask.method() == Method::POST && ask.uri().path() == "/orders" {
        return server::json(StatusCode::CREATED, &json!({ "ordered": ask.body().len(), "version": catalog.version }));
    }
    let Some(product) = ask.uri().path().strip_prefix("/products/").and_then(|number| number.parse::<u32>().ok())
    else {
        return server::text(StatusCode::NOT_FOUND, "no such product");
    };
    let path = format!("/reviews/{product}");
    let reviews = catalog.reviews.send(catalog.reviews.request("GET", &path, ask.headers(), Bytes::new()));
    let (reviews, left) = tokio::join!(reviews, stock::ask(&catalog.stock, product));
    // A page without reviews or stock is still a page; the mesh's own figures show what failed.
    let reviews = reviews.ok().filter(|response| response.status() == StatusCode::OK);
    let reviews = reviews.and_then(|response| serde_json::from_slice::<Value>(response.body()).ok());
    let page = json!({ "product": product, "version": catalog.version, "reviews": reviews, "left": left.ok() });
    server::json(StatusCode::OK, &page)
}
