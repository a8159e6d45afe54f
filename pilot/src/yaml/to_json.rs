//! The tree as a JSON value, as kubectl would send it.

use super::{Node, Value};
use serde_json::{Map, Number, Value as Json};

impl Node {
    /// The JSON value of a tree. A number that JSON cannot hold becomes text.
    pub fn to_json(&self) -> Json {
        match &self.value {
            Value::Null => Json::Null,
            Value::Bool(value) => Json::Bool(*value),
            Value::Number(text) => number(text).map_or_else(|| Json::String(text.clone()), Json::Number),
            Value::Text(text) => Json::String(text.clone()),
            Value::List(items) => items.iter().map(Self::to_json).collect(),
            Value::Map(entries) => {
                let entries = entries.iter().map(|entry| (entry.key.clone(), entry.value.to_json()));
                Json::Object(entries.collect::<Map<_, _>>())
            }
        }
    }
}

/// kubectl reads YAML 1.1, in which a leading zero makes a number octal (`defaultMode: 0644`).
fn number(text: &str) -> Option<Number> {
    let digits = text.strip_prefix('0').filter(|digits| !digits.is_empty());
    if let Some(octal) = digits.and_then(|digits| u64::from_str_radix(digits, 8).ok()) {
        return Some(octal.into());
    }
    let whole = text.parse::<i64>().map(Number::from).or_else(|_| text.parse::<u64>().map(Number::from));
    whole.ok().or_else(|| Number::from_f64(text.parse().ok()?))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::yaml::parse;
    use serde_json::json;

    #[test]
    fn yaml_becomes_the_json_that_kubectl_would_send() {
        let node = parse("a: [1, 0644, 1.5, -3, '7', true, ~]\nb: {c: {}}\n").unwrap().remove(0);
        let json = json!({ "a": [1, 420, 1.5, -3, "7", true, null], "b": { "c": {} } });
        assert_eq!(node.to_json(), json);
        assert_eq!(serde_json::from_value::<Node>(json.clone()).unwrap().to_json(), json);
    }
}
