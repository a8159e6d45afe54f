//! What changed between two worlds, as keys that generators declare when they read.

use crate::model::{Host, Service, VirtualService};
use crate::world::{DestinationRules, Endpoints, Services, VirtualServices, Workloads, World};
use std::collections::{BTreeSet, HashMap, HashSet};
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::Arc;

/// A part of the world that can change by itself. A resource is made again when a key that its generator
/// read is among the changed ones.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Key {
    /// What `World::service` and `World::services_of` say of a host.
    Service(Host),
    /// The endpoints of the services with this host, and the identities behind it.
    Endpoints(Host),
    /// What `World::virtual_service` says of a host, for any client.
    VirtualService(Host),
    /// What `World::destination_rule` says of a host, for any client.
    DestinationRule(Host),
    /// The PeerAuthentications of a namespace. A reader of a mode declares `MeshAuthentication` too.
    PeerAuthentication(Arc<str>),
    /// The mesh-wide PeerAuthentication.
    MeshAuthentication,
    /// What `World::workload_info` says of an address.
    Workload(IpAddr),
    /// Which services have an address, and their ports; also which headless services have an endpoint there.
    Address(IpAddr),
    /// Which host-only services have a port, and what they are.
    HostOnly(u16),
    /// Which services there are at all, with which addresses and ports: what `*` stands for.
    Names,
}

/// The keys that changed.
pub type Changed = HashSet<Key>;

/// What changed from one world to the next. Parts that both share cost nothing.
pub fn diff(old: &World, new: &World) -> Changed {
    let mut changed = Changed::new();
    if !Arc::ptr_eq(&old.services, &new.services) {
        services(&old.services, &new.services, &mut changed);
    }
    if !Arc::ptr_eq(&old.endpoints, &new.endpoints) {
        endpoints(&old.endpoints, &new.endpoints, &mut changed);
    }
    if !Arc::ptr_eq(&old.workloads, &new.workloads) {
        workloads(&old.workloads, &new.workloads, &mut changed);
    }
    let hosts = Hosts { old: &old.services, new: &new.services };
    if !Arc::ptr_eq(&old.virtual_services, &new.virtual_services) {
        virtual_services(&old.virtual_services, &new.virtual_services, &hosts, &mut changed);
    }
    if !Arc::ptr_eq(&old.destination_rules, &new.destination_rules) {
        destination_rules(&old.destination_rules, &new.destination_rules, &hosts, &mut changed);
    }
    if !Arc::ptr_eq(&old.authentication, &new.authentication) {
        authentication(old, new, &mut changed);
    }
    changed
}

/// The keys whose values differ, or that only one side has.
fn differing<K: Hash + Eq + Clone, V>(
    old: &HashMap<K, V>,
    new: &HashMap<K, V>,
    same: impl Fn(&V, &V) -> bool,
) -> Vec<K> {
    let changed = new.iter().filter(|(key, value)| !old.get(*key).is_some_and(|before| same(before, value)));
    let gone = old.keys().filter(|key| !new.contains_key(*key));
    changed.map(|(key, _)| key).chain(gone).cloned().collect()
}

/// Whether two lists share their entries, or have equal ones.
fn equal<T: PartialEq>(a: &[Arc<T>], b: &[Arc<T>]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| Arc::ptr_eq(a, b) || a == b)
}

fn services(old: &Services, new: &Services, changed: &mut Changed) {
    let by_host = |services: &Services| -> HashMap<Host, Vec<Arc<Service>>> {
        services.hosts().map(|host| (host.clone(), services.of_host(host).to_vec())).collect()
    };
    let (before, after) = (by_host(old), by_host(new));
    for host in differing(&before, &after, |a, b| equal(a, b)) {
        let (a, b) = (old.of_host(&host), new.of_host(&host));
        if names(a) != names(b) {
            changed.insert(Key::Names);
        }
        let alt_names =
            |list: &[Arc<Service>]| list.iter().flat_map(|s| s.subject_alt_names.clone()).collect::<Vec<_>>();
        if alt_names(a) != alt_names(b) {
            changed.insert(Key::Endpoints(host.clone()));
        }
        changed.insert(Key::Service(host));
    }
    let by_address = |services: &Services| -> HashMap<IpAddr, Vec<Arc<Service>>> {
        services.addresses().map(|(address, list)| (address, list.to_vec())).collect()
    };
    let addresses = differing(&by_address(old), &by_address(new), |a, b| equal(a, b));
    changed.extend(addresses.into_iter().map(Key::Address));
    let by_port = |services: &Services| -> HashMap<u16, Vec<Arc<Service>>> {
        services.all_host_only().map(|(port, list)| (port, list.to_vec())).collect()
    };
    let ports = differing(&by_port(old), &by_port(new), |a, b| equal(a, b));
    changed.extend(ports.into_iter().map(Key::HostOnly));
}

