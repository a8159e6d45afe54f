//! What a proxy shows: configuration dump, metrics and readiness, on ports as Istio has them.
//!
//! Only the administration port (loopback) shows configuration; nothing here changes anything but by POST.

pub mod dump;

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST, USER_AGENT};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use record::Metrics;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};

use crate::app_probes;
use crate::capture::listen;
use crate::handover::{Handover, Phase};
use crate::options::ProxyOptions;

/// Asks the control thread's store for a dump.
pub type DumpRequest = oneshot::Sender<serde_json::Value>;

/// What a port shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Surface {
    /// Everything; loopback only.
    Admin,
    /// `/healthz/ready`.
    Readiness,
    /// `/stats/prometheus`, and the application's probes.
    Metrics,
}

/// The ports of a proxy.
pub fn surfaces(options: &ProxyOptions) -> Vec<(SocketAddr, Surface)> {
    let mut all = vec![(options.admin, Surface::Admin), (options.readiness, Surface::Readiness)];
    all.extend(options.metrics.iter().map(|address| (*address, Surface::Metrics)));
    all
}

/// Serves one port for ever.
pub async fn serve(listener: TcpListener, surface: Surface, handover: Arc<Handover>, dump: mpsc::Sender<DumpRequest>) {
    loop {
        let (stream, _) = listen::accept(&listener).await;
        let (handover, dump) = (handover.clone(), dump.clone());
        tokio::spawn(async move {
            let service = service_fn(|request: Request<Incoming>| {
                let (handover, dump) = (handover.clone(), dump.clone());
                async move { Ok::<_, std::convert::Infallible>(answer(surface, &handover, &dump, &request).await) }
            });
            let serving =
                http1::Builder::new().timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), service);
            if let Err(error) = serving.await {
                tracing::debug!(%error, "an administration connection ended early");
            }
        });
    }
}

async fn answer(
    surface: Surface,
    handover: &Handover,
    dump: &mpsc::Sender<DumpRequest>,
    request: &Request<Incoming>,
) -> Response<Full<Bytes>> {
    if surface == Surface::Admin && !is_local_name(request) {
        return text(
            StatusCode::FORBIDDEN,
            "the Host of a request to the administration port must be localhost or a loopback address\n",
        );
    }
    match (surface, request.method(), request.uri().path()) {
        (_, &Method::GET, "/healthz/ready" | "/ready") => ready(handover),
        (Surface::Admin | Surface::Metrics, &Method::GET, "/stats/prometheus" | "/metrics") => metrics(handover),
        (Surface::Admin, &Method::GET, "/config_dump") => config_dump(dump).await,
        (Surface::Admin, &Method::GET, "/certs") => json(&dump::certificate(handover)),
        (Surface::Admin, &Method::GET, "/server_info") => json(&dump::server_info(handover)),
        (Surface::Admin, &Method::GET, "/allocations") => allocations(handover),
        (Surface::Admin, &Method::GET, "/") => text(StatusCode::OK, INDEX),
        (Surface::Admin, _, "/config_dump" | "/certs" | "/server_info" | "/") => {
            text(StatusCode::METHOD_NOT_ALLOWED, "only GET is served here\n")
        }
        (Surface::Metrics, &Method::GET, path) if path.starts_with(app_probes::PREFIX) => {
            probe(handover, request).await
        }
        _ => text(StatusCode::NOT_FOUND, "nothing here; the administration port lists what there is at /\n"),
    }
}

const INDEX: &str = "/config_dump       what is in force, what waits, what was refused\n\
/certs             our certificate\n\
/server_info       who this proxy is\n\
/stats/prometheus  metrics\n\
/allocations       how often memory was asked for, in debug builds\n\
/ready             200 when it serves\n";

/// A page of the web must not reach this port through a name of its own that resolves to loopback.
fn is_local_name(request: &Request<Incoming>) -> bool {
    let host = request.headers().get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let name = crate::http::normalise::without_port(host).trim_matches(['[', ']']);
    name.is_empty() || name == "localhost" || name.parse::<std::net::IpAddr>().is_ok()
}

fn ready(handover: &Handover) -> Response<Full<Bytes>> {
    let phase = *handover.phase.borrow();
    match phase {
        Phase::Ready => text(StatusCode::OK, "ready\n"),
        Phase::Starting if handover.identity.current().is_none() => {
            text(StatusCode::SERVICE_UNAVAILABLE, "starting: waiting for a certificate\n")
        }
        Phase::Starting => text(StatusCode::SERVICE_UNAVAILABLE, "starting: waiting for the first configuration\n"),
        Phase::Draining | Phase::Leaving | Phase::Stopping => text(StatusCode::SERVICE_UNAVAILABLE, "draining\n"),
    }
}

/// Asks the application in the place of the kubelet.
async fn probe(handover: &Handover, request: &Request<Incoming>) -> Response<Full<Bytes>> {
    match handover.app_probes.ask(request.uri().path(), request.headers().get(USER_AGENT)).await {
        Some(outcome) => text(outcome.status, outcome.text.to_string()),
        None => text(StatusCode::NOT_FOUND, "no such probe is declared; the injector writes ISTIO_KUBE_APP_PROBERS\n"),
    }
}

fn metrics(handover: &Handover) -> Response<Full<Bytes>> {
    let mut response = text(StatusCode::OK, handover.metrics.text());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(Metrics::content_type()));
    response
}

/// Not among the metrics, which take far more allocations to write than a request does.
fn allocations(handover: &Handover) -> Response<Full<Bytes>> {
    match handover.options.allocations {
        Some(count) => text(StatusCode::OK, format!("{}\n", count())),
        None => text(StatusCode::NOT_FOUND, "only debug builds count their allocations\n"),
    }
}

async fn config_dump(dump: &mpsc::Sender<DumpRequest>) -> Response<Full<Bytes>> {
    let (answer, answered) = oneshot::channel();
    let asked = dump.try_send(answer).is_ok();
    match tokio::time::timeout(std::time::Duration::from_secs(2), answered).await {
        Ok(Ok(value)) if asked => json(&value),
        _ => text(StatusCode::SERVICE_UNAVAILABLE, "no configuration yet: the proxy is waiting for its certificate\n"),
    }
}

fn json(value: &serde_json::Value) -> Response<Full<Bytes>> {
    let mut response = text(StatusCode::OK, format!("{value:#}\n"));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn text(status: StatusCode, body: impl Into<String>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body.into())));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}
