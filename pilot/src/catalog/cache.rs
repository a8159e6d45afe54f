//! Generated resources by what they depend on: one for a thousand proxies if nothing of them matters, and made again
//! only when something that it read has changed.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use record::LogLimit;
use xds::{Resource, ResourceType};

use super::index::Index;
use super::pool::Pool;
use crate::diff::{Changed, Key};
use crate::generate::{self, Families, Generated, Varies, Viewer};
use crate::model::{Labels, ObjectRef};
use crate::world::World;

/// When more resources than this are kept, all are forgotten.
const MAX_ENTRIES: usize = 1_000_000;
/// When more names than this are kept of which there is no resource, those are forgotten: clients choose them.
const MAX_MISSES: usize = 100_000;
/// The longest name that a resource may have, in bytes; a host has at most 253.
const MAX_NAME: usize = 512;

static FORGOT: LogLimit = LogLimit::new(Duration::from_secs(5));

/// The resources of one world.
#[derive(Debug)]
pub(super) struct Cache {
    world: Arc<World>,
    /// What of a proxy matters for a name, by kind, name and namespace.
    varies: HashMap<(ResourceType, Arc<str>, Arc<str>), Varies>,
    entries: HashMap<Slot, Entry>,
    index: Index<Slot>,
    pool: Pool,
    /// How many entries have no resource.
    misses: usize,
    /// Entries were forgotten: what changes next cannot be told exactly.
    forgot: bool,
}

/// A resource and the proxies that it is for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Slot {
    kind: ResourceType,
    name: Arc<str>,
    namespace: Arc<str>,
    labels: Option<Labels>,
    address: Option<IpAddr>,
    families: Option<Families>,
}

#[derive(Debug)]
struct Entry {
    resource: Option<Arc<Resource>>,
    reads: HashSet<Key>,
    sources: Vec<Arc<ObjectRef>>,
    viewer: Viewer,
}

/// What a new world did to the resources.
#[derive(Debug, Default)]
pub(super) struct Effect {
    /// Those with another content, and those that came or went.
    pub touched: HashSet<(ResourceType, Arc<str>)>,
    /// More may have changed.
    pub everything: bool,
    /// How many were made again.
    pub generated: Vec<ResourceType>,
}

impl Cache {
    pub(super) fn new(world: Arc<World>) -> Self {
        Self {
            world,
            varies: HashMap::new(),
            entries: HashMap::new(),
            index: Index::default(),
            pool: Pool::default(),
            misses: 0,
            forgot: false,
        }
    }

    pub(super) fn world(&self) -> &Arc<World> {
        &self.world
    }

    /// The resource of that name for a proxy, and whether it had to be made.
    pub(super) fn get(&mut self, viewer: &Viewer, kind: ResourceType, name: &str) -> (Option<Arc<Resource>>, bool) {
        let name: Arc<str> = name.into();
        if let Some(entry) = self.slot(viewer, kind, &name).and_then(|slot| self.entries.get(&slot)) {
            return (entry.resource.clone(), false);
        }
        if name.len() > MAX_NAME || !generate::is_name(kind, &name) {
            return (None, false);
        }
        if self.entries.len() >= MAX_ENTRIES {
            self.forget();
        }
        if self.misses >= MAX_MISSES {
            self.forget_misses();
        }
        (self.make(viewer, kind, &name).0, true)
    }

    /// The resources that differ by the labels of the proxies of a namespace.
    pub(super) fn by_labels(&self, namespace: &str) -> impl Iterator<Item = (ResourceType, Arc<str>)> {
        let differ = self.varies.iter().filter(move |((_, _, of), varies)| **of == *namespace && varies.by_labels);
        differ.map(|((kind, name, _), _)| (*kind, name.clone()))
    }

    /// The objects that shaped a resource which a proxy has; none for a resource that is not kept.
    pub(super) fn sources(&self, viewer: &Viewer, kind: ResourceType, name: &str) -> Vec<Arc<ObjectRef>> {
        let entry = self.slot(viewer, kind, &name.into()).and_then(|slot| self.entries.get(&slot));
        entry.map(|entry| entry.sources.clone()).unwrap_or_default()
    }

