//! `RouteAction`: where requests of a route go.

use xds::route::route_action::{ClusterNotFoundResponseCode, ClusterSpecifier, InternalRedirectAction, UpgradeConfig};
use xds::route::{HedgePolicy, RouteAction};

use super::field::truth;
use super::header_edits::{Edits, together};
use super::reason::{Reason, Under, none_set};
use super::weights::{self, Weighted};
use super::{metadata, retry, timeout};
use crate::http::decide::Forward;
use crate::http::retry::RetryPolicy;
use crate::http::weights::{Target, Targets};

/// What the virtual host adds to the action of each of its routes.
pub(super) struct HostDefaults {
    pub(super) retry: Option<RetryPolicy>,
    pub(super) attempt_count_in_request: bool,
    pub(super) attempt_count_in_response: bool,
}

/// Compiles the action. Of the header edits of `levels` (most specific first) those that have to be applied after a target's
/// own go into the targets, and `true` comes back; else they are the route's to apply.
pub(super) fn compile(
    action: &RouteAction,
    host: &HostDefaults,
    levels: &[&Edits],
    specific_wins: bool,
) -> Result<(Forward, bool), Reason> {
    refuse_unknown(action)?;
    let clusters = clusters(action.cluster_specifier.as_ref())?;
    let per_target = clusters.iter().any(|cluster| !cluster.edits.is_empty());
    let targets: Vec<Target> = clusters
        .into_iter()
        .map(|cluster| if per_target { with_edits(cluster, levels, specific_wins) } else { cluster.target })
        .collect();
    let retry = match &action.retry_policy {
        Some(policy) => retry::compile(policy).under("retry_policy")?,
        None => host.retry.clone(),
    };
    let forward = Forward {
        targets: Targets::weighted(targets).ok_or_else(|| Reason::at("weighted_clusters", "nothing to choose from"))?,
        timeout: timeout::compile(action)?,
        retry,
        websocket: websocket(&action.upgrade_configs)?,
        attempt_count_in_request: host.attempt_count_in_request,
        attempt_count_in_response: host.attempt_count_in_response,
    };
    Ok((forward, per_target))
}

#[allow(deprecated)]
fn refuse_unknown(action: &RouteAction) -> Result<(), Reason> {
    let not_found = action.cluster_not_found_response_code != ClusterNotFoundResponseCode::ServiceUnavailable as i32;
    none_set(&[
        // A cluster that does not exist is answered 503, which is what routes say that say nothing.
        ("cluster_not_found_response_code", not_found),
        ("metadata_match", metadata::has_subset(action.metadata_match.as_ref())),
        ("retry_policy_typed_config", action.retry_policy_typed_config.is_some()),
        ("internal_redirect_policy", action.internal_redirect_policy.is_some()),
        (
            "internal_redirect_action",
            action.internal_redirect_action == InternalRedirectAction::HandleInternalRedirect as i32,
        ),
        ("hedge_policy", action.hedge_policy.as_ref().is_some_and(hedges)),
    ])
}

/// Whether more than one try can be under way at once.
pub(super) fn hedges(policy: &HedgePolicy) -> bool {
    policy.hedge_on_per_try_timeout || policy.initial_requests.is_some_and(|requests| requests.value > 1)
}

fn clusters(specifier: Option<&ClusterSpecifier>) -> Result<Vec<Weighted>, Reason> {
    match specifier {
        Some(ClusterSpecifier::Cluster(name)) if !name.is_empty() => {
            Ok(vec![Weighted { target: Target::to(name.as_str(), 1), edits: Edits::default() }])
        }
        Some(ClusterSpecifier::WeightedClusters(choice)) => weights::compile(choice).under("weighted_clusters"),
        Some(ClusterSpecifier::ClusterHeader(_)) => Err(Reason::unsupported("cluster_header")),
        Some(ClusterSpecifier::ClusterSpecifierPlugin(_)) => Err(Reason::unsupported("cluster_specifier_plugin")),
        Some(ClusterSpecifier::InlineClusterSpecifierPlugin(_)) => {
            Err(Reason::unsupported("inline_cluster_specifier_plugin"))
        }
        Some(ClusterSpecifier::Cluster(_)) | None => Err(Reason::at("cluster", "is missing")),
    }
}

fn with_edits(cluster: Weighted, levels: &[&Edits], specific_wins: bool) -> Target {
    let mut order: Vec<&Edits> = vec![&cluster.edits];
    order.extend(levels);
    if specific_wins {
        order.reverse();
    }
    let (request_headers, response_headers) = together(&order);
    Target { request_headers, response_headers, ..cluster.target }
}

fn websocket(upgrades: &[UpgradeConfig]) -> Result<Option<bool>, Reason> {
    let mut websocket = None;
    for (index, upgrade) in upgrades.iter().enumerate() {
        let enabled = truth(upgrade.enabled.as_ref(), true);
        if upgrade.upgrade_type.eq_ignore_ascii_case("websocket") {
            websocket = Some(enabled);
        } else if enabled {
            let why = format!("{:?} is not supported by this proxy", upgrade.upgrade_type);
            return Err(Reason::at(format!("upgrade_configs[{index}].upgrade_type"), why));
        }
    }
    Ok(websocket)
}
