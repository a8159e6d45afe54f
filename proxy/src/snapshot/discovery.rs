//! Where a cluster's endpoints come from: `type`, `eds_cluster_config`, `load_assignment` and the DNS settings.

use std::sync::Arc;
use std::time::Duration;

use xds::cluster::Cluster;
use xds::cluster::cluster::{ClusterDiscoveryType, DiscoveryType, DnsLookupFamily, LbConfig};
use xds::endpoint::ClusterLoadAssignment;

use super::endpoint;
use super::field::{self, number};
use super::reason::{Reason, Under, none_set};
use crate::model::{Discovery, DnsFamily};

/// Envoy's default.
const DNS_REFRESH: Duration = Duration::from_secs(5);

/// Compiles the discovery of a cluster.
pub(super) fn compile(name: &str, cluster: &Cluster) -> Result<Discovery, Reason> {
    match kind(cluster)? {
        DiscoveryType::Eds => Ok(Discovery::Eds(match &cluster.eds_cluster_config {
            Some(config) if !config.service_name.is_empty() => config.service_name.as_str().into(),
            _ => name.into(),
        })),
        DiscoveryType::Static => {
            let assignment =
                cluster.load_assignment.as_ref().map(endpoint::compile).transpose().under("load_assignment")?;
            Ok(Discovery::Static(Arc::new(assignment.unwrap_or_default())))
        }
        DiscoveryType::OriginalDst => {
            original_dst(cluster.lb_config.as_ref())?;
            Ok(Discovery::OriginalDst)
        }
        DiscoveryType::StrictDns => dns(cluster, false),
        DiscoveryType::LogicalDns => dns(cluster, true),
    }
}

fn kind(cluster: &Cluster) -> Result<DiscoveryType, Reason> {
    match &cluster.cluster_discovery_type {
        Some(ClusterDiscoveryType::Type(kind)) => {
            DiscoveryType::try_from(*kind).map_err(|_| Reason::at("type", format!("{kind} is none of those known")))
        }
        Some(ClusterDiscoveryType::ClusterType(custom)) => {
            Err(Reason::at("cluster_type", format!("{:?} is not supported by this proxy", custom.name)))
        }
        None => Ok(DiscoveryType::Static),
    }
}

fn original_dst(config: Option<&LbConfig>) -> Result<(), Reason> {
    let Some(LbConfig::OriginalDstLbConfig(config)) = config else { return Ok(()) };
    none_set(&[
        ("use_http_header", config.use_http_header),
        ("upstream_port_override", config.upstream_port_override.is_some()),
        ("metadata_key", config.metadata_key.is_some()),
    ])
    .under("original_dst_lb_config")
}

// Envoy prefers an extension to these fields, but every control plane writes them.
#[allow(deprecated)]
fn dns(cluster: &Cluster, logical: bool) -> Result<Discovery, Reason> {
    none_set(&[
        ("dns_resolvers", !cluster.dns_resolvers.is_empty()),
        ("use_tcp_for_dns_lookups", cluster.use_tcp_for_dns_lookups),
    ])?;
    let refresh = field::duration("dns_refresh_rate", cluster.dns_refresh_rate.as_ref())?.unwrap_or(DNS_REFRESH);
    let none = ClusterLoadAssignment::default();
    let hosts = hosts(cluster.load_assignment.as_ref().unwrap_or(&none)).under("load_assignment")?;
    if logical && hosts.len() != 1 {
        return Err(Reason::at(
            "load_assignment",
            format!("LOGICAL_DNS needs exactly one endpoint, not {}", hosts.len()),
        ));
    }
    // Less than a second would be a query for each request.
    Ok(Discovery::Dns { hosts, refresh: refresh.max(Duration::from_secs(1)), logical })
}

fn hosts(assignment: &ClusterLoadAssignment) -> Result<Vec<(Arc<str>, u16)>, Reason> {
    let mut hosts = Vec::new();
    let mut weights = Vec::new();
    for (locality, group) in assignment.endpoints.iter().enumerate() {
        for (index, lb_endpoint) in group.lb_endpoints.iter().enumerate() {
            let place = format!("endpoints[{locality}].lb_endpoints[{index}]");
            let config = endpoint::inner(lb_endpoint).under(&place)?;
            let (host, port) =
                field::host_and_port(config.address.as_ref()).under(format_args!("{place}.endpoint.address"))?;
            weights.push(number(lb_endpoint.load_balancing_weight.as_ref(), 1));
            hosts.push((host.into(), port));
        }
    }
    if weights.windows(2).any(|pair| pair[0] != pair[1]) {
        return Err(Reason::at("load_balancing_weight", "unequal weights of names are not supported by this proxy"));
    }
    Ok(hosts)
}

/// Which addresses of names count.
#[allow(deprecated)]
pub(super) fn family(cluster: &Cluster) -> Result<DnsFamily, Reason> {
    Ok(match DnsLookupFamily::try_from(cluster.dns_lookup_family) {
        Ok(DnsLookupFamily::Auto) => DnsFamily::V6Preferred,
        Ok(DnsLookupFamily::V4Only) => DnsFamily::V4,
        Ok(DnsLookupFamily::V6Only) => DnsFamily::V6,
        Ok(DnsLookupFamily::V4Preferred) => DnsFamily::V4Preferred,
        Ok(DnsLookupFamily::All) => DnsFamily::All,
        Err(_) => {
            return Err(Reason::at(
                "dns_lookup_family",
                format!("{} is none of those known", cluster.dns_lookup_family),
            ));
        }
    })
}
