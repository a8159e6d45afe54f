//! Generators: pure functions from the world, a proxy and a resource name to the resource. One file for each kind of
//! resource, one for each policy.

mod address;
mod ads;
mod auto_mtls;
mod cluster;
mod cors;
mod detection;
mod direct_response;
mod endpoint;
mod families;
mod fault;
#[cfg(test)]
pub(crate) mod fixture;
mod hcm;
mod headers;
mod http2;
mod inbound;
mod listener;
mod load_balancer;
mod matching;
mod mirror;
mod mtls;
pub mod names;
mod outbound_capture;
mod provenance;
mod redirect;
mod retry;
mod rewrite;
mod route;
mod tcp_route;
#[cfg(test)]
mod tests;
mod timeout;
mod upstream_protocol;
mod view;
pub(crate) mod weights;
mod wildcard;
mod workload;
mod wrappers;

use std::collections::HashSet;
use std::sync::Arc;

use xds::{Resource, ResourceType};

use crate::diff::Key;
use crate::model::ObjectRef;
use crate::world::World;
pub use families::Families;
use names::{ClusterName, ListenerName, RouteName, parse_address_name};
use view::View;
pub use view::{Varies, Viewer};
pub use wildcard::{base_names, visible_names};

/// A generated resource, or the knowledge that there is none, with what that depends on.
#[derive(Debug, Clone)]
pub struct Generated {
    /// The resource; `None`: there is none of that name for this proxy.
    pub resource: Option<Arc<Resource>>,
    /// The parts of the world that were read.
    pub reads: HashSet<Key>,
    /// The parts of the proxy, beside its namespace, that were read.
    pub varies: Varies,
    /// The objects that shaped it, the most specific last.
    pub sources: Vec<Arc<ObjectRef>>,
}

/// Whether Pilot could give this name to a resource of this kind, whatever the world is.
pub fn is_name(kind: ResourceType, name: &str) -> bool {
    match kind {
        ResourceType::Listener => ListenerName::parse(name).is_some(),
        ResourceType::Route => RouteName::parse(name).is_some(),
        ResourceType::Cluster | ResourceType::Endpoint => ClusterName::parse(name).is_some(),
        ResourceType::Address => parse_address_name(name).is_some(),
        ResourceType::Secret => false,
    }
}

/// Generates the resource of this kind and name for a proxy.
pub fn generate(world: &World, viewer: &Viewer, kind: ResourceType, name: &str) -> Generated {
    let view = View::new(world, viewer);
    let resource = match kind {
        ResourceType::Listener => ListenerName::parse(name).and_then(|parsed| {
            let listener = match parsed {
                ListenerName::VirtualOutbound => Some(outbound_capture::generate(&view)),
                ListenerName::VirtualInbound => Some(inbound::generate(&view)),
                ListenerName::Address(ip, port) => {
                    listener::of_address(&view, ip, port).or_else(|| workload::listener(&view, ip, port))
                }
                ListenerName::HostOnly(port) => listener::of_port(&view, port),
            };
            listener.map(|listener| Resource::new(kind, name, &listener))
        }),
        ResourceType::Route => RouteName::parse(name)
            .and_then(|parsed| route::generate(&view, &parsed))
            .map(|routes| Resource::new(kind, name, &routes)),
        ResourceType::Cluster => ClusterName::parse(name)
            .and_then(|parsed| cluster::generate(&view, &parsed))
            .map(|cluster| Resource::new(kind, name, &cluster)),
        ResourceType::Endpoint => ClusterName::parse(name)
            .and_then(|parsed| endpoint::generate(&view, &parsed))
            .map(|endpoints| Resource::new(kind, name, &endpoints)),
        ResourceType::Address => parse_address_name(name)
            .and_then(|ip| address::generate(&view, ip))
            .map(|address| Resource::new(kind, name, &address)),
        ResourceType::Secret => None,
    };
    let trace = view.trace();
    Generated { resource: resource.map(Arc::new), reads: trace.reads, varies: trace.varies, sources: trace.sources }
}
