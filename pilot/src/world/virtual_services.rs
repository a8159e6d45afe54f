//! VirtualServices by host.

use super::HostTable;
use crate::model::{ExportTo, Host, VirtualService};
use std::sync::Arc;

/// All VirtualServices, by each of their hosts.
#[derive(Clone, Debug, Default)]
pub struct VirtualServices(HostTable<Vec<Arc<VirtualService>>>);

impl VirtualServices {
    /// Indexes VirtualServices. The order given does not matter: the oldest decides.
    pub fn new(all: impl IntoIterator<Item = Arc<VirtualService>>) -> Self {
        let mut all: Vec<_> = all.into_iter().collect();
        all.sort_by(|a, b| precedence(a).cmp(&precedence(b)));
        let mut table = HostTable::<Vec<_>>::default();
        for service in all {
            for host in &service.hosts {
                table.entry(host.clone()).push(service.clone());
            }
        }
        Self(table)
    }

    /// The one that decides for a host when the client is in `namespace`: the most specific name; of several for
    /// one name those of the client's own namespace that are private to it, then those exported to it by name, then
    /// routes of the Gateway API of its namespace, then the public ones; of those the oldest.
    pub fn get(&self, namespace: &str, host: &Host) -> Option<&Arc<VirtualService>> {
        self.0.covering(host).find_map(|list| {
            let seen = list.iter().filter(|vs| vs.export_to.includes(namespace));
            seen.min_by_key(|vs| distance(vs, namespace))
        })
    }

    /// All that name exactly this host or wildcard, oldest first.
    pub fn naming(&self, host: &Host) -> &[Arc<VirtualService>] {
        self.0.exact(host).map_or(&[], Vec::as_slice)
    }

    /// All hosts and wildcards with their VirtualServices.
    pub fn iter(&self) -> impl Iterator<Item = (&Host, &[Arc<VirtualService>])> {
        self.0.iter().map(|(host, list)| (host, list.as_slice()))
    }
}

/// Oldest first, then by name and namespace.
fn precedence(vs: &VirtualService) -> (i64, &str, &str) {
    (vs.creation, &vs.source.name, &vs.source.namespace)
}

/// How far a VirtualService is from a client in `namespace`, which sees it. As in Istio, routes of the Gateway API from
/// the client's own namespace go before public VirtualServices; any others count as public, so that the oldest decides.
fn distance(vs: &VirtualService, namespace: &str) -> u8 {
    match &vs.export_to {
        _ if vs.gateway_api && *vs.source.namespace == *namespace => 2,
        _ if vs.gateway_api => 3,
        ExportTo::Namespaces(set) if set.len() == 1 && *vs.source.namespace == *namespace => 0,
        ExportTo::Namespaces(_) => 1,
        ExportTo::All => 3,
    }
}
