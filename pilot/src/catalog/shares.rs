//! The canary shares that the configuration asks for, to be shown beside those that are observed.

use std::collections::BTreeMap;

use crate::generate::weights::with_share;
use crate::model::{HttpMatch, HttpRule, Service};
use crate::world::World;

/// The share of a service's requests that one version shall get.
#[derive(Debug, Clone, PartialEq)]
pub struct WantedShare {
    /// Host of the service.
    pub service: String,
    /// Version: the label of the subset's endpoints, else the subset's name.
    pub version: String,
    /// From 0 to 1.
    pub weight: f64,
}

/// The wanted shares of all services, as their own namespaces see them.
pub(super) fn wanted(world: &World) -> Vec<WantedShare> {
    world.services.iter().flat_map(|service| of_service(world, service)).collect()
}

/// The shares of the first rule that holds for requests whatever their headers.
fn of_service(world: &World, service: &Service) -> Vec<WantedShare> {
    let namespace = service.namespace.as_ref();
    let shares = || {
        let rules = &world.virtual_service(namespace, &service.host)?.http;
        let rule = rules.iter().find(|rule| whatever_the_headers(rule))?;
        let subsets = world.destination_rule(namespace, service)?;
        let mut weights: BTreeMap<String, u32> = BTreeMap::new();
        let mut total = 0;
        for (destination, weight) in with_share(rule.destinations()) {
            total += weight;
            let to = &destination.destination;
            let subset = to.subset.as_deref().filter(|_| to.host == service.host);
            if let Some(subset) = subset.and_then(|name| subsets.subset(name)) {
                let version = subset.labels.get("version").unwrap_or(&subset.name);
                *weights.entry(version.to_owned()).or_default() += weight;
            }
        }
        Some((weights, total))
    };
    let (weights, total) = shares().unwrap_or_default();
    weights
        .into_iter()
        .map(|(version, weight)| WantedShare {
            service: service.host.to_string(),
            version,
            weight: f64::from(weight) / f64::from(total.max(1)),
        })
        .collect()
}

fn whatever_the_headers(rule: &HttpRule) -> bool {
    let free = |block: &HttpMatch| {
        block.headers.is_empty()
            && block.without_headers.is_empty()
            && block.source_labels.is_empty()
            && block.share.is_none()
    };
    rule.matches.is_empty() || rule.matches.iter().any(free)
}
