//! `meltemi control-plane`: Pilot, Citadel and the telemetry hub in one process. One TLS port serves xDS, the CA and
//! OTLP; one HTTP port, on loopback, what people and monitoring ask.

use anyhow::Context;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use citadel::ca::CertificateAuthority;
use citadel::grpc::PeerInfo;
use citadel::own::{ServerNames, server_identity};
use citadel::server::CertificateService;
use citadel::spiffe::TrustDomain;
use citadel::tls;
use citadel::tls::ClientAuth;
use citadel::token::TokenIssuer;
use clap::Args;
use hub::{Hub, MeshState, WantedShare};
use pilot::status::Condition;
use pilot::world::Mesh;
use pilot::{Pilot, PilotOptions};
use record::Metrics;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use xds::server::AdsServer;

/// Life of the control plane's own certificate.
const OWN_TTL: Duration = Duration::from_secs(24 * 60 * 60);

/// Arguments of `meltemi control-plane`.
#[derive(Debug, Args)]
pub struct ControlPlaneArgs {
    /// Directory of objects: what a cluster would hold.
    #[arg(long)]
    config_dir: PathBuf,
    /// Directory for the root key and the token key; made when missing, readable by us alone.
    #[arg(long)]
    state_dir: PathBuf,
    /// Address of the TLS port.
    #[arg(long, default_value = "0.0.0.0:15012")]
    listen: SocketAddr,
    /// Address of the HTTP port.
    #[arg(long, default_value = "127.0.0.1:15014")]
    http: SocketAddr,
    /// Trust domain of the mesh.
    #[arg(long, env = "TRUST_DOMAIN", default_value = "cluster.local")]
    trust_domain: String,
    /// The longest life of a workload's certificate.
    #[arg(long, default_value = "24h", value_parser = crate::duration::parse)]
    max_certificate_ttl: Duration,
}

/// Runs until SIGTERM or SIGINT.
pub fn run(args: ControlPlaneArgs) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(serve(args))
}

async fn serve(args: ControlPlaneArgs) -> anyhow::Result<()> {
    let metrics = Metrics::new();
    metrics.watch_process();
    let trust_domain: TrustDomain = args.trust_domain.parse()?;
    let authority = CertificateAuthority::load_or_create(&args.state_dir, trust_domain.clone())?;
    let authority = Arc::new(authority.with_max_ttl(args.max_certificate_ttl));
    let tokens = Arc::new(TokenIssuer::load_or_create(&args.state_dir)?);
    let (identity, renewal) = server_identity(Arc::clone(&authority), names(&trust_domain)?)?;
    tokio::spawn(renewal);
    let mesh = Mesh { trust_domain: args.trust_domain.as_str().into(), ..Mesh::default() };
    let pilot = Pilot::start(PilotOptions { config_dir: args.config_dir, mesh }, &metrics)?;
    let hub = Hub::with_metrics(Arc::new(Shares(pilot.clone())), metrics.clone());

    let router = citadel::grpc::server()
        .add_service(AdsServer::new(pilot.catalog(), |extensions| peer(extensions.get())).into_service())
        .add_service(CertificateService::new(authority, tokens, &metrics))
        .add_service(hub.metrics_service(|extensions| peer(extensions.get())));
    // A client certificate is optional: who has none yet comes for the first with a token.
    let tls_config = tls::server(&identity, ClientAuth::Optional, &[trust_domain], &[b"h2"])?;
    let secure = TcpListener::bind(args.listen).await.with_context(|| format!("listen on {}", args.listen))?;
    let plain = TcpListener::bind(args.http).await.with_context(|| format!("listen on {}", args.http))?;
    tracing::info!(tls = %args.listen, http = %args.http, "the control plane is ready");
    let pages = axum::serve(plain, hub.router().merge(pages(pilot)));
    tokio::select! {
        served = citadel::grpc::serve(secure, tls_config, &metrics, router, stopped()?) => served?,
        served = pages => served?,
    }
    Ok(())
}

/// The names that clients of this control plane, or of an Istiod that it stands in for, verify.
fn names(trust_domain: &TrustDomain) -> anyhow::Result<ServerNames> {
    let dns = ["meltemi.meltemi-system.svc", "istiod.istio-system.svc"].map(str::to_owned).to_vec();
    Ok(ServerNames { id: trust_domain.workload("meltemi-system", "meltemi")?, dns, ttl: OWN_TTL })
}

fn peer(info: Option<&PeerInfo>) -> Option<String> {
    info?.id.as_ref().map(ToString::to_string)
}

/// What the hub learns of Pilot.
struct Shares(Pilot);

impl MeshState for Shares {
    fn shares(&self) -> Vec<WantedShare> {
        let wanted = self.0.shares().into_iter();
        wanted
            .map(|share| WantedShare { service: share.service, version: share.version, weight: share.weight })
            .collect()
    }
}

/// `/ready` and `/debug/status`, beside the hub's pages.
fn pages(pilot: Pilot) -> Router {
    Router::new()
        .route("/ready", get(|| async { (StatusCode::OK, "ready\n") }))
        .route("/debug/status", get(status))
        .with_state(pilot)
}

/// Every object with its status, and all problems as lines of text.
async fn status(State(pilot): State<Pilot>) -> Json<Value> {
    let problems: Vec<String> = pilot.findings().into_iter().map(|finding| finding.to_string()).collect();
    let objects: Vec<Value> = pilot
        .status()
        .iter()
        .map(|status| {
            json!({
                "object": status.object.to_string(),
                "file": *status.file,
                "line": status.line,
                "status": condition(&status.condition),
                "findings": status.findings.iter().map(ToString::to_string).collect::<Vec<_>>(),
                "parents": status.parents.iter().map(ToString::to_string).collect::<Vec<_>>(),
                "refused_by_proxies": status.refused.iter().map(|refused| refused.to_string()).collect::<Vec<_>>(),
            })
        })
        .collect();
    Json(json!({ "problems": problems, "objects": objects }))
}

fn condition(condition: &Condition) -> String {
    match condition {
        Condition::InForce => "in force".to_owned(),
        Condition::Rejected { last_good_in_force: true } => "rejected; its last good version is in force".to_owned(),
        Condition::Rejected { last_good_in_force: false } => "rejected".to_owned(),
        Condition::Shadowed { by } => format!("shadowed by {by}"),
    }
}

fn stopped() -> anyhow::Result<impl Future<Output = ()> + Send + 'static> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}
