//! Endpoints of services.

use crate::model::{Endpoint, Host, Service};
use std::collections::HashMap;
use std::sync::Arc;

/// A service by host and namespace: two ServiceEntries of different namespaces may share a host.
pub type ServiceKey = (Host, Arc<str>);

/// All endpoints.
#[derive(Clone, Debug, Default)]
pub struct Endpoints(HashMap<ServiceKey, Arc<[Arc<Endpoint>]>>);

impl Endpoints {
    /// The endpoints of a service, in the order of their addresses.
    pub fn of(&self, service: &Service) -> &[Arc<Endpoint>] {
        self.get(&(service.host.clone(), service.namespace.clone())).map_or(&[], |list| list)
    }

    /// The same by key.
    pub fn get(&self, key: &ServiceKey) -> Option<&Arc<[Arc<Endpoint>]>> {
        self.0.get(key)
    }

    /// Sets the endpoints of a service; none removes it. Equal endpoints keep their old allocation.
    pub fn set(&mut self, key: ServiceKey, endpoints: Vec<Endpoint>) {
        if endpoints.is_empty() {
            self.0.remove(&key);
            return;
        }
        let old = self.0.get(&key);
        if old.is_some_and(|old| old.iter().map(AsRef::as_ref).eq(endpoints.iter())) {
            return;
        }
        let list = endpoints.into_iter().map(|endpoint| {
            let kept = old.and_then(|old| old.iter().find(|known| ***known == endpoint));
            kept.cloned().unwrap_or_else(|| Arc::new(endpoint))
        });
        let list: Arc<[Arc<Endpoint>]> = list.collect();
        self.0.insert(key, list);
    }

    /// Drops services that are not in `keep`.
    pub fn retain(&mut self, keep: impl Fn(&ServiceKey) -> bool) {
        self.0.retain(|key, _| keep(key));
    }

    /// All services that have endpoints.
    pub fn iter(&self) -> impl Iterator<Item = (&ServiceKey, &Arc<[Arc<Endpoint>]>)> {
        self.0.iter()
    }
}
