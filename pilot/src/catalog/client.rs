//! What Pilot keeps of a connected proxy, and whom it lets in: a proxy gets its own configuration and no other's.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use citadel::spiffe::SpiffeId;
use parking_lot::Mutex;
use xds::node::NodeInfo;
use xds::server::Refusal;

use super::needs::{Group, Name};
use crate::generate::{Families, Viewer};
use crate::model::{Labels, Workload};
use crate::world::World;

/// A connected proxy.
#[derive(Debug)]
pub struct Client {
    /// Tells one connection from another of the same proxy.
    pub(super) id: u64,
    /// `<pod>.<namespace>`, for people.
    pub(super) label: String,
    /// What its resources depend on, as it was when the proxy connected; see [`Client::viewer_in`].
    viewer: Viewer,
    /// Its service account, as its certificate proves.
    pub(super) service_account: Arc<str>,
    /// Takes what it needs by name, instead of everything.
    pub(super) on_demand: bool,
    /// Its fellow replicas.
    pub(super) group: Group,
    /// What it asked for by name and counts among its group's needs.
    pub(super) asked: Mutex<HashSet<Name>>,
    /// What `*` has brought it. This is not taken away again while it exists, for it may be in use.
    pub(super) covered: Mutex<HashSet<Name>>,
    /// The last change of the catalog up to which it has answered everything.
    pub(super) settled: AtomicU64,
}

impl Client {
    /// The namespace of the proxy.
    pub fn namespace(&self) -> &str {
        &self.viewer.namespace
    }

    /// The service account of the proxy.
    pub fn service_account(&self) -> &str {
        &self.service_account
    }

    /// The address of the proxy's workload.
    pub fn address(&self) -> IpAddr {
        self.viewer.address
    }

    /// Whether the proxy takes what it needs by name, instead of everything.
    pub fn on_demand(&self) -> bool {
        self.on_demand
    }

    /// The proxy as a world sees it: the labels are its pod's, if there is one. `None` when a pod with another
    /// identity has its address: what is that pod's is not for this proxy.
    pub(super) fn viewer_in(&self, world: &World) -> Option<Cow<'_, Viewer>> {
        let Some(pod) = world.workload(self.viewer.address) else { return Some(Cow::Borrowed(&self.viewer)) };
        if !belongs_to(pod, self.namespace(), &self.service_account) {
            return None;
        }
        if pod.labels == self.viewer.labels {
            return Some(Cow::Borrowed(&self.viewer));
        }
        Some(Cow::Owned(Viewer { labels: pod.labels.clone(), ..self.viewer.clone() }))
    }

    /// Compares what a node says of itself with what its certificate proves and, if Pilot knows the pod with its
    /// address, with that pod.
    pub(super) fn admit(world: &World, id: u64, node: &NodeInfo, peer: Option<&str>) -> Result<Self, Refusal> {
        let peer = identity(world, peer)?;
        let denied = |claimed: &str, what: &str, proved: &str| {
            Refusal::PermissionDenied(format!(
                "node `{}` says {what} `{claimed}`, but its certificate is for `{peer}` ({what} `{proved}`); a proxy gets \
                 the configuration of its own workload only: correct the node's metadata or use the workload's own token",
                node.id()
            ))
        };
        if node.namespace != peer.namespace() {
            return Err(denied(&node.namespace, "namespace", peer.namespace()));
        }
        if !node.service_account.is_empty() && node.service_account != peer.service_account() {
            return Err(denied(&node.service_account, "service account", peer.service_account()));
        }
        let address = node.ip.ok_or_else(|| {
            Refusal::InvalidArgument(format!(
                "node id `{}` has no address; the form is `sidecar~<pod ip>~<pod>.<namespace>~<dns domain>`",
                node.id()
            ))
        })?;
        known_pod(world, node, address, &peer)?;
        let labels = match world.workload(address) {
            Some(pod) => pod.labels.clone(),
            None => Labels::new(node.labels.clone()),
        };
        let families = Families::of(node.instance_ips.iter().copied().chain([address]));
        Ok(Self::new(id, node, Viewer { namespace: peer.namespace().into(), labels, address, families }, &peer))
    }

    fn new(id: u64, node: &NodeInfo, viewer: Viewer, peer: &SpiffeId) -> Self {
        let service_account: Arc<str> = peer.service_account().into();
        let workload = if node.workload.is_empty() { &node.cluster } else { &node.workload };
        let group = Group {
            namespace: viewer.namespace.clone(),
            service_account: service_account.clone(),
            workload: workload.as_str().into(),
        };
        Self {
            id,
            label: format!("{}.{}", node.pod, node.namespace),
            viewer,
            service_account,
            on_demand: node.on_demand(),
            group,
            asked: Mutex::default(),
            covered: Mutex::default(),
            settled: AtomicU64::default(),
        }
    }
}

impl fmt::Display for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.label)
    }
}

fn identity(world: &World, peer: Option<&str>) -> Result<SpiffeId, Refusal> {
    let refused = |text: String| Refusal::PermissionDenied(text);
    let uri = peer.ok_or_else(|| {
        refused("xDS needs a client certificate with a SPIFFE id; connect with the workload's certificate".into())
    })?;
    let id: SpiffeId = uri
        .parse()
        .map_err(|error| refused(format!("the client certificate is for `{uri}`, which is no workload: {error}")))?;
    if id.trust_domain() != world.mesh.trust_domain.as_ref() {
        return Err(refused(format!(
            "the client certificate is for `{uri}`, but this mesh's trust domain is `{}`",
            world.mesh.trust_domain
        )));
    }
    Ok(id)
}

/// A pod without a service account runs as `default`.
fn account_of(pod: &Workload) -> &str {
    if pod.service_account.is_empty() { "default" } else { &pod.service_account }
}

fn belongs_to(pod: &Workload, namespace: &str, service_account: &str) -> bool {
    *pod.namespace == *namespace && account_of(pod) == service_account
}

/// The address must not be that of a pod with another identity. An address that no pod has yet is let through: the
/// proxy may be faster than the news of its pod, and is looked at again when that comes ([`Client::viewer_in`]).
fn known_pod(world: &World, node: &NodeInfo, address: IpAddr, peer: &SpiffeId) -> Result<(), Refusal> {
    let Some(pod) = world.workload(address) else { return Ok(()) };
    if belongs_to(pod, peer.namespace(), peer.service_account()) {
        return Ok(());
    }
    let account = account_of(pod);
    Err(Refusal::PermissionDenied(format!(
        "node `{}` says address {address}, which is pod `{}/{}` (service account `{account}`), but its certificate is \
         for `{peer}`; a proxy gets the configuration of its own workload only",
        node.id(),
        pod.namespace,
        pod.instance
    )))
}
