//! Equal resources exist once: what different proxies get separately is often the same.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use xds::{Resource, ResourceType};

/// Resources in use by kind and version.
#[derive(Debug, Default)]
pub(super) struct Pool {
    known: HashMap<(ResourceType, Arc<str>), Weak<Resource>>,
    /// The size at which the dead are cleared away.
    sweep_at: usize,
}

impl Pool {
    /// The resource itself, or one that is equal and already in use.
    pub(super) fn share(&mut self, kind: ResourceType, resource: Arc<Resource>) -> Arc<Resource> {
        let key = (kind, resource.version.clone());
        if let Some(known) = self.known.get(&key).and_then(Weak::upgrade).filter(|known| **known == *resource) {
            return known;
        }
        if self.known.len() >= self.sweep_at {
            self.known.retain(|_, known| known.strong_count() > 0);
            self.sweep_at = (self.known.len() * 2).max(1024);
        }
        self.known.insert(key, Arc::downgrade(&resource));
        resource
    }
}