/// What resources of services are called, and who sees them.
fn names(services: &[Arc<Service>]) -> Vec<impl PartialEq> {
    let name = |service: &Arc<Service>| {
        let ports: Vec<_> = service.ports.iter().map(|port| (port.number, port.protocol)).collect();
        (
            service.namespace.clone(),
            service.addresses.clone(),
            ports,
            service.headless,
            service.kind.clone(),
            service.export_to.clone(),
        )
    };
    services.iter().map(name).collect()
}

fn endpoints(old: &Endpoints, new: &Endpoints, changed: &mut Changed) {
    // Equal lists keep their allocation, so a pointer tells.
    let same = |key, list: &Arc<_>, other: &Endpoints| other.get(key).is_some_and(|known| Arc::ptr_eq(known, list));
    let fresh = new.iter().filter(|(key, list)| !same(key, list, old)).map(|(key, _)| key);
    let gone = old.iter().filter(|(key, _)| new.get(key).is_none()).map(|(key, _)| key);
    changed.extend(fresh.chain(gone).map(|(host, _)| Key::Endpoints(host.clone())));
    let dialled = differing(old.dialled(), new.dialled(), |a, b| {
        a.len() == b.len()
            && a.iter().zip(b).all(|((a, at), (b, bt))| a == b && (Arc::ptr_eq(at, bt) || at.ports == bt.ports))
    });
    changed.extend(dialled.into_iter().map(Key::Address));
}

fn workloads(old: &Workloads, new: &Workloads, changed: &mut Changed) {
    let fresh = new.iter().filter(|info| !old.get(info.address).is_some_and(|known| Arc::ptr_eq(known, info)));
    let gone = old.iter().filter(|info| new.get(info.address).is_none());
    changed.extend(fresh.chain(gone).map(|info| Key::Workload(info.address)));
}

/// The hosts of both worlds, to tell whom a wildcard concerns.
struct Hosts<'a> {
    old: &'a Services,
    new: &'a Services,
}

impl Hosts<'_> {
    /// The host itself, and every service's that a wildcard covers.
    fn concerned(&self, host: &Host) -> BTreeSet<Host> {
        let mut concerned = BTreeSet::from([host.clone()]);
        if host.is_wildcard() {
            let covered = self.old.hosts().chain(self.new.hosts()).filter(|known| host.covers(known));
            concerned.extend(covered.cloned());
        }
        concerned
    }
}

fn virtual_services(old: &VirtualServices, new: &VirtualServices, hosts: &Hosts<'_>, changed: &mut Changed) {
    let by_host = |table: &VirtualServices| -> HashMap<Host, Vec<Arc<VirtualService>>> {
        table.iter().map(|(host, list)| (host.clone(), list.to_vec())).collect()
    };
    for host in differing(&by_host(old), &by_host(new), |a, b| equal(a, b)) {
        changed.extend(hosts.concerned(&host).into_iter().map(Key::VirtualService));
    }
}

fn destination_rules(old: &DestinationRules, new: &DestinationRules, hosts: &Hosts<'_>, changed: &mut Changed) {
    let by_name = |table: &DestinationRules| -> HashMap<_, _> {
        table.iter().map(|(namespace, host, list)| ((namespace.clone(), host.clone()), list.to_vec())).collect()
    };
    for (_, host) in differing(&by_name(old), &by_name(new), |a, b| equal(a, b)) {
        changed.extend(hosts.concerned(&host).into_iter().map(Key::DestinationRule));
    }
}

fn authentication(old: &World, new: &World, changed: &mut Changed) {
    let (old, new) = (&old.authentication, &new.authentication);
    if old.mesh != new.mesh {
        changed.insert(Key::MeshAuthentication);
    }
    let namespaces = differing(&old.namespaces, &new.namespaces, PartialEq::eq);
    let workloads = differing(&old.workloads, &new.workloads, PartialEq::eq);
    changed.extend(namespaces.into_iter().chain(workloads).map(Key::PeerAuthentication));
}
