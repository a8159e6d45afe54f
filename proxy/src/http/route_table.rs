//! From a request to its route: virtual hosts by name, then the first route of the host whose condition holds.
//!
//! `RouteConfiguration`. Hosts are found by hashing, however many there are; only the routes of one host are walked.

use std::collections::HashMap;
use std::sync::Arc;

use super::decide::{Action, NoRoute, Policy, RequestView, Route};

/// Routes of one virtual host.
#[derive(Debug)]
pub struct VirtualHost {
    /// For logs and the configuration dump.
    pub name: Arc<str>,
    /// Authorities that it serves: a name, `*.suffix`, `prefix.*` or `*`.
    pub domains: Vec<Box<str>>,
    /// In the order in which they are tried.
    pub routes: Vec<Arc<Route>>,
}

/// One route configuration.
#[derive(Debug)]
pub struct RouteTable {
    /// Resource name, e.g. `catalog.shop.svc.cluster.local:80`.
    pub name: Arc<str>,
    /// The configuration object that it was made from, as a path of the API server.
    pub provenance: Option<Arc<str>>,
    hosts: Vec<VirtualHost>,
    exact: HashMap<Box<str>, usize>,
    suffixes: Wildcards,
    prefixes: Wildcards,
    default: Option<usize>,
    ignore_port: bool,
}

/// Wildcards by the length of what is fixed in them, longest first: one hash lookup per length.
type Wildcards = Vec<(usize, HashMap<Box<str>, usize>)>;

impl RouteTable {
    /// Builds the lookup; the error names the domain that is empty, malformed or there twice.
    pub fn new(
        name: Arc<str>,
        provenance: Option<Arc<str>>,
        hosts: Vec<VirtualHost>,
        ignore_port: bool,
    ) -> Result<Self, String> {
        let mut table = Self {
            name,
            provenance,
            hosts: Vec::new(),
            exact: HashMap::new(),
            suffixes: Vec::new(),
            prefixes: Vec::new(),
            default: None,
            ignore_port,
        };
        for (index, host) in hosts.iter().enumerate() {
            for (position, domain) in host.domains.iter().enumerate() {
                table
                    .serve(domain, index)
                    .map_err(|why| format!("virtual_hosts[{index}].domains[{position}]: {why}"))?;
            }
        }
        table.suffixes.sort_by_key(|(length, _)| std::cmp::Reverse(*length));
        table.prefixes.sort_by_key(|(length, _)| std::cmp::Reverse(*length));
        table.hosts = hosts;
        Ok(table)
    }

    fn serve(&mut self, domain: &str, host: usize) -> Result<(), String> {
        let folded = domain.to_ascii_lowercase();
        let taken = match (folded.strip_prefix('*'), folded.strip_suffix('*')) {
            (None, None) if folded.is_empty() => return Err("empty".into()),
            (Some(""), _) => self.default.replace(host).is_some(),
            (Some(suffix), None) if !suffix.contains('*') => !insert(&mut self.suffixes, suffix, host),
            (None, Some(prefix)) if !prefix.contains('*') => !insert(&mut self.prefixes, prefix, host),
            (None, None) if !folded.contains('*') => self.exact.insert(folded.into(), host).is_some(),
            _ => return Err(format!("{domain:?}: a `*` may stand at one end only")),
        };
        if taken {
            Err(format!("{domain:?} is served by an earlier virtual host or twice by this one"))
        } else {
            Ok(())
        }
    }

    /// The route of a request that drew `random` (which only conditions on a share of requests use).
    pub fn decide(&self, view: &RequestView<'_>, random: u64) -> Result<&Arc<Route>, NoRoute> {
        let host = self.host(view.authority).ok_or_else(|| NoRoute::NoVirtualHost { table: self.name.clone() })?;
        host.routes
            .iter()
            .find(|route| route.matcher.matches(view, random))
            .ok_or_else(|| NoRoute::NoMatch { table: self.name.clone(), virtual_host: host.name.clone() })
    }

    /// The virtual host that serves an authority: exact name, longest suffix, longest prefix, default.
    pub fn host(&self, authority: &str) -> Option<&VirtualHost> {
        if self.exact.is_empty() && self.suffixes.is_empty() && self.prefixes.is_empty() {
            return self.default.map(|index| &self.hosts[index]);
        }
        let name = if self.ignore_port { super::normalise::without_port(authority) } else { authority };
        let folded;
        let name = if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
            folded = name.to_ascii_lowercase();
            folded.as_str()
        } else {
            name
        };
        let index = self
            .exact
            .get(name)
            .copied()
            .or_else(|| find(&self.suffixes, |length| name.get(name.len().checked_sub(length)?..), name.len()))
            .or_else(|| find(&self.prefixes, |length| name.get(..length), name.len()))
            .or(self.default)?;
        self.hosts.get(index)
    }

    /// All virtual hosts, in configuration order.
    pub fn hosts(&self) -> &[VirtualHost] {
        &self.hosts
    }

    /// Every cluster that a request may be sent or copied to, with repetitions.
    pub fn clusters(&self) -> impl Iterator<Item = &Arc<str>> {
        self.hosts.iter().flat_map(|host| &host.routes).flat_map(|route| {
            let targets = match &route.action {
                Action::Forward(forward) => Some(&forward.targets),
                Action::Redirect(_) | Action::DirectResponse(_) => None,
            };
            let mirrors = route.policies.iter().filter_map(|policy| match policy {
                Policy::Mirror(mirror) => Some(&mirror.cluster),
                _ => None,
            });
            targets.into_iter().flatten().map(|target| &target.cluster).chain(mirrors)
        })
    }
}

fn insert(wildcards: &mut Wildcards, fixed: &str, host: usize) -> bool {
    let position = wildcards.iter().position(|(length, _)| *length == fixed.len()).unwrap_or_else(|| {
        wildcards.push((fixed.len(), HashMap::new()));
        wildcards.len() - 1
    });
    wildcards[position].1.insert(fixed.into(), host).is_none()
}

fn find<'a>(wildcards: &Wildcards, part: impl Fn(usize) -> Option<&'a str>, available: usize) -> Option<usize> {
    // The `*` stands for one character at least.
    wildcards
        .iter()
        .filter(|(length, _)| *length < available)
        .find_map(|(length, hosts)| hosts.get(part(*length)?).copied())
}

#[cfg(test)]
mod tests;
