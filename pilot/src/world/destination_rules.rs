//! DestinationRules by namespace and host.

use super::HostTable;
use crate::model::{DestinationRule, ExportTo, Host};
use std::collections::HashMap;
use std::sync::Arc;

/// All DestinationRules, merged within their namespaces.
#[derive(Clone, Debug, Default)]
pub struct DestinationRules {
    root_namespace: Arc<str>,
    by_namespace: HashMap<Arc<str>, HostTable<Vec<Arc<DestinationRule>>>>,
}

impl DestinationRules {
    /// Indexes rules; those of one namespace and host are in the order of precedence.
    pub fn new(root_namespace: Arc<str>, rules: impl IntoIterator<Item = (Arc<str>, Arc<DestinationRule>)>) -> Self {
        let mut by_namespace = HashMap::<Arc<str>, HostTable<Vec<_>>>::new();
        for (namespace, rule) in rules {
            by_namespace.entry(namespace).or_default().entry(rule.host.clone()).push(rule);
        }
        Self { root_namespace, by_namespace }
    }

    /// The rule for a service's host. The client's namespace decides, else the service's, else the root
    /// namespace; in each the most specific host. Nothing is inherited from one to the next.
    pub fn get(&self, client: &str, service: &str, host: &Host) -> Option<&Arc<DestinationRule>> {
        let root = self.root_namespace.as_ref();
        let own = if client == root { self.private(root, host) } else { self.within(client, client, host) };
        own.or_else(|| self.within(service, client, host)).or_else(|| self.within(root, client, host))
    }

    /// For a client in the root namespace only the rules for that namespace alone come first.
    fn private(&self, root: &str, host: &Host) -> Option<&Arc<DestinationRule>> {
        let only_root =
            |export: &ExportTo| matches!(export, ExportTo::Namespaces(set) if set.len() == 1 && set.contains(root));
        let rules = self.by_namespace.get(root)?;
        rules.covering(host).find_map(|list| list.iter().find(|rule| only_root(&rule.export_to)))
    }

    /// The rules of all namespaces that cover a host.
    pub fn covering(&self, host: &Host) -> impl Iterator<Item = &Arc<DestinationRule>> {
        self.by_namespace.values().flat_map(move |rules| rules.covering(host)).flatten()
    }

    fn within(&self, namespace: &str, client: &str, host: &Host) -> Option<&Arc<DestinationRule>> {
        let rules = self.by_namespace.get(namespace)?;
        rules.covering(host).find_map(|list| list.iter().find(|rule| rule.export_to.includes(client)))
    }

    /// All namespaces, hosts and rules, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (&Arc<str>, &Host, &[Arc<DestinationRule>])> {
        self.by_namespace
            .iter()
            .flat_map(|(namespace, table)| table.iter().map(move |(host, list)| (namespace, host, list.as_slice())))
    }
}