    /// Takes a new world, and makes again what read something that changed.
    pub(super) fn update(&mut self, world: Arc<World>, changed: &Changed) -> Effect {
        self.world = world;
        let mut effect = Effect { everything: std::mem::take(&mut self.forgot), ..Effect::default() };
        for slot in self.index.affected(changed) {
            let Some(old) = self.drop_entry(&slot) else { continue };
            let gone = slot.address.is_some_and(|address| self.world.workload_info(address).is_none());
            let (new, split) = if gone { (None, false) } else { self.make(&old.viewer, slot.kind, &slot.name) };
            effect.generated.push(slot.kind);
            let version = |resource: &Option<Arc<Resource>>| resource.as_ref().map(|resource| resource.version.clone());
            // Proxies that shared the old resource may now have another one than its viewer.
            if gone || split || version(&old.resource) != version(&new) {
                effect.touched.insert((slot.kind, slot.name));
            }
        }
        effect
    }

    /// Makes a resource, and says whether it depends on more of the proxy than was known.
    fn make(&mut self, viewer: &Viewer, kind: ResourceType, name: &Arc<str>) -> (Option<Arc<Resource>>, bool) {
        let Generated { resource, reads, varies, sources } = generate::generate(&self.world, viewer, kind, name);
        let resource = resource.map(|resource| self.pool.share(kind, resource));
        let known = self.varies.entry((kind, name.clone(), viewer.namespace.clone())).or_default();
        let before = *known;
        known.by_labels |= varies.by_labels;
        known.by_address |= varies.by_address;
        known.by_families |= varies.by_families;
        let split = *known != before;
        let slot = Slot::of(viewer, kind, name.clone(), *known);
        self.drop_entry(&slot);
        self.index.add(&slot, &reads);
        self.misses += usize::from(resource.is_none());
        self.entries.insert(slot, Entry { resource: resource.clone(), reads, sources, viewer: viewer.clone() });
        (resource, split)
    }

    /// Where a resource is kept; `None` as long as it is not known what it depends on.
    fn slot(&self, viewer: &Viewer, kind: ResourceType, name: &Arc<str>) -> Option<Slot> {
        let varies = self.varies.get(&(kind, name.clone(), viewer.namespace.clone()))?;
        Some(Slot::of(viewer, kind, name.clone(), *varies))
    }

    fn drop_entry(&mut self, slot: &Slot) -> Option<Entry> {
        let entry = self.entries.remove(slot)?;
        self.index.remove(slot, &entry.reads);
        self.misses -= usize::from(entry.resource.is_none());
        Some(entry)
    }

    fn forget_misses(&mut self) {
        if let Some(suppressed) = FORGOT.admit() {
            tracing::warn!(
                misses = self.misses,
                suppressed,
                "too many resources are asked for that do not exist; the next change makes every proxy compare all \
                 that it has. Some client subscribes to very many such names: see the metric \
                 pilot_xds_resources_generated"
            );
        }
        let nothing = self.entries.iter().filter(|(_, entry)| entry.resource.is_none());
        let misses: Vec<Slot> = nothing.map(|(slot, _)| slot.clone()).collect();
        for slot in &misses {
            self.drop_entry(slot);
        }
        let key = |slot: &Slot| (slot.kind, slot.name.clone(), slot.namespace.clone());
        let kept: HashSet<_> = self.entries.keys().map(key).collect();
        self.varies.retain(|key, _| kept.contains(key));
        self.forgot = true;
    }

    fn forget(&mut self) {
        tracing::warn!(
            entries = self.entries.len(),
            "too many resources are asked for; all are forgotten and made again as needed. Some client subscribes to \
             very many names: see the metric pilot_xds_resources_generated"
        );
        let world = self.world.clone();
        *self = Self { forgot: true, ..Self::new(world) };
    }
}

impl Slot {
    fn of(viewer: &Viewer, kind: ResourceType, name: Arc<str>, varies: Varies) -> Self {
        Self {
            kind,
            name,
            namespace: viewer.namespace.clone(),
            labels: varies.by_labels.then(|| viewer.labels.clone()),
            address: varies.by_address.then_some(viewer.address),
            families: varies.by_families.then_some(viewer.families),
        }
    }
}
