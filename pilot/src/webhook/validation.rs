//! `/validate`: an object that cannot work by itself is refused before it is stored, by the same code that reads
//! configuration from a directory.

use super::Inner;
use super::review::{AdmissionRequest, Answer, Review};
use crate::api::{Known, known};
use crate::model::ObjectRef;
use crate::problem::{Problem, Severity};
use crate::validate;
use crate::yaml::Node;
use serde_json::Value;
use std::sync::Arc;

/// Findings of one object that a refusal repeats.
const NAMED: usize = 40;

impl Inner {
    pub(super) fn validate(&self, review: &Review) -> Answer {
        let request = &review.request;
        if !is_new(request) {
            return Answer::default();
        }
        let answer = self.judge(&request.object, request);
        match answer.refused {
            Some(_) => self.metrics.refused(&request.resource),
            None => self.metrics.passed(&request.resource),
        }
        answer
    }

    fn judge(&self, object: &Value, request: &AdmissionRequest) -> Answer {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let (version, kind_name) = (text(&object["apiVersion"]), text(&object["kind"]));
        let warned = |message: String| Answer { warnings: vec![message], ..Answer::default() };
        let kind = match known(&version, &kind_name) {
            Known::Read(kind) => kind,
            // Word for word what our own definitions of these kinds say: the API server tells the same text once.
            Known::NotYet(effect) => return warned(format!("Meltemi: {kind_name} {effect}")),
            Known::Wrong(message) => return warned(format!("{message}; this object has no effect")),
            Known::Foreign => return Answer::default(),
        };
        // Kubernetes' own objects are never held up.
        if kind.is_kubernetes() {
            return Answer::default();
        }
        let reference = reference(&version, &kind_name, object, request);
        let problems = validate::object(kind, reference.clone(), &Node::of_json(object), &self.settings).problems;
        answer(&reference, &problems)
    }
}

/// Whether the request brings something that was not judged before. What goes away, and what only changes its metadata
/// or status, is let through: a wrong object from before the webhook must lose its finalizers.
fn is_new(request: &AdmissionRequest) -> bool {
    let object = &request.object;
    let changes = match request.operation.as_str() {
        "CREATE" => true,
        "UPDATE" => content(object) != content(&request.old_object),
        _ => false,
    };
    changes && request.sub_resource.is_empty() && object["metadata"]["deletionTimestamp"].is_null()
}

/// All but metadata and status.
fn content(object: &Value) -> Vec<(&String, &Value)> {
    let fields = object.as_object().into_iter().flatten();
    fields.filter(|(field, _)| !matches!(field.as_str(), "metadata" | "status" | "apiVersion")).collect()
}

fn reference(version: &str, kind: &str, object: &Value, request: &AdmissionRequest) -> Arc<ObjectRef> {
    let group = version.split_once('/').map_or("", |(group, _)| group);
    let metadata = &object["metadata"];
    let name = metadata["name"].as_str().or(metadata["generateName"].as_str()).unwrap_or_default();
    Arc::new(ObjectRef::new(group, kind, &request.namespace, name))
}

fn answer(reference: &ObjectRef, problems: &[Problem]) -> Answer {
    let of = |severity| problems.iter().filter(move |problem| problem.severity == severity);
    let mut errors: Vec<String> = of(Severity::Error).map(line).collect();
    let count = errors.len();
    if count > NAMED {
        errors.truncate(NAMED);
        errors.push(format!("and {} more", count - NAMED));
    }
    let refused = match errors.as_slice() {
        [] => None,
        [error] => Some(format!("{reference}: {error}")),
        errors => Some(format!("{reference}: {count} errors:\n  {}", errors.join("\n  "))),
    };
    Answer { refused, warnings: of(Severity::Warning).map(line).collect(), patch: None }
}

fn line(problem: &Problem) -> String {
    let colon = if problem.field.as_str().is_empty() { "" } else { ": " };
    format!("{}{colon}{}", problem.field, problem.message)
}
