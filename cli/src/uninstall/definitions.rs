//! The definitions of Istio's kinds. They outlive an uninstall, for with a definition all its objects go. With --crds ours
//! are removed: those that our chart made, and only while no Istio reads their objects.

use super::Outcome;
use crate::cluster::{self, Told};
use crate::names::CRDS;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::Client;
use kube::api::{Api, DeleteParams, ListParams};

/// Helm's note of which release made an object.
const RELEASE: &str = "meta.helm.sh/release-name";

/// Removes them, or says why they are left.
pub async fn remove(client: &Client, outcome: &mut Outcome) -> anyhow::Result<()> {
    let ours = ours(client).await?;
    if ours.is_empty() {
        return Ok(());
    }
    if let Some(istiod) = istiod(client).await? {
        outcome
            .left
            .push(format!("{} definitions of Istio's kinds: an Istio, {istiod}, reads their objects", ours.len()));
        return Ok(());
    }
    let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
    for name in &ours {
        match definitions.delete(name, &DeleteParams::default()).await {
            Err(error) if cluster::is_absent(&error) => {}
            deleted => drop(deleted.doing(|| format!("cannot remove the definition {name}"))?),
        }
    }
    outcome.removed.push(format!(
        "{} definitions of Istio's kinds, with all their objects: {}",
        ours.len(),
        ours.join(", ")
    ));
    Ok(())
}

/// Says that they are left.
pub async fn tell(client: &Client, outcome: &mut Outcome) -> anyhow::Result<()> {
    let ours = ours(client).await?;
    if !ours.is_empty() {
        let why = "with them every object of these kinds would go; --crds removes them";
        outcome.left.push(format!("{} definitions of Istio's kinds: {why}", ours.len()));
    }
    Ok(())
}

async fn ours(client: &Client) -> anyhow::Result<Vec<String>> {
    let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
    let labelled = ListParams::default().labels(&format!("app.kubernetes.io/name={CRDS}"));
    let found = cluster::list(definitions, labelled, |definition| {
        let annotations = definition.metadata.annotations.unwrap_or_default();
        let is_ours = annotations.get(RELEASE).is_some_and(|release| release == CRDS);
        definition.metadata.name.filter(|_| is_ours)
    });
    Ok(found.await.doing(|| "cannot list the definitions".to_owned())?.into_iter().flatten().collect())
}

/// An Istio's control plane, by its namespace and name.
async fn istiod(client: &Client) -> anyhow::Result<Option<String>> {
    let everywhere: Api<Deployment> = Api::all(client.clone());
    let istiod = everywhere.list(&ListParams::default().labels("app=istiod").limit(1)).await;
    let istiod = istiod.doing(|| "cannot look for an Istio among the Deployments".to_owned())?.items.pop();
    Ok(istiod.map(|found| {
        let namespace = found.metadata.namespace.unwrap_or_default();
        format!("{namespace}/{}", found.metadata.name.unwrap_or_default())
    }))
}
