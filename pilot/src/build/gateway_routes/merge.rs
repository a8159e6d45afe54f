//! The routes of each Service as VirtualServices: one for all clients, and one for each namespace that has routes of its
//! own for its clients.

use super::attach::{Attachments, ByPort, kubernetes_service};
use super::backends::Backends;
use super::lower;
use crate::gateway_route::{GatewayRoute, RouteProtocol};
use crate::model::{ExportTo, Host, HttpRule, VirtualService};
use crate::world::Services;
use std::collections::BTreeSet;
use std::sync::Arc;

/// All of them.
pub(super) fn virtual_services(
    attachments: &Attachments,
    services: &Services,
    backends: &Backends<'_>,
) -> Vec<Arc<VirtualService>> {
    let mut all = Vec::new();
    for (host, clients) in &attachments.0 {
        let ports = kubernetes_service(services, host).map(|service| service.ports.iter().map(|port| port.number));
        let ports: BTreeSet<u16> = ports.into_iter().flatten().collect();
        all.extend(virtual_service(host, &clients.all, None, &ports, backends));
        for (namespace, own) in &clients.consumers {
            // A port without a route of the consumer's keeps those that are for all.
            let mut routes = clients.all.clone();
            routes.extend(own.iter().map(|(port, list)| (*port, list.clone())));
            let first = own.values().flatten().min_by(|a, b| super::precedence(a).cmp(&super::precedence(b)));
            let client = first.map(|first| (namespace, first));
            all.extend(virtual_service(host, &routes, client, &ports, backends));
        }
    }
    all.into_iter().map(Arc::new).collect()
}

fn virtual_service(
    host: &Host,
    routes: &ByPort,
    consumer: Option<(&Arc<str>, &Arc<GatewayRoute>)>,
    ports: &BTreeSet<u16>,
    backends: &Backends<'_>,
) -> Option<VirtualService> {
    let oldest = || routes.values().flatten().min_by(|a, b| super::precedence(a).cmp(&super::precedence(b)));
    let first = consumer.map(|(_, first)| first).or_else(oldest)?;
    let export_to = match consumer {
        None => ExportTo::All,
        Some((namespace, _)) => ExportTo::Namespaces([namespace.clone()].into()),
    };
    Some(VirtualService {
        source: first.source.clone(),
        hosts: vec![host.clone()],
        gateway_api: true,
        export_to,
        creation: first.creation,
        http: rules(routes, ports, backends),
        tls: Vec::new(),
        tcp: Vec::new(),
    })
}

/// The rules of all ports; written once where all ports have the same routes.
fn rules(routes: &ByPort, ports: &BTreeSet<u16>, backends: &Backends<'_>) -> Vec<HttpRule> {
    let same = |a: &[Arc<GatewayRoute>], b: &[Arc<GatewayRoute>]| {
        a.len() == b.len() && a.iter().zip(b).all(|(a, b)| Arc::ptr_eq(a, b))
    };
    if let Some(first) = routes.values().next()
        && routes.len() == ports.len()
        && routes.values().all(|list| same(list, first))
    {
        return ordered(first, None, backends);
    }
    routes.iter().flat_map(|(port, list)| ordered(list, Some(*port), backends)).collect()
}

/// The rules of several routes in the order of the API: the more precise match first, then the older route, then the
/// order in which they are written. The rules of GRPCRoutes go before those of HTTPRoutes (GEP-1294).
fn ordered(routes: &[Arc<GatewayRoute>], port: Option<u16>, backends: &Backends<'_>) -> Vec<HttpRule> {
    let mut ranked = Vec::new();
    for route in routes {
        for rule in &route.rules {
            for block in &rule.matches {
                let rank = (route.protocol == RouteProtocol::Grpc, block.rank);
                ranked.push((rank, lower::rules(route, rule, block, backends)));
            }
        }
    }
    ranked.sort_by(|(a, _), (b, _)| b.cmp(a));
    let mut rules: Vec<_> = ranked.into_iter().flat_map(|(_, rules)| rules).collect();
    rules.iter_mut().flat_map(|rule| &mut rule.matches).for_each(|block| block.port = port);
    rules
}
