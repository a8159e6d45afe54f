//! `TcpProxy`.

use std::time::Duration;

use xds::tcp_proxy::tcp_proxy::{ClusterSpecifier, WeightedCluster};
use xds::tcp_proxy::{TcpProxy as XdsProxy, UpstreamConnectMode};

use super::field::{limit, number};
use super::reason::{Reason, none_set};
use super::{each, metadata};
use crate::http::weights::{Target, Targets};
use crate::model::TcpProxy;

/// Envoy's default.
const IDLE_TIMEOUT: Duration = Duration::from_secs(3600);

/// Compiles a TCP proxy.
pub(super) fn compile(proxy: &XdsProxy) -> Result<TcpProxy, Reason> {
    none_set(&[
        ("metadata_match", metadata::has_subset(proxy.metadata_match.as_ref())),
        ("tunneling_config", proxy.tunneling_config.is_some()),
        ("max_downstream_connection_duration", proxy.max_downstream_connection_duration.is_some()),
        ("proxy_protocol_tlvs", !proxy.proxy_protocol_tlvs.is_empty()),
        ("upstream_connect_mode", proxy.upstream_connect_mode != UpstreamConnectMode::Immediate as i32),
    ])?;
    Ok(TcpProxy {
        stat_prefix: proxy.stat_prefix.as_str().into(),
        targets: targets(proxy.cluster_specifier.as_ref())?,
        idle_timeout: limit("idle_timeout", proxy.idle_timeout.as_ref(), IDLE_TIMEOUT)?,
        connect_attempts: number(proxy.max_connect_attempts.as_ref(), 1).max(1),
    })
}

fn targets(specifier: Option<&ClusterSpecifier>) -> Result<Targets, Reason> {
    match specifier {
        Some(ClusterSpecifier::Cluster(name)) if !name.is_empty() => Ok(Targets::single(name.as_str())),
        Some(ClusterSpecifier::WeightedClusters(choice)) => weighted(choice),
        Some(ClusterSpecifier::Cluster(_)) | None => Err(Reason::at("cluster", "is missing")),
    }
}

fn weighted(choice: &WeightedCluster) -> Result<Targets, Reason> {
    let targets = each("weighted_clusters.clusters", &choice.clusters, |cluster| {
        none_set(&[("metadata_match", metadata::has_subset(cluster.metadata_match.as_ref()))])?;
        if cluster.name.is_empty() {
            return Err(Reason::at("name", "is missing"));
        }
        Ok(Target::to(cluster.name.as_str(), cluster.weight))
    })?;
    Targets::weighted(targets).ok_or_else(|| Reason::at("weighted_clusters.clusters", "none has a weight above zero"))
}
