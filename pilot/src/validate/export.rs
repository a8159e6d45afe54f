//! `exportTo`.

use super::Check;
use crate::model::ExportTo;
use crate::yaml::FieldPath;
use std::collections::BTreeSet;

impl Check<'_> {
    /// `.`, `*`, `~` or namespaces; empty is everybody.
    pub(super) fn export_to(&mut self, at: &FieldPath, entries: &[String]) -> ExportTo {
        let mut namespaces = BTreeSet::new();
        for (index, entry) in entries.iter().enumerate() {
            match entry.as_str() {
                "*" => return ExportTo::All,
                "." => _ = namespaces.insert(self.namespace().clone()),
                "~" => {}
                name if is_namespace(name) => _ = namespaces.insert(name.into()),
                name => {
                    let message = format!("\"{name}\" is not a namespace; write \".\", \"*\" or a name");
                    self.problems.error(&at.index(index), message);
                }
            }
        }
        if entries.is_empty() { ExportTo::All } else { ExportTo::Namespaces(namespaces) }
    }
}

fn is_namespace(name: &str) -> bool {
    let legal = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    (1..=63).contains(&name.len()) && name.bytes().all(legal) && !name.starts_with('-') && !name.ends_with('-')
}
