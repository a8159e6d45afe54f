//! A weighted choice between clusters: `WeightedCluster` of HTTP routes and of the TCP proxy.

use std::sync::Arc;

use http::HeaderValue;

use super::headers::HeaderEdits;

/// One cluster of a choice.
#[derive(Debug, Clone)]
pub struct Target {
    /// Cluster name.
    pub cluster: Arc<str>,
    /// Share relative to the others; 0: never chosen.
    pub weight: u32,
    /// Edits for requests that go there.
    pub request_headers: Option<HeaderEdits>,
    /// Edits for responses that come from there.
    pub response_headers: Option<HeaderEdits>,
    /// The authority that requests to it get; `super::rewrite::set_authority` writes it.
    pub authority: Option<HeaderValue>,
}

impl Target {
    /// A cluster and nothing else.
    pub fn to(cluster: impl Into<Arc<str>>, weight: u32) -> Self {
        Self { cluster: cluster.into(), weight, request_headers: None, response_headers: None, authority: None }
    }
}

/// One cluster, or several with weights; never empty.
#[derive(Debug, Clone)]
pub struct Targets {
    targets: Vec<Target>,
    total: u64,
}

impl Targets {
    /// All requests go to one cluster.
    pub fn single(cluster: impl Into<Arc<str>>) -> Self {
        Self { targets: vec![Target::to(cluster, 1)], total: 1 }
    }

    /// A weighted choice; `None` if no target has a weight, for then there is nothing to choose.
    pub fn weighted(targets: Vec<Target>) -> Option<Self> {
        let total = targets.iter().map(|target| u64::from(target.weight)).sum();
        (total > 0).then_some(Self { targets, total })
    }

    /// The target of a request that drew `random`: exact over the sum of the weights.
    pub fn pick(&self, random: u64) -> &Target {
        let mut left = random % self.total;
        for target in &self.targets {
            let weight = u64::from(target.weight);
            if left < weight {
                return target;
            }
            left -= weight;
        }
        // `left` starts below the sum of all weights, so that the loop has returned.
        &self.targets[0]
    }

    /// The names of all clusters that may be chosen.
    pub fn clusters(&self) -> impl Iterator<Item = &Arc<str>> {
        self.targets.iter().filter(|target| target.weight > 0).map(|target| &target.cluster)
    }

    /// All of them, also those of weight 0.
    pub fn iter(&self) -> std::slice::Iter<'_, Target> {
        self.targets.iter()
    }
}

impl<'a> IntoIterator for &'a Targets {
    type Item = &'a Target;
    type IntoIter = std::slice::Iter<'a, Target>;
    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

#[cfg(test)]
mod tests;
