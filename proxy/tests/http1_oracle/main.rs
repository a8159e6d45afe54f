//! Our HTTP/1 codec against hyper's: whatever ours takes for a message, hyper reads as the same message. Ours may refuse
//! more. And however the bytes are cut on their way, ours reads the same. What ours writes, hyper reads as it was meant.
//!
//! `make fuzz` searches for longer.
#![allow(clippy::unwrap_used)]

mod arriving;
mod leaving;
mod mutation;
mod requests;
mod responses;
mod written_requests;
mod written_responses;

use http::HeaderMap;
use http_body_util::{BodyExt, Collected};
use hyper::body::Incoming;
use proptest::test_runner::Config;
use proxy::http1::head::{Limits, Malformed};

const LIMITS: Limits = Limits { bytes: 64 * 1024, headers: 100 };

/// So many cases are some seconds; PROPTEST_CASES overrules it.
fn searching(cases: u32) -> Config {
    Config { cases, failure_persistence: None, ..Config::default() }
}

/// Names and values in their order.
type Fields = Vec<(String, Vec<u8>)>;

/// What matters about a message.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    /// Method and target, or the status.
    line: String,
    headers: Fields,
    body: Vec<u8>,
    trailers: Fields,
}

/// Why ours reads no further.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// The last message was to be the last.
    Last,
    /// The bytes are over; they may end inside a message.
    Over,
    Head(Malformed),
    Body,
}

fn fields(headers: &HeaderMap) -> Fields {
    headers.iter().map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec())).collect()
}

/// What hyper has of a message; `None` if its body broke off.
async fn seen(line: String, headers: HeaderMap, body: Incoming) -> Option<Seen> {
    let body: Collected<_> = body.collect().await.ok()?;
    let trailers = body.trailers().map(fields).unwrap_or_default();
    Some(Seen { line, headers: fields(&headers), body: body.to_bytes().to_vec(), trailers })
}
