//! The control plane's namespace. Helm could make it, but without labels: ours enforces Pod Security *restricted*, and says
//! that `meltemi install` made it, so that `meltemi uninstall` may remove it.

use crate::cluster::Told;
use crate::names::{INJECTION, SYSTEM};
use anyhow::bail;
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{Api, PostParams};
use kube::{Client, Error};
use serde_json::json;
use std::time::Duration;
use tokio::time::{Instant, sleep};

const PATIENCE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(250);

/// The label by which uninstall knows a namespace that install made.
pub const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// Its value.
pub const MANAGER: &str = "meltemi-install";

/// Makes the namespace unless it is there; true when it was made. One that is being removed is waited for.
pub async fn ensure(client: &Client) -> anyhow::Result<bool> {
    let namespace: Namespace = serde_json::from_value(json!({
        "metadata": { "name": SYSTEM, "labels": {
            MANAGED_BY: MANAGER,
            INJECTION: "disabled",
            "pod-security.kubernetes.io/enforce": "restricted",
        } }
    }))?;
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let deadline = Instant::now() + PATIENCE;
    loop {
        match namespaces.create(&PostParams::default(), &namespace).await {
            Ok(_) => return Ok(true),
            Err(Error::Api(status)) if status.code == 409 => {}
            other => return other.doing(|| format!("cannot make the namespace {SYSTEM}")).map(|_| true),
        }
        let found = namespaces.get_opt(SYSTEM).await.doing(|| format!("cannot read the namespace {SYSTEM}"))?;
        if found.is_some_and(|found| found.metadata.deletion_timestamp.is_none()) {
            return Ok(false);
        }
        if Instant::now() > deadline {
            bail!("the namespace {SYSTEM} is being removed; `kubectl describe namespace {SYSTEM}` says what holds it");
        }
        sleep(PAUSE).await;
    }
}
