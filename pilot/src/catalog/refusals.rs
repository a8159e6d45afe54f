//! What data planes refused, and because of which objects: the objects' statuses tell their authors.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::watch;
use xds::ResourceType;

use super::client::Client;
use crate::model::ObjectRef;

/// At most so many refusals are kept of one client.
const MAX_PER_CLIENT: usize = 256;
/// The longest reason that is kept, in characters.
const MAX_REASON: usize = 500;
/// What Envoy's word of the cause begins with, after a dump of the resource.
const CAUSE: &str = ": Proto constraint";

/// A resource that a data plane refused. It keeps the version before; its other resources are not affected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedResource {
    /// The proxy: `<pod>.<namespace>`.
    pub client: String,
    /// The kind of resource.
    pub kind: ResourceType,
    /// The resource.
    pub name: Arc<str>,
    /// The cause that the data plane names, at most 500 characters.
    pub error: String,
    /// The objects that shaped the resource.
    pub sources: Vec<Arc<ObjectRef>>,
}

impl fmt::Display for RefusedResource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} refuses {} {}: {}", self.client, self.kind, self.name, self.error)
    }
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
        let refused =
            RefusedResource { client: client.label.clone(), kind, name: name.clone(), error: reason(error), sources };
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

/// What a person needs of a data plane's words.
fn reason(text: &str) -> String {
    let cause = text.rfind(CAUSE).map_or(text, |at| &text[at + ": ".len()..]).trim();
    match cause.char_indices().nth(MAX_REASON) {
        Some((end, _)) => format!("{}...", &cause[..end]),
        None => cause.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_tells_the_cause_and_not_the_whole_resource() {
        let dump = "name: \"x\"\n".repeat(1000);
        let error = format!(
            "Error adding/updating listener(s) x: {dump}: Proto constraint validation failed \
             (ListenerValidationError.Address: value is required)"
        );
        let refused = RefusedResource {
            client: "web-0.shop".into(),
            kind: ResourceType::Listener,
            name: "x".into(),
            error: reason(&error),
            sources: Vec::new(),
        };
        let expected = "web-0.shop refuses LDS x: Proto constraint validation failed \
                        (ListenerValidationError.Address: value is required)";
        assert_eq!(refused.to_string(), expected);
        assert_eq!(reason(&"é".repeat(501)), "é".repeat(500) + "...");
        assert_eq!(reason("no such curve"), "no such curve");
    }
}
