//! `ask`: one request, sent again until it is answered with 200 or time is up, and what came of it as one line of JSON.

use super::client::Client;
use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};
use std::future::Future;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout_at};

const PAUSE: Duration = Duration::from_millis(200);

/// What is asked.
#[derive(Debug, Clone, PartialEq)]
pub struct Question {
    /// Authority, such as `server`.
    pub target: String,
    /// Path.
    pub path: String,
    /// The time within which there must be an answer.
    pub within: Duration,
}

/// Prints `status` and `body` of the last answer, or the last `failure`, and how many `attempts` there were.
pub(super) async fn run(question: Question, stop: impl Future<Output = ()>) -> anyhow::Result<()> {
    let outcome = tokio::select! {
        outcome = ask(&question) => outcome,
        () = stop => anyhow::bail!("told to stop before there was an answer"),
    };
    println!("{outcome}");
    Ok(())
}

async fn ask(question: &Question) -> Value {
    let client = Client::new(&question.target);
    let deadline = Instant::now() + question.within;
    let mut attempts = 0;
    let mut outcome = json!({ "failure": "no time for an attempt", "attempts": attempts });
    loop {
        let request = client.request("GET", &question.path, &HeaderMap::new(), Bytes::new());
        let Ok(answer) = timeout_at(deadline, client.send(request)).await else { return outcome };
        attempts += 1;
        outcome = match answer {
            Ok(answer) => {
                let body = String::from_utf8_lossy(answer.body());
                let outcome = json!({ "status": answer.status().as_u16(), "attempts": attempts, "body": body });
                if answer.status() == StatusCode::OK {
                    return outcome;
                }
                outcome
            }
            Err(error) => json!({ "failure": format!("{error:#}"), "attempts": attempts }),
        };
        if timeout_at(deadline, sleep(PAUSE)).await.is_err() {
            return outcome;
        }
    }
}
