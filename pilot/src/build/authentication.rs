//! PeerAuthentications: which one holds in each scope. One that is wrong, and of which no right version is known, is
//! STRICT: what it should protect must not take plain text because of an error in it.

use super::{Build, Verdict};
use crate::api::Kind;
use crate::model::{ObjectRef, PeerAuthentications, WorkloadMtls};
use crate::object::{Content, PeerAuthentication};
use crate::yaml::FieldPath;
use std::collections::HashMap;
use std::sync::Arc;

const STANDS_IN: &str = "STRICT is in force for whom it is for until it is mended: no right version of it is known";
const UNTOLD: &str = "it is not in force, and nothing is in its place, because whom it is for cannot be told: where no \
                      other policy forbids it, plain text is served until it is mended";

/// A policy, or what stands in for it.
struct Policy<'a> {
    key: Arc<ObjectRef>,
    says: &'a PeerAuthentication,
    stands_in: bool,
}

/// Scopes while they are resolved.
#[derive(Default)]
struct Scopes {
    resolved: PeerAuthentications,
    /// The policies without a selector that decide, by namespace.
    wide: HashMap<Arc<str>, Arc<ObjectRef>>,
    /// Policies with the older ones that decide in their place.
    shadowed: Vec<(Arc<ObjectRef>, Arc<ObjectRef>)>,
    /// Wrong policies that something stands in for.
    stood_in: Vec<Arc<ObjectRef>>,
}

impl Build<'_> {
    /// Judges PeerAuthentications and resolves their scopes. Of several in one scope the oldest decides.
    pub(super) fn authentication(&mut self) {
        if !self.changed.any(&[Kind::PeerAuthentication]) {
            return;
        }
        // All of them: what was remarked of one may have been because of another.
        self.kind(Kind::PeerAuthentication, true, |_, _| {});
        let root = self.next.world.mesh.root_namespace.clone();
        let mut scopes = Scopes::default();
        for policy in self.policies() {
            scopes.add(&policy, policy.key.namespace == root);
        }
        let wrong = self.wrong().filter(|(_, stand_in)| stand_in.is_none());
        let untold: Vec<_> = wrong.map(|(key, _)| key.clone()).collect();
        self.next.world.authentication = Arc::new(scopes.resolved);
        for (key, older) in scopes.shadowed {
            self.remark(&key, Kind::PeerAuthentication, |assessment| assessment.shadow(&older));
        }
        let told = scopes.stood_in.into_iter().map(|key| (key, STANDS_IN));
        for (key, message) in told.chain(untold.into_iter().map(|key| (key, UNTOLD))) {
            self.remark(&key, Kind::PeerAuthentication, |assessment| assessment.warn(&FieldPath::default(), message));
        }
    }

    /// Those in force and what stands in for wrong ones, oldest first.
    fn policies(&self) -> Vec<Policy<'_>> {
        let contents = self.objects(Kind::PeerAuthentication).contents();
        let right = contents.map(|(key, content)| (key, content, false));
        let wrong = self.wrong().filter_map(|(key, stand_in)| Some((key, stand_in?, true)));
        let mut policies: Vec<_> = right
            .chain(wrong)
            .filter_map(|(key, content, stands_in)| match content {
                Content::PeerAuthentication(says) => Some(Policy { key: key.clone(), says, stands_in }),
                _ => None,
            })
            .collect();
        policies.sort_by_key(|policy| (policy.says.creation, policy.key.name.clone(), policy.key.namespace.clone()));
        policies
    }

    /// Those of which no version is in force, with what stands in for them.
    fn wrong(&self) -> impl Iterator<Item = (&Arc<ObjectRef>, Option<&Content>)> {
        let known = self.objects(Kind::PeerAuthentication);
        self.candidates.of(Kind::PeerAuthentication).iter().filter_map(|(key, placed)| {
            let none = Verdict::Rejected { last_good_in_force: false };
            (known.assessment(key)?.verdict == none).then_some((key, placed.object.stand_in.as_ref()))
        })
    }
}

impl Scopes {
    fn add(&mut self, policy: &Policy<'_>, root: bool) {
        let Policy { key, says, stands_in } = policy;
        match &says.selector {
            Some(_) if root => return,
            Some(selector) => {
                let workloads = self.resolved.workloads.entry(key.namespace.clone()).or_default();
                let (selector, mode, ports) = (selector.clone(), says.mode, says.ports.clone());
                workloads.push(WorkloadMtls { selector, mode, ports, source: key.clone() });
            }
            None => {
                if let Some(older) = self.wide.get(&key.namespace) {
                    self.shadowed.push((key.clone(), older.clone()));
                    return;
                }
                self.wide.insert(key.namespace.clone(), key.clone());
                let mode = says.mode.map(|mode| (mode, key.clone()));
                if root {
                    self.resolved.mesh = mode;
                } else if let Some(mode) = mode {
                    self.resolved.namespaces.insert(key.namespace.clone(), mode);
                }
            }
        }
        if *stands_in {
            self.stood_in.push(key.clone());
        }
    }
}
