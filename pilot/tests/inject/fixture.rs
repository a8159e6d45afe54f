//! A small pod, and what becomes of it.

use pilot::inject::{InjectorConfig, Namespace, Outcome, Reason, review};
use serde_json::{Value, json};

/// A pod of a Deployment as the API server hands it to a webhook.
pub fn pod() -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "generateName": "catalog-7d4b9c-",
            "labels": { "app": "catalog", "pod-template-hash": "7d4b9c", "version": "v2" },
            "ownerReferences": [{
                "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "catalog-7d4b9c", "uid": "1", "controller": true
            }],
        },
        "spec": { "containers": [{ "name": "app", "image": "catalog:1" }] },
    })
}

/// The same with something more.
pub fn pod_with(change: impl FnOnce(&mut Value)) -> Value {
    let mut pod = pod();
    change(&mut pod);
    pod
}

pub fn annotated(annotations: &[(&str, &str)]) -> Value {
    pod_with(|pod| {
        let annotations = annotations.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        pod["metadata"]["annotations"] =
            annotations.collect::<std::collections::BTreeMap<_, _>>().into_iter().collect();
    })
}

pub fn shop() -> Namespace {
    Namespace { name: "shop".into(), selected: true, ..Namespace::default() }
}

pub fn outcome(pod: &Value) -> Outcome {
    review(pod, &shop(), None, &InjectorConfig::default())
}

/// The pod after injection, and the warnings.
pub fn injected(pod: &Value) -> (Value, Vec<String>) {
    injected_with(pod, &InjectorConfig::default())
}

pub fn injected_with(pod: &Value, config: &InjectorConfig) -> (Value, Vec<String>) {
    match review(pod, &shop(), None, config) {
        Outcome::Injected { patch, warnings } => {
            let mut after = pod.clone();
            json_patch::patch(&mut after, &patch).unwrap();
            (after, warnings)
        }
        other => panic!("not injected: {other:?}"),
    }
}

pub fn refused(pod: &Value) -> Vec<String> {
    match outcome(pod) {
        Outcome::Refused(problems) => problems,
        other => panic!("not refused: {other:?}"),
    }
}

pub fn left(pod: &Value) -> Reason {
    match outcome(pod) {
        Outcome::Left(reason) => reason,
        other => panic!("not left alone: {other:?}"),
    }
}

/// One of the containers that were added.
pub fn added<'a>(pod: &'a Value, name: &str) -> &'a Value {
    let containers = pod["spec"]["initContainers"].as_array().unwrap();
    containers.iter().find(|container| container["name"] == name).unwrap()
}

/// The value of an environment variable of the sidecar.
pub fn variable(pod: &Value, name: &str) -> Option<String> {
    let all = added(pod, "istio-proxy")["env"].as_array().unwrap();
    let found = all.iter().find(|variable| variable["name"] == name)?;
    Some(found["value"].as_str().unwrap_or_default().to_owned())
}

/// The value behind a flag of one of the added containers.
pub fn flag(pod: &Value, container: &str, name: &str) -> Option<String> {
    let all = added(pod, container)["args"].as_array().unwrap();
    let at = all.iter().position(|argument| argument == name)?;
    Some(all[at + 1].as_str().unwrap().to_owned())
}
