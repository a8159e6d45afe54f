//! Services by host, by address and port, and those that only their host tells apart.

use crate::model::{Host, Service, ServiceKind};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

/// All services.
#[derive(Clone, Debug, Default)]
pub struct Services {
    by_host: BTreeMap<Host, Vec<Arc<Service>>>,
    by_address: HashMap<IpAddr, Vec<Arc<Service>>>,
    host_only: BTreeMap<u16, Vec<Arc<Service>>>,
}

impl Services {
    /// Indexes services. The order given does not matter.
    pub fn new(services: impl IntoIterator<Item = Arc<Service>>) -> Self {
        let mut all: Vec<_> = services.into_iter().collect();
        all.sort_by(|a, b| precedence(a).cmp(&precedence(b)));
        let mut table = Self::default();
        for service in all {
            for address in &service.addresses {
                table.by_address.entry(*address).or_default().push(service.clone());
            }
            if service.is_host_only() {
                for port in &service.ports {
                    table.host_only.entry(port.number).or_default().push(service.clone());
                }
            }
            table.by_host.entry(service.host.clone()).or_default().push(service);
        }
        table
    }

    /// The service that a client in `namespace` means by `host`.
    pub fn get(&self, namespace: &str, host: &Host) -> Option<&Arc<Service>> {
        choose(self.of_host(host), namespace, |_| true)
    }

    /// Every service with this host, the one with precedence first.
    pub fn of_host(&self, host: &Host) -> &[Arc<Service>] {
        self.by_host.get(host).map_or(&[], Vec::as_slice)
    }

    /// The service behind an address and port, as a client in `namespace` sees it.
    pub fn at(&self, namespace: &str, address: IpAddr, port: u16) -> Option<&Arc<Service>> {
        choose(self.by_address.get(&address)?, namespace, |service| service.port(port).is_some())
    }

    /// All addresses with their services.
    pub fn addresses(&self) -> impl Iterator<Item = (IpAddr, &[Arc<Service>])> {
        self.by_address.iter().map(|(address, services)| (*address, services.as_slice()))
    }

    /// All services that clients in `namespace` see, one for each host.
    pub fn visible_to(&self, namespace: &str) -> impl Iterator<Item = &Arc<Service>> {
        self.by_host.values().filter_map(move |services| choose(services, namespace, |_| true))
    }

    /// Host-only services with this port that clients in `namespace` see, oldest first.
    pub fn host_only(&self, namespace: &str, port: u16) -> impl Iterator<Item = &Arc<Service>> {
        self.host_only_of(port).iter().filter(move |service| {
            self.get(namespace, &service.host).is_some_and(|chosen| Arc::ptr_eq(chosen, service))
        })
    }

    /// All host-only services with this port, whoever sees them, the one with precedence first.
    pub fn host_only_of(&self, port: u16) -> &[Arc<Service>] {
        self.host_only.get(&port).map_or(&[], Vec::as_slice)
    }

    /// The ports of all host-only services that clients in `namespace` see.
    pub fn host_only_ports(&self, namespace: &str) -> BTreeSet<u16> {
        self.host_only.keys().copied().filter(|port| self.host_only(namespace, *port).next().is_some()).collect()
    }

    /// Host-only services of all ports.
    pub fn all_host_only(&self) -> impl Iterator<Item = (u16, &[Arc<Service>])> {
        self.host_only.iter().map(|(port, services)| (*port, services.as_slice()))
    }

    /// Whether any service is meant by a host: one with this very name or a wildcard over it; for a wildcard, one
    /// below it.
    pub fn answers_to(&self, host: &Host) -> bool {
        if host.is_wildcard() {
            return self.by_host.keys().any(|known| host.covers(known));
        }
        let name = host.as_str();
        let mut dots = name.match_indices('.');
        self.by_host.contains_key(host)
            || dots.any(|(at, _)| self.by_host.contains_key(format!("*{}", &name[at..]).as_str()))
    }

    /// All services with their hosts in order.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Service>> {
        self.by_host.values().flatten()
    }

    /// The host with this text, when a service has it.
    pub fn host(&self, text: &str) -> Option<&Host> {
        self.by_host.get_key_value(text).map(|(host, _)| host)
    }

    /// All hosts in order.
    pub fn hosts(&self) -> impl Iterator<Item = &Host> {
        self.by_host.keys()
    }
}

/// Kubernetes services first, then the oldest, then by name and namespace.
fn precedence(service: &Service) -> (bool, i64, &str, &str) {
    let entry = matches!(service.kind, ServiceKind::ServiceEntry { .. });
    (entry, service.creation, &service.source.name, &service.namespace)
}

/// Of services in order of precedence: the client's own namespace's, else the first visible one.
fn choose<'a>(
    services: &'a [Arc<Service>],
    namespace: &str,
    fits: impl Fn(&Service) -> bool,
) -> Option<&'a Arc<Service>> {
    let seen = |service: &&Arc<Service>| fits(service) && service.export_to.includes(namespace);
    let own = services.iter().find(|service| service.namespace.as_ref() == namespace && seen(service));
    own.or_else(|| services.iter().find(seen))
}
