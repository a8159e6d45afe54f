//! From YAML text to a tree. Limits on depth and size keep a hostile file (nested aliases) from costing more
//! than a big one.

use super::{Entry, Node, Value};
use saphyr_parser::{Event, Parser, ScalarStyle, Span, StrInput};
use std::collections::HashMap;

/// Deepest nesting; Kubernetes objects stay below 20.
const MAX_DEPTH: usize = 64;
/// Most nodes of one document, aliases counted as often as they are used.
const MAX_NODES: usize = 200_000;

/// Text that is no YAML.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {message}")]
pub struct SyntaxError {
    /// Line (1 for the first line of the text).
    pub line: u32,
    /// What is wrong.
    pub message: String,
}

/// Reads all documents of a text; empty documents are left out.
pub fn parse(text: &str) -> Result<Vec<Node>, SyntaxError> {
    let mut parser = Parser::new_from_str(text);
    let mut tree = Tree::default();
    let mut documents = Vec::new();
    while let Some((event, span)) = next(&mut parser).map_err(|error| within(text, error))? {
        if let Event::DocumentEnd = event {
            tree.anchors.clear();
            tree.nodes = 0;
            documents.extend(tree.root.take().filter(|node| node.value != Value::Null));
        } else {
            tree.accept(event, span)?;
        }
    }
    Ok(documents)
}

fn next<'a>(parser: &mut Parser<'a, StrInput<'a>>) -> Result<Option<(Event<'a>, Span)>, SyntaxError> {
    parser.next_event().transpose().map_err(|error| SyntaxError {
        line: line(error.marker().line()),
        message: format!("is not YAML: {}", error.info()),
    })
}

/// What is missing at the end is reported on the last line, not behind it.
fn within(text: &str, error: SyntaxError) -> SyntaxError {
    let last = line(text.lines().count());
    SyntaxError { line: error.line.min(last), ..error }
}

fn line(number: usize) -> u32 {
    u32::try_from(number.max(1)).unwrap_or(u32::MAX)
}

/// The documents' tree while it grows.
#[derive(Default)]
struct Tree {
    root: Option<Node>,
    open: Vec<Open>,
    anchors: HashMap<usize, (Node, usize)>,
    nodes: usize,
}

/// A collection that is not complete yet.
struct Open {
    line: u32,
    anchor: usize,
    /// Nodes read before it opened, to know its size.
    before: usize,
    content: Content,
}

enum Content {
    List(Vec<Node>),
    Map(Vec<Entry>, Option<(String, u32)>),
}

impl Tree {
    fn accept(&mut self, event: Event<'_>, span: Span) -> Result<(), SyntaxError> {
        let line = line(span.start.line());
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let is_text = tag.is_some_and(|tag| tag.is_yaml_core_schema() && tag.suffix == "str");
                let plain = style == ScalarStyle::Plain && !is_text;
                let value = if plain { plain_scalar(&text) } else { Value::Text(text.into_owned()) };
                self.complete(Node { line, value }, anchor, 1)
            }
            Event::SequenceStart(anchor, _) => self.open(line, anchor, Content::List(Vec::new())),
            Event::MappingStart(anchor, _) => self.open(line, anchor, Content::Map(Vec::new(), None)),
            Event::SequenceEnd | Event::MappingEnd => self.close(),
            Event::Alias(id) => match self.anchors.get(&id).cloned() {
                Some((node, size)) => self.complete(Node { line, ..node }, 0, size),
                None => Err(SyntaxError { line, message: "uses an alias inside its own anchor".into() }),
            },
            _ => Ok(()),
        }
    }

    fn open(&mut self, line: u32, anchor: usize, content: Content) -> Result<(), SyntaxError> {
        if self.open.len() >= MAX_DEPTH {
            return Err(SyntaxError { line, message: format!("is nested deeper than {MAX_DEPTH} levels") });
        }
        self.open.push(Open { line, anchor, before: self.nodes, content });
        Ok(())
    }

    fn close(&mut self) -> Result<(), SyntaxError> {
        let Some(open) = self.open.pop() else { return Ok(()) };
        let value = match open.content {
            Content::List(list) => Value::List(list),
            Content::Map(entries, _) => Value::Map(entries),
        };
        let size = self.nodes - open.before + 1;
        self.nodes = open.before;
        self.complete(Node { line: open.line, value }, open.anchor, size)
    }

    /// Puts a complete node of `size` nodes where it belongs.
    fn complete(&mut self, node: Node, anchor: usize, size: usize) -> Result<(), SyntaxError> {
        self.nodes += size;
        if self.nodes > MAX_NODES {
            let message = format!("has more than {MAX_NODES} values, aliases counted each time they are used");
            return Err(SyntaxError { line: node.line, message });
        }
        if anchor > 0 {
            self.anchors.insert(anchor, (node.clone(), size));
        }
        match self.open.last_mut().map(|open| &mut open.content) {
            None => self.root = Some(node),
            Some(Content::List(list)) => list.push(node),
            Some(Content::Map(_, key @ None)) => *key = Some(map_key(node)?),
            Some(Content::Map(entries, key)) => {
                let (key, line) = key.take().unwrap_or_default();
                if let Some(first) = entries.iter().find(|entry| entry.key == key) {
                    let message = format!("has the key \"{key}\" twice, first on line {}", first.line);
                    return Err(SyntaxError { line, message });
                }
                entries.push(Entry { key, line, value: node });
            }
        }
        Ok(())
    }
}

