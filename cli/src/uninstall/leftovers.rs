//! What Helm knows nothing of: what the control plane itself made, which is the leader's Lease, its own CA and the roots in
//! every namespace, and the pods of tests that failed.

use super::Outcome;
use crate::cluster::{self, Told};
use crate::names::{LEASE, OWN_CA, PLUGGED_IN_CA, ROOTS, SYSTEM};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Secret};
use kube::api::{Api, DeleteParams, ListParams};
use kube::{Client, Resource};
use serde::de::DeserializeOwned;
use std::fmt::Debug;

/// Label of the pod of `helm test`, which stays to be looked at when it failed.
const TESTS: &str = "app.kubernetes.io/name=meltemi-test";

/// Removes them; a CA that a person plugged in is left.
pub async fn remove(client: &Client, outcome: &mut Outcome) -> anyhow::Result<()> {
    if delete::<Lease>(client, SYSTEM, LEASE).await? {
        outcome.removed.push(format!("Lease {SYSTEM}/{LEASE}"));
    }
    if delete::<Secret>(client, SYSTEM, OWN_CA).await? {
        outcome.removed.push(format!("Secret {SYSTEM}/{OWN_CA}, the root that the control plane had made"));
    }
    let secrets: Api<Secret> = Api::namespaced(client.clone(), SYSTEM);
    if secrets
        .get_metadata_opt(PLUGGED_IN_CA)
        .await
        .doing(|| format!("cannot read {SYSTEM}/{PLUGGED_IN_CA}"))?
        .is_some()
    {
        outcome.left.push(format!("Secret {SYSTEM}/{PLUGGED_IN_CA}: a CA that you plugged in"));
    }
    remove_roots(client, outcome).await
}

/// Removes the pods of a release's tests.
pub async fn remove_tests(client: &Client, release: &str, outcome: &mut Outcome) -> anyhow::Result<()> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), SYSTEM);
    let of_release = ListParams::default().labels(&format!("{TESTS},app.kubernetes.io/instance={release}"));
    let failed = cluster::list(pods.clone(), of_release, |pod| pod.metadata.name).await;
    for name in failed.doing(|| format!("cannot list the pods of {SYSTEM}"))?.into_iter().flatten() {
        // At once, for it keeps the namespace from being removed.
        match pods.delete(&name, &DeleteParams::default().grace_period(0)).await {
            Err(error) if cluster::is_absent(&error) => {}
            deleted => drop(deleted.doing(|| format!("cannot remove the Pod {SYSTEM}/{name}"))?),
        }
        outcome.removed.push(format!("Pod {SYSTEM}/{name}, a `helm test` that had failed"));
    }
    Ok(())
}

async fn remove_roots(client: &Client, outcome: &mut Outcome) -> anyhow::Result<()> {
    let everywhere: Api<ConfigMap> = Api::all(client.clone());
    let named = ListParams::default().fields(&format!("metadata.name={ROOTS}"));
    let namespaces = cluster::list(everywhere, named, |map| map.metadata.namespace).await;
    let namespaces = namespaces.doing(|| format!("cannot list the ConfigMaps {ROOTS}"))?;
    let mut count = 0;
    for namespace in namespaces.into_iter().flatten() {
        count += usize::from(delete::<ConfigMap>(client, &namespace, ROOTS).await?);
    }
    if count > 0 {
        outcome.removed.push(format!("ConfigMap {ROOTS} of {count} namespaces"));
    }
    Ok(())
}

/// False when it was not there.
async fn delete<K>(client: &Client, namespace: &str, name: &str) -> anyhow::Result<bool>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + Debug + DeserializeOwned,
{
    let api: Api<K> = Api::namespaced(client.clone(), namespace);
    match api.delete(name, &DeleteParams::default()).await {
        Err(error) if cluster::is_absent(&error) => Ok(false),
        outcome => outcome.doing(|| format!("cannot remove the {} {namespace}/{name}", K::kind(&()))).map(|_| true),
    }
}
