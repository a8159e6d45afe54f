//! The ports of the control plane, the same wherever objects come from: TLS for proxies, HTTP for people and machines.

use super::args::SharedArgs;
use super::pages;
use crate::names;
use anyhow::{anyhow, bail};
use citadel::Identity;
use citadel::ca::Authority;
use citadel::grpc::PeerInfo;
use citadel::own::{ServerNames, server_identity};
use citadel::server::CertificateService;
use citadel::spiffe::TrustDomain;
use citadel::tls;
use citadel::tls::ClientAuth;
use hub::{Hub, MeshState, WantedShare};
use pilot::Pilot;
use proxy::capture::listen::{self, Port};
use record::Metrics;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;
use xds::server::AdsServer;

/// Life of the control plane's own certificate.
const OWN_TTL: Duration = Duration::from_secs(24 * 60 * 60);

/// What is served.
pub(super) struct Parts {
    pub(super) pilot: Pilot,
    pub(super) trust_domain: TrustDomain,
    /// What the control plane proves to be.
    pub(super) identity: Identity,
    pub(super) certificates: CertificateService,
    pub(super) metrics: Metrics,
}

/// Serves until SIGTERM or SIGINT. The pages are there from the start; proxies are served once all configuration has been
/// read, so that none hears of a part of the mesh as if it were all of it.
///
/// # Errors
/// When a port cannot be had, and when a part of the program, or of what works `beside`, has ended by a bug: it is better
/// started anew than half alive.
pub(super) async fn serve(args: SharedArgs, parts: Parts, beside: &mut JoinSet<()>) -> anyhow::Result<()> {
    let pilot = parts.pilot.clone();
    let hub = Hub::with_metrics(Arc::new(Shares(parts.pilot.clone())), parts.metrics.clone());
    let people = hub.router().merge(pages::for_people(parts.pilot.clone()));
    let people = axum::serve(bind(args.http)?, people);
    let secure = bind(args.listen)?;
    let stop = stopped()?;
    let proxies = async {
        tokio::select! {
            () = parts.pilot.complete() => {}
            () = stop => return Ok(()),
        }
        tracing::info!(tls = %args.listen, http = %args.http, "the control plane is ready");
        serve_proxies(secure, &hub, parts).await
    };
    tokio::select! {
        served = proxies => served,
        served = people => Ok(served?),
        () = pilot.ended() => bail!("the thread that reads the configuration has ended by a bug; the lines before this one say where"),
        broken = broken(beside) => Err(broken),
    }
}

/// Waits for a part that has ended by a bug; one that ends as it should is no matter.
async fn broken(beside: &mut JoinSet<()>) -> anyhow::Error {
    while let Some(ended) = beside.join_next().await {
        if let Err(error) = ended {
            return anyhow!(
                "a part of the control plane has ended by a bug: {error}; the lines before this one say where"
            );
        }
    }
    std::future::pending().await
}

/// xDS, certificates and telemetry on the TLS port.
async fn serve_proxies(secure: TcpListener, hub: &Hub, parts: Parts) -> anyhow::Result<()> {
    let Parts { pilot, trust_domain, identity, certificates, metrics } = parts;
    let router = citadel::grpc::server()
        .add_service(AdsServer::new(pilot.catalog(), |extensions| peer(extensions.get())).into_service())
        .add_service(certificates)
        .add_service(hub.metrics_service(|extensions| peer(extensions.get())));
    // A client certificate is optional: who has none yet comes for the first with a token.
    let tls_config = tls::server(&identity, ClientAuth::Optional, &[trust_domain], &[b"h2"])?;
    citadel::grpc::serve(secure, tls_config, &metrics, router, stopped()?).await?;
    Ok(())
}

/// The port for machines, if there is to be one: there from the start, whatever the rest still waits for.
pub(super) fn monitoring(args: &SharedArgs, pilot: &Pilot, metrics: &Metrics) -> anyhow::Result<JoinSet<()>> {
    let mut beside = JoinSet::new();
    if let Some(address) = args.monitoring {
        let listener = bind(address)?;
        let pages = pages::for_machines(pilot.clone(), metrics.clone());
        beside.spawn(async move {
            // It ends with the process.
            let _ = axum::serve(listener, pages).await;
        });
    }
    Ok(beside)
}

/// A listening socket; `::` takes connections of both families.
pub(super) fn bind(address: SocketAddr) -> anyhow::Result<TcpListener> {
    Ok(TcpListener::from_std(listen::bind(address, Port::Alone)?)?)
}

/// The control plane's own identity, renewed for as long as the process runs. Its names are those that clients of this
/// control plane, or of an Istiod that it stands in for, verify: the Service and the service account of its revision.
pub(super) fn own_identity(
    authority: impl Into<Authority>,
    trust_domain: &TrustDomain,
    namespace: &str,
    revision: &str,
) -> anyhow::Result<Identity> {
    let name = names::control_plane(revision);
    let dns = vec![format!("{name}.{namespace}.svc"), "istiod.istio-system.svc".to_owned()];
    let names = ServerNames { id: trust_domain.workload(namespace, &name)?, dns, ttl: OWN_TTL };
    let (identity, renewal) = server_identity(authority, names)?;
    tokio::spawn(renewal);
    Ok(identity)
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

/// Ends with SIGTERM or SIGINT.
pub(super) fn stopped() -> anyhow::Result<impl Future<Output = ()> + Send + 'static> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}
