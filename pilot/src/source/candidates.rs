//! The newest version of every object that the source holds.

use crate::api::Kind;
use crate::model::ObjectRef;
use crate::object::{Origin, Placed};
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

type Table = BTreeMap<Arc<ObjectRef>, Placed>;

/// The newest version of each object, by kind and identity. Cheap to clone: kinds that did not change are shared.
#[derive(Clone, Debug, Default)]
pub struct Candidates([Arc<Table>; Kind::COUNT]);

impl Candidates {
    /// The objects of one kind.
    pub fn of(&self, kind: Kind) -> &Table {
        &self.0[kind as usize]
    }

    /// All objects.
    pub fn iter(&self) -> impl Iterator<Item = (&Arc<ObjectRef>, &Placed)> {
        self.0.iter().flat_map(|table| table.iter())
    }

    /// Adds an object; the one with its identity that is there already, if there is one, stays and is returned.
    pub(super) fn insert(&mut self, placed: Placed) -> Result<(), &Placed> {
        use std::collections::btree_map::Entry;
        let table = Arc::make_mut(&mut self.0[placed.object.kind as usize]);
        match table.entry(placed.object.reference.clone()) {
            Entry::Occupied(first) => Err(first.into_mut()),
            Entry::Vacant(free) => {
                free.insert(placed);
                Ok(())
            }
        }
    }

    /// Puts a version in place of the one before.
    pub(super) fn put(&mut self, placed: Placed) {
        let table = Arc::make_mut(&mut self.0[placed.object.kind as usize]);
        table.insert(placed.object.reference.clone(), placed);
    }

    /// Notes where the version that is there stands now. Whether that is news.
    pub(super) fn set_origin(&mut self, kind: Kind, object: &ObjectRef, origin: Origin) -> bool {
        if self.of(kind).get(object).is_none_or(|placed| placed.origin == origin) {
            return false;
        }
        if let Some(placed) = Arc::make_mut(&mut self.0[kind as usize]).get_mut(object) {
            placed.origin = origin;
        }
        true
    }

    /// Drops an object.
    pub(super) fn remove(&mut self, kind: Kind, object: &ObjectRef) {
        if self.of(kind).contains_key(object) {
            Arc::make_mut(&mut self.0[kind as usize]).remove(object);
        }
    }

    /// The objects whose version is not the same as in `old`; removed ones too.
    pub fn changed_since(&self, old: &Self) -> HashSet<Arc<ObjectRef>> {
        self.differing(old, |now, before| Arc::ptr_eq(&now.object, &before.object))
    }

    /// As [`Candidates::changed_since`], with those that only got another generation or identity in their cluster.
    pub fn touched_since(&self, old: &Self) -> HashSet<Arc<ObjectRef>> {
        self.differing(old, |now, before| {
            let counted = matches!(now.origin, Origin::Cluster { .. });
            Arc::ptr_eq(&now.object, &before.object) && (!counted || now.origin == before.origin)
        })
    }

    fn differing(&self, old: &Self, same: impl Fn(&Placed, &Placed) -> bool) -> HashSet<Arc<ObjectRef>> {
        let mut differing = HashSet::new();
        for (now, before) in self.0.iter().zip(&old.0).filter(|(now, before)| !Arc::ptr_eq(now, before)) {
            let fresh = now.iter().filter(|(key, placed)| !before.get(*key).is_some_and(|known| same(placed, known)));
            differing.extend(fresh.map(|(key, _)| key.clone()));
            differing.extend(before.keys().filter(|key| !now.contains_key(*key)).cloned());
        }
        differing
    }
}
