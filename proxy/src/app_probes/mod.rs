//! The application's probes. The kubelet has no certificate of the mesh, so it asks the sidecar, and the sidecar asks the
//! application at its pod's address, from an address that the redirect rules leave alone. Only what the pod's author has
//! declared is asked. Those who ask the same at a time share one probe, so that no more are under way than are declared.

mod declared;
mod dial;
mod grpc;
mod http;
mod tcp;

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use ::http::{HeaderValue, StatusCode};
use futures::future::{BoxFuture, FutureExt, Shared, WeakShared};
use parking_lot::Mutex;

pub use declared::{Declared, Invalid};
use declared::{Kind, Probe};
use dial::Application;

/// Below this path the probes are.
pub const PREFIX: &str = "/app-health/";

/// What came of a probe.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The application's own status where it speaks HTTP; else 200, or 503 for what the kubelet takes as a failure.
    pub status: StatusCode,
    /// For whoever looks into the kubelet's events.
    pub text: Arc<str>,
}

type Running = BoxFuture<'static, Outcome>;

/// The probes of a pod.
pub struct AppProbes {
    application: Application,
    all: HashMap<String, Slot>,
}

struct Slot {
    probe: Arc<Probe>,
    /// While anybody waits for it.
    running: Mutex<Option<WeakShared<Running>>>,
}

/// Why the application did not answer a probe as it should.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(
        "the application takes no connection at {address}: {source}; does it listen there or on 0.0.0.0, and not on \
         127.0.0.1 only?"
    )]
    Connect { address: SocketAddr, source: std::io::Error },
    #[error("the application did not answer within the probe's timeout of {0:?}")]
    Timeout(Duration),
    #[error("TLS with the application failed: {0}; is HTTPS what it speaks there?")]
    Tls(String),
    #[error("the application's answer is no {expected}: {reason}")]
    Protocol { expected: &'static str, reason: String },
    #[error("the application redirects in circles: {0} times")]
    Circles(usize),
    #[error("the application's health service says {0}")]
    Unhealthy(String),
}

impl AppProbes {
    /// Asks at the pod's address; `mark` as for all our connections.
    pub fn new(declared: &Declared, pod: Option<IpAddr>, mark: Option<u32>) -> Self {
        let slot = |probe: &Probe| Slot { probe: Arc::new(probe.clone()), running: Mutex::default() };
        let all = declared.all().map(|(path, probe)| (path.to_owned(), slot(probe))).collect();
        Self { application: Application::new(pod.unwrap_or(IpAddr::from([127, 0, 0, 1])), mark), all }
    }

    /// Asks what is declared under this path, in the name of whoever asks us; `None` when nothing is.
    pub async fn ask(&self, path: &str, user_agent: Option<&HeaderValue>) -> Option<Outcome> {
        let slot = self.all.get(path)?;
        let shared = self.begin_or_join(slot, user_agent);
        Some(shared.await)
    }

    fn begin_or_join(&self, slot: &Slot, user_agent: Option<&HeaderValue>) -> Shared<Running> {
        let mut running = slot.running.lock();
        if let Some(shared) = running.as_ref().and_then(WeakShared::upgrade).filter(|shared| shared.peek().is_none()) {
            return shared;
        }
        let shared = run(self.application, slot.probe.clone(), user_agent.cloned()).boxed().shared();
        *running = shared.downgrade();
        shared
    }
}

async fn run(application: Application, probe: Arc<Probe>, user_agent: Option<HeaderValue>) -> Outcome {
    let asking = async {
        match &probe.kind {
            Kind::Http(get) => http::ask(application, get, user_agent.as_ref()).await,
            Kind::Tcp { port } => tcp::ask(application, *port).await,
            Kind::Grpc { port, service } => grpc::ask(application, *port, service).await,
        }
    };
    let answered = tokio::time::timeout(probe.timeout, asking).await;
    match answered.unwrap_or(Err(Failure::Timeout(probe.timeout))) {
        Ok(status) => Outcome { status, text: format!("the application answered {status}\n").into() },
        Err(failure) => Outcome { status: StatusCode::SERVICE_UNAVAILABLE, text: format!("{failure}\n").into() },
    }
}
