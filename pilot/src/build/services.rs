//! Which services there are: Kubernetes services and ServiceEntry hosts.

use super::Build;
use crate::api::Kind;
use crate::model::{Host, ObjectRef, Service, ServiceKind};
use crate::object::Content;
use crate::world::Services;
use crate::yaml::FieldPath;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// A service by host and namespace.
type ByName = BTreeMap<(Host, Arc<str>), Arc<Service>>;

impl Build<'_> {
    /// Judges services and builds their table.
    pub(super) fn services(&mut self) {
        if !self.changed.any(&[Kind::Service, Kind::ServiceEntry]) {
            return;
        }
        self.kind(Kind::Service, true, |_, _| {});
        let kubernetes = self.without_aliases(self.kubernetes_services());
        let owners: HashMap<&Host, &Arc<ObjectRef>> =
            kubernetes.values().map(|service| (&service.host, &service.source)).collect();
        self.kind(Kind::ServiceEntry, true, |content, problems| {
            let Content::ServiceEntry(entry) = content else { return };
            let hosts = FieldPath::of("spec.hosts");
            for (index, (service, _)) in entry.services.iter().enumerate() {
                let Some(owner) = owners.get(&service.host) else { continue };
                if owner.namespace != service.namespace {
                    let message = format!(
                        "{} is the host of {owner}, which only its own namespace may describe further",
                        service.host
                    );
                    problems.error(&hosts.index(index), message);
                }
            }
        });
        let services = self.with_entries(kubernetes);
        self.next.world.services = Arc::new(Services::new(services.into_values()));
        self.warn_of_hidden_addresses();
    }

    fn kubernetes_services(&self) -> ByName {
        let services = self.objects(Kind::Service).contents().filter_map(|(_, content)| match content {
            Content::Service(service) => Some(((service.host.clone(), service.namespace.clone()), service.clone())),
            _ => None,
        });
        services.collect()
    }

    /// Drops services of type ExternalName that are other names of services: their clients dial the service's own address,
    /// and get what holds for that.
    fn without_aliases(&mut self, mut services: ByName) -> ByName {
        let hosts: HashMap<_, _> = services.values().map(|service| (service.host.as_str(), &service.source)).collect();
        let alias = |service: &Arc<Service>| match &service.kind {
            ServiceKind::ExternalName(name) => Some((service.clone(), (*hosts.get(&**name)?).clone())),
            ServiceKind::Kubernetes | ServiceKind::ServiceEntry { .. } => None,
        };
        let aliases: Vec<_> = services.values().filter_map(alias).collect();
        for (service, of) in aliases {
            services.remove(&(service.host.clone(), service.namespace.clone()));
            let message = format!(
                "is another name for {of}: what is sent to it is treated as sent to that; routes and policies that name \
                 {} lead nowhere, name {of} in them",
                service.host
            );
            self.remark(&service.source, Kind::Service, |assessment| {
                assessment.warn(&FieldPath::of("spec.externalName"), message);
            });
        }
        services
    }

    /// Adds ServiceEntry hosts. One that names a Kubernetes service of its namespace adds names to that; of several
    /// for one host in a namespace the oldest decides.
    fn with_entries(&mut self, mut services: ByName) -> ByName {
        let mut remarks = Vec::new();
        let mut entries: Vec<_> = self
            .objects(Kind::ServiceEntry)
            .contents()
            .filter_map(|(key, content)| match content {
                Content::ServiceEntry(entry) => Some((key.clone(), entry)),
                _ => None,
            })
            .collect();
        entries.sort_by_key(|(key, entry)| (entry.services.first().map(|(s, _)| s.creation), key.name.clone()));
        for (key, entry) in entries {
            let mut lost = Vec::new();
            for (index, (service, _)) in entry.services.iter().enumerate() {
                let name = (service.host.clone(), service.namespace.clone());
                match services.get_mut(&name) {
                    None => _ = services.insert(name, service.clone()),
                    Some(known) => {
                        lost.push((index, known.source.clone(), known.kind.clone()));
                        if !matches!(known.kind, ServiceKind::ServiceEntry { .. }) {
                            let names = service.subject_alt_names.clone();
                            Arc::make_mut(known).subject_alt_names.extend(names);
                        }
                    }
                }
            }
            let all = lost.len() == entry.services.len();
            remarks.push((key, lost, all));
        }
        for (key, lost, all) in remarks {
            self.remark_on_entry(&key, &lost, all);
        }
        services
    }

    fn remark_on_entry(&mut self, key: &Arc<ObjectRef>, lost: &[(usize, Arc<ObjectRef>, ServiceKind)], all: bool) {
        for (index, owner, kind) in lost {
            let at = FieldPath::of("spec.hosts").index(*index);
            self.remark(key, Kind::ServiceEntry, |assessment| match kind {
                ServiceKind::Kubernetes | ServiceKind::ExternalName(_) => {
                    assessment.warn(&at, format!("is the host of {owner}: only subjectAltNames are taken from here"));
                }
                ServiceKind::ServiceEntry { .. } if all => assessment.shadow(owner),
                ServiceKind::ServiceEntry { .. } => {
                    assessment.warn(&at, format!("is a host of {owner}, which is older and decides"));
                }
            });
        }
    }

    /// Two services with one address and port cannot be told apart: the first by precedence gets the traffic.
    fn warn_of_hidden_addresses(&mut self) {
        let mut hidden = Vec::new();
        for (address, services) in self.next.world.services.addresses() {
            let mut owners: HashMap<u16, &Arc<Service>> = HashMap::new();
            for service in services {
                for port in &service.ports {
                    match owners.get(&port.number) {
                        None => _ = owners.insert(port.number, service),
                        Some(owner) if owner.source == service.source => {}
                        Some(owner) => hidden.push((service.clone(), (*owner).clone(), address, port.number)),
                    }
                }
            }
        }
        for (service, owner, address, port) in hidden {
            let (kind, field) = match service.kind {
                ServiceKind::Kubernetes | ServiceKind::ExternalName(_) => (Kind::Service, "spec.clusterIP"),
                ServiceKind::ServiceEntry { .. } => (Kind::ServiceEntry, "spec.addresses"),
            };
            let message = format!("{address} port {port} also belongs to {}, which gets the requests", owner.source);
            self.remark(&service.source, kind, |assessment| assessment.warn(&FieldPath::of(field), message));
        }
    }
}
