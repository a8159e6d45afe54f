//! A hostile or broken control plane: what it sends is refused by name and reason, costs that one resource, and ends
//! nothing else.

use std::path::PathBuf;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use citadel::ca::CertificateAuthority;
use citadel::grpc::PeerInfo;
use citadel::own::{ServerNames, server_identity};
use citadel::server::CertificateService;
use citadel::spiffe::TrustDomain;
use citadel::tls::ClientAuth;
use citadel::token::TokenIssuer;
use lab::{Lab, Pod, Process};
use libtest_mimic::Trial;
use pilot::catalog::MeshCatalog;
use pilot::world::Mesh;
use pilot::{Pilot, PilotOptions};
use record::Metrics;
use tokio::sync::broadcast;
use xds::google::Any;
use xds::node::NodeInfo;
use xds::server::{AdsServer, Catalog, Change, Refusal};
use xds::{Resource, ResourceType};

use crate::config::Config;
use crate::waiting::until;
use crate::{Outcome, ensure, meltemi, test};

const ECHO: ([u8; 4], u16) = ([10, 96, 2, 10], 80);
/// The hostile control plane runs in a pod without a sidecar.
const ADDRESS: ([u8; 4], u16) = ([10, 44, 2, 98], 15012);

pub fn tests() -> Vec<Trial> {
    vec![test("hostile::bad_resources_are_refused_one_by_one_and_end_nothing", refused)]
}

/// A good catalog with bad resources among the good.
struct Hostile {
    good: Arc<MeshCatalog>,
    bad: Vec<Arc<Resource>>,
    refused: Arc<Mutex<Vec<(String, String)>>>,
}

impl Hostile {
    fn bad(&self, kind: ResourceType, name: &str) -> Option<Arc<Resource>> {
        let url = kind.type_url();
        self.bad.iter().find(|bad| *bad.name == *name && bad.any.type_url == url).cloned()
    }
}

impl Catalog for Hostile {
    type Client = <MeshCatalog as Catalog>::Client;

    fn admit(&self, node: &NodeInfo, peer: Option<&str>) -> Result<Arc<Self::Client>, Refusal> {
        self.good.admit(node, peer)
    }

    fn held(&self, client: &Self::Client, kind: ResourceType, names: &[Arc<str>]) {
        self.good.held(client, kind, names);
    }

    fn wildcard(&self, client: &Self::Client, kind: ResourceType) -> Vec<Arc<str>> {
        let mut names = self.good.wildcard(client, kind);
        names.extend(self.bad.iter().filter(|bad| self.bad(kind, &bad.name).is_some()).map(|bad| bad.name.clone()));
        names
    }

    fn resource(&self, client: &Self::Client, kind: ResourceType, name: &str) -> Option<Arc<Resource>> {
        self.bad(kind, name).or_else(|| self.good.resource(client, kind, name))
    }

    fn changes(&self) -> broadcast::Receiver<Arc<Change>> {
        self.good.changes()
    }

    fn subscribed(&self, client: &Self::Client, kind: ResourceType, added: &[Arc<str>], removed: &[Arc<str>]) {
        self.good.subscribed(client, kind, added, removed);
    }

    fn acknowledged(&self, client: &Self::Client, kind: ResourceType, names: &[Arc<str>]) {
        self.good.acknowledged(client, kind, names);
    }

    fn rejected(&self, client: &Self::Client, kind: ResourceType, names: &[Arc<str>], error: &str) {
        let mut refused = self.refused.lock().expect("the list");
        refused.extend(names.iter().map(|name| (name.to_string(), error.to_owned())));
        self.good.rejected(client, kind, names, error);
    }

    fn disconnected(&self, client: &Self::Client) {
        self.good.disconnected(client);
    }
}

/// A resource of these bytes; `kind` is what it is sent as.
fn resource(kind: ResourceType, name: &str, value: Vec<u8>) -> Arc<Resource> {
    let any = Any { type_url: kind.type_url().to_owned(), value };
    Arc::new(Resource { name: name.into(), version: "hostile".into(), any })
}

fn bad_resources() -> Vec<Arc<Resource>> {
    let name_field = |name: &str| [&[0x0a, u8::try_from(name.len()).expect("short")], name.as_bytes()].concat();
    vec![
        resource(ResourceType::Listener, "garbage", vec![0xff; 4096]),
        resource(ResourceType::Listener, "truncated", vec![0x0a, 0x7f, b'x']),
        resource(ResourceType::Listener, "empty", Vec::new()),
        resource(ResourceType::Listener, "nameless", name_field("another-name")),
        resource(ResourceType::Cluster, "garbage-cluster", vec![0x08; 4096]),
        resource(ResourceType::Cluster, "large", [name_field("large"), vec![0x12; 1 << 20]].concat()),
    ]
}

