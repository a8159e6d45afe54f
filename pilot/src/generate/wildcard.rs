//! What `*` stands for: everything that a namespace sees (Envoy), or the base that every proxy needs (ours).

use std::collections::BTreeSet;
use std::net::IpAddr;

use xds::ResourceType;

use super::names::{
    BLACK_HOLE_CLUSTER, ClusterName, INBOUND_PASSTHROUGH_CLUSTER, ListenerName, PASSTHROUGH_CLUSTER, RouteName,
    VIRTUAL_INBOUND, VIRTUAL_OUTBOUND, address_name,
};
use super::route::takes_requests;
use crate::model::{EndpointAddress, Resolution, Service};
use crate::world::World;

/// The names that a proxy needs whatever it calls: capture, and the ports of the workload with this address.
pub fn base_names(world: &World, address: IpAddr, kind: ResourceType) -> Vec<String> {
    match kind {
        ResourceType::Listener => [VIRTUAL_OUTBOUND, VIRTUAL_INBOUND].map(String::from).into(),
        ResourceType::Cluster => {
            let fixed = [BLACK_HOLE_CLUSTER, INBOUND_PASSTHROUGH_CLUSTER, PASSTHROUGH_CLUSTER].map(String::from);
            let own = world.inbound_ports(address).iter();
            fixed.into_iter().chain(own.map(|port| ClusterName::Inbound(port.number).to_string())).collect()
        }
        ResourceType::Route | ResourceType::Endpoint | ResourceType::Secret | ResourceType::Address => Vec::new(),
    }
}

/// The names of all that a namespace sees: its services, and for addresses every workload.
pub fn visible_names(world: &World, namespace: &str, kind: ResourceType) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    match kind {
        ResourceType::Listener => listeners(world, namespace, &mut names),
        ResourceType::Route => routes(world, namespace, &mut names),
        ResourceType::Cluster => clusters(world, namespace, |_| true, &mut names),
        ResourceType::Endpoint => {
            clusters(world, namespace, |service| service.resolution() == Resolution::Static, &mut names);
        }
        ResourceType::Address => names.extend(world.workloads.iter().map(|info| address_name(info.address))),
        ResourceType::Secret => {}
    }
    names
}

fn listeners(world: &World, namespace: &str, names: &mut BTreeSet<String>) {
    names.extend(world.host_only_ports(namespace).into_iter().map(|port| ListenerName::HostOnly(port).to_string()));
    for service in world.services_visible_to(namespace) {
        for port in &service.ports {
            let own = service.addresses.iter().map(|ip| ListenerName::Address(*ip, port.number).to_string());
            names.extend(own);
        }
        if service.headless {
            names.extend(dialled(world, service).map(|(ip, port)| ListenerName::Address(ip, port).to_string()));
        }
    }
}

/// The addresses and ports that clients of a headless service dial.
fn dialled<'a>(world: &'a World, service: &'a Service) -> impl Iterator<Item = (IpAddr, u16)> + 'a {
    world.endpoints(service).iter().flat_map(|endpoint| {
        let ip = match endpoint.address {
            EndpointAddress::Ip(ip) => Some(ip),
            EndpointAddress::Name(_) => None,
        };
        ip.into_iter().flat_map(|ip| endpoint.ports.iter().map(move |port| (ip, port.number)))
    })
}

fn routes(world: &World, namespace: &str, names: &mut BTreeSet<String>) {
    for service in world.services_visible_to(namespace) {
        for port in service.ports.iter().filter(|port| takes_requests(service, port.number)) {
            let name = if service.is_host_only() {
                RouteName::HostOnly(port.number)
            } else {
                RouteName::Service(service.host.clone(), port.number)
            };
            names.insert(name.to_string());
        }
    }
}

fn clusters(world: &World, namespace: &str, wanted: impl Fn(&Service) -> bool, names: &mut BTreeSet<String>) {
    for service in world.services_visible_to(namespace).filter(|service| wanted(service)) {
        let rule = world.destination_rule(namespace, service);
        for port in &service.ports {
            names.insert(ClusterName::outbound(port.number, &service.host).to_string());
            for subset in rule.iter().flat_map(|rule| &rule.subsets) {
                let (host, subset) = (service.host.clone(), Some(subset.name.clone()));
                names.insert(ClusterName::Outbound { port: port.number, subset, host }.to_string());
            }
        }
    }
}
