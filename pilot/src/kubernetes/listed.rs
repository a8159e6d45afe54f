//! What a watch says is there, through all of its restarts: for each object one word, right or wrong.

use std::collections::HashMap;
use std::hash::Hash;

use kube::runtime::watcher::Event;

/// The objects of one watch by key. An object that is not there is wrong.
#[derive(Debug)]
pub(super) struct Listed<K> {
    right: HashMap<K, bool>,
    relisted: HashMap<K, bool>,
    complete: bool,
}

impl<K: Hash + Eq + Clone> Listed<K> {
    pub(super) fn new() -> Self {
        Self { right: HashMap::new(), relisted: HashMap::new(), complete: false }
    }

    /// Takes an event in; `judge` gives an object's key and whether it is right. Gives the keys to look at again.
    pub(super) fn take<T>(&mut self, event: Event<T>, judge: impl Fn(&T) -> (K, bool)) -> Vec<K> {
        match event {
            Event::Apply(object) => {
                let (key, right) = judge(&object);
                self.right.insert(key.clone(), right);
                vec![key]
            }
            Event::Delete(object) => {
                let (key, _) = judge(&object);
                self.right.remove(&key);
                vec![key]
            }
            Event::Init => {
                self.relisted.clear();
                Vec::new()
            }
            Event::InitApply(object) => {
                let (key, right) = judge(&object);
                self.relisted.insert(key, right);
                Vec::new()
            }
            Event::InitDone => {
                let before = std::mem::replace(&mut self.right, std::mem::take(&mut self.relisted));
                self.complete = true;
                before.into_keys().chain(self.right.keys().cloned()).collect()
            }
        }
    }

    /// Whether everything was listed once; before that nothing is known to be missing.
    pub(super) fn complete(&self) -> bool {
        self.complete
    }

    pub(super) fn has(&self, key: &K) -> bool {
        self.right.contains_key(key)
    }

    pub(super) fn is_right(&self, key: &K) -> bool {
        self.right.get(key).copied().unwrap_or_default()
    }

    /// What is right has changed: nothing is, as it stands.
    pub(super) fn all_wrong(&mut self) {
        self.right.values_mut().for_each(|right| *right = false);
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = &K> {
        self.right.keys()
    }
}
