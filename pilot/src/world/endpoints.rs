//! Endpoints of services.

use crate::model::{Endpoint, EndpointAddress, Host, Service};
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

/// A service by host and namespace: two ServiceEntries of different namespaces may share a host.
pub type ServiceKey = (Host, Arc<str>);

/// An endpoint of a headless service, at an address that clients of it dial.
pub type Dialled = (ServiceKey, Arc<Endpoint>);

/// All endpoints.
#[derive(Clone, Debug, Default)]
pub struct Endpoints {
    lists: HashMap<ServiceKey, Arc<[Arc<Endpoint>]>>,
    /// The endpoints of headless services, by address.
    dialled: HashMap<IpAddr, Vec<Dialled>>,
}

impl Endpoints {
    /// The endpoints of a service, in the order of their addresses.
    pub fn of(&self, service: &Service) -> &[Arc<Endpoint>] {
        self.get(&(service.host.clone(), service.namespace.clone())).map_or(&[], |list| list)
    }

    /// The same by key.
    pub fn get(&self, key: &ServiceKey) -> Option<&Arc<[Arc<Endpoint>]>> {
        self.lists.get(key)
    }

    /// The endpoints of headless services at an address.
    pub fn dialled_at(&self, address: IpAddr) -> &[Dialled] {
        self.dialled.get(&address).map_or(&[], Vec::as_slice)
    }

    /// Every address that clients of headless services dial.
    pub fn dialled(&self) -> &HashMap<IpAddr, Vec<Dialled>> {
        &self.dialled
    }

    /// Sets the endpoints of a service; none removes it. Equal endpoints keep their old allocation.
    pub fn set(&mut self, key: ServiceKey, endpoints: Vec<Endpoint>, headless: bool) {
        let old = self.lists.get(&key).cloned().unwrap_or_default();
        let known: HashMap<_, _> = old.iter().map(|endpoint| (&endpoint.address, endpoint)).collect();
        let kept = endpoints.into_iter().map(|endpoint| match known.get(&endpoint.address) {
            Some(known) if ***known == endpoint => (*known).clone(),
            _ => Arc::new(endpoint),
        });
        let list: Arc<[Arc<Endpoint>]> = kept.collect();
        let same = list.len() == old.len() && list.iter().zip(old.iter()).all(|(now, before)| Arc::ptr_eq(now, before));
        if headless || self.is_dialled(&key, &old) {
            self.set_dialled(&key, &old, if headless { &list } else { &[] });
        }
        if list.is_empty() {
            self.lists.remove(&key);
        } else if !same {
            self.lists.insert(key, list);
        }
    }

    /// Drops services that are not in `keep`.
    pub fn retain(&mut self, keep: impl Fn(&ServiceKey) -> bool) {
        let gone: Vec<_> = self.lists.keys().filter(|key| !keep(key)).cloned().collect();
        gone.into_iter().for_each(|key| self.set(key, Vec::new(), false));
    }

    /// All services that have endpoints.
    pub fn iter(&self) -> impl Iterator<Item = (&ServiceKey, &Arc<[Arc<Endpoint>]>)> {
        self.lists.iter()
    }

    /// Whether a service was headless when its endpoints were set.
    fn is_dialled(&self, key: &ServiceKey, list: &[Arc<Endpoint>]) -> bool {
        let first = list.iter().find_map(|endpoint| ip(endpoint));
        first.is_some_and(|address| self.dialled_at(address).iter().any(|(known, _)| known == key))
    }

    fn set_dialled(&mut self, key: &ServiceKey, old: &[Arc<Endpoint>], new: &[Arc<Endpoint>]) {
        for address in old.iter().filter_map(|endpoint| ip(endpoint)) {
            if let Some(known) = self.dialled.get_mut(&address) {
                known.retain(|(owner, _)| owner != key);
            }
        }
        for (address, endpoint) in new.iter().filter_map(|endpoint| Some((ip(endpoint)?, endpoint))) {
            let known = self.dialled.entry(address).or_default();
            known.push((key.clone(), endpoint.clone()));
            known.sort_by(|(a, _), (b, _)| a.cmp(b));
        }
        for address in old.iter().filter_map(|endpoint| ip(endpoint)) {
            if self.dialled.get(&address).is_some_and(Vec::is_empty) {
                self.dialled.remove(&address);
            }
        }
    }
}

fn ip(endpoint: &Endpoint) -> Option<IpAddr> {
    match endpoint.address {
        EndpointAddress::Ip(address) => Some(address),
        EndpointAddress::Name(_) => None,
    }
}
