//! The inverted index: which cached resources read which part of the world.

use std::collections::{HashMap, HashSet};
use std::hash::Hash;

use crate::diff::{Changed, Key};

/// Readers by what they read.
#[derive(Debug)]
pub(super) struct Index<T> {
    readers: HashMap<Key, HashSet<T>>,
}

impl<T> Default for Index<T> {
    fn default() -> Self {
        Self { readers: HashMap::new() }
    }
}

impl<T: Clone + Eq + Hash> Index<T> {
    /// Notes what a reader read.
    pub(super) fn add(&mut self, reader: &T, reads: &HashSet<Key>) {
        for key in reads {
            self.readers.entry(key.clone()).or_default().insert(reader.clone());
        }
    }

    /// Forgets what a reader read.
    pub(super) fn remove(&mut self, reader: &T, reads: &HashSet<Key>) {
        for key in reads {
            if let Some(readers) = self.readers.get_mut(key) {
                readers.remove(reader);
                if readers.is_empty() {
                    self.readers.remove(key);
                }
            }
        }
    }

    /// Everybody who read something that changed.
    pub(super) fn affected(&self, changed: &Changed) -> HashSet<T> {
        changed.iter().filter_map(|key| self.readers.get(key)).flatten().cloned().collect()
    }
}
