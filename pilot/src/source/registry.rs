//! The newest version of every object that the files hold, and what is wrong with the files themselves.

use super::candidates::Candidates;
use super::digest::{Digest, digest};
use super::file::{self, Parsed};
use super::problem::SourceProblem;
use super::scan::{Content, Found, Stamp};
use crate::object::{Origin, Placed};
use crate::validate::Settings;
use crate::yaml::split;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

/// Said of what cannot be read while no earlier version of its file is known.
const UNPROTECTED: &str = "; no earlier version of this file is known, so that nothing of it is in force. If it holds \
                           policies (PeerAuthentication), what they protect is open until it is mended";

/// All files and what they hold.
#[derive(Debug, Default)]
pub(super) struct Registry {
    settings: Settings,
    files: BTreeMap<Arc<str>, File>,
    /// Documents by the hash of their text: an unchanged one is not read again.
    documents: HashMap<Digest, Arc<Parsed>>,
}

#[derive(Debug, Default)]
struct File {
    stamp: Option<Stamp>,
    objects: Vec<Placed>,
    problems: Vec<SourceProblem>,
}

impl Registry {
    pub(super) fn new(settings: Settings) -> Self {
        Self { settings, ..Self::default() }
    }

    /// The stamps of all files that were read.
    pub(super) fn stamps(&self) -> BTreeMap<Arc<str>, Stamp> {
        let known = self.files.iter().filter_map(|(name, file)| Some((name.clone(), file.stamp.clone()?)));
        known.collect()
    }

    /// Whether `found` is what was taken over last, as most looks at the files find.
    pub(super) fn is_unchanged(&self, found: &Found) -> bool {
        found.unreadable.is_empty()
            && found.files.len() == self.files.len()
            && found.files.values().all(|content| matches!(content, Content::Same))
    }

    /// Whether taking over `found` would remove objects. A file that is being replaced or written looks so for
    /// a moment.
    pub(super) fn would_lose(&self, found: &Found) -> bool {
        self.files.iter().any(|(name, file)| {
            !file.objects.is_empty()
                && match found.files.get(name) {
                    None => !below_unreadable(name, found),
                    Some(Content::Text(text, _)) => split(text).len() < file.objects.len(),
                    Some(Content::Same | Content::Failed(_)) => false,
                }
        })
    }

    /// Takes over what a walk found.
    pub(super) fn apply(&mut self, found: Found) {
        let gone = |name: &Arc<str>| !found.files.contains_key(name) && !below_unreadable(name, &found);
        self.files.retain(|name, _| !gone(name));
        for (name, content) in found.files {
            let old = self.files.remove(&name).unwrap_or_default();
            let new = match content {
                Content::Same => old,
                Content::Text(text, stamp) => self.read(&name, &text, stamp, old),
                Content::Failed(error) => {
                    let unprotected = if old.objects.is_empty() { UNPROTECTED } else { "" };
                    let message = format!("cannot be read: {error}{unprotected}");
                    let problem = SourceProblem::in_file(&name, 0, message);
                    File { stamp: None, objects: old.objects, problems: vec![problem] }
                }
            };
            self.files.insert(name, new);
        }
        self.forget_unused_documents();
    }

    /// Reads a file. While one of its documents is broken nobody knows which object that was meant to be, so
    /// objects of the old file that the new one lacks stay.
    fn read(&mut self, name: &Arc<str>, text: &str, stamp: Stamp, old: File) -> File {
        let mut file = File { stamp: Some(stamp), ..File::default() };
        for document in split(text) {
            let parsed = self.document(document.text);
            let origin = Origin::File { file: name.clone(), line: document.line };
            let placed = |object: &Arc<_>| Placed { object: Arc::clone(object), origin: origin.clone() };
            file.objects.extend(parsed.objects.iter().map(placed));
            file.problems.extend(parsed.broken.iter().map(|broken| {
                let line = document.line.saturating_add(broken.line).saturating_sub(1);
                let colon = if broken.field.is_empty() { "" } else { ": " };
                let unprotected = if broken.opaque && old.objects.is_empty() { UNPROTECTED } else { "" };
                let message = format!("{}{colon}{}{unprotected}", broken.field, broken.message);
                SourceProblem::in_file(name, line, message)
            }));
        }
        if !file.problems.is_empty() {
            let here: HashSet<_> = file.objects.iter().map(|placed| placed.object.reference.clone()).collect();
            file.objects.extend(old.objects.into_iter().filter(|placed| !here.contains(&placed.object.reference)));
        }
        file
    }

    fn document(&mut self, text: &str) -> Arc<Parsed> {
        let settings = &self.settings;
        let parsed = self.documents.entry(digest(text)).or_insert_with(|| Arc::new(file::document(text, settings)));
        parsed.clone()
    }

    fn forget_unused_documents(&mut self) {
        let used = self.files.values().flat_map(|file| &file.objects).map(|placed| Arc::as_ptr(&placed.object));
        let used: HashSet<_> = used.collect();
        self.documents.retain(|_, parsed| parsed.objects.iter().any(|object| used.contains(&Arc::as_ptr(object))));
    }

    /// The newest version of each object, and the problems of all files. Of two objects with one identity the
    /// first counts.
    pub(super) fn candidates(&self) -> (Candidates, Vec<SourceProblem>) {
        let mut candidates = Candidates::default();
        let mut problems: Vec<_> = self.files.values().flat_map(|file| file.problems.clone()).collect();
        for placed in self.files.values().flat_map(|file| &file.objects) {
            if let Err(first) = candidates.insert(placed.clone()) {
                let (reference, first) = (&placed.object.reference, first.place());
                let message = format!("{reference} is defined before in {first}, which stays in force; remove one");
                problems.push(SourceProblem { place: placed.place(), message });
            }
        }
        problems.sort();
        (candidates, problems)
    }
}

fn below_unreadable(name: &str, found: &Found) -> bool {
    found
        .unreadable
        .iter()
        .any(|(path, _)| name.strip_prefix(path.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')))
}
