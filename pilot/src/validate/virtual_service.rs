//! VirtualService (istio-api virtual_service.proto; rules of Istio's validation).

use super::Check;
use super::http_match::for_sidecars;
use crate::api::VirtualServiceSpec;
use crate::model::{Destination, Host, HttpRule, VirtualService};
use crate::object::{Content, Routes};
use crate::yaml::FieldPath;
use std::net::IpAddr;
use std::sync::Arc;

pub(super) fn check(spec: &VirtualServiceSpec, creation: i64, check: &mut Check<'_>) -> Option<Content> {
    let at = FieldPath::of("spec");
    let hosts = check.virtual_hosts(&at.key("hosts"), &spec.hosts);
    if spec.http.is_empty() && spec.tls.is_empty() && spec.tcp.is_empty() {
        check.problems.error(&at, "has no rules; add http, tls or tcp");
    }
    let for_sidecars = for_sidecars(&spec.gateways);
    if !for_sidecars {
        let message = "names gateways only, which are not supported yet; add \"mesh\" for sidecars to use it";
        check.problems.warning(&at.key("gateways"), message);
    }
    let (http_at, tls_at, tcp_at) = (at.key("http"), at.key("tls"), at.key("tcp"));
    let http: Vec<_> = numbered(&spec.http).map(|(i, rule)| check.http_rule(&http_at.index(i), rule)).collect();
    let tls = numbered(&spec.tls)
        .filter_map(|(i, rule)| check.tls_rule(&tls_at.index(i), &rule.matches, &rule.route, &hosts));
    let tls = tls.collect();
    let tcp = numbered(&spec.tcp).filter_map(|(i, rule)| check.tcp_rule(&tcp_at.index(i), &rule.matches, &rule.route));
    let tcp = tcp.collect();
    check.unreachable_rules(&http_at, &http);
    let export_to = check.export_to(&at.key("exportTo"), &spec.export_to);
    let references = references(spec, check);
    let http = http.into_iter().flatten().collect();
    let source = check.reference.clone();
    let rules = Arc::new(VirtualService { source, hosts, gateway_api: false, export_to, creation, http, tls, tcp });
    Some(Content::VirtualService(Routes { rules, references, for_sidecars }))
}

fn numbered<T>(list: &[T]) -> impl Iterator<Item = (usize, &T)> {
    list.iter().enumerate()
}

impl Check<'_> {
    fn virtual_hosts(&mut self, at: &FieldPath, texts: &[String]) -> Vec<Host> {
        if texts.is_empty() {
            self.problems.error(at, "is missing; name the hosts whose requests are routed");
        }
        let mut hosts: Vec<Host> = Vec::new();
        for (index, text) in texts.iter().enumerate() {
            let at = at.index(index);
            if text.parse::<IpAddr>().is_ok() {
                self.problems.error(&at, format!("{text} is an IP address; sidecars route by host name"));
                continue;
            }
            match self.host(&at, text) {
                Some(host) if hosts.contains(&host) => {
                    self.problems.error(&at, format!("names {host} a second time; remove it"));
                }
                found => hosts.extend(found),
            }
        }
        hosts
    }

    /// Rules behind one that takes every request never decide.
    fn unreachable_rules(&mut self, at: &FieldPath, rules: &[Option<HttpRule>]) {
        let catches_all = |rule: &Option<HttpRule>| rule.as_ref().is_some_and(HttpRule::is_catch_all);
        let Some(first) = rules.iter().position(catches_all) else { return };
        for index in first + 1..rules.len() {
            let message =
                format!("is never reached: spec.http[{first}] matches every request; put it before that rule");
            self.problems.warning(&at.index(index), message);
        }
    }
}

/// Every destination with the field that names it. Wrong ones were already noted.
fn references(spec: &VirtualServiceSpec, check: &mut Check<'_>) -> Vec<(FieldPath, Destination)> {
    let mut named = Vec::new();
    let at = FieldPath::of("spec");
    for (i, rule) in numbered(&spec.http) {
        let at = at.key("http").index(i);
        for (j, entry) in numbered(&rule.route) {
            named.push((at.key("route").index(j).key("destination"), entry.destination.as_ref()));
        }
        named.push((at.key("mirror"), rule.mirror.as_ref()));
        for (j, entry) in numbered(&rule.mirrors) {
            named.push((at.key("mirrors").index(j).key("destination"), entry.destination.as_ref()));
        }
    }
    let l4 = numbered(&spec.tls).map(|(i, rule)| (at.key("tls").index(i), &rule.route));
    let l4 = l4.chain(numbered(&spec.tcp).map(|(i, rule)| (at.key("tcp").index(i), &rule.route)));
    for (at, route) in l4 {
        for (j, entry) in numbered(route) {
            named.push((at.key("route").index(j).key("destination"), entry.destination.as_ref()));
        }
    }
    let mut quiet = Check { problems: Default::default(), ..*check };
    let resolved = named.into_iter().filter_map(|(at, spec)| Some((quiet.destination(&at, spec?)?, at)));
    resolved.map(|(destination, at)| (at, destination)).collect()
}
