//! `status.conditions` of Istio's kinds: one condition is ours, all others stay as they are.
//!
//! Istio's own control plane writes there `Reconciled` and `PassedValidation`-like conditions and `validationMessages`
//! (only with its analysis switched on), and for waypoints conditions with its own prefix. `Ready` is what kubectl wait, Helm and
//! Flux know how to wait for. Kinds that have no effect here get a condition with a prefix of ours: an Istio beside us
//! may well serve them.

use super::condition::{WantedCondition, list};
use serde_json::{Map, Value, json};

/// The type of the condition of kinds that are read.
pub(super) const READY: &str = "Ready";

/// What of `status` is to be replaced so that the condition is there; None when it is.
pub(super) fn patch(status: &Value, wanted: &WantedCondition, now: &str) -> Option<Value> {
    let there = list(status, "conditions");
    let ours = wanted.over(there, now);
    let observed = wanted.generation.map(Value::from);
    let known = there.iter().filter(|condition| condition["type"] == wanted.kind).collect::<Vec<_>>();
    let same_generation =
        observed.as_ref().is_none_or(|generation| status.get("observedGeneration") == Some(generation));
    if known == [&ours] && same_generation {
        return None;
    }
    let others = there.iter().filter(|condition| condition["type"] != wanted.kind).cloned();
    let conditions: Vec<_> = others.chain([ours]).collect();
    let mut patch = Map::from_iter([("conditions".to_owned(), json!(conditions))]);
    patch.extend(observed.map(|generation| ("observedGeneration".to_owned(), generation)));
    Some(Value::Object(patch))
}
