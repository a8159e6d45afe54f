//! What is known of the objects of one kind, event by event.

use super::kinds::{Role, Watched};
use super::metrics::{Did, WatchMetrics};
use super::observed::Observed;
use super::trim::trim;
use super::trouble::{Cause, Trouble};
use crate::model::ObjectRef;
use crate::object::{Origin, Placed};
use crate::source::digest::{Digest, digest};
use crate::source::{Candidates, SourceProblem, file};
use crate::validate::Settings;
use crate::yaml::{Node, Value};
use kube::api::ObjectMeta;
use kube::runtime::watcher::Event;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// One kind.
pub(super) struct Table {
    /// What is watched.
    pub(super) watched: Watched,
    /// What keeps it from being watched.
    pub(super) trouble: Option<Trouble>,
    /// By object, what tells whether it has changed.
    known: HashMap<Arc<ObjectRef>, Digest>,
    /// While a list is under way, what it held so far.
    listing: Option<HashSet<ObjectRef>>,
    /// It was listed to its end at least once.
    listed: bool,
}

/// What events are read with, and what they change.
pub(super) struct Changes<'a> {
    pub(super) settings: &'a Settings,
    pub(super) metrics: &'a WatchMetrics,
    pub(super) candidates: &'a mut Candidates,
}

impl Table {
    /// Knows nothing yet.
    pub(super) fn new(watched: Watched) -> Self {
        Self { watched, trouble: None, known: HashMap::new(), listing: None, listed: false }
    }

    /// Its objects.
    pub(super) fn objects(&self) -> impl Iterator<Item = &Arc<ObjectRef>> {
        self.known.keys()
    }

    /// Whether the first world need not wait for it: it is known, or known to be out of reach.
    pub(super) fn is_settled(&self) -> bool {
        let lasting = self.trouble.as_ref().filter(|trouble| trouble.is_lasting());
        let cause = lasting.map(|trouble| trouble.cause);
        self.listed
            || match self.watched.role {
                Role::NoEffect => cause.is_some(),
                Role::Read(_) => match cause {
                    Some(Cause::Forbidden) => self.watched.can_be_forbidden(),
                    Some(Cause::Gone) => !self.watched.is_needed(),
                    Some(Cause::Other) | None => false,
                },
            }
    }

    /// Whether it was listed to its end at least once.
    pub(super) fn is_listed(&self) -> bool {
        self.listed
    }

    /// Whether the API server answers, but refuses.
    pub(super) fn is_forbidden(&self) -> bool {
        self.trouble.as_ref().is_some_and(|trouble| trouble.cause == Cause::Forbidden)
    }

    /// What there is to be said of watching it.
    pub(super) fn problem(&self) -> Option<SourceProblem> {
        self.trouble.as_ref()?.problem(&self.watched, self.listed)
    }

    /// The list or the watch failed; everything that is known stays. Whether there is something new to be said.
    pub(super) fn failed(&mut self, trouble: Option<Trouble>) -> bool {
        let before = self.problem();
        self.trouble = trouble;
        self.problem() != before
    }

    /// What failed for want of an answer may work now.
    pub(super) fn forget_failures(&mut self) {
        self.trouble = self.trouble.take().filter(|trouble| trouble.cause != Cause::Other);
    }

    /// What was refused may be allowed now.
    pub(super) fn forget_refusals(&mut self) {
        self.trouble = self.trouble.take().filter(|trouble| trouble.cause != Cause::Forbidden);
    }

    /// Takes over one event. Whether it made a difference.
    pub(super) fn event(&mut self, event: Event<Observed>, changes: &mut Changes<'_>) -> bool {
        let changed = match event {
            // Told before anything is asked, so that it says nothing of whether the watch works.
            Event::Init => {
                self.listing = Some(HashSet::new());
                return false;
            }
            Event::InitApply(object) => {
                let key = self.key(&object.metadata);
                let changed = self.apply(object, changes);
                self.listing.get_or_insert_default().insert(key);
                changed
            }
            Event::InitDone => self.end_list(changes),
            Event::Apply(object) => self.apply(object, changes),
            Event::Delete(object) => {
                let key = self.key(&object.metadata);
                self.delete(&key, changes)
            }
        };
        self.failed(None) || changed
    }

    /// What the list did not hold is gone.
    fn end_list(&mut self, changes: &mut Changes<'_>) -> bool {
        let listed = self.listing.take().unwrap_or_default();
        let gone: Vec<_> = self.known.keys().filter(|key| !listed.contains(&***key)).cloned().collect();
        let mut changed = !self.listed;
        for key in gone {
            changed |= self.delete(&key, changes);
        }
        self.listed = true;
        changed
    }

    fn delete(&mut self, key: &ObjectRef, changes: &mut Changes<'_>) -> bool {
        let known = self.known.remove(key).is_some();
        if known {
            changes.candidates.remove(self.watched.kind(), key);
            changes.metrics.event(&self.watched, Did::Delete);
        }
        known
    }

    fn apply(&mut self, Observed { metadata, tree }: Observed, changes: &mut Changes<'_>) -> bool {
        if self.watched.role == Role::NoEffect && is_route_of_others(&self.watched, &tree) {
            let key = self.key(&metadata);
            return self.delete(&key, changes);
        }
        let resource = &self.watched.resource;
        let tree = trim(self.watched.role, &resource.api_version, &resource.kind, tree);
        let (digest, key) = (digest(&tree), self.key(&metadata));
        let origin = Origin::Cluster { generation: metadata.generation, uid: metadata.uid.map(Arc::from) };
        let before = self.known.get(&key).copied();
        if before == Some(digest) {
            changes.metrics.event(&self.watched, Did::UpdateSame);
            return changes.candidates.set_origin(self.watched.kind(), &key, origin);
        }
        changes.metrics.event(&self.watched, if before.is_some() { Did::Update } else { Did::Add });
        match file::object(&tree, changes.settings) {
            Ok(Some(object)) => {
                self.known.insert(object.reference.clone(), digest);
                changes.candidates.put(Placed { object: Arc::new(object), origin });
            }
            Ok(None) => {}
            // An API server holds no object without a name; a kind that it serves and that is unknown is not asked for.
            Err(broken) => {
                tracing::error!(object = %key, field = broken.field, "cannot be read: {}", broken.message);
                return false;
            }
        }
        true
    }

    fn key(&self, metadata: &ObjectMeta) -> ObjectRef {
        let resource = &self.watched.resource;
        let namespace = metadata.namespace.as_deref().unwrap_or_default();
        ObjectRef::new(&resource.group, &resource.kind, namespace, metadata.name.as_deref().unwrap_or_default())
    }
}

/// A route of a kind without effect here that is attached to no Service: it is some gateway's.
fn is_route_of_others(watched: &Watched, tree: &Node) -> bool {
    let parents = tree.get("spec").and_then(|spec| spec.get("parentRefs")).map(|parents| &parents.value);
    let of_service = |parent: &Node| parent.get("kind").and_then(Node::text) == Some("Service");
    match parents {
        _ if watched.metadata_only() => false,
        Some(Value::List(parents)) => !parents.iter().any(of_service),
        _ => true,
    }
}
