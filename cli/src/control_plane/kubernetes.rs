//! The control plane in a Kubernetes cluster: objects, identities and status by the API server, several replicas of which
//! one leads.

use super::args::{KubernetesArgs, SharedArgs};
use super::serve::{Parts, bind, monitoring, own_identity, serve, stopped};
use anyhow::Context;
use citadel::Identity;
use citadel::ca::Authority;
use citadel::kubernetes::{CaSecretOptions, TokenReviewer, bounded};
use citadel::server::CertificateService;
use citadel::spiffe::TrustDomain;
use kube::Client;
use kube::config::KubeConfigOptions;
use pilot::kubernetes::{leader, roots, status, webhook_bundle};
use pilot::webhook::{InjectorFile, Webhooks, watch_namespaces};
use pilot::world::Mesh;
use pilot::{Pilot, PilotOptions, SourceOptions};
use record::Metrics;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::timeout;

/// Set in every pod: where its API server is.
const IN_A_POD: &str = "KUBERNETES_SERVICE_HOST";
/// How long the end may wait for another replica to be free to lead.
const RESIGN: Duration = Duration::from_secs(3);

pub(super) async fn run(shared: SharedArgs, args: KubernetesArgs) -> anyhow::Result<()> {
    let metrics = Metrics::new();
    metrics.watch_process();
    let trust_domain: TrustDomain = shared.trust_domain.parse()?;
    let config = bounded(cluster().await?);
    let client = Client::try_from(config.clone()).context("the API server's address or certificates cannot be used")?;

    // Configuration and discovery, in a thread and with a client of its own.
    let mesh = Mesh {
        trust_domain: shared.trust_domain.as_str().into(),
        root_namespace: args.namespace.as_str().into(),
        ..Mesh::default()
    };
    let source = SourceOptions::Kubernetes(Box::new(config));
    let pilot = Pilot::start(PilotOptions { source, mesh: mesh.clone() }, &metrics)?;

    let mut beside = monitoring(&shared, &pilot, &metrics)?;

    let options = CaSecretOptions {
        namespace: args.namespace.clone(),
        trust_domain: trust_domain.clone(),
        max_ttl: shared.max_certificate_ttl,
    };
    let (authority, _, follow) = citadel::kubernetes::follow(client.clone(), options, &metrics).await;
    beside.spawn(follow);
    let tokens = TokenReviewer::new(client.clone(), &metrics);
    let certificates = CertificateService::new(authority.clone(), tokens, &metrics);
    let identity = own_identity(authority.clone(), &trust_domain, &args.namespace, &args.revision)?;

    webhooks(&args, &client, &identity, mesh, &metrics, &mut beside).await?;
    let election = controllers(&client, &args, &authority, &pilot, &metrics, &mut beside)?;
    let served = serve(shared, Parts { pilot, trust_domain, identity, certificates, metrics }, &mut beside).await;
    let _ = timeout(RESIGN, election).await;
    served
}

/// The port that the API server asks for admission, if there is to be one.
async fn webhooks(
    args: &KubernetesArgs,
    client: &Client,
    identity: &Identity,
    mesh: Mesh,
    metrics: &Metrics,
    beside: &mut JoinSet<()>,
) -> anyhow::Result<()> {
    let (Some(address), Some(file)) = (args.webhook, &args.injector_config) else { return Ok(()) };
    let injector = Arc::new(InjectorFile::open(file.clone(), metrics)?);
    beside.spawn(Arc::clone(&injector).watch());
    let (labels, following) = watch_namespaces(client.clone());
    beside.spawn(following);
    let webhooks = Webhooks::new(injector, Arc::new(mesh), labels, metrics);
    let (listener, stop) = (bind(address)?, stopped()?);
    let (identity, metrics) = (identity.clone(), metrics.clone());
    beside.spawn(async move {
        if let Err(error) = pilot::webhook::serve(listener, &identity, &metrics, webhooks, stop).await {
            tracing::error!("the admission webhooks cannot be served: {error}");
        }
    });
    Ok(())
}

/// What one replica does for all: roots into every namespace, the webhooks' bundle, the status of objects. Gives the task
/// that ends once this replica, told to stop, leads no more.
fn controllers(
    client: &Client,
    args: &KubernetesArgs,
    authority: &Authority,
    pilot: &Pilot,
    metrics: &Metrics,
    beside: &mut JoinSet<()>,
) -> anyhow::Result<JoinHandle<()>> {
    let lease = leader::LeaderOptions {
        namespace: args.namespace.clone(),
        lease: leader::LEASE.to_owned(),
        identity: args.pod_name.clone(),
    };
    let (leads, election) = leader::run(client.clone(), lease, metrics, stopped()?);
    beside.spawn(roots::run(client.clone(), authority.changes(), leads.clone(), metrics.clone()));
    beside.spawn(bundle(client.clone(), args.revision.clone(), authority.clone(), metrics.clone()));
    beside.spawn(statuses(client.clone(), leads, pilot.clone(), metrics.clone()));
    Ok(tokio::spawn(election))
}

/// Every replica sees to the webhooks of its revision: revisions share the leader's Lease, not their webhooks.
async fn bundle(client: Client, revision: String, authority: Authority, metrics: Metrics) {
    let (_always, leads) = watch::channel(true);
    webhook_bundle::run(client, revision, authority.changes(), leads, metrics).await;
}

async fn statuses(client: Client, leads: watch::Receiver<bool>, pilot: Pilot, metrics: Metrics) {
    pilot.complete().await;
    status::keep_statuses(client, leads, pilot, &metrics).await;
}

/// The way to the API server: as a pod is given it, else as kubectl would go.
async fn cluster() -> anyhow::Result<kube::Config> {
    if std::env::var_os(IN_A_POD).is_some() {
        return kube::Config::incluster().context(
            "this runs in a pod, but the way to the API server is not there; the pod needs its service account's token \
             (automountServiceAccountToken)",
        );
    }
    kube::Config::from_kubeconfig(&KubeConfigOptions::default()).await.context(
        "no API server: this does not run in a pod, and there is no usable kubeconfig; set KUBECONFIG, or use \
         --config-dir",
    )
}
