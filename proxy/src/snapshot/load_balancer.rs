//! How an endpoint is chosen: `lb_policy`, or the extension that takes its place.

use xds::cluster::Cluster;
use xds::cluster::cluster::{LbConfig, LbPolicy as XdsPolicy};
use xds::google::Any;
use xds::least_request::LeastRequest;
use xds::unpack;

use super::field::number;
use super::reason::{Reason, Under, type_name};
use crate::model::LbPolicy;

/// Envoy's default.
const CHOICES: u32 = 2;

/// Compiles the policy. Warm-up and locality settings shape load and decide no request: they are left out.
pub(super) fn compile(cluster: &Cluster) -> Result<LbPolicy, Reason> {
    if let Some(policy) = &cluster.load_balancing_policy {
        return extension(policy).under("load_balancing_policy");
    }
    match XdsPolicy::try_from(cluster.lb_policy) {
        // Clusters that bring their own choice have but one endpoint to choose.
        Ok(XdsPolicy::RoundRobin | XdsPolicy::ClusterProvided) => Ok(LbPolicy::RoundRobin),
        Ok(XdsPolicy::LeastRequest) => least_request(match &cluster.lb_config {
            Some(LbConfig::LeastRequestLbConfig(config)) => number(config.choice_count.as_ref(), CHOICES),
            _ => CHOICES,
        }),
        Ok(XdsPolicy::Random) => Ok(LbPolicy::Random),
        Ok(other) => Err(Reason::at("lb_policy", format!("{} is not supported by this proxy", other.as_str_name()))),
        Err(_) => Err(Reason::at("lb_policy", format!("{} is none of those known", cluster.lb_policy))),
    }
}

fn least_request(choices: u32) -> Result<LbPolicy, Reason> {
    if choices < 2 {
        return Err(Reason::at("choice_count", "must be at least 2"));
    }
    Ok(LbPolicy::LeastRequest { choices })
}

/// The first policy of the list that is known holds.
fn extension(policy: &xds::cluster::LoadBalancingPolicy) -> Result<LbPolicy, Reason> {
    let configs =
        policy.policies.iter().filter_map(|policy| policy.typed_extension_config.as_ref()?.typed_config.as_ref());
    for any in configs.clone() {
        if let Some(known) = known(any)? {
            return Ok(known);
        }
    }
    let names: Vec<&str> = configs.map(type_name).collect();
    Err(Reason::at("policies", format!("none of [{}] is supported by this proxy", names.join(", "))))
}

fn known(any: &Any) -> Result<Option<LbPolicy>, Reason> {
    Ok(match type_name(any) {
        "envoy.extensions.load_balancing_policies.round_robin.v3.RoundRobin" => Some(LbPolicy::RoundRobin),
        "envoy.extensions.load_balancing_policies.random.v3.Random" => Some(LbPolicy::Random),
        "envoy.extensions.load_balancing_policies.least_request.v3.LeastRequest" => {
            let config: LeastRequest = unpack(any)?;
            Some(least_request(number(config.choice_count.as_ref(), CHOICES))?)
        }
        _ => None,
    })
}