fn map_key(node: Node) -> Result<(String, u32), SyntaxError> {
    let key = match node.value {
        Value::Text(text) | Value::Number(text) => text,
        Value::Bool(value) => value.to_string(),
        Value::Null | Value::List(_) | Value::Map(_) => {
            let message = "has a mapping key that is no text".into();
            return Err(SyntaxError { line: node.line, message });
        }
    };
    Ok((key, node.line))
}

/// The value of a plain scalar by YAML 1.2's core schema (section 10.3.2).
fn plain_scalar(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "true" | "True" | "TRUE" => Value::Bool(true),
        "false" | "False" | "FALSE" => Value::Bool(false),
        _ if is_number(text) => Value::Number(text.to_owned()),
        _ => Value::Text(text.to_owned()),
    }
}

fn is_number(text: &str) -> bool {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let numeric = unsigned.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'E' | b'+' | b'-'));
    let starts = unsigned.bytes().find(|b| *b != b'.').is_some_and(|b| b.is_ascii_digit());
    numeric && starts && text.parse::<f64>().is_ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    fn one(text: &str) -> Node {
        parse(text).unwrap().remove(0)
    }

    #[test]
    fn nodes_know_their_lines() {
        let node = one("a: 1\nb:\n  - c: x\n    d:\n      e: y\n");
        assert_eq!(node.get("a").unwrap().line, 1);
        let Value::List(list) = &node.get("b").unwrap().value else { panic!("no list") };
        assert_eq!(list[0].line, 3);
        assert_eq!(list[0].get("d").unwrap().get("e").unwrap().line, 5);
    }

    #[test]
    fn plain_scalars_follow_the_core_schema() {
        let number = |text: &str| Value::Number(text.into());
        let text = |text: &str| Value::Text(text.into());
        for (yaml, value) in [
            ("1.10", number("1.10")),
            ("-3", number("-3")),
            ("1e3", number("1e3")),
            ("10.0.0.1", text("10.0.0.1")),
            ("10s", text("10s")),
            ("'80'", text("80")),
            ("!!str 80", text("80")),
            ("yes", text("yes")),
            ("True", Value::Bool(true)),
        ] {
            assert_eq!(one(&format!("[{yaml}]")).value, Value::List(vec![Node { line: 1, value }]), "{yaml}");
        }
        assert!(parse("# nothing\n---\n~\n").unwrap().is_empty());
    }

    #[test]
    fn what_is_no_yaml_names_its_line() {
        let error = parse("a: 1\nb: [1, 2\nc: 3\n").unwrap_err();
        assert!(error.line >= 2, "{error}");
        assert_eq!(
            parse("a: 1\nb: 2\na: 3\n").unwrap_err(),
            SyntaxError { line: 3, message: "has the key \"a\" twice, first on line 1".into() }
        );
    }

    #[test]
    fn nested_aliases_and_depth_are_limited() {
        let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
        for i in 1..12 {
            let uses = vec![format!("*a{}", i - 1); 10].join(", ");
            bomb += &format!("a{i}: &a{i} [{uses}]\n");
        }
        assert!(parse(&bomb).unwrap_err().message.contains("more than 200000 values"));
        let deep = "[".repeat(100) + &"]".repeat(100);
        assert!(parse(&deep).unwrap_err().message.contains("nested deeper"));
    }

    #[test]
    fn aliases_stand_for_their_anchor() {
        let node = one("a: &x {k: v}\nb: *x\n");
        assert_eq!(node.get("b").unwrap().get("k").unwrap().text(), Some("v"));
        assert_eq!(node.get("b").unwrap().line, 2);
    }
}
