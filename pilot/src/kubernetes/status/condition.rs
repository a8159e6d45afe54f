//! One condition as Kubernetes writes it.

use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};
use std::time::{SystemTime, UNIX_EPOCH};

/// A condition that an object should have.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct WantedCondition {
    /// `type`.
    pub(super) kind: &'static str,
    /// `True`, `False` or `Unknown`.
    pub(super) status: &'static str,
    /// One word for tools.
    pub(super) reason: &'static str,
    /// The same for people; empty when there is nothing to say.
    pub(super) message: String,
    /// The generation of the object that this was found of.
    pub(super) generation: Option<i64>,
}

impl WantedCondition {
    /// As it is to be written over what is there: the time stays when the status does.
    pub(super) fn over(&self, there: &[Value], now: &str) -> Value {
        let status = self.status;
        let before = there.iter().find(|condition| condition["type"] == self.kind);
        let since = before.filter(|before| before["status"] == status);
        let since = since.and_then(|before| before["lastTransitionTime"].as_str()).unwrap_or(now);
        let mut written = json!({
            "type": self.kind,
            "status": status,
            "reason": self.reason,
            "message": self.message,
            "lastTransitionTime": since,
        });
        if let Some(generation) = self.generation {
            written["observedGeneration"] = generation.into();
        }
        written
    }
}

/// The present, as conditions carry it: whole seconds, UTC.
pub(super) fn now() -> String {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |passed| passed.as_secs());
    let time = i64::try_from(seconds).ok().and_then(|seconds| Timestamp::from_second(seconds).ok());
    time.unwrap_or(Timestamp::UNIX_EPOCH).to_string()
}

/// The list in a field, empty when there is none.
pub(super) fn list<'a>(value: &'a Value, field: &str) -> &'a [Value] {
    value.get(field).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}
