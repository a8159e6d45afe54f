//! What the catalog keeps under one lock, and what a change of the world means for the proxies that are connected.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use record::LogLimit;
use xds::ResourceType;

use super::cache::{Cache, Effect};
use super::client::Client;
use crate::diff::{Changed, Key};
use crate::generate;
use crate::world::World;

static LOST_CLIENT: LogLimit = LogLimit::new(Duration::from_secs(5));

/// Names that many streams look at.
pub(super) type NameList = Arc<[Arc<str>]>;

/// The world's resources, and the proxies that are connected.
pub(super) struct State {
    pub(super) cache: Cache,
    /// What the services of a namespace are called, by kind; made on first use.
    pub(super) visible: HashMap<(Arc<str>, ResourceType), NameList>,
    /// The connected proxies by address.
    pub(super) connected: HashMap<IpAddr, Vec<Arc<Client>>>,
}

impl State {
    /// Whether what `*` stands for may be another set: names came or went, subsets, the ports of a connected proxy's
    /// own workload, or the endpoints that clients of a headless service dial.
    pub(super) fn names_change(&self, changed: &Changed) -> bool {
        changed.iter().any(|key| match key {
            Key::Names | Key::HostOnly(_) | Key::DestinationRule(_) => true,
            Key::Workload(address) => self.connected.contains_key(address),
            Key::Endpoints(host) => self.cache.world().services_of(host).iter().any(|service| service.headless),
            Key::Service(_)
            | Key::VirtualService(_)
            | Key::PeerAuthentication(_)
            | Key::MeshAuthentication
            | Key::Address(_) => false,
        })
    }

    /// Looks again at the proxies whose pods changed: another identity at their address ends what they get, other
    /// labels may change what they get.
    pub(super) fn look_at_clients(&self, before: &World, changed: &Changed, effect: &mut Effect) {
        let addresses = changed.iter().filter_map(|key| match key {
            Key::Workload(address) => Some(address),
            _ => None,
        });
        for client in addresses.filter_map(|address| self.connected.get(address)).flatten() {
            match (client.viewer_in(before), client.viewer_in(self.cache.world())) {
                (Some(old), Some(new)) if old.labels == new.labels => {}
                (Some(_), Some(_)) => effect.touched.extend(self.cache.by_labels(client.namespace())),
                (None, None) => {}
                (None, Some(_)) => effect.everything = true,
                (Some(_), None) => {
                    effect.everything = true;
                    if let Some(suppressed) = LOST_CLIENT.admit() {
                        tracing::warn!(
                            proxy = %client, address = %client.address(), suppressed,
                            "a pod with another service account has this proxy's address now; the proxy gets nothing \
                             more. Either it is gone without having closed its connection, or it said a false address"
                        );
                    }
                }
            }
        }
    }

    /// The names that a namespace sees, of one kind.
    pub(super) fn visible(&mut self, namespace: &Arc<str>, kind: ResourceType) -> NameList {
        let world = self.cache.world();
        let names = self
            .visible
            .entry((namespace.clone(), kind))
            .or_insert_with(|| generate::visible_names(world, namespace, kind).into_iter().map(Arc::from).collect());
        names.clone()
    }
}
