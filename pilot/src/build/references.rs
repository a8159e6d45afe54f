//! Whether what an object names exists: hosts, ports and subsets.

use crate::model::{Destination, Host, Service};
use crate::problem::Problems;
use crate::world::{DestinationRules, Services};
use crate::yaml::{FieldPath, nearest};
use std::cell::Cell;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Names that are looked for among all hosts in one build; looking is slow, and nobody reads a thousand hints.
const HINTS: u32 = 16;

/// What names are resolved against.
pub(super) struct References<'a> {
    services: &'a Services,
    rules: &'a DestinationRules,
    domain: &'a str,
    hints: Cell<u32>,
}

impl<'a> References<'a> {
    pub(super) fn new(services: &'a Services, rules: &'a DestinationRules, domain: &'a str) -> Self {
        Self { services, rules, domain, hints: Cell::new(HINTS) }
    }

    /// What is wrong with a host that no service has; None when one has it.
    pub(super) fn missing_host(&self, host: &Host) -> Option<String> {
        if self.services.answers_to(host) {
            return None;
        }
        if host.is_wildcard() {
            return Some(format!("no service is covered by \"{host}\""));
        }
        let hint = match self.nearest(host) {
            Some(known) => format!("; did you mean \"{known}\"?"),
            None => "; add its Service or ServiceEntry, or correct the name".into(),
        };
        Some(format!("no service \"{host}\"{hint}"))
    }

    /// Checks a destination as clients of `namespace` would find it.
    pub(super) fn destination(
        &self,
        at: &FieldPath,
        destination: &Destination,
        namespace: &str,
        problems: &mut Problems,
    ) {
        let host = &destination.host;
        if let Some(message) = self.missing_host(host) {
            problems.error(&at.key("host"), message);
            return;
        }
        let Some(service) = self.services.get(namespace, host) else {
            if !self.services.of_host(host).is_empty() {
                let message = format!("{host} is not exported to namespace {namespace}; see its exportTo");
                problems.error(&at.key("host"), message);
            }
            return;
        };
        if let Some(port) = destination.port.filter(|port| service.port(*port).is_none()) {
            let message = format!("{host} has no port {port}; it has {}", ports(service));
            problems.error(&at.key("port").key("number"), message);
        }
        if let Some(subset) = &destination.subset {
            self.subset(&at.key("subset"), host, subset, problems);
        }
    }

    /// The ports that requests for some hosts come for.
    pub(super) fn ports_of(&self, hosts: &[Host]) -> BTreeSet<u16> {
        let services = hosts.iter().flat_map(|host| self.services.of_host(host));
        services.flat_map(|service| service.ports.iter().map(|port| port.number)).collect()
    }

    /// A destination without a port gets requests on the port that they came for, unless it has only one.
    pub(super) fn left_out_port(
        &self,
        at: &FieldPath,
        destination: &Destination,
        namespace: &str,
        asked: &BTreeSet<u16>,
        problems: &mut Problems,
    ) {
        let service = self.services.get(namespace, &destination.host);
        let Some(service) = service.filter(|service| destination.port.is_none() && service.ports.len() > 1) else {
            return;
        };
        if !asked.is_empty() && asked.iter().all(|port| service.port(*port).is_none()) {
            let message =
                format!("is needed: {} has the ports {}, but requests come for another", service.host, ports(service));
            problems.error(&at.key("port").key("number"), message);
        }
    }

    fn subset(&self, at: &FieldPath, host: &Host, subset: &str, problems: &mut Problems) {
        let mut known: Vec<&str> =
            self.rules.covering(host).flat_map(|rule| rule.subsets.iter().map(|subset| &*subset.name)).collect();
        if known.contains(&subset) {
            return;
        }
        known.sort_unstable();
        known.dedup();
        let has = match known.is_empty() {
            true => "it has none".to_owned(),
            false => {
                format!("it has {}", known.iter().map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(", "))
            }
        };
        problems.error(at, format!("no subset \"{subset}\" of {host} in any DestinationRule; {has}"));
    }

    /// The host that was probably meant: one with the rest of the domain left out, else one that is spelt alike.
    fn nearest(&self, host: &Host) -> Option<&str> {
        let longer = |suffix: String| self.services.host(format!("{host}.{suffix}").as_str());
        let completed = longer(format!("svc.{}", self.domain)).or_else(|| longer(self.domain.to_owned()));
        if let Some(known) = completed {
            return Some(known.as_str());
        }
        let left = self.hints.get().checked_sub(1)?;
        self.hints.set(left);
        nearest(host.as_str(), self.services.hosts().map(Host::as_str))
    }
}

pub(super) fn ports(service: &Arc<Service>) -> String {
    let numbers: Vec<_> = service.ports.iter().map(|port| port.number.to_string()).collect();
    if numbers.is_empty() { "none".into() } else { numbers.join(", ") }
}
