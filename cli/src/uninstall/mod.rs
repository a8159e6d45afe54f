//! `meltemi uninstall`: removes what install and the control plane made, and says what it left and why.

mod definitions;
mod foreign;
mod leftovers;
mod namespaces;
mod policy;

use crate::cluster::{ClusterArgs, Told};
use crate::helm::{Helm, Removal};
use crate::names::{self, APP, CRDS, DEFAULT_REVISION, REVISION, SYSTEM};
use anyhow::bail;
use clap::Args;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use kube::Client;
use kube::api::{Api, ListParams};
use std::path::PathBuf;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// The control plane's pods drain before they end.
const PATIENCE: Duration = Duration::from_secs(120);
const PAUSE: Duration = Duration::from_millis(250);

/// Arguments of `meltemi uninstall`.
#[derive(Debug, Args)]
pub struct UninstallArgs {
    #[command(flatten)]
    cluster: ClusterArgs,
    /// The revision to remove.
    #[arg(long, default_value = DEFAULT_REVISION)]
    revision: String,
    /// Also remove the definitions of Istio's kinds that Meltemi brought, and with them every object of these kinds.
    #[arg(long)]
    crds: bool,
    /// The program `helm`; without it the one in PATH.
    #[arg(long, env = "HELM", value_name = "FILE")]
    helm: Option<PathBuf>,
}

/// What became of what was there, in lines for people.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub removed: Vec<String>,
    pub left: Vec<String>,
}

/// Runs until all is removed, or says what failed. Running it again goes on where it failed.
pub fn run(args: &UninstallArgs) -> anyhow::Result<()> {
    let helm = Helm::find(args.helm.as_deref(), &args.cluster)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let outcome = runtime.block_on(uninstall(args, &helm))?;
    if outcome.removed.is_empty() {
        println!("Nothing of Meltemi was found.");
    }
    for line in &outcome.removed {
        println!("removed  {line}");
    }
    for line in &outcome.left {
        println!("left     {line}");
    }
    Ok(())
}

async fn uninstall(args: &UninstallArgs, helm: &Helm) -> anyhow::Result<Outcome> {
    let client = args.cluster.connect().await?;
    let mut outcome = Outcome::default();
    namespaces::tell_users(&client, &args.revision, &mut outcome).await?;
    let release = names::control_plane(&args.revision);
    match helm.remove(&release)? {
        Removal::Done => outcome.removed.push(format!("the control plane (Helm release {release})")),
        Removal::NoRelease => refuse_foreign(&client, &release).await?,
    }
    // A leader that still runs would write again what is removed below.
    wait_for_end(&client, &args.revision).await?;
    leftovers::remove_tests(&client, &release, &mut outcome).await?;
    let others = control_planes(&client).await?;
    if !others.is_empty() {
        let shared = "the CA, the roots, the policy of the mesh and Istio's kinds";
        outcome.left.push(format!("{shared}: {} uses them", others.join(", ")));
        return Ok(outcome);
    }
    leftovers::remove(&client, &mut outcome).await?;
    policy::remove(&client, &mut outcome).await?;
    if helm.remove(CRDS)? == Removal::Done {
        outcome.removed.push(format!("Helm release {CRDS}"));
    }
    if args.crds {
        definitions::remove(&client, &mut outcome).await?;
    } else {
        definitions::tell(&client, &mut outcome).await?;
    }
    namespaces::remove_own(&client, &mut outcome).await?;
    Ok(outcome)
}

/// The control planes that are there, of all revisions.
async fn control_planes(client: &Client) -> anyhow::Result<Vec<String>> {
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), SYSTEM);
    let found = deployments.list(&ListParams::default().labels(APP)).await;
    let found = found.doing(|| format!("cannot list the Deployments of {SYSTEM}"))?;
    Ok(found.items.into_iter().filter_map(|deployment| deployment.metadata.name).collect())
}

/// A control plane that Helm did not install is somebody else's to remove.
async fn refuse_foreign(client: &Client, name: &str) -> anyhow::Result<()> {
    if control_planes(client).await?.iter().any(|found| found == name) {
        bail!(
            "the control plane {SYSTEM}/{name} is no Helm release of that name; remove it with what installed it (such as \
             `kubectl delete -f` or Argo CD), then run this again for what it left behind"
        );
    }
    Ok(())
}

async fn wait_for_end(client: &Client, revision: &str) -> anyhow::Result<()> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), SYSTEM);
    let ours = ListParams::default().labels(&format!("{APP},{REVISION}={revision}"));
    let deadline = Instant::now() + PATIENCE;
    while let Some(pod) = pods.list(&ours).await.doing(|| format!("cannot list the pods of {SYSTEM}"))?.items.first() {
        if Instant::now() > deadline {
            let name = pod.metadata.name.as_deref().unwrap_or_default();
            bail!("the pod {SYSTEM}/{name} does not end; see `kubectl describe pod --namespace {SYSTEM} {name}`");
        }
        sleep(PAUSE).await;
    }
    Ok(())
}
