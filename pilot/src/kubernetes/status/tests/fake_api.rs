//! A fake of the API server, as far as the writer of statuses needs one: objects with versions, lists in pages, merge patches
//! of the status with optimistic locking, and what goes wrong. The real one is asked in `tests/kubernetes/`.

use crate::model::ObjectRef;
use crate::status::ObjectStatus;
use http::{Method, Request, Response, StatusCode};
use http_body_util::BodyExt;
use kube::Client;
use kube::client::Body;
use parking_lot::Mutex;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

/// How long an answer takes.
const LATENCY: Duration = Duration::from_millis(5);

#[derive(Clone, Default)]
pub(super) struct FakeApi(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    objects: BTreeMap<String, Value>,
    version: u64,
    away: bool,
    /// Objects that the API server does not let us write.
    forbidden: Vec<String>,
    /// Somebody else writes this status just before our next write of it.
    interference: BTreeMap<String, Value>,
    log: Vec<String>,
    under_way: usize,
    most_under_way: usize,
}

fn path(object: &ObjectRef) -> String {
    let plural = match &*object.kind {
        "HTTPRoute" => "httproutes",
        "VirtualService" => "virtualservices",
        other => panic!("the fake does not know {other}"),
    };
    format!("/apis/{}/v1/namespaces/{}/{plural}/{}", object.group, object.namespace, object.name)
}

impl FakeApi {
    pub(super) fn client(&self) -> Client {
        let fake = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let fake = fake.clone();
            async move { Ok::<_, Infallible>(fake.serve(request).await) }
        });
        Client::new(service, "default")
    }

    /// Makes the object that a status is about.
    pub(super) fn create(&self, status: &ObjectStatus) {
        let mut inner = self.0.lock();
        inner.version += 1;
        let ObjectRef { namespace, name, .. } = &*status.object;
        let object = json!({
            "metadata": { "namespace": &**namespace, "name": &**name, "uid": status.uid.as_deref(),
                          "resourceVersion": inner.version.to_string() },
            "spec": { "large": "text" },
        });
        inner.objects.insert(path(&status.object), object);
    }

    pub(super) fn status(&self, object: &ObjectRef) -> Value {
        self.0.lock().objects.get(&path(object)).map(|object| object["status"].clone()).unwrap_or_default()
    }

    pub(super) fn delete(&self, object: &ObjectRef) {
        self.0.lock().objects.remove(&path(object));
    }

    pub(super) fn set_away(&self, away: bool) {
        self.0.lock().away = away;
    }

    pub(super) fn forbid(&self, object: &ObjectRef) {
        self.0.lock().forbidden.push(path(object));
    }

    pub(super) fn interfere(&self, object: &ObjectRef, status: Value) {
        self.0.lock().interference.insert(path(object), status);
    }

    /// The requests since the last call, as `GET name`, `LIST plural` and `PATCH name`.
    pub(super) fn log(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().log)
    }

    pub(super) fn most_under_way(&self) -> usize {
        self.0.lock().most_under_way
    }

    async fn serve(&self, request: Request<Body>) -> Response<Body> {
        {
            let mut inner = self.0.lock();
            inner.under_way += 1;
            inner.most_under_way = inner.most_under_way.max(inner.under_way);
        }
        let (parts, body) = request.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        tokio::time::sleep(LATENCY).await;
        let mut inner = self.0.lock();
        inner.under_way -= 1;
        let path = parts.uri.path().to_owned();
        let (status, answer) = inner.answer(&parts.method, &path, parts.uri.query().unwrap_or_default(), &body);
        Response::builder().status(status).body(Body::from(answer.to_string().into_bytes())).unwrap()
    }
}

impl Inner {
    fn answer(&mut self, method: &Method, path: &str, query: &str, body: &[u8]) -> (StatusCode, Value) {
        let last = |path: &str| path.rsplit('/').next().unwrap().to_owned();
        if self.away {
            return failure(StatusCode::SERVICE_UNAVAILABLE);
        }
        if let Some(object) = path.strip_suffix("/status") {
            assert_eq!(method, Method::PATCH);
            self.log.push(format!("PATCH {}", last(object)));
            return self.patch(object, body);
        }
        if path.contains("/namespaces/") {
            self.log.push(format!("GET {}", last(path)));
            let found = self.objects.get(path);
            return found.map_or_else(|| failure(StatusCode::NOT_FOUND), |object| (StatusCode::OK, object.clone()));
        }
        self.log.push(format!("LIST {}", last(path)));
        (StatusCode::OK, self.list(&last(path), query))
    }

    /// One page; the token is the number of the next object.
    fn list(&self, plural: &str, query: &str) -> Value {
        let parameter = |name: &str| {
            let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
            pairs.find(|(key, _)| *key == name).and_then(|(_, value)| value.parse::<usize>().ok())
        };
        let (from, limit) = (parameter("continue").unwrap_or(0), parameter("limit").unwrap());
        let of_kind = self.objects.iter().filter(|(path, _)| path.contains(plural)).map(|(_, object)| object);
        let page: Vec<_> = of_kind.clone().skip(from).take(limit).collect();
        let rest = of_kind.count() > from + limit;
        let token = if rest { (from + limit).to_string() } else { String::new() };
        json!({ "metadata": { "continue": token }, "items": page })
    }

    fn patch(&mut self, path: &str, body: &[u8]) -> (StatusCode, Value) {
        self.version += 1;
        let version = Value::from(self.version.to_string());
        if self.forbidden.iter().any(|forbidden| forbidden == path) {
            return failure(StatusCode::FORBIDDEN);
        }
        let Some(object) = self.objects.get_mut(path) else { return failure(StatusCode::NOT_FOUND) };
        if let Some(status) = self.interference.remove(path) {
            object["status"] = status;
            object["metadata"]["resourceVersion"] = version.clone();
        }
        let patch: Value = serde_json::from_slice(body).unwrap();
        if patch["metadata"]["resourceVersion"] != object["metadata"]["resourceVersion"] {
            return failure(StatusCode::CONFLICT);
        }
        for (field, value) in patch["status"].as_object().unwrap() {
            object["status"][field] = value.clone();
        }
        object["metadata"]["resourceVersion"] = version;
        (StatusCode::OK, object.clone())
    }
}

fn failure(code: StatusCode) -> (StatusCode, Value) {
    let answer = json!({ "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code.as_u16(),
                         "message": code.canonical_reason() });
    (code, answer)
}