fn refused() -> Outcome {
    let config = Config::echo();
    config.client("control", 98, false);
    let lab = Lab::prepare(config.options())?;
    let refused = Arc::default();
    let serving = Serving::start(&lab, &config, Arc::clone(&refused))?;
    let mut sidecars = Vec::new();
    for name in ["echo-v1", "echo-v2", "client"] {
        let pod = lab.pod(name)?;
        pod.redirect()?;
        sidecars.push(sidecar(pod)?);
    }
    for name in ["echo-v1", "echo-v2"] {
        lab.pod(name)?.start_app()?;
    }
    let client = lab.pod("client")?;
    let response = until("the good resources", Duration::from_secs(20), || client.get(ECHO, "/"))?;
    ensure!(response.status == 200, "echo answers {}", response.status);
    for bad in bad_resources() {
        until("the refusal", Duration::from_secs(10), || {
            let all: Vec<(String, String)> =
                refused.lock().map(|all: std::sync::MutexGuard<'_, Vec<_>>| all.clone()).unwrap_or_default();
            match all.iter().find(|(name, _)| **name == *bad.name) {
                Some((name, reason)) => {
                    println!("{name}: {}", reason.chars().take(160).collect::<String>());
                    Ok(())
                }
                None => {
                    Err(format!("{} is not among {:?}", bad.name, all.iter().map(|(name, _)| name).collect::<Vec<_>>()))
                }
            }
        })?;
    }
    let counted = client.admin("/stats/prometheus")?.text();
    ensure!(counted.contains("meltemi_xds_rejected_total{type=\"LDS\"}"), "the refusals were not counted");
    ensure!(client.get(ECHO, "/")?.status == 200, "echo is lost");
    drop((sidecars, serving));
    Ok(())
}

/// Our proxy, told to use the hostile control plane.
fn sidecar(pod: &Pod) -> Result<Process, Box<dyn std::error::Error>> {
    let spec = pod.spec();
    let mut command = Command::new(meltemi());
    command.arg("proxy").args([
        "--pod",
        &spec.name,
        "--namespace",
        &spec.namespace,
        "--service-account",
        &spec.service_account,
    ]);
    command.args(["--ip", &spec.ip().to_string(), "--control-plane", &std::net::SocketAddr::from(ADDRESS).to_string()]);
    command.args(["--trust-domain", "cluster.local", "--mark", "1337"]);
    command.arg("--root-cert").arg(pod.folder().join("root-cert.pem")).arg("--token").arg(pod.folder().join("token"));
    let process = pod.spawn("hostile-proxy", command)?;
    until("a ready proxy", Duration::from_secs(20), || match pod.admin("/ready") {
        Ok(response) if response.status == 200 => Ok(()),
        other => Err(format!("{other:?}; {}", process.log_tail(5))),
    })?;
    Ok(process)
}

/// The control plane, on a thread inside its pod.
struct Serving(#[expect(dead_code, reason = "its drop ends the thread's runtime")] tokio::sync::oneshot::Sender<()>);

impl Serving {
    fn start(
        lab: &Lab,
        config: &Config,
        refused: Arc<Mutex<Vec<(String, String)>>>,
    ) -> Result<Self, Box<dyn std::error::Error>> {
        let listener = lab.pod("control")?.listen(ADDRESS)?;
        listener.set_nonblocking(true)?;
        let state = PathBuf::from("/run/meltemi/control-plane");
        let directory = config.path().to_owned();
        let (stop, stopped) = tokio::sync::oneshot::channel();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(serve(listener, state, directory, refused, async {
                // The sender only ever drops.
                let _ = stopped.await;
            }));
        });
        Ok(Self(stop))
    }
}

async fn serve(
    listener: std::net::TcpListener,
    state: PathBuf,
    directory: PathBuf,
    refused: Arc<Mutex<Vec<(String, String)>>>,
    stop: impl Future<Output = ()> + Send + 'static,
) {
    let metrics = Metrics::new();
    let trust_domain: TrustDomain = "cluster.local".parse().expect("a trust domain");
    let authority = Arc::new(CertificateAuthority::load_or_create(&state, trust_domain.clone()).expect("the CA"));
    let tokens = Arc::new(TokenIssuer::load_or_create(&state).expect("the token key"));
    let id = trust_domain.workload("meltemi-system", "meltemi").expect("an identity");
    let dns = vec!["meltemi.meltemi-system.svc".to_owned()];
    let names = ServerNames { id, dns, ttl: Duration::from_secs(3600) };
    let (identity, renewal) = server_identity(Arc::clone(&authority), names).expect("a certificate");
    tokio::spawn(renewal);
    let pilot = Pilot::start(
        PilotOptions { source: pilot::SourceOptions::Directory(directory), mesh: Mesh::default() },
        &metrics,
    )
    .expect("Pilot");
    let hostile = Hostile { good: pilot.catalog(), bad: bad_resources(), refused };
    let peer = |extensions: &http::Extensions| extensions.get::<PeerInfo>()?.id.as_ref().map(ToString::to_string);
    let router = citadel::grpc::server()
        .add_service(AdsServer::new(Arc::new(hostile), peer).into_service())
        .add_service(CertificateService::new(authority, tokens, &metrics));
    let tls = citadel::tls::server(&identity, ClientAuth::Optional, &[trust_domain], &[b"h2"]).expect("TLS");
    let listener = tokio::net::TcpListener::from_std(listener).expect("the listener");
    citadel::grpc::serve(listener, tls, &metrics, router, stop).await.expect("serving");
}
