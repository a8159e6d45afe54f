//! From the tree to YAML text, in kubectl's style: two spaces, lists not indented under their key. What YAML 1.1 or 1.2
//! could take for something else than a text is quoted.

use super::{Node, Value};
use std::fmt::Write;

/// Words that some YAML takes for a boolean, a null or a number.
const RESERVED: [&str; 13] =
    ["y", "n", "yes", "no", "on", "off", "true", "false", "null", "nan", "inf", "infinity", "undefined"];

/// The text of one document, without markers, ending in a newline.
pub fn write(node: &Node) -> String {
    let mut text = String::new();
    match &node.value {
        Value::Map(entries) if !entries.is_empty() => block(node, 0, &mut text),
        Value::List(items) if !items.is_empty() => block(node, 0, &mut text),
        _ => {
            scalar(node, 0, &mut text);
            text.push('\n');
        }
    }
    text
}

/// A mapping or list that is not empty, from the start of a line that is indented already.
fn block(node: &Node, indent: usize, text: &mut String) {
    match &node.value {
        Value::Map(entries) => {
            for (number, entry) in entries.iter().enumerate() {
                if number > 0 {
                    spaces(indent, text);
                }
                string(&entry.key, None, text);
                text.push(':');
                below(&entry.value, indent, text);
            }
        }
        Value::List(items) => {
            for (number, item) in items.iter().enumerate() {
                if number > 0 {
                    spaces(indent, text);
                }
                text.push_str("- ");
                if is_block(item) {
                    block(item, indent + 2, text);
                } else {
                    scalar(item, indent + 2, text);
                    text.push('\n');
                }
            }
        }
        _ => {}
    }
}

/// The value behind a key.
fn below(node: &Node, indent: usize, text: &mut String) {
    if !is_block(node) {
        text.push(' ');
        scalar(node, indent + 2, text);
        text.push('\n');
        return;
    }
    let indent = if matches!(node.value, Value::List(_)) { indent } else { indent + 2 };
    text.push('\n');
    spaces(indent, text);
    block(node, indent, text);
}

fn is_block(node: &Node) -> bool {
    match &node.value {
        Value::Map(entries) => !entries.is_empty(),
        Value::List(items) => !items.is_empty(),
        _ => false,
    }
}

fn spaces(count: usize, text: &mut String) {
    text.extend(std::iter::repeat_n(' ', count));
}

/// A value on one line, or a literal block whose lines are indented by `indent`.
fn scalar(node: &Node, indent: usize, text: &mut String) {
    match &node.value {
        Value::Null => text.push_str("null"),
        Value::Bool(value) => _ = write!(text, "{value}"),
        Value::Number(number) => text.push_str(number),
        Value::Text(value) => string(value, Some(indent), text),
        Value::List(_) => text.push_str("[]"),
        Value::Map(_) => text.push_str("{}"),
    }
}

/// `block` is the indentation of a literal block, where one may stand.
fn string(value: &str, block: Option<usize>, text: &mut String) {
    match block {
        _ if is_plain(value) => text.push_str(value),
        Some(indent) if is_literal(value) => literal(value, indent, text),
        _ => text.push_str(&serde_json::Value::from(value).to_string()),
    }
}

fn is_plain(value: &str) -> bool {
    let starts = value.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/' || c == '_');
    let allowed = |c: char| c.is_ascii_alphanumeric() || "_-./:@=,+() ".contains(c);
    let reserved = RESERVED.iter().any(|word| value.eq_ignore_ascii_case(word));
    starts && value.chars().all(allowed) && !reserved && !value.contains(": ") && !value.ends_with([':', ' '])
}

/// Several lines of which none needs escapes, and the first tells the indentation.
fn is_literal(value: &str) -> bool {
    let printable = |c: char| c == '\n' || c == '\t' || (!c.is_control() && c != '\u{feff}');
    let separators = ['\u{85}', '\u{2028}', '\u{2029}'];
    value.contains('\n')
        && !value.starts_with([' ', '\n', '\t'])
        && value.chars().all(printable)
        && !value.contains(separators)
}

fn literal(value: &str, indent: usize, text: &mut String) {
    let body = value.trim_end_matches('\n');
    let ends = value.len() - body.len();
    text.push_str(match ends {
        0 => "|-",
        1 => "|",
        _ => "|+",
    });
    for line in body.split('\n') {
        text.push('\n');
        if !line.is_empty() {
            spaces(indent, text);
            text.push_str(line);
        }
    }
    text.extend(std::iter::repeat_n('\n', ends.saturating_sub(1)));
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::yaml::parse;
    use proptest::prelude::*;
    use serde_json::{Value as Json, json};

    #[test]
    fn documents_look_as_people_write_them() {
        let node = Node::of_json(&json!({
            "args": ["-i", "*", "", "15001", "a b"],
            "empty": [{}, []],
            "list": [{ "name": "a", "on": "on" }, ["x", ["y"]]],
            "text": "first\n  second\n",
            "words": { "a": "yes", "b": "a: b", "c": "10.0.0.0/8", "d": "image:1.0", "e": null, "f": "0x1f" },
        }));
        let text = "args:\n- \"-i\"\n- \"*\"\n- \"\"\n- \"15001\"\n- a b\n\
                    empty:\n- {}\n- []\n\
                    list:\n- name: a\n  \"on\": \"on\"\n- - x\n  - - \"y\"\n\
                    text: |\n  first\n    second\n\
                    words:\n  a: \"yes\"\n  b: \"a: b\"\n  c: \"10.0.0.0/8\"\n  d: image:1.0\n  e: null\n  f: \"0x1f\"\n";
        assert_eq!(write(&node), text);
    }

    fn json() -> impl Strategy<Value = Json> {
        let text = prop_oneof!["[ -~\n\t]{0,24}", "\\PC{0,8}", "[\n ab:#-]{0,12}"];
        let leaf = prop_oneof![
            Just(Json::Null),
            any::<bool>().prop_map(Json::from),
            any::<i64>().prop_map(Json::from),
            text.prop_map(Json::from),
        ];
        leaf.prop_recursive(5, 40, 5, |inner| {
            let list = prop::collection::vec(inner.clone(), 0..5).prop_map(Json::from);
            let map = prop::collection::btree_map("[ -~\n]{0,10}", inner, 0..5);
            prop_oneof![list, map.prop_map(|map| map.into_iter().collect::<Json>())]
        })
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(json in json()) {
            let json = json!({ "it": json });
            let text = write(&Node::of_json(&json));
            let read = parse(&text).map_err(|error| TestCaseError::fail(format!("{error}\n{text}")))?;
            prop_assert_eq!(read[0].to_json(), json, "{}", text);
        }
    }
}
