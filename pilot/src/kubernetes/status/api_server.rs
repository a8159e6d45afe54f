//! Reads and writes the `status` of objects, with a deadline, and says what an answer means for what comes next.

use super::written_kinds::WrittenKind;
use crate::model::ObjectRef;
use kube::Client;
use kube::api::{GetParams, ListParams, Patch, PatchParams};
use kube::core::Request;
use serde::Deserialize;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::timeout;

/// The longest that one request may take.
const DEADLINE: Duration = Duration::from_secs(10);
/// Objects in one page of a list.
const PAGE: u32 = 500;
/// Who wrote it, in `metadata.managedFields`.
const MANAGER: &str = "meltemi-status";

/// What of an object is needed to write its status.
#[derive(Debug, Deserialize)]
pub(super) struct Current {
    pub(super) metadata: Metadata,
    #[serde(default)]
    pub(super) status: Value,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[derive(Default)]
pub(super) struct Metadata {
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) uid: String,
    pub(super) resource_version: String,
}

#[derive(Deserialize)]
struct Page {
    #[serde(default)]
    metadata: PageMetadata,
    items: Vec<Current>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct PageMetadata {
    r#continue: String,
}

/// Why something could not be read or written.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// There is no such object, or no such kind.
    #[error("it does not exist")]
    Gone,
    /// It is another version by now.
    #[error("it changed meanwhile")]
    Conflict,
    /// The API server does not take it; trying again soon will not help.
    #[error("the API server refuses: {0}")]
    Refused(String),
    /// The API server cannot be reached, or not now.
    #[error("the API server does not answer: {0}")]
    Away(String),
}

/// One object as it is.
pub(super) async fn get(client: &Client, kind: &WrittenKind, object: &ObjectRef) -> Result<Current, Failure> {
    let request = Request::new(kind.path(&object.namespace)).get(&object.name, &GetParams::default());
    let request = request.map_err(|error| Failure::Refused(error.to_string()))?;
    deadline(client.request(request)).await
}

/// All objects of a kind; each is shown to `see`.
pub(super) async fn list(client: &Client, kind: &WrittenKind, mut see: impl FnMut(Current)) -> Result<(), Failure> {
    let all = Request::new(kind.path_everywhere());
    let mut which = ListParams::default().limit(PAGE);
    loop {
        let request = all.list(&which).map_err(|error| Failure::Refused(error.to_string()))?;
        let page: Page = deadline(client.request(request)).await?;
        page.items.into_iter().for_each(&mut see);
        if page.metadata.r#continue.is_empty() {
            return Ok(());
        }
        which = which.continue_token(&page.metadata.r#continue);
    }
}

/// Replaces parts of an object's status, if it is still the version that was read.
pub(super) async fn patch(
    client: &Client,
    kind: &WrittenKind,
    current: &Current,
    status: &Value,
) -> Result<(), Failure> {
    let Metadata { namespace, name, uid, resource_version } = &current.metadata;
    let change = Patch::Merge(json!({
        "metadata": { "uid": uid, "resourceVersion": resource_version },
        "status": status,
    }));
    let parameters = PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
    let request = Request::new(kind.path(namespace)).patch_subresource("status", name, &parameters, &change);
    let request = request.map_err(|error| Failure::Refused(error.to_string()))?;
    deadline(client.request::<Written>(request)).await.map(drop)
}

/// Of the answer to a write nothing is needed.
#[derive(Deserialize)]
struct Written {}

async fn deadline<T>(request: impl Future<Output = kube::Result<T>>) -> Result<T, Failure> {
    match timeout(DEADLINE, request).await {
        Ok(answer) => answer.map_err(failure),
        Err(_) => Err(Failure::Away(format!("no answer within {} s", DEADLINE.as_secs()))),
    }
}

fn failure(error: kube::Error) -> Failure {
    match error {
        kube::Error::Api(status) => match status.code {
            404 => Failure::Gone,
            409 => Failure::Conflict,
            // 500 is also the word for one object whose webhook does not answer.
            429 | 501.. => Failure::Away(status.message.clone()),
            _ => Failure::Refused(status.message.clone()),
        },
        kube::Error::SerdeError(_) | kube::Error::FromUtf8(_) | kube::Error::BuildRequest(_) => {
            Failure::Refused(error.to_string())
        }
        other => Failure::Away(other.to_string()),
    }
}
