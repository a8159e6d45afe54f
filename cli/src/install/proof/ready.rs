//! What must be there before the proof's pods: pods that are made a moment too early would wait for much longer.

use crate::check::control_plane::LOGS;
use crate::cluster::Told;
use crate::install::rollout::ControlPlane;
use crate::names::{self, ROOTS};
use anyhow::bail;
use k8s_openapi::api::admissionregistration::v1::MutatingWebhookConfiguration;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Client;
use kube::api::Api;
use std::time::Duration;
use tokio::time::{Instant, sleep};

const PAUSE: Duration = Duration::from_millis(100);
/// The leader writes both within moments of its election.
const PATIENCE: Duration = Duration::from_secs(45);

/// Waits until the API server is told whom to trust as the injector.
pub async fn webhook_trusted(client: &Client, plane: &ControlPlane, deadline: Instant) -> anyhow::Result<()> {
    let injector = names::injector(&plane.revision);
    let configurations: Api<MutatingWebhookConfiguration> = Api::all(client.clone());
    let deadline = deadline.min(Instant::now() + PATIENCE);
    loop {
        let found = configurations.get_opt(&injector).await.doing(|| format!("cannot read the webhook {injector}"))?;
        let Some(found) = found else { bail!("the webhook {injector} is gone; run `meltemi install` again") };
        let mut webhooks = found.webhooks.iter().flatten();
        if webhooks.all(|webhook| webhook.client_config.ca_bundle.as_ref().is_some_and(|bundle| !bundle.0.is_empty())) {
            return Ok(());
        }
        if Instant::now() > deadline {
            bail!(
                "the control plane has not written its root into the webhook {injector}; `kubectl logs --namespace \
                 meltemi-system deployment/{}` tells why",
                plane.name
            );
        }
        sleep(PAUSE).await;
    }
}

/// Waits until the mesh's roots are in a namespace: the kubelet asks for a missing ConfigMap only now and then.
pub async fn roots_in(client: &Client, namespace: &str, deadline: Instant) -> anyhow::Result<()> {
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
    let deadline = deadline.min(Instant::now() + PATIENCE);
    while maps.get_opt(ROOTS).await.doing(|| format!("cannot read the ConfigMap {namespace}/{ROOTS}"))?.is_none() {
        if Instant::now() > deadline {
            bail!(
                "no control plane has written the ConfigMap {ROOTS} to the namespace {namespace}; for the reason {LOGS}"
            );
        }
        sleep(PAUSE).await;
    }
    Ok(())
}
