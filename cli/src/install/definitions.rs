//! Waits until the API server serves the definitions that were just applied: the chart of the control plane holds an object
//! of one of them, and whoever goes on with objects of the others needs them as well.

use crate::cluster::Told;
use anyhow::bail;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::Client;
use kube::api::Api;
use std::time::Duration;
use tokio::time::{Instant, sleep};

const PATIENCE: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(100);

/// Returns once all of these are served, whoever brought them.
pub async fn established(client: &Client, names: &[String]) -> anyhow::Result<()> {
    let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
    let deadline = Instant::now() + PATIENCE;
    for name in names {
        loop {
            let found = definitions.get_opt(name).await.doing(|| format!("cannot read the definition {name}"))?;
            if found.as_ref().is_some_and(is_established) {
                break;
            }
            if Instant::now() > deadline {
                bail!("the API server does not serve {name}; `kubectl describe crd {name}` says why");
            }
            sleep(PAUSE).await;
        }
    }
    Ok(())
}

fn is_established(definition: &CustomResourceDefinition) -> bool {
    let conditions = definition.status.iter().flat_map(|status| status.conditions.iter().flatten());
    conditions.into_iter().any(|condition| condition.type_ == "Established" && condition.status == "True")
}
