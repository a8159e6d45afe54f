//! Objects that are not in force, by what the control plane wrote into their status.

use super::line::{Line, some};
use crate::cluster;
use kube::api::{Api, ApiResource, DynamicObject, GroupVersionKind, ListParams};
use kube::{Client, Error};
use serde::Deserialize;
use serde_json::Value;

/// Kinds whose objects are told what became of them: group, kind, plural. All are served as v1.
const KINDS: [(&str, &str, &str); 9] = [
    ("networking.istio.io", "VirtualService", "virtualservices"),
    ("networking.istio.io", "DestinationRule", "destinationrules"),
    ("networking.istio.io", "ServiceEntry", "serviceentries"),
    ("networking.istio.io", "Sidecar", "sidecars"),
    ("security.istio.io", "PeerAuthentication", "peerauthentications"),
    ("security.istio.io", "AuthorizationPolicy", "authorizationpolicies"),
    ("security.istio.io", "RequestAuthentication", "requestauthentications"),
    ("gateway.networking.k8s.io", "HTTPRoute", "httproutes"),
    ("gateway.networking.k8s.io", "GRPCRoute", "grpcroutes"),
];
/// Our name in the status of a route's parents.
const CONTROLLER: &str = "meltemi.dev/mesh-controller";
/// Conditions that say of an object that it works.
const SAYS_IT_WORKS: [&str; 5] = ["Ready", "InForce", "meltemi.dev/InForce", "Accepted", "ResolvedRefs"];

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Status {
    conditions: Vec<Condition>,
    parents: Vec<Parent>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Parent {
    controller_name: String,
    conditions: Vec<Condition>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Condition {
    #[serde(rename = "type")]
    kind: String,
    status: String,
    message: String,
}

/// An object that is not in force.
struct Rejected {
    /// `Kind namespace/name`.
    object: String,
    message: String,
}

pub async fn check(client: &Client) -> Result<Vec<Line>, Error> {
    let (mut count, mut rejected) = (0, Vec::new());
    for (group, kind, plural) in KINDS {
        let resource = ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, "v1", kind), plural);
        let api: Api<DynamicObject> = Api::all_with(client.clone(), &resource);
        match cluster::list(api, ListParams::default(), |object| judge(kind, object)).await {
            Ok(judged) => {
                count += judged.len();
                rejected.extend(judged.into_iter().flatten());
            }
            // A kind that the cluster does not have, has no objects.
            Err(error) if cluster::is_absent(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(vec![line(count, &rejected)])
}

fn judge(kind: &str, object: DynamicObject) -> Option<Rejected> {
    let status: Status = serde_json::from_value(object.data.get("status").cloned().unwrap_or(Value::Null)).ok()?;
    let of_parents = status.parents.iter().filter(|parent| parent.controller_name == CONTROLLER);
    let conditions = status.conditions.iter().chain(of_parents.flat_map(|parent| &parent.conditions));
    let mut bad = conditions.filter(|one| one.status == "False" && SAYS_IT_WORKS.contains(&one.kind.as_str()));
    let message = bad.next()?.message.clone();
    let namespace = object.metadata.namespace.unwrap_or_default();
    Some(Rejected { object: format!("{kind} {namespace}/{}", object.metadata.name.unwrap_or_default()), message })
}

fn line(count: usize, rejected: &[Rejected]) -> Line {
    let Some(first) = rejected.first() else {
        return Line::ok("objects", format!("{count}, none refused"));
    };
    let names: Vec<String> = rejected.iter().map(|one| one.object.clone()).collect();
    let what = format!("{} of {count} are not in force: {}", rejected.len(), some(&names));
    Line::failed("objects", what, format!("each says in its status what to do; {}: {}", first.object, first.message))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::{judge, line};
    use serde_json::{Value, json};

    fn judged(status: Value) -> Option<String> {
        let object = json!({ "metadata": { "namespace": "shop", "name": "a" }, "status": status });
        judge("HTTPRoute", serde_json::from_value(object).unwrap()).map(|rejected| rejected.message)
    }

    fn condition(kind: &str, status: &str) -> Value {
        json!({ "type": kind, "status": status, "message": format!("{kind} {status}") })
    }

    #[test]
    fn a_condition_that_is_false_is_told() {
        assert_eq!(judged(json!({ "conditions": [condition("Ready", "True")] })), None);
        assert_eq!(judged(json!({ "conditions": [condition("Ready", "False")] })).unwrap(), "Ready False");
        assert_eq!(judged(Value::Null), None);
    }

    #[test]
    fn of_parents_only_our_own_entries_count() {
        let parent = |name: &str| json!({ "parents": [{ "controllerName": name, "conditions": [condition("Accepted", "False")] }] });
        assert_eq!(judged(parent("example.net/other")), None);
        assert_eq!(judged(parent("meltemi.dev/mesh-controller")).unwrap(), "Accepted False");
    }

    #[test]
    fn the_line_names_what_is_refused() {
        let object = json!({ "metadata": { "namespace": "shop", "name": "a" }, "status": { "conditions": [condition("Ready", "False")] } });
        let rejected = judge("VirtualService", serde_json::from_value(object).unwrap()).unwrap();
        assert_eq!(line(3, &[rejected]).what, "1 of 3 are not in force: VirtualService shop/a");
        assert_eq!(line(3, &[]).what, "3, none refused");
    }
}
