//! What is written into objects, and what that costs the API server. The API server here is a fake one (`fake_api.rs`).
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod fake_api;
mod leader;
mod wanted;
mod writer;

use crate::model::{ConditionKind, ObjectRef, ParentRef, ParentStatus, Reason, RouteCondition};
use crate::status::{Condition, Finding, ObjectStatus, Place};
use std::sync::Arc;

const NETWORKING: &str = "networking.istio.io";
const GATEWAY_API: &str = "gateway.networking.k8s.io";

/// A VirtualService in force, of its first generation.
fn virtual_service(name: &str) -> ObjectStatus {
    object(NETWORKING, "VirtualService", name)
}

fn object(group: &str, kind: &str, name: &str) -> ObjectStatus {
    let object = Arc::new(ObjectRef::new(group, kind, "shop", name));
    ObjectStatus {
        place: Place::Object(object.clone()),
        object,
        generation: Some(1),
        uid: Some(format!("uid-{name}").into()),
        condition: Condition::InForce,
        findings: Vec::new(),
        parents: Vec::new(),
        refused: Vec::new(),
    }
}

fn finding(is_error: bool, text: &str) -> Finding {
    Finding { place: Place::Api("".into()), is_error, text: text.into() }
}

/// A wrong one.
fn rejected(status: ObjectStatus, text: &str) -> ObjectStatus {
    let condition = Condition::Rejected { last_good_in_force: false };
    ObjectStatus { condition, findings: vec![finding(true, text)], ..status }
}

/// An accepted HTTPRoute at some parents.
fn route(name: &str, parents: &[ParentRef]) -> ObjectStatus {
    let parents = parents.iter().map(|parent| at(parent, &[accepted(), resolved()])).collect();
    ObjectStatus { parents, ..object(GATEWAY_API, "HTTPRoute", name) }
}

fn at(parent: &ParentRef, conditions: &[RouteCondition]) -> ParentStatus {
    ParentStatus { parent: parent.clone(), conditions: conditions.to_vec() }
}

fn service(name: &str, group: &str) -> ParentRef {
    ParentRef {
        group: Some(group.into()),
        kind: Some("Service".into()),
        namespace: None,
        name: name.into(),
        section_name: None,
        port: None,
    }
}

fn accepted() -> RouteCondition {
    RouteCondition { kind: ConditionKind::Accepted, reason: Reason::Accepted, message: String::new() }
}

fn resolved() -> RouteCondition {
    RouteCondition { kind: ConditionKind::ResolvedRefs, reason: Reason::ResolvedRefs, message: String::new() }
}
