//! `echo`: answers with what it was asked, and can be told to fail or wait. Tests use it to see what reached an upstream,
//! and how often.
//!
//! Request headers: `echo-status: 503` answers so; `echo-fail-first: 2` answers 503 for the first two tries of one
//! `x-request-id` and then what else is asked for; `echo-delay-ms: 200` waits.

use super::Application;
use super::server::{self, Answer, Ask};
use http::{HeaderMap, StatusCode};
use serde_json::{Map, Value, json};
use std::collections::HashMap;
use std::future::Future;
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// More request ids than these are forgotten, all at once: tests look at one at a time.
const REMEMBERED: usize = 100_000;

type Tries = Arc<Mutex<HashMap<String, u32>>>;

pub(super) async fn run(application: Application, stop: impl Future<Output = ()>) -> anyhow::Result<()> {
    let tries = Tries::default();
    let (instance, version) = (application.instance.clone(), application.version.clone());
    server::serve(application, stop, move |ask| answer(tries.clone(), instance.clone(), version.clone(), ask)).await
}

async fn answer(tries: Tries, instance: String, version: String, ask: Ask) -> Answer {
    let headers = ask.headers();
    let attempt = count(&tries, headers);
    if let Some(delay) = number(headers, "echo-delay-ms") {
        tokio::time::sleep(Duration::from_millis(delay)).await;
    }
    let wanted = number::<u16>(headers, "echo-status").and_then(|status| StatusCode::from_u16(status).ok());
    let failing = number::<u32>(headers, "echo-fail-first").is_some_and(|first| attempt <= first);
    let status = if failing { StatusCode::SERVICE_UNAVAILABLE } else { wanted.unwrap_or(StatusCode::OK) };
    let body = json!({
        "instance": instance,
        "version": version,
        "method": ask.method().as_str(),
        "path": ask.uri().path_and_query().map_or("/", |path| path.as_str()),
        "headers": all(headers),
        "body_bytes": ask.body().len(),
        "attempt": attempt,
    });
    server::json(status, &body)
}

/// Which try of this request it is, counted by `x-request-id`; 1 without one.
fn count(tries: &Tries, headers: &HeaderMap) -> u32 {
    let Some(id) = headers.get("x-request-id").and_then(|id| id.to_str().ok()) else { return 1 };
    let mut tries = tries.lock().unwrap_or_else(PoisonError::into_inner);
    if tries.len() >= REMEMBERED {
        tries.clear();
    }
    let count = tries.entry(id.to_owned()).or_default();
    *count += 1;
    *count
}

fn number<T: FromStr>(headers: &HeaderMap, name: &str) -> Option<T> {
    headers.get(name)?.to_str().ok()?.parse().ok()
}

/// Header names with all their values, in order.
fn all(headers: &HeaderMap) -> Value {
    let mut object = Map::new();
    for name in headers.keys() {
        let values = headers.get_all(name).iter().map(|value| Value::from(String::from_utf8_lossy(value.as_bytes())));
        object.insert(name.to_string(), Value::Array(values.collect()));
    }
    Value::Object(object)
}
