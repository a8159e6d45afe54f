//! Where each field of an object stands, kept small so that every object can carry it.

use super::field::push_key;
use super::{FieldPath, Node, Value};
use std::hash::{DefaultHasher, Hasher};

/// From field path to line. Lines count from the start of the document.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lines {
    first: u32,
    by_path: Box<[(u64, u32)]>,
}

impl Lines {
    /// The lines of a tree; none for one that was no text.
    pub fn of(node: &Node) -> Self {
        if node.line == 0 {
            return Self::default();
        }
        let mut all = Vec::new();
        collect(node, &mut String::new(), &mut all);
        all.sort_unstable();
        Self { first: node.line, by_path: all.into() }
    }

    /// The line of a field; for one that is not written, the line of what it is missing in.
    pub fn line(&self, path: &FieldPath) -> u32 {
        let mut at = Some(path.clone());
        while let Some(path) = at {
            let key = hash(path.as_str());
            if let Ok(found) = self.by_path.binary_search_by_key(&key, |(key, _)| *key) {
                return self.by_path[found].1;
            }
            at = path.parent();
        }
        self.first
    }
}

fn collect(node: &Node, path: &mut String, all: &mut Vec<(u64, u32)>) {
    let length = path.len();
    match &node.value {
        Value::List(items) => {
            for (index, item) in items.iter().enumerate() {
                path.push_str(&format!("[{index}]"));
                all.push((hash(path), item.line));
                collect(item, path, all);
                path.truncate(length);
            }
        }
        Value::Map(entries) => {
            for entry in entries {
                push_key(path, &entry.key);
                all.push((hash(path), entry.line));
                collect(&entry.value, path, all);
                path.truncate(length);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Text(_) => {}
    }
}

fn hash(path: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(path.as_bytes());
    hasher.finish()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn fields_have_lines_and_missing_ones_those_of_their_parent() {
        let text = "metadata:\n  labels:\n    a.b/c: x\nspec:\n  http:\n  - route:\n    - weight: 1\n    - weight: 2\n";
        let lines = Lines::of(&super::super::parse(text).unwrap()[0]);
        let line = |path: &str| lines.line(&FieldPath::of(path));
        assert_eq!(line("spec.http[0].route[1].weight"), 8);
        assert_eq!(line("spec.http[0].route[1].destination.host"), 8);
        assert_eq!(line("spec.http[0].timeout"), 6);
        assert_eq!(line("spec.tcp"), 4);
        assert_eq!(line("metadata.labels[a.b/c]"), 3);
        assert_eq!(line("status"), 1);
    }
}
