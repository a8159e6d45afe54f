//! `loadBalancer`: how an endpoint is chosen (DestinationRule `trafficPolicy.loadBalancer`).

use xds::cluster::{
    Cluster,
    cluster::{CommonLbConfig, LbPolicy},
};
use xds::typ::Percent;

use crate::model::LoadBalancer;

/// Sets the policy of a cluster whose endpoints are known; without a word LEAST_REQUEST. The panic threshold is off:
/// traffic never goes to endpoints that are known to be bad because most of them are.
pub(super) fn apply(choice: LoadBalancer, cluster: &mut Cluster) {
    let policy = match choice {
        LoadBalancer::LeastRequest => LbPolicy::LeastRequest,
        LoadBalancer::RoundRobin => LbPolicy::RoundRobin,
        LoadBalancer::Random => LbPolicy::Random,
        LoadBalancer::Passthrough => LbPolicy::ClusterProvided,
    };
    cluster.lb_policy = policy as i32;
    cluster.common_lb_config =
        Some(CommonLbConfig { healthy_panic_threshold: Some(Percent { value: 0.0 }), ..CommonLbConfig::default() });
}
