//! JSON, as an API server sends it, becomes the same tree that YAML does, without lines and without a text between.

use super::{Entry, Node, Value};
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use std::fmt;

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Tree).map(Self::unplaced)
    }
}

impl Node {
    /// The tree of a JSON value.
    pub fn of_json(json: &serde_json::Value) -> Self {
        // Any JSON value is a tree; the error type is serde's, not ours.
        Self::deserialize(json).unwrap_or(Self::unplaced(Value::Null))
    }
}

struct Tree;

impl<'de> Visitor<'de> for Tree {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.to_string()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.to_string()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Value::Number(value.to_string()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::Text(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::Text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Value::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut map = Vec::new();
        while let Some((key, value)) = entries.next_entry()? {
            map.push(Entry { key, line: 0, value });
        }
        Ok(Value::Map(map))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::super::parse;
    use super::*;

    fn without_lines(node: Node) -> Node {
        Node::unplaced(match node.value {
            Value::List(items) => Value::List(items.into_iter().map(without_lines).collect()),
            Value::Map(entries) => Value::Map(
                entries
                    .into_iter()
                    .map(|entry| Entry { line: 0, value: without_lines(entry.value), ..entry })
                    .collect(),
            ),
            other => other,
        })
    }

    #[test]
    fn json_is_the_tree_of_its_text() {
        let text = r#"{"a": [1, -2, 2.5, "80", "é", true, null], "b": {"c": {}, "d": []}}"#;
        let node: Node = serde_json::from_str(text).unwrap();
        assert_eq!(node, without_lines(parse(text).unwrap().remove(0)));
        assert!(serde_json::from_str::<Node>("{").is_err());
    }
}
