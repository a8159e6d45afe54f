//! Namespaces: those that users labelled are theirs and are only told of; those that install made are removed.

use super::{Outcome, foreign};
use crate::check::line::some;
use crate::check::pods::{self, PodFacts};
use crate::check::wanted;
use crate::cluster::{self, Told};
use crate::install::namespace::{MANAGED_BY, MANAGER};
use crate::names::SYSTEM;
use anyhow::bail;
use k8s_openapi::api::core::v1::Namespace;
use kube::Client;
use kube::api::{Api, DeleteParams, ListParams};
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::time::{Instant, sleep};

const PATIENCE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(250);

/// Says which pods keep their sidecar, and which namespaces their label.
pub async fn tell_users(client: &Client, revision: &str, outcome: &mut Outcome) -> anyhow::Result<()> {
    let pods: Vec<PodFacts> =
        pods::read(client, |pod| pods::facts(&pod)).await.doing(|| "cannot list the pods".to_owned())?;
    let ours = |pod: &&PodFacts| pod.sidecar.is_some() && !pod.ended && pod.revision.as_deref() == Some(revision);
    let with_sidecar: Vec<&PodFacts> = pods.iter().filter(ours).collect();
    let theirs: BTreeSet<&str> = with_sidecar.iter().map(|pod| pod.namespace.as_str()).collect();
    if !theirs.is_empty() {
        let names: Vec<&str> = theirs.into_iter().collect();
        outcome.left.push(format!(
            "the sidecars of {} pods, in {}: they go on with what they know until their certificates end (24 h); restart the \
             pods, such as with `kubectl rollout restart deployment --namespace {}`",
            with_sidecar.len(),
            names.join(", "),
            names[0],
        ));
    }
    let labelled = labelled(client, revision).await?;
    if !labelled.is_empty() {
        outcome.left.push(format!("the injection labels of your namespaces {}", labelled.join(", ")));
    }
    Ok(())
}

async fn labelled(client: &Client, revision: &str) -> anyhow::Result<Vec<String>> {
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let all = cluster::list(namespaces, ListParams::default(), |namespace| namespace.metadata).await;
    let all = all.doing(|| "cannot list the namespaces".to_owned())?;
    let labelled = all.into_iter().filter(|metadata| {
        let labels = metadata.labels.clone().unwrap_or_default();
        let name = metadata.name.as_deref().unwrap_or_default();
        wanted::namespace_opted_in(name, &labels, revision)
            && labels.get(MANAGED_BY).is_none_or(|manager| manager != MANAGER)
    });
    Ok(labelled.filter_map(|metadata| metadata.name).collect())
}

/// Removes the namespaces that install made: that of the control plane when nothing of anybody else is in it, and those
/// of proofs that were killed.
pub async fn remove_own(client: &Client, outcome: &mut Outcome) -> anyhow::Result<()> {
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let made = ListParams::default().labels(&format!("{MANAGED_BY}={MANAGER}"));
    let made = cluster::list(namespaces.clone(), made, |namespace| namespace.metadata.name).await;
    let made: Vec<String> = made.doing(|| "cannot list the namespaces".to_owned())?.into_iter().flatten().collect();
    for name in &made {
        let foreign = if name == SYSTEM { foreign::find(client).await } else { Vec::new() };
        if foreign.is_empty() {
            let deleted = namespaces.delete(name, &DeleteParams::default()).await;
            deleted.doing(|| format!("cannot remove the namespace {name}"))?;
            wait_for_end(&namespaces, name).await?;
            outcome.removed.push(format!("namespace {name}"));
        } else {
            outcome.left.push(format!("namespace {name}: it still holds {}", some(&foreign)));
        }
    }
    let is_there =
        || async { namespaces.get_opt(SYSTEM).await.doing(|| format!("cannot read the namespace {SYSTEM}")) };
    if !made.iter().any(|name| name == SYSTEM) && is_there().await?.is_some() {
        outcome.left.push(format!("namespace {SYSTEM}: `meltemi install` did not make it"));
    }
    Ok(())
}

async fn wait_for_end(namespaces: &Api<Namespace>, name: &str) -> anyhow::Result<()> {
    let deadline = Instant::now() + PATIENCE;
    while namespaces.get_opt(name).await.doing(|| format!("cannot read the namespace {name}"))?.is_some() {
        if Instant::now() > deadline {
            bail!("the namespace {name} does not end; `kubectl describe namespace {name}` says what holds it");
        }
        sleep(PAUSE).await;
    }
    Ok(())
}
