//! PeerAuthentication, resolved: which workloads take plain text.

use super::{Labels, ObjectRef};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// What a workload's inbound side accepts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum MtlsMode {
    /// Plain text only; TLS is passed to the application.
    Disable,
    /// Both (the API's default).
    #[default]
    Permissive,
    /// Mesh mTLS only.
    Strict,
}

/// All PeerAuthentications in force. Narrowest wins: port, workload, namespace, mesh.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PeerAuthentications {
    /// Mesh-wide mode (root namespace, no selector).
    pub mesh: Option<(MtlsMode, Arc<ObjectRef>)>,
    /// Namespace-wide modes.
    pub namespaces: HashMap<Arc<str>, (MtlsMode, Arc<ObjectRef>)>,
    /// Policies with a selector, by namespace, oldest first.
    pub workloads: HashMap<Arc<str>, Vec<WorkloadMtls>>,
}

/// A PeerAuthentication with a selector.
#[derive(Clone, Debug, PartialEq)]
pub struct WorkloadMtls {
    /// Which workloads.
    pub selector: Labels,
    /// Mode for all ports; None inherits.
    pub mode: Option<MtlsMode>,
    /// Modes by workload port (not service port); None inherits.
    pub ports: BTreeMap<u16, Option<MtlsMode>>,
    /// The object.
    pub source: Arc<ObjectRef>,
}

impl PeerAuthentications {
    /// The mode of one port of a workload, and the object that says so (None: the API's default).
    pub fn decide(&self, namespace: &str, labels: &Labels, port: u16) -> (MtlsMode, Option<&Arc<ObjectRef>>) {
        if let Some((mode, source)) = self.workload(namespace, labels, port) {
            return (mode, Some(source));
        }
        let wide = self.namespaces.get(namespace).or(self.mesh.as_ref());
        wide.map_or((MtlsMode::default(), None), |(mode, source)| (*mode, Some(source)))
    }

    /// The mode of one port of a workload.
    pub fn mode(&self, namespace: &str, labels: &Labels, port: u16) -> MtlsMode {
        self.decide(namespace, labels, port).0
    }

    /// The ports with a mode of their own for a workload.
    pub fn ports(&self, namespace: &str, labels: &Labels) -> impl Iterator<Item = u16> {
        self.selecting(namespace, labels).into_iter().flat_map(|policy| policy.ports.keys().copied())
    }

    fn workload(&self, namespace: &str, labels: &Labels, port: u16) -> Option<(MtlsMode, &Arc<ObjectRef>)> {
        let policy = self.selecting(namespace, labels)?;
        let mode = policy.ports.get(&port).copied().flatten().or(policy.mode)?;
        Some((mode, &policy.source))
    }

    /// The oldest policy that selects a workload; the others are not asked.
    fn selecting(&self, namespace: &str, labels: &Labels) -> Option<&WorkloadMtls> {
        self.workloads.get(namespace)?.iter().find(|policy| labels.selected_by(&policy.selector))
    }
}
