//! Who has which address, and which services lead to each workload.

use super::Build;
use crate::api::Kind;
use crate::model::{InboundPort, Port, Protocol, Service, ServicePort, TargetPort, WorkloadInfo};
use crate::object::{Content, Pod};
use crate::world::{Services, Workloads};
use crate::yaml::FieldPath;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

impl Build<'_> {
    /// Judges pods and builds the table of workloads.
    pub(super) fn workloads(&mut self) {
        self.kind(Kind::Pod, false, |_, _| {});
        if !self.changed.any(&[Kind::Pod, Kind::Node, Kind::Service, Kind::ServiceEntry]) {
            return;
        }
        let selecting = Selecting::new(&self.next.world.services);
        let nodes = self.nodes();
        let mut infos = BTreeMap::new();
        let mut taken = Vec::new();
        for (key, content) in self.next.objects(Kind::Pod).contents() {
            let Content::Pod(pod) = content else { continue };
            if pod.host_network {
                continue;
            }
            let inbound = inbound_ports(pod, &selecting);
            let workload = nodes.located(&pod.workload);
            for address in &pod.addresses {
                let info = WorkloadInfo { address: *address, workload: workload.clone(), inbound: inbound.clone() };
                if let Some(first) = infos.get(address).map(|info: &WorkloadInfo| info.workload.clone()) {
                    taken.push((key.clone(), *address, first));
                } else {
                    infos.insert(*address, info);
                }
            }
        }
        self.next.world.workloads = Arc::new(Workloads::new(infos.into_values(), &self.last.world.workloads));
        for (key, address, first) in taken {
            let message =
                format!("{address} is also the address of Pod {}/{}, which counts", first.namespace, first.instance);
            self.remark(&key, Kind::Pod, |assessment| assessment.warn(&FieldPath::of("status.podIP"), message));
        }
    }
}

/// Services by one pair of their selector, so that a pod finds those that select it by its own labels.
struct Selecting<'a>(HashMap<(&'a str, &'a str, &'a str), Vec<&'a Arc<Service>>>);

impl<'a> Selecting<'a> {
    fn new(services: &'a Services) -> Self {
        let mut by_pair = HashMap::<_, Vec<_>>::new();
        for service in services.iter() {
            let Some((key, value)) = service.selector.as_ref().and_then(|selector| selector.iter().next()) else {
                continue;
            };
            by_pair.entry((&*service.namespace, key, value)).or_default().push(service);
        }
        Self(by_pair)
    }

    /// The services that select a pod, oldest first.
    fn of(&self, pod: &Pod) -> Vec<&'a Arc<Service>> {
        let workload = &pod.workload;
        let pairs = workload.labels.iter().filter_map(|(key, value)| self.0.get(&(&*workload.namespace, key, value)));
        let selects = |service: &Service| service.selector.as_ref().is_some_and(|s| workload.labels.selected_by(s));
        let mut found: Vec<_> = pairs.flatten().copied().filter(|service| selects(service)).collect();
        found.sort_by_key(|service| (service.creation, &service.host));
        found
    }
}

fn inbound_ports(pod: &Pod, selecting: &Selecting<'_>) -> Vec<InboundPort> {
    let mut ports = BTreeMap::<u16, InboundPort>::new();
    for service in selecting.of(pod) {
        for port in &service.ports {
            let Some(number) = target(pod, port) else { continue };
            let inbound = ports.entry(number).or_insert_with(|| InboundPort {
                number,
                protocol: port.protocol,
                services: Vec::new(),
            });
            if inbound.protocol != port.protocol {
                inbound.protocol = Protocol::Unknown;
            }
            inbound.services.push(ServicePort {
                host: service.host.clone(),
                name: service.name.clone(),
                namespace: service.namespace.clone(),
                port: port.number,
            });
        }
    }
    ports.into_values().collect()
}

/// The pod's own port behind a service port.
pub(super) fn target(pod: &Pod, port: &Port) -> Option<u16> {
    match &port.target {
        TargetPort::Number(number) => Some(*number),
        TargetPort::Name(name) => pod.ports.get(name).copied(),
    }
}
