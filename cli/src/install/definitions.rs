//! Waits until the API server serves the definitions that were just applied: the chart of the control plane holds an object
//! of one of them.

use crate::cluster::Told;
use anyhow::bail;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::Client;
use kube::api::Api;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// The kind of which the chart has an object.
const NEEDED: &str = "peerauthentications.security.istio.io";
const PATIENCE: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(100);

/// Returns once it is served.
pub async fn established(client: &Client) -> anyhow::Result<()> {
    let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
    let deadline = Instant::now() + PATIENCE;
    loop {
        let found = definitions.get_opt(NEEDED).await.doing(|| format!("cannot read the definition {NEEDED}"))?;
        let conditions = found.and_then(|found| found.status).and_then(|status| status.conditions).unwrap_or_default();
        if conditions.iter().any(|condition| condition.type_ == "Established" && condition.status == "True") {
            return Ok(());
        }
        if Instant::now() > deadline {
            bail!("the API server does not serve {NEEDED}; `kubectl describe crd {NEEDED}` says why");
        }
        sleep(PAUSE).await;
    }
}
