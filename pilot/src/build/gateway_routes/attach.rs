//! Which Services routes are attached to, and for whose requests.

use crate::gateway_route::GatewayRoute;
use crate::model::{Host, ParentRef, Service, ServiceKind};
use crate::world::Services;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A Service, the ports of it that a route is attached to, and for whom.
pub(super) struct At {
    host: Host,
    /// None: for all clients, as the route is of the Service's namespace (a producer's route). Else for the clients of
    /// this namespace (a consumer's route).
    consumer: Option<Arc<str>>,
    ports: Vec<u16>,
}

/// The routes of each Service, by port, in the order of their precedence.
#[derive(Default)]
pub(super) struct Attachments(pub(super) BTreeMap<Host, ByClient>);

/// Routes by who they are for and by port.
#[derive(Default)]
pub(super) struct ByClient {
    pub(super) all: ByPort,
    pub(super) consumers: BTreeMap<Arc<str>, ByPort>,
}

pub(super) type ByPort = BTreeMap<u16, Vec<Arc<GatewayRoute>>>;

impl Attachments {
    pub(super) fn add(&mut self, at: At, route: &Arc<GatewayRoute>) {
        let clients = self.0.entry(at.host).or_default();
        let by_port = match at.consumer {
            None => &mut clients.all,
            Some(namespace) => clients.consumers.entry(namespace).or_default(),
        };
        for port in at.ports {
            let routes = by_port.entry(port).or_default();
            if !routes.iter().any(|known| Arc::ptr_eq(known, route)) {
                routes.push(route.clone());
            }
        }
    }
}

/// Looks up one parent; the error says why there is none.
pub(super) fn attach(
    parent: &ParentRef,
    route: &GatewayRoute,
    services: &Services,
    domain: &str,
) -> Result<At, String> {
    let namespace = parent.namespace.as_ref().unwrap_or(&route.source.namespace);
    let host = Host::of_service(&parent.name, namespace, domain);
    let service = kubernetes_service(services, &host)
        .ok_or_else(|| format!("there is no Service {namespace}/{}; the route is not attached to it", parent.name))?;
    let wanted = |number: u16, name: &str| {
        parent.port.is_none_or(|port| port == u32::from(number))
            && parent.section_name.as_deref().is_none_or(|section| section == name)
    };
    let ports: Vec<_> =
        service.ports.iter().filter(|port| wanted(port.number, &port.name)).map(|port| port.number).collect();
    if ports.is_empty() {
        let has: Vec<_> = service.ports.iter().map(|port| format!("{} {}", port.number, port.name)).collect();
        let has = if has.is_empty() { "none".to_owned() } else { has.join(", ") };
        return Err(format!(
            "Service {namespace}/{} has no such port, but {has}; the route is not attached to it",
            parent.name
        ));
    }
    let consumer = (*namespace != route.source.namespace).then(|| route.source.namespace.clone());
    Ok(At { host, consumer, ports })
}

/// The Kubernetes service with this host.
pub(super) fn kubernetes_service<'a>(services: &'a Services, host: &Host) -> Option<&'a Arc<Service>> {
    services.of_host(host).iter().find(|service| service.kind == ServiceKind::Kubernetes)
}
