//! What an object's `status` should say: a pure function of what became of it.

use super::condition::WantedCondition;
use super::parents::WantedParent;
use super::wording::{Word, in_force};
use super::written_kinds::{Shape, WrittenKind};
use super::{conditions, parents};
use crate::model::{ConditionKind, ParentStatus, RouteCondition};
use crate::status::{Condition, ObjectStatus};
use serde_json::Value;

/// The type of the condition that tells whether a route, or a kind that is not supported, is in force.
const IN_FORCE: &str = "meltemi.dev/InForce";

/// What the `status` of an object should say, as far as it is ours to write.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Wanted {
    /// Our entries of `status.parents`.
    Parents(Vec<WantedParent>),
    /// Our condition in `status.conditions`.
    Condition(WantedCondition),
}

/// What is urgent to know goes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum News {
    /// It does nothing, or not what its author wrote last.
    Bad,
    /// It works, but something is worth knowing.
    Remarks,
    /// It works.
    Good,
}

impl Wanted {
    /// What is to be said of an object.
    pub(super) fn of(status: &ObjectStatus, kind: &WrittenKind) -> Self {
        match kind.shape {
            Shape::Parents => {
                let ours = status.parents.iter().filter(|parent| !parent.conditions.is_empty());
                Self::Parents(ours.map(|parent| at_parent(status, parent)).collect())
            }
            Shape::Ready => Self::Condition(condition(conditions::READY, in_force(status), status)),
            Shape::NotSupported => {
                let word = Word { reason: "NotSupported", ..in_force(status) };
                Self::Condition(condition(IN_FORCE, word, status))
            }
        }
    }

    /// What of `status` is to be replaced; None when it says all this already. `now` is for conditions that change.
    pub(super) fn patch(&self, status: &Value, now: &str) -> Option<Value> {
        match self {
            Self::Parents(wanted) => parents::patch(status, wanted, now),
            Self::Condition(wanted) => conditions::patch(status, wanted, now),
        }
    }

    /// How urgent it is.
    pub(super) fn news(&self) -> News {
        let conditions: Vec<_> = match self {
            Self::Parents(parents) => parents.iter().flat_map(|parent| &parent.conditions).collect(),
            Self::Condition(condition) => vec![condition],
        };
        if conditions.iter().any(|condition| condition.status != "True") {
            return News::Bad;
        }
        let silent = conditions.iter().all(|condition| condition.message.is_empty());
        if silent { News::Good } else { News::Remarks }
    }
}

fn condition(kind: &'static str, word: Word, status: &ObjectStatus) -> WantedCondition {
    let Word { holds, reason, message } = word;
    let holds = if holds { "True" } else { "False" };
    WantedCondition { kind, status: holds, reason, message, generation: status.generation }
}

/// The conditions of the Gateway API, and whether the route is in force at this parent.
fn at_parent(status: &ObjectStatus, at: &ParentStatus) -> WantedParent {
    let of_api = |told: &RouteCondition| WantedCondition {
        kind: told.kind.as_str(),
        status: told.status(),
        reason: told.reason.as_str(),
        message: told.message.clone(),
        generation: status.generation,
    };
    let word = match at.conditions.iter().find(|told| told.kind == ConditionKind::Accepted && !told.holds()) {
        Some(refused) if !matches!(status.condition, Condition::Rejected { .. }) => {
            Word::no("NotAccepted", refused.message.clone())
        }
        _ => in_force(status),
    };
    let conditions = at.conditions.iter().map(of_api).chain([condition(IN_FORCE, word, status)]).collect();
    WantedParent { parent: at.parent.clone(), conditions }
}
