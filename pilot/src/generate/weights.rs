//! `route[].weight`: how requests and connections are shared out (VirtualService `http[].route`, `tcp[].route`).

use xds::route::route_action::ClusterSpecifier;
use xds::route::weighted_cluster::{ClusterWeight, cluster_weight::HostRewriteSpecifier};
use xds::route::{RouteAction, WeightedCluster};
use xds::tcp_proxy::tcp_proxy as tcp;

use super::headers;
use super::view::View;
use super::wrappers::uint32;
use crate::model::WeightedDestination;

/// Sends a route's requests to its destinations: one takes all, of several those with weight 0 get none. When
/// `host_decided` is set the rule itself rewrites the host, which goes before what its destinations say.
pub(super) fn apply(
    view: &View<'_>,
    destinations: &[WeightedDestination],
    port: u16,
    host_decided: bool,
    action: &mut RouteAction,
) {
    action.cluster_specifier = Some(match destinations {
        [only] if only.headers.is_empty() => {
            ClusterSpecifier::Cluster(view.cluster_of(&only.destination, port).to_string())
        }
        several => {
            let clusters = with_share(several)
                .map(|(destination, weight)| cluster_weight(view, destination, weight, port, host_decided));
            ClusterSpecifier::WeightedClusters(WeightedCluster {
                clusters: clusters.collect(),
                ..WeightedCluster::default()
            })
        }
    });
}

/// The same for connections.
pub(super) fn connections(view: &View<'_>, destinations: &[WeightedDestination], port: u16) -> tcp::ClusterSpecifier {
    let cluster = |destination: &WeightedDestination| view.cluster_of(&destination.destination, port).to_string();
    if let [only] = destinations {
        return tcp::ClusterSpecifier::Cluster(cluster(only));
    }
    let clusters = with_share(destinations).map(|(destination, weight)| tcp::weighted_cluster::ClusterWeight {
        name: cluster(destination),
        weight,
        metadata_match: None,
    });
    tcp::ClusterSpecifier::WeightedClusters(tcp::WeightedCluster { clusters: clusters.collect() })
}

/// The destinations that get something, with their weights. A single one gets all, whatever its weight.
pub(crate) fn with_share(destinations: &[WeightedDestination]) -> impl Iterator<Item = (&WeightedDestination, u32)> {
    let single = destinations.len() == 1;
    destinations
        .iter()
        .map(move |destination| (destination, if single { 1 } else { destination.weight }))
        .filter(|(_, weight)| *weight > 0)
}

fn cluster_weight(
    view: &View<'_>,
    destination: &WeightedDestination,
    weight: u32,
    port: u16,
    host_decided: bool,
) -> ClusterWeight {
    let own_host = destination.headers.authority.as_deref().filter(|_| !host_decided);
    let mut cluster = ClusterWeight {
        name: view.cluster_of(&destination.destination, port).to_string(),
        weight: uint32(weight),
        host_rewrite_specifier: own_host.map(|host| HostRewriteSpecifier::HostRewriteLiteral(host.to_owned())),
        ..ClusterWeight::default()
    };
    headers::apply_to_destination(&destination.headers, &mut cluster);
    cluster
}
