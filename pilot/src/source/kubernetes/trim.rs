//! What of an object can make a difference to the mesh. The rest is cut off before objects are compared, so that a pod
//! that reports its health or a status that somebody writes is no change, and costs no memory.

use super::kinds::Role;
use crate::api::Kind;
use crate::validate::is_topology_label;
use crate::yaml::{Entry, Node, Value};

/// Annotations of the mesh; no others are read.
const ANNOTATIONS: &str = "istio.io";

/// Cuts an object of a kind down to what is read of it, under the names of the version that it was asked for.
pub(super) fn trim(role: Role, api_version: &str, kind: &str, object: Node) -> Node {
    let mut kept = vec![
        Entry::unplaced("apiVersion", Value::Text(api_version.to_owned())),
        Entry::unplaced("kind", Value::Text(kind.to_owned())),
    ];
    kept.extend(entries(object).into_iter().filter_map(|entry| match (entry.key.as_str(), role) {
        ("apiVersion" | "kind", _) => None,
        ("metadata", _) => Some(with(entry, |node| metadata(role, node))),
        (_, Role::NoEffect | Role::Read(Kind::Namespace | Kind::Node)) => None,
        ("spec", Role::Read(Kind::Pod)) => Some(with(entry, pod_spec)),
        ("status", Role::Read(Kind::Pod)) => Some(with(entry, pod_status)),
        ("status", _) => None,
        _ => Some(entry),
    }));
    Node::unplaced(Value::Map(kept))
}

fn metadata(role: Role, node: Node) -> Node {
    select(node, |entry| match entry.key.as_str() {
        "name" | "namespace" | "creationTimestamp" => Some(entry),
        "ownerReferences" if role == Role::Read(Kind::Pod) => Some(entry),
        "labels" if role == Role::Read(Kind::Node) => {
            some(with(entry, |labels| select(labels, |label| is_topology_label(&label.key).then_some(label))))
        }
        "labels" => Some(entry),
        "annotations" => {
            let of_the_mesh =
                |entry: &Entry| entry.key.split_once('/').is_some_and(|(at, _)| at.ends_with(ANNOTATIONS));
            some(with(entry, |all| select(all, |entry| of_the_mesh(&entry).then_some(entry))))
        }
        _ => None,
    })
}

/// None is the same as an empty one.
fn some(entry: Entry) -> Option<Entry> {
    (entry.value.value != Value::Map(Vec::new())).then_some(entry)
}

fn pod_spec(node: Node) -> Node {
    select(node, |entry| match entry.key.as_str() {
        "serviceAccountName" | "nodeName" | "hostNetwork" => Some(entry),
        "containers" | "initContainers" => Some(with(entry, |list| each(list, container))),
        _ => None,
    })
}

fn container(node: Node) -> Node {
    select(node, |entry| matches!(entry.key.as_str(), "name" | "ports").then_some(entry))
}

/// The addresses, and whether it has ended: which phase it is in before makes no difference.
fn pod_status(node: Node) -> Node {
    select(node, |entry| match (entry.key.as_str(), entry.value.text()) {
        ("podIP" | "podIPs", _) => Some(entry),
        ("phase", Some("Succeeded" | "Failed")) => Some(entry),
        _ => None,
    })
}

fn entries(node: Node) -> Vec<Entry> {
    match node.value {
        Value::Map(entries) => entries,
        _ => Vec::new(),
    }
}

fn select(node: Node, keep: impl FnMut(Entry) -> Option<Entry>) -> Node {
    Node::unplaced(Value::Map(entries(node).into_iter().filter_map(keep).collect()))
}

fn with(entry: Entry, change: impl FnOnce(Node) -> Node) -> Entry {
    Entry { value: change(entry.value), ..entry }
}

fn each(node: Node, change: impl Fn(Node) -> Node) -> Node {
    match node.value {
        Value::List(items) => Node::unplaced(Value::List(items.into_iter().map(change).collect())),
        value => Node::unplaced(value),
    }
}
