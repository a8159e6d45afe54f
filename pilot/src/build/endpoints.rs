//! The endpoints of each service: EndpointSlices for Kubernetes services, the object itself or the selected pods
//! for ServiceEntries.

use super::nodes::Nodes;
use super::workloads::target;
use super::{Build, Snapshot};
use crate::api::Kind;
use crate::model::{
    Endpoint, EndpointAddress, EndpointPort, EndpointState, Host, Locality, ObjectRef, Port, Service, ServiceKind,
    Workload,
};
use crate::object::{Content, EndpointSlice, Pod, SliceEndpoint};
use crate::problem::Problems;
use crate::world::Services;
use crate::yaml::FieldPath;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;

/// Slices by the host of their service.
type Slices<'a> = HashMap<&'a Host, Vec<&'a EndpointSlice>>;

impl Build<'_> {
    /// Judges EndpointSlices and builds the table of endpoints. When only slices changed, only their services are
    /// looked at.
    pub(super) fn endpoints(&mut self) {
        let services = self.next.world.services.clone();
        let services_changed = self.changed.any(&[Kind::Service]);
        self.kind(Kind::EndpointSlice, services_changed, |content, problems| {
            if let Content::EndpointSlice(slice) = content {
                check(slice, &services, problems);
            }
        });
        let everything = self.changed.any(&[Kind::Service, Kind::ServiceEntry, Kind::Pod, Kind::Node]);
        if everything {
            let all: Vec<_> = services.iter().cloned().collect();
            self.set_endpoints(&all);
            let known: HashSet<_> = all.iter().map(|service| (&service.host, &service.namespace)).collect();
            Arc::make_mut(&mut self.next.world.endpoints)
                .retain(|(host, namespace)| known.contains(&(host, namespace)));
        } else if self.changed.any(&[Kind::EndpointSlice]) {
            let hosts = self.hosts_of_changed_slices();
            let touched: Vec<_> = hosts.iter().flat_map(|host| services.of_host(host)).cloned().collect();
            self.set_endpoints(&touched);
        }
    }

    /// The services whose slices changed, came or went.
    fn hosts_of_changed_slices(&self) -> HashSet<Host> {
        let changed = self.changed.of_kind(Kind::EndpointSlice);
        let host = |snapshot: &Snapshot, key: &Arc<ObjectRef>| match snapshot
            .objects(Kind::EndpointSlice)
            .in_force
            .get(key)?
            .content
            .as_ref()?
        {
            Content::EndpointSlice(slice) => Some(slice.host.clone()),
            _ => None,
        };
        changed.iter().flat_map(|key| [host(self.last, key), host(&self.next, key)]).flatten().collect()
    }

    fn set_endpoints(&mut self, services: &[Arc<Service>]) {
        let wanted: HashSet<_> = services.iter().map(|service| &service.host).collect();
        let mut slices = Slices::new();
        for (_, content) in self.objects(Kind::EndpointSlice).contents() {
            if let Content::EndpointSlice(slice) = content
                && wanted.contains(&slice.host)
            {
                slices.entry(&slice.host).or_default().push(slice);
            }
        }
        let nodes = self.nodes();
        let lists: Vec<_> = services.iter().map(|service| self.endpoints_of(service, &slices, &nodes)).collect();
        let endpoints = Arc::make_mut(&mut self.next.world.endpoints);
        for (service, list) in services.iter().zip(lists) {
            endpoints.set((service.host.clone(), service.namespace.clone()), list, service.headless);
        }
    }

    fn endpoints_of(&self, service: &Service, slices: &Slices<'_>, nodes: &Nodes<'_>) -> Vec<Endpoint> {
        match (&service.kind, &service.selector) {
            (ServiceKind::Kubernetes, _) => {
                let slices = slices.get(&service.host).map_or(&[][..], Vec::as_slice);
                self.in_slices(service, slices, nodes)
            }
            (ServiceKind::ExternalName(name), _) => vec![named(service, name)],
            (ServiceKind::ServiceEntry { .. }, Some(_)) => self.selected(service, nodes),
            (ServiceKind::ServiceEntry { .. }, None) => self.listed_in_entry(service),
        }
    }

    /// While a slice is split or merged, an address may be in two of them: the better state counts. A pod with addresses
    /// of both families is one endpoint, so that it gets one share of the traffic: at the address of the family that the
    /// service lists first, with the other beside it. Clients of a headless service dial either.
    fn in_slices(&self, service: &Service, slices: &[&EndpointSlice], nodes: &Nodes<'_>) -> Vec<Endpoint> {
        let mut found = BTreeMap::<EndpointAddress, Endpoint>::new();
        let first = FirstFamily::of(service, slices);
        for slice in slices {
            let ports = slice_ports(service, slice);
            for listed in &slice.endpoints {
                for address in listed.addresses.iter().filter(|address| first.admits(listed, **address)) {
                    let other = first.other(listed, *address, &ports);
                    let endpoint =
                        Endpoint { other, ..self.in_slice(&service.namespace, *address, listed, &ports, nodes) };
                    let known = found.entry(endpoint.address.clone()).or_insert_with(|| endpoint.clone());
                    known.state = known.state.min(endpoint.state);
                    let more = endpoint.ports.iter().filter(|port| !known.ports.contains(port)).copied();
                    let more: Vec<_> = more.collect();
                    known.ports.extend(more);
                }
            }
        }
        found.into_values().collect()
    }

    fn in_slice(
        &self,
        namespace: &Arc<str>,
        address: IpAddr,
        listed: &SliceEndpoint,
        ports: &[EndpointPort],
        nodes: &Nodes<'_>,
    ) -> Endpoint {
        let workload = self.workload_behind(namespace, address, listed, nodes);
        Endpoint {
            address: EndpointAddress::Ip(address),
            other: None,
            ports: ports.to_vec(),
            locality: nodes.locality(&listed.node, &listed.zone),
            weight: 1,
            state: listed.state,
            mtls: workload.as_ref().is_some_and(|workload| workload.mtls),
            workload,
        }
    }

    /// The pod that the endpoint names, else the one with its address.
    fn workload_behind(
        &self,
        namespace: &Arc<str>,
        address: IpAddr,
        listed: &SliceEndpoint,
        nodes: &Nodes<'_>,
    ) -> Option<Arc<Workload>> {
        let indexed = self.next.world.workload(address);
        let is_named = |workload: &Arc<Workload>| {
            listed.pod.as_ref().is_none_or(|name| workload.instance == *name && workload.namespace == *namespace)
        };
        if let Some(workload) = indexed.filter(|workload| is_named(workload)) {
            return Some(workload.clone());
        }
        let by_name = listed.pod.as_ref().and_then(|name| {
            let key =
                ObjectRef { group: "".into(), kind: "Pod".into(), namespace: namespace.clone(), name: name.clone() };
            match self.objects(Kind::Pod).in_force.get(&key)?.content.as_ref()? {
                Content::Pod(pod) if pod.addresses.contains(&address) => Some(nodes.located(&pod.workload)),
                _ => None,
            }
        });
        by_name.or_else(|| indexed.cloned())
    }

    fn selected(&self, service: &Service, nodes: &Nodes<'_>) -> Vec<Endpoint> {
        let mut found = BTreeMap::new();
        for (key, content) in self.objects(Kind::Pod).contents() {
            let Content::Pod(pod) = content else { continue };
            let selects = service.selector.as_ref().is_some_and(|s| pod.workload.labels.selected_by(s));
            if selects && key.namespace == service.namespace {
                let workload = nodes.located(&pod.workload);
                if let Some(endpoint) = of_pod(service, pod, &workload) {
                    found.insert(endpoint.address.clone(), endpoint);
                }
            }
        }
        found.into_values().collect()
    }

    fn listed_in_entry(&self, service: &Service) -> Vec<Endpoint> {
        let object = self.objects(Kind::ServiceEntry).in_force.get(&service.source);
        let Some(Content::ServiceEntry(entry)) = object.and_then(|object| object.content.as_ref()) else {
            return Vec::new();
        };
        let own = entry.services.iter().find(|(known, _)| known.host == service.host);
        own.map(|(_, endpoints)| endpoints.clone()).unwrap_or_default()
    }
}

