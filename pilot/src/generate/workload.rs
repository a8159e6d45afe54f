//! A workload that is dialled at its own address, past every service: by mesh mTLS where it takes that, and past every route, as
//! the Gateway API asks for.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use xds::cluster::Cluster;
use xds::hcm::http_connection_manager::RouteSpecifier;
use xds::listener::{Filter, Listener};
use xds::route::{RouteConfiguration, VirtualHost};

use super::cluster::original_destination;
use super::hcm::{self, Direction};
use super::listener::{anything, unbound};
use super::names::{ClusterName, ListenerName};
use super::view::View;
use super::{mtls, provenance, route, tcp_route, upstream_protocol};
use crate::model::{InboundPort, MtlsMode, Protocol, Workload, WorkloadInfo};

/// The listener of a port of a workload. `None` where nobody is known or plain text is what is taken: that is passed
/// through like any other address.
pub(super) fn listener(view: &View<'_>, ip: IpAddr, port: u16) -> Option<Listener> {
    let info = in_mesh(view, ip, port)?;
    let name = ListenerName::Address(ip, port);
    let cluster = ClusterName::Workload(ip, port).to_string();
    let filter = match protocol(info, port).is_http() {
        true => requests(&name, cluster),
        false => tcp_route::to_cluster(&cluster),
    };
    Some(Listener { filter_chains: vec![anything(filter)], ..unbound(&name, ip, port) })
}

/// The cluster that leads to a port of a workload, wherever its client dialled it.
pub(super) fn cluster(view: &View<'_>, name: &ClusterName, ip: IpAddr, port: u16) -> Option<Cluster> {
    let info = in_mesh(view, ip, port)?;
    let workload = &info.workload;
    let protocol = protocol(info, port);
    let mesh = view.mesh();
    let server_name = format!("outbound_.{port}_._.{}.{}.pod.{}", workload.instance, workload.namespace, mesh.domain);
    let identities = BTreeSet::from([identity(workload, &mesh.trust_domain)]);
    let mut cluster = original_destination(name);
    cluster.transport_socket = Some(mtls::upstream(server_name, protocol, &identities, &mesh.trust_domain));
    cluster.metadata = declared(info, port).and_then(|port| provenance::of_services(None, &port.services));
    upstream_protocol::declared(protocol, false, &mut cluster);
    Some(cluster)
}

/// The workload with this address, if it takes mesh mTLS on this port.
fn in_mesh<'a>(view: &View<'a>, ip: IpAddr, port: u16) -> Option<&'a Arc<WorkloadInfo>> {
    let info = view.workload_info(ip).filter(|info| info.workload.mtls)?;
    let mode = view.mtls_mode(&info.workload.namespace, &info.workload.labels, port);
    (mode != MtlsMode::Disable).then_some(info)
}

fn declared(info: &WorkloadInfo, port: u16) -> Option<&InboundPort> {
    info.inbound.iter().find(|inbound| inbound.number == port)
}

/// What is not declared to be HTTP is opaque: the other side takes that on every port.
fn protocol(info: &WorkloadInfo, port: u16) -> Protocol {
    declared(info, port).map(|port| port.protocol).filter(|protocol| protocol.is_http()).unwrap_or(Protocol::Tcp)
}

fn identity(workload: &Workload, trust_domain: &str) -> String {
    let account = if workload.service_account.is_empty() { "default" } else { &workload.service_account };
    format!("spiffe://{trust_domain}/ns/{}/sa/{account}", workload.namespace)
}

fn requests(name: &ListenerName, cluster: String) -> Filter {
    let host = VirtualHost {
        name: cluster.clone(),
        domains: vec!["*".into()],
        routes: vec![route::straight_to(cluster.clone(), "default")],
        ..VirtualHost::default()
    };
    let routes = RouteConfiguration { name: cluster, virtual_hosts: vec![host], ..RouteConfiguration::default() };
    hcm::filter(Direction::Outbound, format!("outbound_{name}"), RouteSpecifier::RouteConfig(routes))
}
