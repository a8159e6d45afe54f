//! The proof: in a namespace of its own a client asks a server, both with sidecars, and the server tells what it saw. The
//! server's sidecar names the client's certificate in a header; it removes that header from anything that came without
//! mTLS, so nothing but an mTLS request can give this answer.

mod answer;
mod objects;
mod ready;

use super::rollout::ControlPlane;
use crate::cluster::Told;
use crate::names::{SIDECAR, SYSTEM};
use crate::pod_trouble;
pub use answer::Proof;
use anyhow::{Context, bail};
use k8s_openapi::api::core::v1::{Namespace, Pod, Secret, Service, ServiceAccount};
use kube::api::{Api, DeleteParams, ListParams, LogParams, PostParams};
use kube::{Client, Error, Resource};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt::Debug;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout_at};

const PAUSE: Duration = Duration::from_millis(200);
/// For so long a webhook that does not answer may be one to which the way is not known yet.
const WEBHOOK_PATIENCE: Duration = Duration::from_secs(15);

/// Proves one request, for at most `timeout`, and removes all that it made, also when it is interrupted.
pub async fn run(client: &Client, control_plane: &ControlPlane, timeout: Duration) -> anyhow::Result<Proof> {
    let deadline = Instant::now() + timeout;
    ready::webhook_trusted(client, control_plane, deadline).await?;
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let name = objects::namespace_name();
    let namespace = objects::namespace(&name, &control_plane.revision)?;
    namespaces
        .create(&PostParams::default(), &namespace)
        .await
        .doing(|| format!("cannot make the namespace {name}"))?;
    let proving = prove(client, control_plane, &name, deadline);
    let outcome = tokio::select! {
        outcome = timeout_at(deadline, proving) => match outcome {
            Ok(outcome) => outcome,
            Err(_) => Err(unfinished(client, &name, timeout).await),
        },
        _ = tokio::signal::ctrl_c() => Err(anyhow::anyhow!("interrupted")),
    };
    let removed = remove(client, &name).await;
    let proof = outcome?;
    removed.map(|()| proof)
}

async fn prove(client: &Client, plane: &ControlPlane, namespace: &str, deadline: Instant) -> anyhow::Result<Proof> {
    ready::roots_in(client, namespace, deadline).await?;
    for secret in &plane.pull_secrets {
        copy_secret(client, secret, namespace).await?;
    }
    for account in [objects::CLIENT, objects::SERVER] {
        create::<ServiceAccount>(client, namespace, &objects::account(account)?).await?;
    }
    create::<Service>(client, namespace, &objects::service()?).await?;
    for pod in [objects::server(plane)?, objects::client(plane, namespace)?] {
        injected(&create_pod(client, namespace, &pod, deadline).await?, &plane.revision)?;
    }
    let text = client_output(client, namespace).await?;
    answer::judge(&text, namespace)
}

async fn create<K>(client: &Client, namespace: &str, object: &K) -> anyhow::Result<K>
where
    K: Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>,
    K: Clone + Debug + DeserializeOwned + Serialize,
{
    let what = || format!("cannot make a {} in {namespace}", K::kind(&()));
    Api::<K>::namespaced(client.clone(), namespace).create(&PostParams::default(), object).await.doing(what)
}

/// The API server may need a moment to find the way to the webhook that has just become ready.
async fn create_pod(client: &Client, namespace: &str, pod: &Pod, deadline: Instant) -> anyhow::Result<Pod> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let deadline = deadline.min(Instant::now() + WEBHOOK_PATIENCE);
    loop {
        match pods.create(&PostParams::default(), pod).await {
            Err(Error::Api(status))
                if status.message.contains("failed calling webhook") && Instant::now() < deadline =>
            {
                sleep(PAUSE).await;
            }
            outcome => return outcome.doing(|| format!("cannot make a pod in {namespace}")),
        }
    }
}

/// Injection happens before the API server answers: a pod that comes back without a sidecar will not get one.
fn injected(pod: &Pod, revision: &str) -> anyhow::Result<()> {
    let containers = pod.spec.as_ref().map(|spec| spec.init_containers.iter().flatten().chain(&spec.containers));
    if containers.into_iter().flatten().any(|container| container.name == SIDECAR) {
        return Ok(());
    }
    bail!(
        "a pod in a namespace labelled istio.io/rev={revision} got no sidecar; run `meltemi check`, it tells what is wrong \
         with the webhook"
    )
}

/// What the client pod printed, once it has ended.
async fn client_output(client: &Client, namespace: &str) -> anyhow::Result<String> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let all = ListParams::default();
    loop {
        let found = pods.list(&all).await.doing(|| format!("cannot list the pods of {namespace}"))?;
        if let Some(trouble) = found.items.iter().filter_map(pod_trouble::of).find(|trouble| trouble.lasting) {
            bail!("{}; {}", trouble.what, trouble.remedy);
        }
        let client_pod = found.items.iter().find(|pod| pod.metadata.name.as_deref() == Some(objects::CLIENT));
        if client_pod.context("the client's pod is gone").is_ok_and(ended) {
            let log = LogParams { container: Some(objects::CLIENT.to_owned()), ..LogParams::default() };
            return pods.logs(objects::CLIENT, &log).await.doing(|| "cannot read the client's output".to_owned());
        }
        sleep(PAUSE).await;
    }
}

/// Whether the client's own container has ended; its sidecar ends after it.
fn ended(pod: &Pod) -> bool {
    let statuses = pod.status.iter().flat_map(|status| status.container_statuses.iter().flatten());
    let mut ours = statuses.filter(|status| status.name == objects::CLIENT);
    ours.any(|status| status.state.as_ref().is_some_and(|state| state.terminated.is_some()))
}

/// Why it took too long, as far as the pods say.
async fn unfinished(client: &Client, namespace: &str, timeout: Duration) -> anyhow::Error {
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let listed = pods.list(&ListParams::default()).await;
    let trouble = listed.ok().and_then(|pods| pods.items.iter().find_map(pod_trouble::of));
    let why = trouble.map(|trouble| format!("{}; {}", trouble.what, trouble.remedy));
    let why = why.unwrap_or_else(|| "its pods say no reason; run `meltemi check`".to_owned());
    anyhow::anyhow!("no answer within {} s: {why}", timeout.as_secs())
}

/// Pods of a registry that asks who pulls need the same credentials as the control plane.
async fn copy_secret(client: &Client, name: &str, namespace: &str) -> anyhow::Result<()> {
    let from: Api<Secret> = Api::namespaced(client.clone(), SYSTEM);
    let found = from.get(name).await.doing(|| format!("cannot read the pull secret {SYSTEM}/{name}"))?;
    let mut copy = Secret { type_: found.type_, data: found.data, ..Secret::default() };
    copy.metadata.name = Some(name.to_owned());
    create(client, namespace, &copy).await.map(drop)
}

async fn remove(client: &Client, name: &str) -> anyhow::Result<()> {
    let at_once = DeleteParams::default().grace_period(0);
    let pods: Api<Pod> = Api::namespaced(client.clone(), name);
    for pod in [objects::CLIENT, objects::SERVER] {
        // What is not there any more needs no removing; the namespace takes the rest with it.
        let _ = pods.delete(pod, &at_once).await;
    }
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let deleted = namespaces.delete(name, &DeleteParams::default()).await;
    deleted
        .doing(|| format!("cannot remove the namespace {name}; remove it with `kubectl delete namespace {name}`"))
        .map(drop)
}
