//! `status.parents` of routes: an entry of ours for each parent that is ours. The list is shared with other controllers
//! and replaced as a whole, so their entries are carried along as they are.

use super::condition::{WantedCondition, list};
use crate::model::ParentRef;
use serde_json::{Map, Value, json};

/// The name by which the entries of this mesh are known.
pub(super) const CONTROLLER: &str = "meltemi.dev/mesh-controller";

/// How many entries the API allows; those of others go before ours.
const MOST: usize = 32;

/// What is to be said of a route at one parent.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct WantedParent {
    pub(super) parent: ParentRef,
    pub(super) conditions: Vec<WantedCondition>,
}

/// What of `status` is to be replaced so that exactly these entries are ours; None when they are.
pub(super) fn patch(status: &Value, wanted: &[WantedParent], now: &str) -> Option<Value> {
    let is_ours = |entry: &&Value| entry["controllerName"] == CONTROLLER;
    let there = list(status, "parents");
    let known: Vec<_> = there.iter().filter(is_ours).collect();
    let others: Vec<_> = there.iter().filter(|entry| !is_ours(entry)).cloned().collect();
    let mut ours = Vec::new();
    for wanted in wanted {
        let entry = entry(wanted, &known, now);
        if !ours.contains(&entry) && others.len() + ours.len() < MOST {
            ours.push(entry);
        }
    }
    if known.into_iter().eq(&ours) {
        return None;
    }
    Some(json!({ "parents": others.into_iter().chain(ours).collect::<Vec<_>>() }))
}

fn entry(wanted: &WantedParent, known: &[&Value], now: &str) -> Value {
    let reference = reference(&wanted.parent);
    let before = known.iter().find(|entry| entry["parentRef"] == reference);
    let before = before.map_or(&[][..], |entry| list(entry, "conditions"));
    let conditions: Vec<_> = wanted.conditions.iter().map(|condition| condition.over(before, now)).collect();
    json!({ "parentRef": reference, "controllerName": CONTROLLER, "conditions": conditions })
}

/// The reference as the route has it: what it leaves out is left out, for rollout controllers compare the two.
fn reference(parent: &ParentRef) -> Value {
    let texts = [
        ("group", parent.group.as_deref()),
        ("kind", parent.kind.as_deref()),
        ("namespace", parent.namespace.as_deref()),
        ("name", Some(&*parent.name)),
        ("sectionName", parent.section_name.as_deref()),
    ];
    let fields = texts.into_iter().filter_map(|(field, text)| Some((field.to_owned(), Value::from(text?))));
    let port = parent.port.map(|port| ("port".to_owned(), Value::from(port)));
    Value::Object(fields.chain(port).collect::<Map<_, _>>())
}
