//! A fake of the Kubernetes API server, for tests of what asks it: objects in a table, lists, watches, conflicts, and
//! faults on demand. It is no judge of validity, admission or rights. Server-side apply is a plain merge here.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used)]

mod table;

use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use http::{Method, Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use kube::client::Body;
use serde_json::{Value, json};
use table::{Place, Table};
use tokio_stream::wrappers::UnboundedReceiverStream;

type Answer = Response<UnsyncBoxBody<Bytes, Infallible>>;
type Review = Box<dyn FnMut(&Value) -> Value + Send>;

/// How requests fare.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mood {
    #[default]
    Well,
    /// Connections are refused.
    Away,
    /// Requests are taken and never answered.
    Silent,
    /// Everything but reading is forbidden.
    Forbidding,
}

/// The way of one client to the server.
#[derive(Clone, Default)]
pub struct Line(Arc<Mutex<Mood>>);

impl Line {
    pub fn cut(&self) {
        *self.0.lock().unwrap() = Mood::Silent;
    }

    pub fn mend(&self) {
        *self.0.lock().unwrap() = Mood::Well;
    }

    fn mood(&self) -> Mood {
        *self.0.lock().unwrap()
    }
}

#[derive(Default)]
struct State {
    table: Table,
    mood: Mood,
    review: Option<Review>,
    calls: Vec<String>,
    at_once: usize,
    most_at_once: usize,
}

/// The fake; clones are the same server.
#[derive(Clone, Default)]
pub struct FakeApi(Arc<Mutex<State>>);

impl FakeApi {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn client(&self) -> kube::Client {
        self.client_over(&Line::default())
    }

    /// A client that can be cut off while others are not.
    pub fn client_over(&self, line: &Line) -> kube::Client {
        let (fake, line) = (self.clone(), line.clone());
        let service = tower::service_fn(move |request| fake.clone().serve(request, line.mood()));
        kube::Client::new(service, "default")
    }

    /// What TokenReviews are answered with: from the request's spec to the answer's status.
    pub fn review(&self, review: impl FnMut(&Value) -> Value + Send + 'static) {
        self.state().review = Some(Box::new(review));
    }

    /// Watches end when the server is no longer well.
    pub fn mood(&self, mood: Mood) {
        let mut state = self.state();
        state.mood = mood;
        if mood != Mood::Well && mood != Mood::Forbidding {
            state.table.end_watches();
        }
    }

    /// Puts an object there as somebody else would; `path` is its URL path.
    pub fn put(&self, path: &str, object: Value) {
        self.state().table.put(&place(path), object);
    }

    pub fn get(&self, path: &str) -> Option<Value> {
        self.state().table.get(&place(path)).cloned()
    }

    pub fn delete(&self, path: &str) {
        self.state().table.delete(&place(path));
    }

    /// Deletes it; watches hear of it later than the test lasts.
    pub fn delete_unheard(&self, path: &str) {
        self.state().table.lose(&place(path));
    }

    /// Requests so far that begin with this, such as `PATCH /api/v1/namespaces/shop`.
    pub fn calls(&self, start: &str) -> usize {
        self.state().calls.iter().filter(|call| call.starts_with(start)).count()
    }

    /// The most writes that were under way at once.
    pub fn most_at_once(&self) -> usize {
        self.state().most_at_once
    }

    /// Waits until `path` holds what is looked for.
    pub async fn until(&self, path: &str, found: impl Fn(Option<&Value>) -> bool) {
        let wait = async {
            while !found(self.get(path).as_ref()) {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        let seen = || self.get(path);
        tokio::time::timeout(Duration::from_secs(60), wait).await.unwrap_or_else(|_| panic!("{path} is {:?}", seen()));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    async fn serve(self, request: Request<Body>, line: Mood) -> Result<Answer, std::io::Error> {
        let (parts, body) = request.into_parts();
        let body = body.collect().await.map_err(std::io::Error::other)?.to_bytes();
        let mood = {
            let mut state = self.state();
            state.calls.push(format!("{} {}", parts.method, parts.uri.path()));
            if line == Mood::Well { state.mood } else { line }
        };
        match mood {
            Mood::Away => return Err(std::io::Error::from(std::io::ErrorKind::ConnectionRefused)),
            Mood::Silent => std::future::pending().await,
            Mood::Forbidding if parts.method != Method::GET => return Ok(refusal(403, "Forbidden")),
            Mood::Forbidding | Mood::Well => {}
        }
        if parts.method != Method::GET {
            self.count(1);
            // As over a network, others get their turn before the answer is there.
            tokio::task::yield_now().await;
            self.count(-1);
        }
        Ok(self.state().answer(&parts, &body))
    }

    fn count(&self, change: isize) {
        let mut state = self.state();
        state.at_once = state.at_once.saturating_add_signed(change);
        state.most_at_once = state.most_at_once.max(state.at_once);
    }
}

impl State {
    fn answer(&mut self, parts: &http::request::Parts, body: &Bytes) -> Answer {
        let place = place(parts.uri.path());
        let query = parts.uri.query().unwrap_or_default();
        let sent = || serde_json::from_slice::<Value>(body).unwrap();
        if place.resource == "tokenreviews" {
            let mut review = sent();
            let answer = self.review.as_mut().expect("a test of token reviews says what is answered");
            review["status"] = answer(&review["spec"]);
            return answer_with(201, &review);
        }
        let kind = parts.headers.get("content-type").and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        let done = match parts.method {
            Method::GET if query.contains("watch=true") => return watch_answer(self.table.watch(&place, query)),
            Method::GET if place.name.is_none() => return answer_with(200, &self.table.list(&place, query)),
            Method::GET => self.table.get(&place).cloned().ok_or((404, "NotFound")),
            Method::POST => self.table.create(&place, sent()),
            Method::PUT => self.table.replace(&place, sent()),
            Method::PATCH => self.table.patch(&place, kind, body),
            Method::DELETE => self.table.delete(&place).ok_or((404, "NotFound")),
            _ => Err((405, "MethodNotAllowed")),
        };
        match done {
            Ok(object) => answer_with(200, &object),
            Err((code, reason)) => refusal(code, reason),
        }
    }
}

/// `/api/v1/namespaces/<namespace>/<resource>/<name>` and all shorter forms.
fn place(path: &str) -> Place {
    let mut parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    parts.drain(..if parts[0] == "api" { 2 } else { 3 });
    let namespaced = parts[0] == "namespaces" && parts.len() > 2;
    let namespace = namespaced.then(|| parts.drain(..2).next_back().unwrap().to_owned());
    Place { namespace, resource: parts[0].to_owned(), name: parts.get(1).map(|name| (*name).to_owned()) }
}

fn watch_answer(events: tokio::sync::mpsc::UnboundedReceiver<Value>) -> Answer {
    let lines = UnboundedReceiverStream::new(events).map(|event| {
        let line = format!("{event}\n");
        Ok(http_body::Frame::data(Bytes::from(line)))
    });
    Response::new(BodyExt::boxed_unsync(StreamBody::new(lines)))
}

fn refusal(code: u16, reason: &str) -> Answer {
    let message = format!("the fake says {reason}");
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "code": code, "reason": reason, "message": message,
    });
    answer_with(code, &status)
}

fn answer_with(code: u16, value: &Value) -> Answer {
    let body = BodyExt::boxed_unsync(Full::new(Bytes::from(value.to_string())));
    Response::builder().status(code).header("content-type", "application/json").body(body).unwrap()
}
