//! Running webhooks, and a client that trusts the mesh's root and has no certificate, as an API server.

use bytes::Bytes;
use citadel::ca::CertificateAuthority;
use citadel::own::{ServerNames, server_identity};
use citadel::tls::{self, Roots};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::{http1, http2};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use k8s_openapi::ByteString;
use pilot::webhook::{InjectorFile, Webhooks, serve};
use record::Metrics;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

const NAME: &str = "meltemi.meltemi-system.svc";

pub struct Server {
    pub metrics: Metrics,
    pub file: PathBuf,
    address: SocketAddr,
    roots: Roots,
    _dir: TempDir,
}

impl Server {
    /// Webhooks with this `injector.yaml`, in a mesh whose namespace "guarded" enforces Pod Security.
    pub async fn start(injector: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("injector.yaml");
        std::fs::write(&file, injector).unwrap();
        let metrics = Metrics::new();
        let injector = Arc::new(InjectorFile::open(file.clone(), &metrics).unwrap());
        tokio::spawn(injector.clone().watch());
        let labels = |name: &str| {
            let enforced = ("pod-security.kubernetes.io/enforce".to_owned(), "restricted".to_owned());
            (name == "guarded").then(|| [enforced].into())
        };
        let webhooks = Webhooks::new(injector, Arc::default(), Box::new(labels), &metrics);
        let trust_domain: citadel::TrustDomain = "cluster.local".parse().unwrap();
        let authority = Arc::new(CertificateAuthority::in_memory(trust_domain.clone()).unwrap());
        let roots = Roots::Pem(authority.roots_pem().to_string());
        let id = trust_domain.workload("meltemi-system", "meltemi").unwrap();
        let names = ServerNames { id, dns: vec![NAME.into()], ttl: Duration::from_secs(3600) };
        let (identity, _renewal) = server_identity(authority, names).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let counted = metrics.clone();
        tokio::spawn(async move {
            serve(listener, &identity, &counted, webhooks, std::future::pending()).await.unwrap();
        });
        Self { metrics, file, address, roots, _dir: dir }
    }

    pub async fn connect(&self, alpn: &[u8]) -> TlsStream<TcpStream> {
        let config = tls::simple_client(&self.roots, &[], &[alpn]).unwrap();
        let stream = TcpStream::connect(self.address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let stream = TlsConnector::from(config).connect(tls::server_name(NAME).unwrap(), stream).await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(alpn));
        stream
    }

    /// The answer to any request over HTTP/1.1.
    pub async fn send(&self, request: Request<Full<Bytes>>) -> (StatusCode, String) {
        let io = TokioIo::new(self.connect(b"http/1.1").await);
        let (mut sender, connection) = http1::handshake(io).await.unwrap();
        tokio::spawn(connection);
        read(sender.send_request(request).await.unwrap()).await
    }

    pub async fn post(&self, path: &str, content_type: &str, body: impl Into<Bytes>) -> (StatusCode, String) {
        self.send(request(path, content_type, body)).await
    }

    /// The response to a review over HTTP/1.1.
    pub async fn review(&self, path: &str, review: &Value) -> Value {
        let (status, body) = self.post(path, "application/json", review.to_string()).await;
        response(status, &body)
    }

    /// The same over HTTP/2.
    pub async fn review_h2(&self, path: &str, review: &Value) -> Value {
        self.h2().await.review(path, review).await
    }

    /// A connection of HTTP/2 that stays, as an API server holds one.
    pub async fn h2(&self) -> Connection {
        let io = TokioIo::new(self.connect(b"h2").await);
        let (sender, connection) = http2::handshake(TokioExecutor::new(), io).await.unwrap();
        tokio::spawn(connection);
        Connection(sender)
    }

    /// The value of a metric, by its name with its labels.
    pub fn metric(&self, name: &str) -> f64 {
        let text = self.metrics.text();
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {name} in\n{text}")).parse().unwrap()
    }
}

pub struct Connection(http2::SendRequest<Full<Bytes>>);

impl Connection {
    pub async fn review(&mut self, path: &str, review: &Value) -> Value {
        let answer = self.0.send_request(request(path, "application/json", review.to_string())).await.unwrap();
        let (status, body) = read(answer).await;
        response(status, &body)
    }
}

pub fn request(path: &str, content_type: &str, body: impl Into<Bytes>) -> Request<Full<Bytes>> {
    let builder = Request::builder().method(Method::POST).uri(format!("https://{NAME}{path}"));
    builder.header("host", NAME).header("content-type", content_type).body(Full::new(body.into())).unwrap()
}

async fn read(answer: Response<hyper::body::Incoming>) -> (StatusCode, String) {
    let status = answer.status();
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

/// `response` of the review in a good answer.
fn response(status: StatusCode, body: &str) -> Value {
    assert_eq!(status, StatusCode::OK, "{body}");
    let review: Value = serde_json::from_str(body).unwrap();
    assert_eq!((&review["apiVersion"], &review["kind"]), (&json!("admission.k8s.io/v1"), &json!("AdmissionReview")));
    review["response"].clone()
}

/// A review of a pod that is about to be made.
pub fn pod_review(namespace: &str, pod: &Value) -> Value {
    review("CREATE", ["", "v1", "pods"], namespace, pod, &Value::Null)
}

pub fn review(operation: &str, resource: [&str; 3], namespace: &str, object: &Value, old: &Value) -> Value {
    let [group, version, resource] = resource;
    json!({
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": "705ab4f5-6393-11e8-b7cc-42010a800002",
            "kind": { "group": group, "version": version, "kind": object["kind"] },
            "resource": { "group": group, "version": version, "resource": resource },
            "namespace": namespace,
            "operation": operation,
            "userInfo": { "username": "admin" },
            "object": object,
            "oldObject": old,
            "dryRun": true,
            "options": { "kind": "CreateOptions", "apiVersion": "meta.k8s.io/v1" }
        }
    })
}

pub fn pod() -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": { "name": "app", "labels": { "app": "app" } },
        "spec": { "containers": [{ "name": "app", "image": "app:1" }] }
    })
}

/// The pod of a review after the patch of its response.
pub fn patched(pod: &Value, response: &Value) -> Value {
    assert_eq!(response["allowed"], true, "{response}");
    assert_eq!(response["patchType"], "JSONPatch");
    let ByteString(patch) = serde_json::from_value(response["patch"].clone()).unwrap();
    let patch: json_patch::Patch = serde_json::from_slice(&patch).unwrap();
    let mut after = pod.clone();
    json_patch::patch(&mut after, &patch).unwrap();
    after
}
