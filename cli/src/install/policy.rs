//! The policy of the mesh, PeerAuthentication "default": which release made it, and what an install must say of it.

use crate::cluster::Told;
use crate::names::{CHART, SYSTEM};
use kube::Client;
use kube::api::{Api, ApiResource, DynamicObject, GroupVersionKind, ObjectMeta};

/// Its name in the control plane's namespace.
pub const NAME: &str = "default";
/// It, in sentences.
pub const OBJECT: &str = "PeerAuthentication meltemi-system/default";
const KIND: &str = "PeerAuthentication";
/// Helm's notes of which release made an object.
const RELEASE: &str = "meta.helm.sh/release-name";
const RELEASE_NAMESPACE: &str = "meta.helm.sh/release-namespace";

/// The objects of its kind in the control plane's namespace.
pub fn api(client: &Client) -> Api<DynamicObject> {
    let kind = GroupVersionKind::gvk("security.istio.io", "v1", KIND);
    Api::namespaced_with(client.clone(), SYSTEM, &ApiResource::from_gvk_with_plural(&kind, "peerauthentications"))
}

/// The release of ours that made it; `None` when a person did, or there is none.
pub async fn maker(client: &Client) -> anyhow::Result<Option<String>> {
    let found = api(client).get_metadata_opt(NAME).await.doing(|| format!("cannot read the {OBJECT}"))?;
    Ok(found.and_then(|found| made_by(&found.metadata)))
}

fn made_by(metadata: &ObjectMeta) -> Option<String> {
    let label = |name: &str| metadata.labels.as_ref()?.get(name).cloned();
    let note = |name: &str| metadata.annotations.as_ref()?.get(name).cloned();
    let of_our_chart = label("app.kubernetes.io/name").as_deref() == Some(CHART);
    let in_our_namespace = note(RELEASE_NAMESPACE).as_deref() == Some(SYSTEM);
    note(RELEASE).filter(|_| of_our_chart && in_our_namespace)
}

/// What to say when a release made the policy once and, by its values, makes it no longer: Helm keeps it.
pub async fn kept(client: &Client, release: &str, manifest: &str) -> anyhow::Result<Option<String>> {
    if makes_it(manifest) || maker(client).await?.as_deref() != Some(release) {
        return Ok(None);
    }
    Ok(Some(format!(
        "The {OBJECT}, which an earlier install made, is kept and in force: other revisions may stand on it. `kubectl delete \
         peerauthentication --namespace {SYSTEM} {NAME}` removes it; without any, workloads take plain text."
    )))
}

fn makes_it(manifest: &str) -> bool {
    manifest.lines().any(|line| line == format!("kind: {KIND}"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::{made_by, makes_it};
    use serde_json::json;

    #[test]
    fn only_what_our_chart_made_is_ours() {
        let read = |name: &str, namespace: &str| {
            let notes =
                json!({ "meta.helm.sh/release-name": "meltemi-blue", "meta.helm.sh/release-namespace": namespace });
            let metadata = json!({ "labels": { "app.kubernetes.io/name": name }, "annotations": notes });
            made_by(&serde_json::from_value(metadata).unwrap())
        };
        assert_eq!(read("meltemi", "meltemi-system").as_deref(), Some("meltemi-blue"));
        assert_eq!(read("policies-of-the-company", "meltemi-system"), None);
        assert_eq!(read("meltemi", "elsewhere"), None);
        assert_eq!(made_by(&serde_json::from_value(json!({})).unwrap()), None);
    }

    #[test]
    fn a_manifest_that_only_names_the_kind_does_not_make_it() {
        assert!(makes_it("apiVersion: security.istio.io/v1\nkind: PeerAuthentication\n"));
        assert!(!makes_it("    resources: [peerauthentications]\n    # kind: PeerAuthentication\n"));
    }
}
