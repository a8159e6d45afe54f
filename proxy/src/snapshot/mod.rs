//! From xDS to the data plane's own model: the only part of the proxy that names Envoy's types.
//!
//! A resource is compiled whole or refused with a reason that names the field. What decides an outcome and is not understood
//! is refused, never left out in silence; what only helps people (statistics, access logs, tracing) is left out. Nothing here
//! panics, whatever the bytes are.

use std::sync::Arc;

use record::Workload;
use xds::{Message, ResourceType};

use crate::http::route_table::RouteTable;
use crate::model::{Assignment, Cluster, Listener};

mod chain;
mod cluster;
mod cors;
mod direct_response;
mod discovery;
mod endpoint;
mod fault;
mod field;
mod forward;
mod hcm;
mod header_edits;
mod http_filters;
mod listener;
mod load_balancer;
mod matchers;
mod metadata;
mod mirror;
mod per_filter;
mod reason;
mod redirect;
mod retry;
mod rewrite;
mod route;
mod route_match;
mod tcp_proxy;
mod timeout;
mod tls;
mod tls_validation;
mod transport;
mod upstream_http;
mod weights;
mod workload;

use reason::{Reason, Under};

/// A resource in the form that the data plane works with.
#[derive(Debug, Clone)]
pub enum Compiled {
    /// `envoy.config.listener.v3.Listener`.
    Listener(Arc<Listener>),
    /// `envoy.config.route.v3.RouteConfiguration`.
    Routes(Arc<RouteTable>),
    /// `envoy.config.cluster.v3.Cluster`.
    Cluster(Arc<Cluster>),
    /// `envoy.config.endpoint.v3.ClusterLoadAssignment`.
    Endpoints(Arc<Assignment>),
    /// `istio.workload.Address`.
    Workload(Arc<Workload>),
}

/// The largest resource that is looked at, in bytes.
const MAX_BYTES: usize = 32 << 20;

/// Compiles one resource: the bytes of its message, without the `Any` around them.
///
/// The error is what a NACK says: the resource, the field, and what is wrong with it.
pub fn compile(kind: ResourceType, name: &str, bytes: &[u8]) -> Result<Compiled, String> {
    compiled(kind, name, bytes).map_err(|reason| format!("{} {name}: {reason}", what(kind)))
}

fn what(kind: ResourceType) -> &'static str {
    match kind {
        ResourceType::Listener => "listener",
        ResourceType::Route => "route configuration",
        ResourceType::Cluster => "cluster",
        ResourceType::Endpoint => "endpoints",
        ResourceType::Secret => "secret",
        ResourceType::Address => "address",
    }
}

fn compiled(kind: ResourceType, name: &str, bytes: &[u8]) -> Result<Compiled, Reason> {
    if bytes.len() > MAX_BYTES {
        return Err(Reason::new(format!("{} bytes; at most {MAX_BYTES} are read", bytes.len())));
    }
    matchers::start_counting();
    Ok(match kind {
        ResourceType::Listener => Compiled::Listener(Arc::new(listener::compile(name, &decoded(bytes)?)?)),
        ResourceType::Route => {
            Compiled::Routes(Arc::new(route::compile(name, &decoded(bytes)?, per_filter::Filters::ALL)?))
        }
        ResourceType::Cluster => Compiled::Cluster(Arc::new(cluster::compile(name, &decoded(bytes)?)?)),
        ResourceType::Endpoint => Compiled::Endpoints(Arc::new(endpoint::compile_named(name, &decoded(bytes)?)?)),
        ResourceType::Address => Compiled::Workload(Arc::new(workload::compile(&decoded(bytes)?)?)),
        ResourceType::Secret => return Err(Reason::new("secrets are made in this process and never taken over xDS")),
    })
}

fn decoded<M: Message + Default>(bytes: &[u8]) -> Result<M, Reason> {
    M::decode(bytes).map_err(|error| Reason::new(format!("the bytes are no such message: {error}")))
}

/// A resource's own name must be the one that it travels under: it is what other resources call it.
fn same_name(name: &str, own: &str) -> Result<(), Reason> {
    if own.is_empty() || own == name {
        return Ok(());
    }
    Err(Reason::at("name", format!("{own:?} is not the name under which it was sent")))
}

/// Each element compiled, an error prefixed by its place.
fn each<T, U>(field: &str, items: &[T], compile: impl Fn(&T) -> Result<U, Reason>) -> Result<Vec<U>, Reason> {
    items.iter().enumerate().map(|(index, item)| compile(item).under(format_args!("{field}[{index}]"))).collect()
}

#[cfg(test)]
mod tests;
