//! What of others is in the control plane's namespace, of every kind that the API server knows: policies of the whole mesh
//! live there, and volumes may. With the namespace all of it would go.

use crate::cluster::told;
use crate::names::{PLUGGED_IN_CA, SYSTEM};
use kube::api::{Api, ApiResource, DynamicObject, ListParams, ObjectMeta};
use kube::discovery::{ApiCapabilities, Discovery, Scope, verbs};
use kube::{Client, Error};
use std::collections::BTreeSet;

/// Kubernetes makes these in every namespace.
const EVERYWHERE: [&str; 2] = ["ConfigMap kube-root-ca.crt", "ServiceAccount default"];
/// What others note of objects; it goes with them.
const NOTES: [&str; 2] = ["Event", "Endpoints"];

/// Every object but those that go by themselves, as `Kind name`; the plugged-in CA first. What cannot be looked at may be
/// there.
pub async fn find(client: &Client) -> Vec<String> {
    let known = match Discovery::new(client.clone()).run_aggregated().await {
        Ok(known) => known,
        Err(error) => return vec![format!("perhaps objects of yours, for kinds cannot be listed ({})", told(&error))],
    };
    let kinds: Vec<ApiResource> =
        known.groups().flat_map(|group| group.resources_by_stability()).filter_map(kept).collect();
    let names: BTreeSet<String> = kinds.iter().map(|kind| qualified(&kind.group, &kind.kind)).collect();
    let mut found = Vec::new();
    for kind in kinds.iter().filter(|kind| !NOTES.contains(&kind.kind.as_str())) {
        let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), SYSTEM, kind);
        match api.list_metadata(&ListParams::default()).await {
            Ok(list) => {
                let stays = list.items.iter().filter(|object| !goes_by_itself(&object.metadata, &names));
                found.extend(stays.map(|object| format!("{} {}", kind.kind, name(&object.metadata))));
            }
            // It went while we looked.
            Err(Error::Api(status)) if status.code == 404 || status.code == 405 => {}
            Err(error) => found.push(format!("perhaps some {} ({})", kind.plural, told(&error))),
        }
    }
    found.retain(|one| !EVERYWHERE.contains(&one.as_str()));
    found.sort_by_key(|one| (one != &format!("Secret {PLUGGED_IN_CA}"), one.clone()));
    found.dedup();
    found
}

/// Kinds whose objects stand in namespaces and are kept. What cannot be deleted, such as a measurement, is not kept.
fn kept((resource, can): (ApiResource, ApiCapabilities)) -> Option<ApiResource> {
    let kept =
        can.scope == Scope::Namespaced && can.supports_operation(verbs::LIST) && can.supports_operation(verbs::DELETE);
    kept.then_some(resource)
}

/// It belongs to an object of the namespace, which is looked at itself, or is gone and takes it along in a moment.
fn goes_by_itself(object: &ObjectMeta, namespaced: &BTreeSet<String>) -> bool {
    object.owner_references.iter().flatten().any(|owner| {
        let group = owner.api_version.split_once('/').map_or("", |(group, _)| group);
        namespaced.contains(&qualified(group, &owner.kind))
    })
}

fn qualified(group: &str, kind: &str) -> String {
    format!("{kind}.{group}")
}

fn name(metadata: &ObjectMeta) -> &str {
    metadata.name.as_deref().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::goes_by_itself;
    use serde_json::json;

    #[test]
    fn what_an_object_of_the_namespace_owns_goes_with_it() {
        let namespaced = ["ReplicaSet.apps".to_owned(), "Service.".to_owned()].into();
        let owned = |version: &str, kind: &str| {
            let owner = json!({ "apiVersion": version, "kind": kind, "name": "x", "uid": "u" });
            goes_by_itself(&serde_json::from_value(json!({ "ownerReferences": [owner] })).unwrap(), &namespaced)
        };
        assert!(owned("apps/v1", "ReplicaSet") && owned("v1", "Service"));
        // Of the whole cluster, such as what an operator made.
        assert!(!owned("example.com/v1", "Tenant"));
        assert!(!goes_by_itself(&serde_json::from_value(json!({})).unwrap(), &namespaced));
    }
}
