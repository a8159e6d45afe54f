//! The world as one proxy sees it, noting what is read: which keys, and whether the answer depends on the proxy's
//! labels or address. Generators read the world through it alone, so that nothing they used is forgotten.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeSet, HashSet};
use std::net::IpAddr;
use std::sync::Arc;

use super::families::Families;
use super::names::ClusterName;
use crate::diff::Key;
use crate::model::{
    Destination, DestinationRule, Endpoint, Host, HttpMatch, L4Match, Labels, MtlsMode, ObjectRef, Service,
    VirtualService, Workload, WorkloadInfo,
};
use crate::world::{Mesh, World};

/// The parts of a proxy that its resources may depend on.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Viewer {
    /// Its namespace: decides which services, routes and policies it sees.
    pub namespace: Arc<str>,
    /// Its labels, for `sourceLabels` and selectors: its pod's when Pilot knows the pod, else those that it claims.
    pub labels: Labels,
    /// Its address, for what it serves itself.
    pub address: IpAddr,
    /// The families that its pod has addresses of.
    pub families: Families,
}

/// Which parts of a [`Viewer`] a resource depends on, beside the namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Varies {
    /// It differs by labels.
    pub by_labels: bool,
    /// It differs by address.
    pub by_address: bool,
    /// It differs by the families of the pod's addresses.
    pub by_families: bool,
}

/// One reading of the world by one generator.
pub(super) struct View<'a> {
    world: &'a World,
    viewer: &'a Viewer,
    reads: RefCell<HashSet<Key>>,
    varies: Cell<Varies>,
    sources: RefCell<Vec<Arc<ObjectRef>>>,
}

/// What a reading leaves behind.
pub(super) struct Trace {
    pub reads: HashSet<Key>,
    pub varies: Varies,
    pub sources: Vec<Arc<ObjectRef>>,
}

impl<'a> View<'a> {
    pub(super) fn new(world: &'a World, viewer: &'a Viewer) -> Self {
        Self { world, viewer, reads: RefCell::default(), varies: Cell::default(), sources: RefCell::default() }
    }

    /// Ends the reading.
    pub(super) fn trace(self) -> Trace {
        Trace { reads: self.reads.into_inner(), varies: self.varies.get(), sources: self.sources.into_inner() }
    }

    /// Notes an object that shaped the resource: it is told when a data plane refuses the result.
    pub(super) fn shaped_by(&self, source: &Arc<ObjectRef>) {
        let mut sources = self.sources.borrow_mut();
        if !sources.contains(source) {
            sources.push(source.clone());
        }
    }

    /// The object noted first.
    pub(super) fn first_source(&self) -> Option<Arc<ObjectRef>> {
        self.sources.borrow().first().cloned()
    }

