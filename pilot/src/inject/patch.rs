//! The patch as it grows. Only what changes is named in it, so that fields of a newer cluster that this program does
//! not know stay as they are.

use json_patch::jsonptr::PointerBuf;
use json_patch::{AddOperation, Patch, PatchOperation, RemoveOperation, ReplaceOperation};
use serde_json::Value;
use std::collections::BTreeMap;

#[derive(Debug, Default)]
pub(super) struct Edits(Vec<PatchOperation>);

impl Edits {
    pub(super) fn add(&mut self, at: &[&str], value: Value) {
        self.0.push(PatchOperation::Add(AddOperation { path: pointer(at), value }));
    }

    pub(super) fn replace(&mut self, at: &[&str], value: Value) {
        self.0.push(PatchOperation::Replace(ReplaceOperation { path: pointer(at), value }));
    }

    pub(super) fn remove(&mut self, at: &[&str]) {
        self.0.push(PatchOperation::Remove(RemoveOperation { path: pointer(at) }));
    }

    /// Sets entries of a mapping, which is made when it does not exist.
    pub(super) fn set_all(&mut self, at: &[&str], exists: bool, entries: BTreeMap<String, String>) {
        if !exists {
            return self.add(at, entries.into_iter().collect());
        }
        for (key, value) in entries {
            self.add(&[at, &[&key]].concat(), value.into());
        }
    }

    /// Puts items before those of a list, which is made when it does not exist.
    pub(super) fn insert_first(&mut self, at: &[&str], exists: bool, items: [Value; 2]) {
        if !exists {
            return self.add(at, items.into_iter().collect());
        }
        for (item, index) in items.into_iter().zip(["0", "1"]) {
            self.add(&[at, &[index]].concat(), item);
        }
    }

    /// Puts items behind those of a list, which is made when it does not exist.
    pub(super) fn append(&mut self, at: &[&str], exists: bool, items: Vec<Value>) {
        match (exists, items.is_empty()) {
            (_, true) => {}
            (false, _) => self.add(at, items.into()),
            (true, _) => items.into_iter().for_each(|item| self.add(&[at, &["-"]].concat(), item)),
        }
    }

    pub(super) fn into_patch(self) -> Patch {
        Patch(self.0)
    }
}

fn pointer(at: &[&str]) -> PointerBuf {
    PointerBuf::from_tokens(at.iter().copied())
}
