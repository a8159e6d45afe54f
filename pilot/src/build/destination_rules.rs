//! DestinationRules: those of one namespace for one host are merged.

use super::Build;
use super::references::{References, ports};
use crate::api::Kind;
use crate::model::{DestinationRule, Host, ObjectRef, TrafficPolicy};
use crate::object::Content;
use crate::problem::Problems;
use crate::world::{DestinationRules, Services};
use crate::yaml::FieldPath;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Something to be said of an object that lost a part to an older one.
type Remark = (Arc<ObjectRef>, FieldPath, String);

impl Build<'_> {
    /// Judges DestinationRules and builds their table.
    pub(super) fn destination_rules(&mut self) {
        if !self.changed.any(&[Kind::DestinationRule, Kind::Service, Kind::ServiceEntry]) {
            return;
        }
        let services = self.next.world.services.clone();
        let no_rules = DestinationRules::default();
        let domain = self.next.world.mesh.domain.clone();
        let references = References::new(&services, &no_rules, &domain);
        self.kind(Kind::DestinationRule, true, |content, problems| {
            if let Content::DestinationRule(rule) = content {
                check(rule, &references, &services, problems);
            }
        });
        let mut remarks = Vec::new();
        let rules = self.merged(&mut remarks);
        let root = self.next.world.mesh.root_namespace.clone();
        self.next.world.destination_rules = Arc::new(DestinationRules::new(root, rules));
        for (key, field, message) in remarks {
            self.remark(&key, Kind::DestinationRule, |assessment| assessment.warn(&field, message));
        }
    }

    fn merged(&self, remarks: &mut Vec<Remark>) -> Vec<(Arc<str>, Arc<DestinationRule>)> {
        let mut groups = BTreeMap::<(Arc<str>, Host), Vec<Arc<DestinationRule>>>::new();
        for (key, content) in self.objects(Kind::DestinationRule).contents() {
            if let Content::DestinationRule(rule) = content {
                groups.entry((key.namespace.clone(), rule.host.clone())).or_default().push(rule.clone());
            }
        }
        let mut merged = Vec::new();
        for ((namespace, _), mut group) in groups {
            group.sort_by(|a, b| (a.creation, &a.sources).cmp(&(b.creation, &b.sources)));
            let mut rules: Vec<Merged> = Vec::new();
            for rule in group {
                match rules.iter_mut().find(|known| known.rule.export_to == rule.export_to) {
                    Some(known) => known.add(&rule, remarks),
                    None => rules.push(Merged::new(rule)),
                }
            }
            merged.extend(rules.into_iter().map(|merged| (namespace.clone(), merged.rule)));
        }
        merged
    }
}

/// Rules for one host while they are merged.
struct Merged {
    rule: Arc<DestinationRule>,
    /// The object whose policy holds.
    policy_of: Option<Arc<ObjectRef>>,
}

impl Merged {
    fn new(rule: Arc<DestinationRule>) -> Self {
        let policy_of = rule.sources.first().filter(|_| has_policy(&rule)).cloned();
        Self { rule, policy_of }
    }

    /// Adds a younger rule for the same host: its subsets, and its policy if there is none yet.
    fn add(&mut self, younger: &DestinationRule, remarks: &mut Vec<Remark>) {
        let Some(source) = younger.sources.first() else { return };
        let rule = Arc::make_mut(&mut self.rule);
        let subsets_at = FieldPath::of("spec.subsets");
        for (index, subset) in younger.subsets.iter().enumerate() {
            match rule.subset(&subset.name).map(|known| known.source.clone()) {
                None => rule.subsets.push(subset.clone()),
                Some(owner) => {
                    let message =
                        format!("\"{}\" is already a subset in {owner}, which is older and decides", subset.name);
                    remarks.push((source.clone(), subsets_at.index(index).key("name"), message));
                }
            }
        }
        match &self.policy_of {
            _ if !has_policy(younger) => {}
            None => {
                rule.policy = younger.policy.clone();
                self.policy_of = Some(source.clone());
            }
            Some(owner) => {
                let message = format!("has no effect: {owner} is for the same host, older, and decides");
                remarks.push((source.clone(), FieldPath::of("spec.trafficPolicy"), message));
            }
        }
        rule.sources.push(source.clone());
    }
}

fn has_policy(rule: &DestinationRule) -> bool {
    rule.policy != TrafficPolicy::default()
}

fn check(rule: &DestinationRule, references: &References<'_>, services: &Services, problems: &mut Problems) {
    let at = FieldPath::of("spec");
    match references.missing_host(&rule.host) {
        Some(message) if rule.host.is_wildcard() => problems.warning(&at.key("host"), message),
        Some(message) => problems.error(&at.key("host"), message),
        None => {}
    }
    let Some(service) = services.of_host(&rule.host).first() else { return };
    let levels = std::iter::once(&rule.policy).chain(rule.subsets.iter().map(|subset| &subset.policy));
    for port in levels.flat_map(|policy: &TrafficPolicy| policy.ports.keys().copied()) {
        if service.port(port).is_none() {
            let message = format!("{} has no port {port}; it has {}", rule.host, ports(service));
            problems.warning(&at.key("trafficPolicy").key("portLevelSettings"), message);
        }
    }
}
