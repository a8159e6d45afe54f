//! The tree of a YAML document with the line of each node.

/// A node and the line on which it starts (1 for the first line of the document, 0 when it comes from no text).
#[derive(Clone, Debug, PartialEq, Hash)]
pub struct Node {
    /// Line.
    pub line: u32,
    /// Content.
    pub value: Value,
}

/// Content of a node.
#[derive(Clone, Debug, PartialEq, Hash)]
pub enum Value {
    /// Nothing.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number as it is written.
    Number(String),
    /// A text.
    Text(String),
    /// A sequence.
    List(Vec<Node>),
    /// A mapping in the order written; no key occurs twice.
    Map(Vec<Entry>),
}

/// One entry of a mapping.
#[derive(Clone, Debug, PartialEq, Hash)]
pub struct Entry {
    /// Key.
    pub key: String,
    /// Line of the key.
    pub line: u32,
    /// Value.
    pub value: Node,
}

impl Entry {
    /// An entry that comes from no text.
    pub fn unplaced(key: impl Into<String>, value: Value) -> Self {
        Self { key: key.into(), line: 0, value: Node::unplaced(value) }
    }
}

impl Node {
    /// The value under a key, when this is a mapping that has it.
    pub fn get(&self, key: &str) -> Option<&Node> {
        let Value::Map(entries) = &self.value else { return None };
        entries.iter().find(|entry| entry.key == key).map(|entry| &entry.value)
    }

    /// A node that comes from no text.
    pub fn unplaced(value: Value) -> Self {
        Self { line: 0, value }
    }

    /// The text, when this is one.
    pub fn text(&self) -> Option<&str> {
        let Value::Text(text) = &self.value else { return None };
        Some(text)
    }

    /// What a person calls it, for error messages.
    pub fn describe(&self) -> String {
        match &self.value {
            Value::Null => "nothing".into(),
            Value::Bool(value) => format!("{value}"),
            Value::Number(text) => format!("the number {text}"),
            Value::Text(text) => format!("the text \"{}\"", text.chars().take(40).collect::<String>()),
            Value::List(_) => "a list".into(),
            Value::Map(_) => "a mapping".into(),
        }
    }
}
