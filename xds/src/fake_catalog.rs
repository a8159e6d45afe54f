//! A catalog for tests: a map of resources that tells its changes and writes down what it was told.
#![allow(clippy::unwrap_used)]

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
};

use prost::Message;
use tokio::sync::broadcast;

use crate::{
    Resource, ResourceType,
    google::Any,
    node::NodeInfo,
    server::{Catalog, Change, Refusal},
};

/// What stands for any message: a name in field 1, as in all of Envoy's, and some content.
#[derive(Clone, PartialEq, Message)]
struct Content {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(bytes = "vec", tag = "1000")]
    content: Vec<u8>,
}

/// A resource whose version is given, not computed.
pub(crate) fn resource(kind: ResourceType, name: &str, version: &str, size: usize) -> Resource {
    let content = Content { name: name.into(), content: vec![1; size] };
    let any = Any { type_url: kind.type_url().into(), value: content.encode_to_vec() };
    Resource { name: name.into(), version: version.into(), any }
}

pub(crate) struct FakeCatalog {
    inner: Mutex<Inner>,
    changed: broadcast::Sender<Arc<Change>>,
}

#[derive(Default)]
struct Inner {
    resources: BTreeMap<(ResourceType, String), Arc<Resource>>,
    wildcard: BTreeSet<(ResourceType, String)>,
    calls: Vec<String>,
    changes: u64,
    settled: u64,
}

impl FakeCatalog {
    pub fn new() -> Arc<Self> {
        Arc::new(Self { inner: Mutex::default(), changed: broadcast::channel(64).0 })
    }

    /// Sets a resource that `*` stands for.
    pub fn set(&self, kind: ResourceType, name: &str, version: &str) -> Arc<Change> {
        self.inner.lock().unwrap().wildcard.insert((kind, name.into()));
        self.put(kind, name, version, 0)
    }

    /// Sets a resource of some size; `*` stands for it only if it did before.
    pub fn put(&self, kind: ResourceType, name: &str, version: &str, size: usize) -> Arc<Change> {
        let resource = Arc::new(resource(kind, name, version, size));
        self.inner.lock().unwrap().resources.insert((kind, name.into()), resource);
        self.tell(kind, name)
    }

    pub fn remove(&self, kind: ResourceType, name: &str) -> Arc<Change> {
        self.inner.lock().unwrap().resources.remove(&(kind, name.into()));
        self.hide(kind, name)
    }

    /// `*` does not stand for the name any more.
    pub fn hide(&self, kind: ResourceType, name: &str) -> Arc<Change> {
        self.inner.lock().unwrap().wildcard.remove(&(kind, name.into()));
        self.tell(kind, name)
    }

    fn tell(&self, kind: ResourceType, name: &str) -> Arc<Change> {
        let touched = [(kind, Arc::from(name))].into();
        let change = Arc::new(Change { touched, wildcard: true, number: self.next_number(), ..Change::default() });
        drop(self.changed.send(change.clone()));
        change
    }

    fn next_number(&self) -> u64 {
        let mut inner = self.inner.lock().unwrap();
        inner.changes += 1;
        inner.changes
    }

    /// The change up to which the client has answered everything.
    pub fn settled_up_to(&self) -> u64 {
        self.inner.lock().unwrap().settled
    }

    pub fn version(&self, kind: ResourceType, name: &str) -> Option<String> {
        let inner = self.inner.lock().unwrap();
        inner.resources.get(&(kind, name.into())).map(|resource| resource.version.to_string())
    }

    pub fn covers(&self, kind: ResourceType, name: &str) -> bool {
        self.inner.lock().unwrap().wildcard.contains(&(kind, name.into()))
    }

    /// What the catalog was told since the last call.
    pub fn calls(&self) -> Vec<String> {
        std::mem::take(&mut self.inner.lock().unwrap().calls)
    }

    fn note(&self, call: String) {
        self.inner.lock().unwrap().calls.push(call);
    }
}

impl Catalog for FakeCatalog {
    type Client = ();

    fn admit(&self, node: &NodeInfo, _: Option<&str>) -> Result<Arc<()>, Refusal> {
        if node.namespace == "forbidden" {
            return Err(Refusal::PermissionDenied("node says namespace forbidden".into()));
        }
        self.note(format!("admit {}", node.pod));
        Ok(Arc::new(()))
    }

    fn wildcard(&self, (): &(), kind: ResourceType) -> Vec<Arc<str>> {
        let inner = self.inner.lock().unwrap();
        inner.wildcard.iter().filter(|(other, _)| *other == kind).map(|(_, name)| Arc::from(name.as_str())).collect()
    }

    fn resource(&self, (): &(), kind: ResourceType, name: &str) -> Option<Arc<Resource>> {
        self.inner.lock().unwrap().resources.get(&(kind, name.into())).cloned()
    }

    fn changes(&self) -> broadcast::Receiver<Arc<Change>> {
        self.changed.subscribe()
    }

    fn held(&self, (): &(), kind: ResourceType, names: &[Arc<str>]) {
        let mut names = names.to_vec();
        names.sort();
        self.note(format!("held {kind} {}", names.join(" ")));
    }

    fn subscribed(&self, (): &(), kind: ResourceType, added: &[Arc<str>], removed: &[Arc<str>]) {
        self.note(format!("subscribed {kind} +[{}] -[{}]", added.join(" "), removed.join(" ")));
    }

    fn acknowledged(&self, (): &(), kind: ResourceType, names: &[Arc<str>]) {
        self.note(format!("acknowledged {kind} {}", names.join(" ")));
    }

    fn rejected(&self, (): &(), kind: ResourceType, names: &[Arc<str>], error: &str) {
        self.note(format!("rejected {kind} {}: {error}", names.join(" ")));
    }

    fn settled(&self, (): &(), change: u64) {
        self.inner.lock().unwrap().settled = change;
    }

    fn disconnected(&self, (): &()) {
        self.note("disconnected".into());
    }
}
