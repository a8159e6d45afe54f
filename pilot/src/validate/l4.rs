//! `tcp[]` and `tls[]` rules.

use super::Check;
use super::http_match::for_sidecars;
use crate::api::{L4MatchSpec, RouteDestination};
use crate::model::{HeaderEdits, Host, L4Match, Labels, TcpRule, TlsRule, WeightedDestination};
use crate::yaml::FieldPath;
use std::sync::Arc;

impl Check<'_> {
    pub(super) fn tcp_rule(
        &mut self,
        at: &FieldPath,
        matches: &[L4MatchSpec],
        route: &[RouteDestination],
    ) -> Option<TcpRule> {
        let destinations = self.l4_route(at, route);
        let found = self.l4_matches(at, matches, None);
        (matches.is_empty() || !found.is_empty()).then_some(TcpRule { matches: found, destinations: destinations? })
    }

    pub(super) fn tls_rule(
        &mut self,
        at: &FieldPath,
        matches: &[L4MatchSpec],
        route: &[RouteDestination],
        hosts: &[Host],
    ) -> Option<TlsRule> {
        if matches.is_empty() {
            self.problems.error(&at.key("match"), "is missing; TLS rules need sniHosts");
        }
        let destinations = self.l4_route(at, route);
        let found = self.l4_matches(at, matches, Some(hosts));
        (!found.is_empty()).then_some(TlsRule { matches: found, destinations: destinations? })
    }

    fn l4_route(&mut self, at: &FieldPath, route: &[RouteDestination]) -> Option<Vec<WeightedDestination>> {
        let at = at.key("route");
        if route.is_empty() {
            self.problems.error(&at, "is missing; name a destination");
            return None;
        }
        let mut list = Vec::new();
        for (index, entry) in route.iter().enumerate() {
            list.push(self.weighted(
                &at.index(index),
                entry.destination.as_ref(),
                entry.weight,
                HeaderEdits::default(),
            ));
        }
        self.shares(&at, list)
    }

    /// The match blocks for sidecars; `hosts` is given for TLS rules, whose SNI names must be among them.
    fn l4_matches(&mut self, at: &FieldPath, specs: &[L4MatchSpec], hosts: Option<&[Host]>) -> Vec<L4Match> {
        let mut found = Vec::new();
        for (index, spec) in specs.iter().enumerate() {
            let at = at.key("match").index(index);
            self.unsupported(&at, "sourceSubnet", &spec.source_subnet);
            let nets = at.key("destinationSubnets");
            let subnets = spec.destination_subnets.iter().enumerate();
            let block = L4Match {
                sni_hosts: self.sni_hosts(&at.key("sniHosts"), &spec.sni_hosts, hosts),
                destination_subnets: subnets.filter_map(|(i, net)| self.network(&nets.index(i), net)).collect(),
                port: spec.port.and_then(|number| self.port(&at.key("port"), number)),
                source_labels: Labels::new(spec.source_labels.clone()),
                source_namespace: spec.source_namespace.as_deref().filter(|ns| !ns.is_empty()).map(Arc::from),
            };
            if for_sidecars(&spec.gateways) {
                found.push(block);
            }
        }
        found
    }

    fn sni_hosts(&mut self, at: &FieldPath, names: &[String], hosts: Option<&[Host]>) -> Vec<Host> {
        let Some(hosts) = hosts else {
            if !names.is_empty() {
                self.problems.error(at, "belongs into tls rules; tcp rules see no SNI");
            }
            return Vec::new();
        };
        if names.is_empty() {
            self.problems.error(at, "is missing; name the SNI hosts");
        }
        let mut found = Vec::new();
        for (index, name) in names.iter().enumerate() {
            let at = at.index(index);
            let Some(host) = self.problems.ok(&at, Host::parse(name)) else { continue };
            if !hosts.iter().any(|known| known.covers(&host)) {
                self.problems.error(&at, format!("\"{name}\" is not among the hosts of this VirtualService"));
            }
            found.push(host);
        }
        found
    }
}
