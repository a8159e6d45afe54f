//! `ClusterLoadAssignment`.

use std::sync::Arc;

use xds::core::HealthStatus;
use xds::endpoint::lb_endpoint::HostIdentifier;
use xds::endpoint::{ClusterLoadAssignment, Endpoint as XdsEndpoint, LbEndpoint, LocalityLbEndpoints};

use super::field::{number, socket_address};
use super::reason::{Reason, Under, none_set};
use super::{each, metadata};
use crate::model::{Assignment, Endpoint};

/// Most endpoints of a cluster.
const MAX_ENDPOINTS: usize = 100_000;

/// Compiles an assignment that travels on its own, under the name of its cluster.
pub(super) fn compile_named(name: &str, config: &ClusterLoadAssignment) -> Result<Assignment, Reason> {
    if config.cluster_name != name {
        let why = format!("{:?} is not the name under which it was sent", config.cluster_name);
        return Err(Reason::at("cluster_name", why));
    }
    compile(config)
}

/// Compiles an assignment: the endpoints that can be used, of the best priority that has any.
pub(super) fn compile(config: &ClusterLoadAssignment) -> Result<Assignment, Reason> {
    let drops = config.policy.as_ref().is_some_and(|policy| !policy.drop_overloads.is_empty());
    none_set(&[("policy.drop_overloads", drops)])?;
    let count: usize = config.endpoints.iter().map(|group| group.lb_endpoints.len()).sum();
    if count > MAX_ENDPOINTS {
        return Err(Reason::at("endpoints", format!("{count} endpoints; at most {MAX_ENDPOINTS} are taken")));
    }
    let groups = each("endpoints", &config.endpoints, |group| Ok((group.priority, usable(group)?)))?;
    let best = groups.iter().filter(|(_, endpoints)| !endpoints.is_empty()).map(|(priority, _)| *priority).min();
    let endpoints =
        groups.into_iter().filter(|(priority, _)| Some(*priority) == best).flat_map(|(_, endpoints)| endpoints);
    Ok(Assignment { endpoints: endpoints.collect() })
}

fn usable(group: &LocalityLbEndpoints) -> Result<Vec<Arc<Endpoint>>, Reason> {
    none_set(&[("lb_config", group.lb_config.is_some())])?;
    let endpoints = each("lb_endpoints", &group.lb_endpoints, |config| {
        let config_is_usable = is_usable(config.health_status);
        endpoint(config).map(|endpoint| config_is_usable.then(|| Arc::new(endpoint)))
    })?;
    Ok(endpoints.into_iter().flatten().collect())
}

fn is_usable(status: i32) -> bool {
    matches!(HealthStatus::try_from(status), Ok(HealthStatus::Unknown | HealthStatus::Healthy | HealthStatus::Degraded))
}

fn endpoint(config: &LbEndpoint) -> Result<Endpoint, Reason> {
    let inner = inner(config)?;
    let weight = number(config.load_balancing_weight.as_ref(), 1);
    if weight == 0 {
        return Err(Reason::at("load_balancing_weight", "must be at least 1"));
    }
    let address = socket_address(inner.address.as_ref()).under("endpoint.address")?;
    let others = each("additional_addresses", &inner.additional_addresses, |more| {
        socket_address(more.address.as_ref()).under("address")
    });
    let others = others.under("endpoint")?;
    Ok(Endpoint {
        address,
        other: others.into_iter().find(|other| other.is_ipv4() != address.is_ipv4()),
        weight,
        workload: Arc::new(metadata::workload(config.metadata.as_ref()).unwrap_or_default()),
        transport_match: metadata::transport_match(config.metadata.as_ref()),
    })
}

/// The endpoint itself; other ways to name one are not supported.
pub(super) fn inner(config: &LbEndpoint) -> Result<&XdsEndpoint, Reason> {
    match &config.host_identifier {
        Some(HostIdentifier::Endpoint(endpoint)) => Ok(endpoint),
        Some(HostIdentifier::EndpointName(_)) => Err(Reason::unsupported("endpoint_name")),
        None => Err(Reason::at("endpoint", "is missing")),
    }
}
