//! From versions of objects to the world: which version of each object is in force, what they say together, and
//! what that means for each object. A pure function of the objects, the last snapshot and what changed; parts whose
//! objects did not change are shared with the last snapshot.

mod authentication;
mod destination_rules;
mod endpoints;
mod gateway_routes;
mod nodes;
mod references;
mod services;
mod verdict;
mod virtual_services;
mod workloads;

pub use verdict::{Assessment, Verdict};

use crate::api::Kind;
use crate::model::ObjectRef;
use crate::object::{Content, Object, Placed};
use crate::problem::Problems;
use crate::source::Candidates;
use crate::world::{Mesh, World};
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use verdict::choose;

/// The objects of one kind: those in force, and what is to be said of each.
#[derive(Clone, Debug, Default)]
pub struct Objects {
    in_force: BTreeMap<Arc<ObjectRef>, Arc<Object>>,
    assessments: BTreeMap<Arc<ObjectRef>, Arc<Assessment>>,
}

impl Objects {
    /// The contents in force.
    fn contents(&self) -> impl Iterator<Item = (&Arc<ObjectRef>, &Content)> {
        self.in_force.iter().filter_map(|(key, object)| Some((key, object.content.as_ref()?)))
    }

    /// What is to be said of one object.
    pub fn assessment(&self, object: &ObjectRef) -> Option<&Arc<Assessment>> {
        self.assessments.get(object)
    }
}

/// A world, and how it came about.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// The world.
    pub world: World,
    objects: [Arc<Objects>; Kind::COUNT],
}

impl Snapshot {
    /// The snapshot of a mesh without any object.
    pub fn empty(mesh: Arc<Mesh>) -> Self {
        Self { world: World { mesh, ..World::default() }, ..Self::default() }
    }

    /// The objects of one kind.
    pub fn objects(&self, kind: Kind) -> &Arc<Objects> {
        &self.objects[kind as usize]
    }
}

/// The next snapshot. `changed` are the objects whose newest version is not the one that `last` was built from.
pub fn build(candidates: &Candidates, changed: &HashSet<Arc<ObjectRef>>, last: &Snapshot) -> Snapshot {
    let mut next = Build { candidates, changed: Changes::of(candidates, changed, last), last, next: last.clone() };
    next.kind(Kind::Namespace, false, |_, _| {});
    next.kind(Kind::Unsupported, false, |_, _| {});
    next.kind(Kind::Node, false, |_, _| {});
    next.services();
    next.workloads();
    next.endpoints();
    next.destination_rules();
    next.virtual_services();
    next.authentication();
    next.next
}

/// The changed objects by kind.
struct Changes([Vec<Arc<ObjectRef>>; Kind::COUNT]);

impl Changes {
    fn of(candidates: &Candidates, changed: &HashSet<Arc<ObjectRef>>, last: &Snapshot) -> Self {
        let mut by_kind: [Vec<_>; Kind::COUNT] = Default::default();
        for kind in Kind::ALL {
            let (now, before) = (candidates.of(kind), &last.objects(kind).assessments);
            let touched = changed.iter().filter(|key| now.contains_key(*key) || before.contains_key(*key));
            by_kind[kind as usize] = touched.cloned().collect();
        }
        Self(by_kind)
    }

    fn any(&self, kinds: &[Kind]) -> bool {
        kinds.iter().any(|kind| !self.0[*kind as usize].is_empty())
    }

    fn of_kind(&self, kind: Kind) -> &[Arc<ObjectRef>] {
        &self.0[kind as usize]
    }
}

/// A snapshot while it is built, stage by stage.
struct Build<'a> {
    candidates: &'a Candidates,
    changed: Changes,
    last: &'a Snapshot,
    next: Snapshot,
}

impl Build<'_> {
    /// Decides which version of each object of a kind is in force. `check` says what is wrong in view of the stages
    /// before; when those changed, `all` objects are judged again.
    fn kind(&mut self, kind: Kind, all: bool, mut check: impl FnMut(&Content, &mut Problems)) {
        let changed = self.changed.of_kind(kind);
        if !all && changed.is_empty() {
            return;
        }
        let candidates = self.candidates.of(kind);
        let objects = Arc::make_mut(&mut self.next.objects[kind as usize]);
        for gone in changed.iter().filter(|key| !candidates.contains_key(*key)) {
            objects.in_force.remove(gone);
            objects.assessments.remove(gone);
        }
        let mut judge = |key: &Arc<ObjectRef>, placed: &Placed| {
            let (object, assessment) = choose(&placed.object, objects.in_force.get(key), &mut check);
            match object {
                Some(object) => objects.in_force.insert(key.clone(), object),
                None => objects.in_force.remove(key),
            };
            objects.assessments.insert(key.clone(), Arc::new(assessment));
        };
        if all {
            candidates.iter().for_each(|(key, placed)| judge(key, placed));
        } else {
            let found = changed.iter().filter_map(|key| candidates.get_key_value(key));
            found.for_each(|(key, placed)| judge(key, placed));
        }
    }

    /// The objects of a kind as decided in this build.
    fn objects(&self, kind: Kind) -> &Objects {
        self.next.objects(kind)
    }

    /// Says something more of an object that was judged before.
    fn remark(&mut self, object: &Arc<ObjectRef>, kind: Kind, change: impl FnOnce(&mut Assessment)) {
        let objects = Arc::make_mut(&mut self.next.objects[kind as usize]);
        if let Some(assessment) = objects.assessments.get_mut(object) {
            change(Arc::make_mut(assessment));
        }
    }
}
