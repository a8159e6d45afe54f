//! `reviews`: what customers say of a product, with the stars that `ratings` gives over gRPC.

use super::Application;
use super::ratings::{self, Ratings};
use super::server::{self, Answer, Ask};
use http::StatusCode;
use serde_json::json;
use std::future::Future;

pub(super) async fn run(ratings: &str, application: Application, stop: impl Future<Output = ()>) -> anyhow::Result<()> {
    let ratings = Ratings::new(ratings)?;
    server::serve(application, stop, move |ask| answer(ratings.clone(), ask)).await
}

async fn answer(ratings: Ratings, ask: Ask) -> Answer {
    let Some(product) = ask.uri().path().strip_prefix("/reviews/").and_then(|number| number.parse::<u32>().ok()) else {
        return server::text(StatusCode::NOT_FOUND, "no such product");
    };
    match ratings.get(product, ask.headers()).await {
        Ok(ratings::Rating { stars, .. }) => {
            server::json(StatusCode::OK, &json!({ "product": product, "stars": stars, "text": "Does what it says." }))
        }
        Err(status) => server::text(StatusCode::SERVICE_UNAVAILABLE, &format!("ratings: {status}")),
    }
}
