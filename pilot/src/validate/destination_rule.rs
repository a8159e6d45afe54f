//! DestinationRule (istio-api destination_rule.proto).

use super::Check;
use crate::api::{DestinationRuleSpec, SubsetSpec};
use crate::model::{DestinationRule, Labels, Subset};
use crate::object::Content;
use crate::yaml::FieldPath;
use std::sync::Arc;

pub(super) fn check(spec: &DestinationRuleSpec, creation: i64, check: &mut Check<'_>) -> Option<Content> {
    let at = FieldPath::of("spec");
    if spec.workload_selector.is_some() {
        let message = "is not supported yet, and without it the rule would hold for every client; remove it";
        check.problems.error(&at.key("workloadSelector"), message);
    }
    let host = check.host(&at.key("host"), &spec.host);
    let policy = check.traffic_policy(&at.key("trafficPolicy"), spec.traffic_policy.as_ref());
    let subsets = check.subsets(&at.key("subsets"), &spec.subsets);
    let export_to = check.export_to(&at.key("exportTo"), &spec.export_to);
    let sources = vec![check.reference.clone()];
    let rule = DestinationRule { sources, host: host?, export_to, creation, policy, subsets };
    Some(Content::DestinationRule(Arc::new(rule)))
}

impl Check<'_> {
    fn subsets(&mut self, at: &FieldPath, specs: &[SubsetSpec]) -> Vec<Subset> {
        let mut subsets: Vec<Subset> = Vec::new();
        for (index, spec) in specs.iter().enumerate() {
            let at = at.index(index);
            let name = at.key("name");
            if spec.name.is_empty() || spec.name.contains('|') {
                self.problems.error(&name, format!("\"{}\" is not a subset's name; use letters and digits", spec.name));
            } else if subsets.iter().any(|known| *known.name == *spec.name) {
                self.problems.error(&name, format!("\"{}\" occurs twice; keep one", spec.name));
            }
            subsets.push(Subset {
                name: spec.name.as_str().into(),
                labels: Labels::new(spec.labels.clone()),
                policy: self.traffic_policy(&at.key("trafficPolicy"), spec.traffic_policy.as_ref()),
                source: self.reference.clone(),
            });
        }
        subsets
    }
}
