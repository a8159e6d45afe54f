//! The world: one immutable snapshot of everything in force. Cheap to clone; a new snapshot shares
//! with the old one whatever did not change.

use crate::model::{
    DestinationRule, Endpoint, Host, InboundPort, Labels, MtlsMode, PeerAuthentications, Service, VirtualService,
    Workload, WorkloadInfo,
};
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

mod destination_rules;
mod endpoints;
mod hosts;
mod services;
mod virtual_services;
mod workloads;

pub use destination_rules::DestinationRules;
pub use endpoints::{Dialled, Endpoints};
pub use hosts::HostTable;
pub use services::Services;
pub use virtual_services::VirtualServices;
pub use workloads::Workloads;

/// What is true of the whole mesh and does not come from objects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mesh {
    /// Trust domain of all identities.
    pub trust_domain: Arc<str>,
    /// DNS domain of Kubernetes services.
    pub domain: Arc<str>,
    /// Namespace whose objects hold for the whole mesh.
    pub root_namespace: Arc<str>,
    /// Name of the cluster in metrics and peer metadata.
    pub cluster_id: Arc<str>,
    /// Unknown destinations are passed through (else refused).
    pub allow_any: bool,
}

impl Default for Mesh {
    /// Istio's defaults.
    fn default() -> Self {
        Self {
            trust_domain: "cluster.local".into(),
            domain: "cluster.local".into(),
            root_namespace: "istio-system".into(),
            cluster_id: "Kubernetes".into(),
            allow_any: true,
        }
    }
}

/// One snapshot.
#[derive(Clone, Debug, Default)]
pub struct World {
    /// Mesh-wide settings.
    pub mesh: Arc<Mesh>,
    /// Services by host, address and port.
    pub services: Arc<Services>,
    /// Endpoints of services.
    pub endpoints: Arc<Endpoints>,
    /// Workloads by address.
    pub workloads: Arc<Workloads>,
    /// VirtualServices by host.
    pub virtual_services: Arc<VirtualServices>,
    /// DestinationRules by namespace and host.
    pub destination_rules: Arc<DestinationRules>,
    /// PeerAuthentications.
    pub authentication: Arc<PeerAuthentications>,
}

impl World {
    /// The service that a client in `namespace` means by `host`: its own namespace's, else the oldest visible.
    pub fn service(&self, namespace: &str, host: &Host) -> Option<&Arc<Service>> {
        self.services.get(namespace, host)
    }

    /// Every service with this host, the one with precedence first.
    pub fn services_of(&self, host: &Host) -> &[Arc<Service>] {
        self.services.of_host(host)
    }

    /// The service behind an address and port, as a client in `namespace` sees it.
    pub fn service_at(&self, namespace: &str, address: IpAddr, port: u16) -> Option<&Arc<Service>> {
        self.services.at(namespace, address, port)
    }

    /// The headless service, and its port, that a client in `namespace` means by an endpoint's own address and port: the
    /// oldest that has it.
    pub fn headless_at(&self, namespace: &str, address: IpAddr, port: u16) -> Option<(&Arc<Service>, u16)> {
        let found = self.endpoints.dialled_at(address).iter().filter_map(|((host, of), endpoint)| {
            let own = endpoint.ports.iter().find(|own| own.number == port)?;
            let service = self.service(namespace, host)?;
            (service.headless && service.namespace == *of).then_some((service, own.service_port))
        });
        found.min_by_key(|(service, _)| service.creation)
    }

    /// All services that clients in `namespace` see, in the order of their hosts.
    pub fn services_visible_to(&self, namespace: &str) -> impl Iterator<Item = &Arc<Service>> {
        self.services.visible_to(namespace)
    }

    /// Host-only services with this port that clients in `namespace` see, oldest first.
    pub fn host_only(&self, namespace: &str, port: u16) -> impl Iterator<Item = &Arc<Service>> {
        self.services.host_only(namespace, port)
    }

    /// The ports of all host-only services that clients in `namespace` see.
    pub fn host_only_ports(&self, namespace: &str) -> BTreeSet<u16> {
        self.services.host_only_ports(namespace)
    }

    /// All endpoints of a service.
    pub fn endpoints(&self, service: &Service) -> &[Arc<Endpoint>] {
        self.endpoints.of(service)
    }

    /// The endpoints of one port and subset (empty labels: all), each with its own port.
    pub fn endpoints_of(
        &self,
        service: &Service,
        port: u16,
        subset: &Labels,
    ) -> impl Iterator<Item = (&Arc<Endpoint>, u16)> {
        self.endpoints.of(service).iter().filter_map(move |endpoint| {
            let number = endpoint.port(port)?;
            let chosen = match &endpoint.workload {
                Some(workload) => workload.labels.selected_by(subset),
                None => subset.is_empty(),
            };
            chosen.then_some((endpoint, number))
        })
    }

    /// The VirtualService that decides for a host when the client is in `namespace`.
    pub fn virtual_service(&self, namespace: &str, host: &Host) -> Option<&Arc<VirtualService>> {
        self.virtual_services.get(namespace, host)
    }

    /// The DestinationRule that holds for a service when the client is in `namespace`.
    pub fn destination_rule(&self, namespace: &str, service: &Service) -> Option<&Arc<DestinationRule>> {
        self.destination_rules.get(namespace, &service.namespace, &service.host)
    }

    /// Who has an address.
    pub fn workload(&self, address: IpAddr) -> Option<&Arc<Workload>> {
        self.workloads.get(address).map(|info| &info.workload)
    }

    /// A proxy's view of its own workload.
    pub fn workload_info(&self, address: IpAddr) -> Option<&Arc<WorkloadInfo>> {
        self.workloads.get(address)
    }

    /// The ports that services lead to at a workload.
    pub fn inbound_ports(&self, address: IpAddr) -> &[InboundPort] {
        self.workloads.get(address).map_or(&[], |info| &info.inbound)
    }

    /// What a workload's port accepts.
    pub fn mtls_mode(&self, namespace: &str, labels: &Labels, port: u16) -> MtlsMode {
        self.authentication.mode(namespace, labels, port)
    }

    /// SPIFFE ids that may answer for a service: the service accounts of its endpoints, and the declared names.
    pub fn identities(&self, service: &Service) -> BTreeSet<String> {
        let accounts = self.endpoints.of(service).iter().filter_map(|endpoint| {
            let workload = endpoint.workload.as_ref().filter(|w| !w.service_account.is_empty())?;
            let (namespace, account) = (&workload.namespace, &workload.service_account);
            Some(format!("spiffe://{}/ns/{namespace}/sa/{account}", self.mesh.trust_domain))
        });
        accounts.chain(service.subject_alt_names.iter().map(ToString::to_string)).collect()
    }
}
