//! Asks the API server what it serves. Kinds of the mesh are CustomResourceDefinitions, which come and go while the
//! control plane runs.

use super::kinds::groups;
use super::trouble::reason;
use kube::Discovery;
use kube::api::ApiResource;
use kube::core::discovery::verbs;
use std::time::Duration;

/// How often it is asked. Each time are two small requests.
pub(super) const EVERY: Duration = Duration::from_secs(10);
/// How soon it is asked again when it did not answer, or a watch failed.
pub(super) const AFTER_FAILURE: Duration = Duration::from_secs(2);
/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Waits for no one: an error while the API server starts, for it then serves its CustomResourceDefinitions a little later
/// than the rest, and what it says is not all.
pub(super) async fn started(client: &kube::Client) -> Result<(), String> {
    let request = http::Request::get("/readyz").body(Vec::new()).map_err(|error| error.to_string())?;
    let answer = tokio::time::timeout(PATIENCE, client.request_text(request)).await;
    match answer.map_err(|_| format!("no answer within {} s", PATIENCE.as_secs()))? {
        Ok(_) => Ok(()),
        // Where nobody may ask, nobody can wait for it.
        Err(kube::Error::Api(status)) if matches!(status.code, 401 | 403 | 404) => Ok(()),
        Err(error) => Err(format!("it is not ready: {}", reason(&error))),
    }
}

/// Every resource of the mesh's groups, in every version, that can be listed and watched. Fails when any part of the
/// answer is missing: what is not in it is not served.
pub(super) async fn look(client: &kube::Client) -> Result<Vec<ApiResource>, String> {
    let discovery = Discovery::new(client.clone()).filter(&groups()).run_aggregated();
    let found = tokio::time::timeout(PATIENCE, discovery).await;
    let found = found.map_err(|_| format!("no answer within {} s", PATIENCE.as_secs()))?;
    let found = found.map_err(|error| reason(&error))?;
    let mut served = Vec::new();
    for group in found.groups() {
        for version in group.versions() {
            let all = group.versioned_resources(version).into_iter();
            let watchable =
                all.filter(|(_, can)| can.supports_operation(verbs::LIST) && can.supports_operation(verbs::WATCH));
            served.extend(watchable.map(|(resource, _)| resource));
        }
    }
    Ok(served)
}
