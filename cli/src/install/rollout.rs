//! Waits until the control plane's Deployment is available, and says what its pods lack when it does not get there.

use crate::cluster::Told;
use crate::names::{DEFAULT_REVISION, REVISION, SYSTEM};
use crate::pod_trouble::{self, Trouble};
use anyhow::{Context, bail};
use citadel::TrustDomain;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{LocalObjectReference, Pod};
use kube::Client;
use kube::api::{Api, ListParams};
use std::time::Duration;
use tokio::time::Instant;

const PAUSE: Duration = Duration::from_millis(250);
/// A crash or a refused pull must be seen for so long before it counts as lasting: a container may need what another makes.
const PATIENCE: Duration = Duration::from_secs(20);

/// A control plane that is available.
#[derive(Debug, Clone)]
pub struct ControlPlane {
    /// Of its Deployment.
    pub name: String,
    pub ready: i32,
    pub wanted: i32,
    pub revision: String,
    /// As its arguments say; without a word, the usual one.
    pub trust_domain: String,
    /// The image of its pods, which is the sidecar's too.
    pub image: String,
    pub pull_policy: Option<String>,
    pub pull_secrets: Vec<String>,
}

/// Waits for the Deployment `name` for at most `timeout`.
pub async fn wait(client: &Client, name: &str, timeout: Duration) -> anyhow::Result<ControlPlane> {
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), SYSTEM);
    let deadline = Instant::now() + timeout;
    let mut troubled_since: Option<Instant> = None;
    loop {
        let deployment =
            deployments.get(name).await.doing(|| "cannot read the control plane's Deployment".to_owned())?;
        let missing = match missing(&deployment) {
            None => return describe(&deployment),
            Some(missing) => missing,
        };
        let trouble = trouble(client, &deployment).await?;
        troubled_since =
            trouble.as_ref().filter(|trouble| trouble.lasting).and(troubled_since.or(Some(Instant::now())));
        let hopeless = troubled_since.is_some_and(|since| since.elapsed() > PATIENCE);
        if hopeless || Instant::now() > deadline {
            match trouble {
                Some(trouble) => bail!("the control plane does not start: {}; {}", trouble.what, trouble.remedy),
                None => bail!(
                    "the control plane is not available after {} s: {missing}; see `kubectl describe --namespace {SYSTEM} \
                     deployment {name}`",
                    timeout.as_secs()
                ),
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn trouble(client: &Client, deployment: &Deployment) -> anyhow::Result<Option<Trouble>> {
    let pods = pods(client, deployment).await.doing(|| format!("cannot list the pods of {SYSTEM}"))?;
    Ok(pods.iter().find_map(pod_trouble::of))
}

/// The pods of a control plane.
pub async fn pods(client: &Client, deployment: &Deployment) -> Result<Vec<Pod>, kube::Error> {
    let labels = deployment.spec.iter().flat_map(|spec| spec.selector.match_labels.iter().flatten());
    let selector: Vec<String> = labels.map(|(name, value)| format!("{name}={value}")).collect();
    let ours = ListParams::default().labels(&selector.join(","));
    Ok(Api::<Pod>::namespaced(client.clone(), SYSTEM).list(&ours).await?.items)
}

/// What a Deployment lacks to be available in its newest version; `None` when it lacks nothing.
pub fn missing(deployment: &Deployment) -> Option<String> {
    let wanted = wanted(deployment);
    let status = deployment.status.clone().unwrap_or_default();
    if status.observed_generation < deployment.metadata.generation {
        return Some("its newest version has not been looked at yet".to_owned());
    }
    let (updated, available) = (status.updated_replicas.unwrap_or(0), status.available_replicas.unwrap_or(0));
    if updated < wanted {
        return Some(format!("{updated} of {wanted} pods are of the newest version"));
    }
    let old = status.replicas.unwrap_or(0) - updated;
    if old > 0 {
        return Some(format!("{old} pods of an older version still run"));
    }
    (available < wanted).then(|| format!("{available} of {wanted} pods are available"))
}

/// How many pods it wants; one without a number, as Kubernetes has it.
pub fn wanted(deployment: &Deployment) -> i32 {
    deployment.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1)
}

/// What others need to know of a control plane.
pub fn describe(deployment: &Deployment) -> anyhow::Result<ControlPlane> {
    let template = deployment.spec.as_ref().map(|spec| &spec.template).context("the Deployment has no pod template")?;
    let spec = template.spec.as_ref().context("the Deployment's pods have no spec")?;
    let container = spec.containers.first().context("the Deployment's pods have no container")?;
    let labels = template.metadata.as_ref().and_then(|metadata| metadata.labels.as_ref());
    let revision = labels.and_then(|labels| labels.get(REVISION)).cloned();
    let arguments = container.args.iter().flatten();
    let trust_domain = arguments.filter_map(|argument| argument.strip_prefix("--trust-domain=")).next_back();
    let trust_domain = trust_domain.map(str::to_owned);
    let name = |secret: &LocalObjectReference| secret.name.clone();
    Ok(ControlPlane {
        name: deployment.metadata.name.clone().unwrap_or_default(),
        ready: deployment.status.as_ref().and_then(|status| status.available_replicas).unwrap_or(0),
        wanted: wanted(deployment),
        revision: revision.unwrap_or_else(|| DEFAULT_REVISION.to_owned()),
        trust_domain: trust_domain.unwrap_or_else(|| TrustDomain::default().as_str().to_owned()),
        image: container.image.clone().unwrap_or_default(),
        pull_policy: container.image_pull_policy.clone(),
        pull_secrets: spec.image_pull_secrets.iter().flatten().map(name).collect(),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::{describe, missing};
    use k8s_openapi::api::apps::v1::Deployment;
    use serde_json::{Value, json};

    fn deployment(status: Value) -> Deployment {
        serde_json::from_value(json!({
            "metadata": { "generation": 3 },
            "spec": { "replicas": 2, "selector": {}, "template": {
                "metadata": { "labels": { "istio.io/rev": "blue" } },
                "spec": { "containers": [{ "name": "a", "image": "r/meltemi:2", "args": ["--trust-domain=mesh.example"] }],
                          "imagePullSecrets": [{ "name": "s" }] } } },
            "status": status,
        }))
        .unwrap()
    }

    #[test]
    fn a_rollout_is_over_when_only_new_pods_run_and_all_are_available() {
        let status = |observed: i64, replicas: i32, updated: i32, available: i32| {
            json!({ "observedGeneration": observed, "replicas": replicas, "updatedReplicas": updated,
                    "availableReplicas": available })
        };
        assert_eq!(missing(&deployment(status(3, 2, 2, 2))), None);
        for (status, said) in [
            (status(2, 2, 2, 2), "newest version has not"),
            (status(3, 2, 1, 2), "1 of 2 pods are of the newest"),
            (status(3, 3, 2, 2), "1 pods of an older"),
            (status(3, 2, 2, 1), "1 of 2 pods are available"),
        ] {
            assert!(missing(&deployment(status)).unwrap().contains(said), "{said}");
        }
    }

    #[test]
    fn the_control_plane_says_its_revision_and_image() {
        let told = describe(&deployment(json!({ "availableReplicas": 2 }))).unwrap();
        assert_eq!((told.revision.as_str(), told.image.as_str(), told.ready), ("blue", "r/meltemi:2", 2));
        assert_eq!(told.pull_secrets, ["s"]);
        assert_eq!(told.trust_domain, "mesh.example");
    }
}
