//! Walks the directory and reads what changed. Links are followed, hidden files are not (editors and mounted
//! ConfigMaps keep their own there).

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fs::{self, Metadata};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// Deepest nesting of directories, in case links form a circle that has no end.
const MAX_DEPTH: usize = 16;
/// Largest file that is read, in bytes.
const MAX_FILE: u64 = 64 * 1024 * 1024;
/// A file changed this short before it was read may change again without a new time stamp.
const RACY: Duration = Duration::from_secs(1);

/// What a walk found.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Files by their path relative to the root.
    pub(super) files: BTreeMap<Arc<str>, Content>,
    /// Directories to watch.
    pub(super) directories: BTreeSet<PathBuf>,
    /// Directories that could not be read, relative to the root, and why. Files below them are unknown, not gone.
    pub(super) unreadable: Vec<(String, io::Error)>,
}

/// A file as a walk finds it.
#[derive(Debug)]
pub(super) enum Content {
    /// As it was when it was last read.
    Same,
    /// New text.
    Text(String, Stamp),
    /// It cannot be read.
    Failed(io::Error),
}

/// What tells without reading that a file has not changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    modified: Option<SystemTime>,
    length: u64,
    identity: u64,
    read: SystemTime,
}

impl Stamp {
    fn new(metadata: &Metadata) -> Self {
        use std::os::unix::fs::MetadataExt;
        let (modified, length) = (metadata.modified().ok(), metadata.len());
        Self { modified, length, identity: metadata.ino(), read: SystemTime::now() }
    }

    /// Whether a file with this metadata is surely the one that was read.
    fn vouches_for(&self, metadata: &Metadata) -> bool {
        let now = Self::new(metadata);
        let quiet = self.modified.and_then(|at| self.read.duration_since(at).ok()).is_some_and(|age| age > RACY);
        quiet && (self.modified, self.length, self.identity) == (now.modified, now.length, now.identity)
    }
}

/// Walks `root`. `stamps` are those of the last reading.
pub(super) fn scan(root: &Path, stamps: &BTreeMap<Arc<str>, Stamp>) -> io::Result<Found> {
    let mut walk = Walk { root, stamps, found: Found::default(), visited: HashSet::new() };
    walk.directory(root, 0)?;
    Ok(walk.found)
}

struct Walk<'a> {
    root: &'a Path,
    stamps: &'a BTreeMap<Arc<str>, Stamp>,
    found: Found,
    visited: HashSet<PathBuf>,
}

impl Walk<'_> {
    fn directory(&mut self, path: &Path, depth: usize) -> io::Result<()> {
        let real = fs::canonicalize(path)?;
        if depth > MAX_DEPTH || !self.visited.insert(real.clone()) {
            return Ok(());
        }
        let mut entries = fs::read_dir(path)?.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
        entries.sort();
        self.found.directories.insert(real);
        for path in entries {
            self.entry(&path, depth);
        }
        Ok(())
    }

    fn entry(&mut self, path: &Path, depth: usize) {
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else { return };
        if name.starts_with('.') {
            return;
        }
        let metadata = match fs::metadata(path) {
            Ok(metadata) => metadata,
            // Gone since it was listed, or a link to nothing.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return,
            Err(error) => return self.found.unreadable.push((self.relative(path), error)),
        };
        if metadata.is_dir() {
            if let Err(error) = self.directory(path, depth + 1) {
                self.found.unreadable.push((self.relative(path), error));
            }
        } else if name.ends_with(".yaml") || name.ends_with(".yml") {
            self.file(path, &metadata);
        }
    }

    fn file(&mut self, path: &Path, metadata: &Metadata) {
        let name: Arc<str> = self.relative(path).into();
        if let Some(parent) = fs::canonicalize(path).ok().and_then(|real| real.parent().map(Path::to_owned)) {
            self.found.directories.insert(parent);
        }
        let content = match self.stamps.get(&name) {
            Some(stamp) if stamp.vouches_for(metadata) => Content::Same,
            _ => read(path).unwrap_or_else(Content::Failed),
        };
        self.found.files.insert(name, content);
    }

    fn relative(&self, path: &Path) -> String {
        path.strip_prefix(self.root).unwrap_or(path).to_string_lossy().into_owned()
    }
}

fn read(path: &Path) -> io::Result<Content> {
    // The metadata is taken before the text: a change in between makes the stamp too old, not too young.
    let metadata = fs::metadata(path)?;
    if !metadata.is_file() {
        return Err(io::Error::other("is not a regular file"));
    }
    if metadata.len() > MAX_FILE {
        let message = format!("has {} bytes; at most {MAX_FILE} are read; split it", metadata.len());
        return Err(io::Error::other(message));
    }
    let stamp = Stamp::new(&metadata);
    Ok(Content::Text(fs::read_to_string(path)?, stamp))
}
