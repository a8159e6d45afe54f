//! PeerAuthentications: which one holds in each scope.

use super::Build;
use crate::api::Kind;
use crate::model::{ObjectRef, PeerAuthentications, WorkloadMtls};
use crate::object::{Content, PeerAuthentication};
use std::collections::HashMap;
use std::sync::Arc;

impl Build<'_> {
    /// Judges PeerAuthentications and resolves their scopes. Of several in one scope the oldest decides.
    pub(super) fn authentication(&mut self) {
        if !self.changed.any(&[Kind::PeerAuthentication]) {
            return;
        }
        self.kind(Kind::PeerAuthentication, false, |_, _| {});
        let mut resolved = PeerAuthentications::default();
        let mut wide = HashMap::<Arc<str>, Arc<ObjectRef>>::new();
        let mut shadowed = Vec::new();
        for (key, policy) in self.policies() {
            let root = key.namespace == self.next.world.mesh.root_namespace;
            match &policy.selector {
                Some(_) if root => {}
                Some(selector) => {
                    let workloads = resolved.workloads.entry(key.namespace.clone()).or_default();
                    let ports = policy.ports.clone();
                    let (selector, mode) = (selector.clone(), policy.mode);
                    workloads.push(WorkloadMtls { selector, mode, ports, source: key.clone() });
                }
                None => match wide.get(&key.namespace) {
                    Some(older) => shadowed.push((key.clone(), older.clone())),
                    None => {
                        wide.insert(key.namespace.clone(), key.clone());
                        let mode = policy.mode.map(|mode| (mode, key.clone()));
                        if root {
                            resolved.mesh = mode;
                        } else if let Some(mode) = mode {
                            resolved.namespaces.insert(key.namespace.clone(), mode);
                        }
                    }
                },
            }
        }
        self.next.world.authentication = Arc::new(resolved);
        for (key, older) in shadowed {
            self.remark(&key, Kind::PeerAuthentication, |assessment| assessment.shadow(&older));
        }
    }

    /// Those in force, oldest first.
    fn policies(&self) -> Vec<(Arc<ObjectRef>, &PeerAuthentication)> {
        let contents = self.objects(Kind::PeerAuthentication).contents();
        let mut policies: Vec<_> = contents
            .filter_map(|(key, content)| match content {
                Content::PeerAuthentication(policy) => Some((key.clone(), policy)),
                _ => None,
            })
            .collect();
        policies.sort_by_key(|(key, policy)| (policy.creation, key.name.clone(), key.namespace.clone()));
        policies
    }
}
