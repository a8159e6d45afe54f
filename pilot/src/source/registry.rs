//! The newest version of every object that the files hold, and what is wrong with the files themselves.

use super::file::{self, Parsed};
use super::scan::{Content, Found, Stamp};
use crate::api::Kind;
use crate::model::ObjectRef;
use crate::object::Placed;
use crate::validate::Settings;
use crate::yaml::split;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::{DefaultHasher, Hasher};
use std::sync::Arc;

/// Said of what cannot be read while no earlier version of its file is known.
const UNPROTECTED: &str = "; no earlier version of this file is known, so that nothing of it is in force. If it holds \
                           policies (PeerAuthentication), what they protect is open until it is mended";

/// The newest version of each object, by kind and identity.
#[derive(Clone, Debug, Default)]
pub struct Candidates([BTreeMap<Arc<ObjectRef>, Placed>; Kind::COUNT]);

impl Candidates {
    /// The objects of one kind.
    pub fn of(&self, kind: Kind) -> &BTreeMap<Arc<ObjectRef>, Placed> {
        &self.0[kind as usize]
    }

    /// All objects.
    pub fn iter(&self) -> impl Iterator<Item = (&Arc<ObjectRef>, &Placed)> {
        self.0.iter().flatten()
    }

    fn insert(&mut self, placed: Placed) -> Result<(), &Placed> {
        use std::collections::btree_map::Entry;
        match self.0[placed.object.kind as usize].entry(placed.object.reference.clone()) {
            Entry::Occupied(first) => Err(first.into_mut()),
            Entry::Vacant(free) => {
                free.insert(placed);
                Ok(())
            }
        }
    }

    /// The objects whose version is not the same as in `old`, by kind; removed ones too.
    pub fn changed_since(&self, old: &Self) -> HashSet<Arc<ObjectRef>> {
        let mut changed = HashSet::new();
        for (now, before) in self.0.iter().zip(&old.0) {
            let same = |placed: &Placed, key: &Arc<ObjectRef>, other: &BTreeMap<Arc<ObjectRef>, Placed>| {
                other.get(key).is_some_and(|known| Arc::ptr_eq(&known.object, &placed.object))
            };
            changed.extend(now.iter().filter(|(key, placed)| !same(placed, key, before)).map(|(key, _)| key.clone()));
            changed.extend(before.keys().filter(|key| !now.contains_key(*key)).cloned());
        }
        changed
    }
}

/// What is wrong with a file rather than with an object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FileProblem {
    /// The file, relative to the configuration directory.
    pub file: Arc<str>,
    /// Line, from 1; 0 when no line is to blame.
    pub line: u32,
    /// What is wrong, and what would be right.
    pub message: String,
}

/// All files and what they hold.
#[derive(Debug, Default)]
pub(super) struct Registry {
    settings: Settings,
    files: BTreeMap<Arc<str>, File>,
    /// Documents by the hash of their text: an unchanged one is not read again.
    documents: HashMap<[u64; 2], Arc<Parsed>>,
}

#[derive(Debug, Default)]
struct File {
    stamp: Option<Stamp>,
    objects: Vec<Placed>,
    problems: Vec<FileProblem>,
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
                    let problem = FileProblem { file: name.clone(), line: 0, message };
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
            let placed =
                |object: &Arc<_>| Placed { object: Arc::clone(object), file: name.clone(), line: document.line };
            file.objects.extend(parsed.objects.iter().map(placed));
            file.problems.extend(parsed.broken.iter().map(|broken| {
                let line = document.line.saturating_add(broken.line).saturating_sub(1);
                let colon = if broken.field.is_empty() { "" } else { ": " };
                let unprotected = if broken.opaque && old.objects.is_empty() { UNPROTECTED } else { "" };
                let message = format!("{}{colon}{}{unprotected}", broken.field, broken.message);
                FileProblem { file: name.clone(), line, message }
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
        let parsed = self.documents.entry(hash(text)).or_insert_with(|| Arc::new(file::document(text, settings)));
        parsed.clone()
    }

    fn forget_unused_documents(&mut self) {
        let used = self.files.values().flat_map(|file| &file.objects).map(|placed| Arc::as_ptr(&placed.object));
        let used: HashSet<_> = used.collect();
        self.documents.retain(|_, parsed| parsed.objects.iter().any(|object| used.contains(&Arc::as_ptr(object))));
    }

    /// The newest version of each object, and the problems of all files. Of two objects with one identity the
    /// first counts.
    pub(super) fn candidates(&self) -> (Candidates, Vec<FileProblem>) {
        let mut candidates = Candidates::default();
        let mut problems: Vec<_> = self.files.values().flat_map(|file| file.problems.clone()).collect();
        for placed in self.files.values().flat_map(|file| &file.objects) {
            if let Err(first) = candidates.insert(placed.clone()) {
                let (reference, line) = (&placed.object.reference, first.line_of(&Default::default()));
                let message =
                    format!("{reference} is defined before in {}:{line}, which stays in force; remove one", first.file);
                problems.push(FileProblem {
                    file: placed.file.clone(),
                    line: placed.line_of(&Default::default()),
                    message,
                });
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

/// 128 bits of the text; equal hashes mean equal texts.
fn hash(text: &str) -> [u64; 2] {
    [0, 1].map(|seed| {
        let mut hasher = DefaultHasher::new();
        hasher.write_u8(seed);
        hasher.write(text.as_bytes());
        hasher.finish()
    })
}
