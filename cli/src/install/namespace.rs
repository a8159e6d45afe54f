//! The control plane's namespace. Helm could make it, but without labels: ours enforces Pod Security *restricted*, and says
//! that `meltemi install` made it, so that `meltemi uninstall` may remove it.

use crate::cluster::{SYSTEM, Told};
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{Api, PostParams};
use kube::{Client, Error};
use serde_json::json;

/// The label by which uninstall knows a namespace that install made.
pub const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// Its value.
pub const MANAGER: &str = "meltemi-install";

/// Makes the namespace unless it is there; true when it was made.
pub async fn ensure(client: &Client) -> anyhow::Result<bool> {
    let namespace: Namespace = serde_json::from_value(json!({
        "metadata": { "name": SYSTEM, "labels": {
            MANAGED_BY: MANAGER,
            "istio-injection": "disabled",
            "pod-security.kubernetes.io/enforce": "restricted",
        } }
    }))?;
    match Api::all(client.clone()).create(&PostParams::default(), &namespace).await {
        Ok(_) => Ok(true),
        Err(Error::Api(status)) if status.code == 409 => Ok(false),
        other => other.doing(|| format!("cannot make the namespace {SYSTEM}")).map(|_| true),
    }
}