    /// Mesh-wide settings, which do not change while Pilot runs.
    pub(super) fn mesh(&self) -> &'a Mesh {
        &self.world.mesh
    }

    pub(super) fn namespace(&self) -> &'a str {
        &self.viewer.namespace
    }

    pub(super) fn service(&self, host: &Host) -> Option<&'a Arc<Service>> {
        self.read(Key::Service(host.clone()));
        self.world.service(self.namespace(), host)
    }

    pub(super) fn service_at(&self, address: IpAddr, port: u16) -> Option<&'a Arc<Service>> {
        self.read(Key::Address(address));
        let service = self.world.service_at(self.namespace(), address, port)?;
        self.read(Key::Service(service.host.clone()));
        Some(service)
    }

    /// The headless service, and its port, that leads to an endpoint's own address and port: its clients dial that.
    pub(super) fn headless_at(&self, address: IpAddr, port: u16) -> Option<(&'a Arc<Service>, u16)> {
        self.read(Key::Address(address));
        for ((host, _), _) in self.world.endpoints.dialled_at(address) {
            self.read(Key::Service(host.clone()));
        }
        self.world.headless_at(self.namespace(), address, port)
    }

    pub(super) fn host_only(&self, port: u16) -> Vec<&'a Arc<Service>> {
        self.read(Key::HostOnly(port));
        // Another service of the same host may take a service's place here, even one that has an address.
        for service in self.world.services.host_only_of(port) {
            self.read(Key::Service(service.host.clone()));
        }
        self.world.host_only(self.namespace(), port).collect()
    }

    pub(super) fn endpoints(&self, service: &Service) -> &'a [Arc<Endpoint>] {
        self.read(Key::Endpoints(service.host.clone()));
        self.world.endpoints(service)
    }

    pub(super) fn endpoints_of(&self, service: &Service, port: u16, subset: &Labels) -> Vec<(&'a Arc<Endpoint>, u16)> {
        self.read(Key::Endpoints(service.host.clone()));
        self.world.endpoints_of(service, port, subset).collect()
    }

    pub(super) fn identities(&self, service: &Service) -> BTreeSet<String> {
        self.read(Key::Endpoints(service.host.clone()));
        self.world.identities(service)
    }

    pub(super) fn virtual_service(&self, host: &Host) -> Option<&'a Arc<VirtualService>> {
        self.read(Key::VirtualService(host.clone()));
        self.world.virtual_service(self.namespace(), host)
    }

    pub(super) fn destination_rule(&self, service: &Service) -> Option<&'a Arc<DestinationRule>> {
        self.read(Key::DestinationRule(service.host.clone()));
        self.world.destination_rule(self.namespace(), service)
    }

    pub(super) fn workload(&self, address: IpAddr) -> Option<&'a Arc<Workload>> {
        self.workload_info(address).map(|info| &info.workload)
    }

    pub(super) fn workload_info(&self, address: IpAddr) -> Option<&'a Arc<WorkloadInfo>> {
        self.read(Key::Workload(address));
        self.world.workload_info(address)
    }

    /// The families that the proxy's pod has addresses of.
    pub(super) fn families(&self) -> Families {
        self.vary(|varies| varies.by_families = true);
        self.viewer.families
    }

    /// The proxy's own workload; makes the resource its own.
    pub(super) fn own_workload(&self) -> Option<&'a Arc<WorkloadInfo>> {
        self.vary(|varies| varies.by_address = true);
        self.workload_info(self.viewer.address)
    }

    /// The labels of the proxy's own workload: what its object says, else what the proxy says.
    pub(super) fn own_labels(&self) -> &'a Labels {
        match self.own_workload() {
            Some(info) => &info.workload.labels,
            None => self.labels(),
        }
    }

    /// What a port of a workload accepts.
    pub(super) fn mtls_mode(&self, namespace: &str, labels: &Labels, port: u16) -> MtlsMode {
        self.read(Key::PeerAuthentication(namespace.into()));
        self.read(Key::MeshAuthentication);
        let (mode, source) = self.world.authentication.decide(namespace, labels, port);
        if let Some(source) = source {
            self.shaped_by(source);
        }
        mode
    }

    /// The ports with a mode of their own at a workload.
    pub(super) fn mtls_ports(&self, namespace: &str, labels: &Labels) -> BTreeSet<u16> {
        self.read(Key::PeerAuthentication(namespace.into()));
        self.world.authentication.ports(namespace, labels).collect()
    }

    /// Whether this proxy gets a match block at a service port at all.
    pub(super) fn gets(&self, condition: &HttpMatch, port: u16) -> bool {
        condition.port.is_none_or(|wanted| wanted == port)
            && condition.source_namespace.as_deref().is_none_or(|namespace| namespace == self.namespace())
            && (condition.source_labels.is_empty() || self.labels().selected_by(&condition.source_labels))
    }

    /// Whether this proxy gets a connection's match block at a service port at all.
    pub(super) fn gets_connection(&self, condition: &L4Match, port: u16) -> bool {
        condition.port.is_none_or(|wanted| wanted == port)
            && condition.source_namespace.as_deref().is_none_or(|namespace| namespace == self.namespace())
            && (condition.source_labels.is_empty() || self.labels().selected_by(&condition.source_labels))
    }

    /// The cluster of a destination for requests that came for `port`: its own port, else the service's only one,
    /// else `port`.
    pub(super) fn cluster_of(&self, destination: &Destination, port: u16) -> ClusterName {
        let only = || match self.service(&destination.host).map(|service| service.ports.as_slice()) {
            Some([only]) => Some(only.number),
            _ => None,
        };
        ClusterName::Outbound {
            port: destination.port.or_else(only).unwrap_or(port),
            subset: destination.subset.clone(),
            host: destination.host.clone(),
        }
    }

    fn labels(&self) -> &'a Labels {
        self.vary(|varies| varies.by_labels = true);
        &self.viewer.labels
    }

    fn read(&self, key: Key) {
        self.reads.borrow_mut().insert(key);
    }

    fn vary(&self, change: impl FnOnce(&mut Varies)) {
        let mut varies = self.varies.get();
        change(&mut varies);
        self.varies.set(varies);
    }
}
