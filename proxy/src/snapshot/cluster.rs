//! `Cluster`.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use xds::cluster::circuit_breakers::Thresholds;
use xds::cluster::cluster::TransportSocketMatch;
use xds::cluster::{Cluster as XdsCluster, Filter};
use xds::core::{BindConfig, ExtraSourceAddress};

use super::reason::{Reason, Under, none_set, type_name};
use super::{discovery, each, field, http_filters, load_balancer, metadata, same_name, transport, upstream_http};
use crate::model::{Cluster, Transport, TransportMatch, UpstreamHttp};

/// Envoy's default.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// A limit at or above this never bites; control planes write it to say "none".
const NO_LIMIT: u32 = 1_000_000;

/// Compiles a cluster.
pub(super) fn compile(name: &str, config: &XdsCluster) -> Result<Cluster, Reason> {
    same_name(name, &config.name)?;
    refuse_unknown(config)?;
    let source = config.metadata.as_ref();
    let connect = field::duration("connect_timeout", config.connect_timeout.as_ref())?;
    let connect_timeout = connect.unwrap_or(CONNECT_TIMEOUT);
    if connect_timeout.is_zero() {
        return Err(Reason::at("connect_timeout", "must be more than zero"));
    }
    let own = config.transport_socket.as_ref().map(transport::upstream).transpose().under("transport_socket")?;
    Ok(Cluster {
        name: name.into(),
        service: Arc::new(metadata::service(source).unwrap_or_else(|| metadata::service_of_name(name))),
        discovery: discovery::compile(name, config)?,
        dns_family: discovery::family(config)?,
        lb: load_balancer::compile(config)?,
        connect_timeout,
        transports: each("transport_socket_matches", &config.transport_socket_matches, transport_match)?,
        transport: own.unwrap_or(Transport::Raw),
        http: UpstreamHttp { multiplex_above: metadata::multiplex_above(source), ..upstream_http::compile(config)? },
        bind: config
            .upstream_bind_config
            .as_ref()
            .map(bind)
            .transpose()
            .under("upstream_bind_config")?
            .unwrap_or_default(),
        provenance: metadata::provenance(source),
    })
}

fn refuse_unknown(config: &XdsCluster) -> Result<(), Reason> {
    let subsets = config.lb_subset_config.as_ref().is_some_and(|subsets| !subsets.subset_selectors.is_empty());
    none_set(&[
        ("transport_socket_matcher", config.transport_socket_matcher.is_some()),
        ("health_checks", !config.health_checks.is_empty()),
        ("outlier_detection", config.outlier_detection.is_some()),
        ("lb_subset_config", subsets),
        ("upstream_config", config.upstream_config.is_some()),
    ])?;
    if let Some(breakers) = &config.circuit_breakers {
        each("thresholds", &breakers.thresholds, thresholds).under("circuit_breakers")?;
        each("per_host_thresholds", &breakers.per_host_thresholds, thresholds).under("circuit_breakers")?;
    }
    each("filters", &config.filters, network_filter)?;
    Ok(())
}

fn thresholds(limits: &Thresholds) -> Result<(), Reason> {
    let bites = |limit: Option<xds::google::UInt32Value>| limit.is_some_and(|limit| limit.value < NO_LIMIT);
    none_set(&[
        ("max_connections", bites(limits.max_connections)),
        ("max_pending_requests", bites(limits.max_pending_requests)),
        ("max_requests", bites(limits.max_requests)),
        ("max_retries", bites(limits.max_retries)),
        ("max_connection_pools", bites(limits.max_connection_pools)),
        ("retry_budget", limits.retry_budget.is_some()),
    ])
}

fn network_filter(filter: &Filter) -> Result<(), Reason> {
    match &filter.typed_config {
        Some(any) if http_filters::is_harmless(type_name(any)) => Ok(()),
        Some(any) => Err(Reason::unsupported_type(any)),
        None => Err(Reason::unsupported("config_discovery")),
    }
}

fn transport_match(option: &TransportSocketMatch) -> Result<(TransportMatch, Transport), Reason> {
    let condition = option.r#match.as_ref();
    let pairs = condition.map(metadata::strings).unwrap_or_default();
    if pairs.len() != condition.map_or(0, |condition| condition.fields.len()) {
        return Err(Reason::at("match", "only fields that are strings are supported by this proxy"));
    }
    let socket = option.transport_socket.as_ref().ok_or_else(|| Reason::at("transport_socket", "is missing"))?;
    Ok((TransportMatch(pairs), transport::upstream(socket).under("transport_socket")?))
}

/// The source address of each family.
fn bind(config: &BindConfig) -> Result<Vec<IpAddr>, Reason> {
    none_set(&[("local_address_selector", config.local_address_selector.is_some())])?;
    let first = config.source_address.as_ref().map(|source| field::ip(&source.address)).transpose();
    let mut sources: Vec<IpAddr> = first.under("source_address.address")?.into_iter().collect();
    sources.extend(each("extra_source_addresses", &config.extra_source_addresses, extra_source)?);
    Ok(sources)
}

fn extra_source(extra: &ExtraSourceAddress) -> Result<IpAddr, Reason> {
    none_set(&[("socket_options", extra.socket_options.is_some())])?;
    let source = extra.address.as_ref().ok_or_else(|| Reason::at("address", "is missing"))?;
    field::ip(&source.address).under("address.address")
}
