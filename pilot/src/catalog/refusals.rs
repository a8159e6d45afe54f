//! What data planes refused, and because of which objects: the objects' statuses tell their authors.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::watch;
use xds::ResourceType;

use super::client::Client;
use crate::model::ObjectRef;

/// At most so many refusals are kept of one client.
const MAX_PER_CLIENT: usize = 256;
/// The longest text that is kept, in bytes.
const MAX_TEXT: usize = 2048;

/// A resource that a data plane refused. It keeps the version before; its other resources are not affected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedResource {
    /// The proxy: `<pod>.<namespace>`.
    pub client: String,
    /// The kind of resource.
    pub kind: ResourceType,
    /// The resource.
    pub name: Arc<str>,
    /// What the data plane says.
    pub error: String,
    /// The objects that shaped the resource.
    pub sources: Vec<Arc<ObjectRef>>,
}

/// The refusals of one client by kind and name.
type OfClient = HashMap<(ResourceType, Arc<str>), RefusedResource>;

/// The refusals that stand.
#[derive(Debug)]
pub(super) struct Refusals {
    by_client: Mutex<HashMap<u64, OfClient>>,
    changed: watch::Sender<u64>,
}

impl Default for Refusals {
    fn default() -> Self {
        Self { by_client: Mutex::default(), changed: watch::Sender::new(0) }
    }
}

impl Refusals {
    /// A client refused a resource.
    pub(super) fn add(
        &self,
        client: &Client,
        kind: ResourceType,
        name: &Arc<str>,
        error: &str,
        sources: Vec<Arc<ObjectRef>>,
    ) {
        let refused = RefusedResource {
            client: client.label.clone(),
            kind,
            name: name.clone(),
            error: shortened(error).to_owned(),
            sources,
        };
        let mut all = self.by_client.lock();
        let own = all.entry(client.id).or_default();
        if own.len() < MAX_PER_CLIENT || own.contains_key(&(kind, name.clone())) {
            own.insert((kind, name.clone()), refused);
        }
        drop(all);
        self.tell();
    }

    /// A client took these after all.
    pub(super) fn settle(&self, client: &Client, kind: ResourceType, names: &[Arc<str>]) {
        let mut all = self.by_client.lock();
        let Some(own) = all.get_mut(&client.id) else { return };
        let before = own.len();
        for name in names {
            own.remove(&(kind, name.clone()));
        }
        let changed = own.len() != before;
        if own.is_empty() {
            all.remove(&client.id);
        }
        drop(all);
        if changed {
            self.tell();
        }
    }

    /// A client is gone.
    pub(super) fn forget(&self, client: &Client) {
        if self.by_client.lock().remove(&client.id).is_some() {
            self.tell();
        }
    }

    /// All that stand, in no order.
    pub(super) fn all(&self) -> Vec<RefusedResource> {
        self.by_client.lock().values().flat_map(|own| own.values().cloned()).collect()
    }

    /// Tells of every change.
    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    fn tell(&self) {
        self.changed.send_modify(|count| *count += 1);
    }
}

fn shortened(text: &str) -> &str {
    let end = (0..=MAX_TEXT.min(text.len())).rev().find(|end| text.is_char_boundary(*end)).unwrap_or_default();
    &text[..end]
}
