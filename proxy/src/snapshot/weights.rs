//! `WeightedCluster` of routes.

use xds::route::WeightedCluster;
use xds::route::weighted_cluster::{ClusterWeight, RandomValueSpecifier, cluster_weight::HostRewriteSpecifier};

use super::header_edits::{Edits, Lists};
use super::per_filter::{Filters, PerFilter};
use super::reason::{Reason, Under, none_set};
use super::{each, field, metadata, rewrite};
use crate::http::weights::Target;

/// One cluster of the choice, with the header edits of its own level.
pub(super) struct Weighted {
    pub(super) target: Target,
    pub(super) edits: Edits,
}

/// Compiles the clusters of a choice.
pub(super) fn compile(choice: &WeightedCluster) -> Result<Vec<Weighted>, Reason> {
    none_set(&[
        ("header_name", matches!(choice.random_value_specifier, Some(RandomValueSpecifier::HeaderName(_)))),
        (
            "use_hash_policy",
            matches!(&choice.random_value_specifier, Some(RandomValueSpecifier::UseHashPolicy(flag)) if flag.value),
        ),
    ])?;
    let clusters = each("clusters", &choice.clusters, weighted)?;
    if clusters.iter().all(|cluster| cluster.target.weight == 0) {
        return Err(Reason::at("clusters", "none has a weight above zero"));
    }
    Ok(clusters)
}

fn weighted(cluster: &ClusterWeight) -> Result<Weighted, Reason> {
    none_set(&[
        ("cluster_header", !cluster.cluster_header.is_empty()),
        ("metadata_match", metadata::has_subset(cluster.metadata_match.as_ref())),
    ])?;
    if cluster.name.is_empty() {
        return Err(Reason::at("name", "is missing"));
    }
    let own = PerFilter::compile(&cluster.typed_per_filter_config, Filters::ALL)?;
    none_set(&[("typed_per_filter_config", own.fault.is_some() || own.cors.is_some())])?;
    let authority = cluster
        .host_rewrite_specifier
        .as_ref()
        .map(|HostRewriteSpecifier::HostRewriteLiteral(host)| rewrite::literal(host).under("host_rewrite_literal"));
    let weight = field::number(cluster.weight.as_ref(), 0);
    let target = Target { authority: authority.transpose()?, ..Target::to(cluster.name.as_str(), weight) };
    let edits = Edits::compile(&Lists {
        request_add: &cluster.request_headers_to_add,
        request_remove: &cluster.request_headers_to_remove,
        response_add: &cluster.response_headers_to_add,
        response_remove: &cluster.response_headers_to_remove,
    })?;
    Ok(Weighted { target, edits })
}
