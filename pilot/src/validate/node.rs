//! Kubernetes Node: where its pods run.

use crate::model::Locality;
use crate::object::Content;
use k8s_openapi::api::core::v1::Node as Object;
use std::sync::Arc;

/// The labels of each part, Kubernetes' newer one first. The sub-zone's is Istio's.
const REGION: &[&str] = &["topology.kubernetes.io/region", "failure-domain.beta.kubernetes.io/region"];
const ZONE: &[&str] = &["topology.kubernetes.io/zone", "failure-domain.beta.kubernetes.io/zone"];
const SUB_ZONE: &[&str] = &["topology.istio.io/subzone"];

/// Whether a label of a Node says where it is.
pub fn is_topology_label(name: &str) -> bool {
    [REGION, ZONE, SUB_ZONE].concat().contains(&name)
}

pub(super) fn check(object: &Object) -> Option<Content> {
    let first = |names: &[&str]| -> Arc<str> {
        let labels = object.metadata.labels.as_ref();
        let value = labels.and_then(|labels| names.iter().find_map(|name| labels.get(*name)));
        value.map(String::as_str).unwrap_or_default().into()
    };
    Some(Content::Node(Locality { region: first(REGION), zone: first(ZONE), sub_zone: first(SUB_ZONE) }))
}