/// A slice's ports by service port: they belong together by name.
fn slice_ports(service: &Service, slice: &EndpointSlice) -> Vec<EndpointPort> {
    let number = |port: &Port| {
        let named = slice.ports.iter().find(|(name, _)| *name == port.name)?;
        Some(EndpointPort { service_port: port.number, number: named.1 })
    };
    service.ports.iter().filter_map(number).collect()
}

/// The family that counts for pods with addresses of both.
struct FirstFamily<'a> {
    is_ipv4: bool,
    /// The pods that have an address of it.
    pods: HashSet<&'a str>,
    /// Addresses of the other family by pod, with the ports that are served there.
    others: HashMap<&'a str, (IpAddr, Vec<EndpointPort>)>,
}

impl<'a> FirstFamily<'a> {
    fn of(service: &Service, slices: &[&'a EndpointSlice]) -> Self {
        let is_ipv4 = service.addresses.first().is_none_or(IpAddr::is_ipv4);
        let mut first = Self { is_ipv4, pods: HashSet::new(), others: HashMap::new() };
        if service.addresses.iter().all(|address| address.is_ipv4() == is_ipv4) {
            return first;
        }
        for slice in slices {
            let ports = slice_ports(service, slice);
            slice.endpoints.iter().for_each(|listed| first.note(listed, &ports));
        }
        first
    }

    fn note(&mut self, listed: &'a SliceEndpoint, ports: &[EndpointPort]) {
        let (Some(pod), Some(address)) = (listed.pod.as_deref(), listed.addresses.first()) else { return };
        if address.is_ipv4() == self.is_ipv4 {
            self.pods.insert(pod);
        } else {
            self.others.insert(pod, (*address, ports.to_vec()));
        }
    }

    /// Whether an address takes part.
    fn admits(&self, listed: &SliceEndpoint, address: IpAddr) -> bool {
        address.is_ipv4() == self.is_ipv4 || !listed.pod.as_deref().is_some_and(|pod| self.pods.contains(pod))
    }

    /// Where the pod is in the other family, with the same ports.
    fn other(&self, listed: &SliceEndpoint, address: IpAddr, ports: &[EndpointPort]) -> Option<IpAddr> {
        let (other, served) = self.others.get(listed.pod.as_deref()?)?;
        (address.is_ipv4() == self.is_ipv4 && served == ports).then_some(*other)
    }
}

/// A name that the data plane resolves, with the ports that clients dial there.
fn named(service: &Service, name: &Arc<str>) -> Endpoint {
    let ports = service.ports.iter().map(|port| EndpointPort { service_port: port.number, number: port.number });
    Endpoint {
        address: EndpointAddress::Name(name.clone()),
        other: None,
        ports: ports.collect(),
        workload: None,
        locality: Locality::default(),
        weight: 1,
        state: EndpointState::Ready,
        mtls: false,
    }
}

/// A pod is one endpoint at its first address, whatever else it has.
fn of_pod(service: &Service, pod: &Pod, workload: &Arc<Workload>) -> Option<Endpoint> {
    let address = *pod.addresses.first()?;
    let ports = service
        .ports
        .iter()
        .filter_map(|port| Some(EndpointPort { service_port: port.number, number: target(pod, port)? }));
    Some(Endpoint {
        address: EndpointAddress::Ip(address),
        other: pod.addresses.iter().copied().find(|other| other.is_ipv4() != address.is_ipv4()),
        ports: ports.collect(),
        workload: Some(workload.clone()),
        locality: workload.locality.clone(),
        weight: 1,
        state: EndpointState::Ready,
        mtls: workload.mtls,
    })
}

/// A slice without its service leads nowhere yet, and so does a port that the service does not have. The order in
/// which objects arrive is not theirs to choose, so these are warnings.
fn check(slice: &EndpointSlice, services: &Services, problems: &mut Problems) {
    let service = services.of_host(&slice.host).iter().find(|service| service.kind == ServiceKind::Kubernetes);
    let Some(service) = service else {
        let at = FieldPath::of("metadata.labels[kubernetes.io/service-name]");
        let name = slice.host.as_str().split('.').next().unwrap_or_default();
        problems.warning(&at, format!("no Service \"{name}\" in this namespace; nothing leads to these endpoints"));
        return;
    };
    for (index, (name, _)) in slice.ports.iter().enumerate() {
        if !service.ports.iter().any(|port| port.name == *name) {
            let names: Vec<_> = service.ports.iter().map(|port| format!("\"{}\"", port.name)).collect();
            let at = FieldPath::of("ports").index(index).key("name");
            problems.warning(&at, format!("the Service has no port \"{name}\"; it has {}", names.join(", ")));
        }
    }
}
