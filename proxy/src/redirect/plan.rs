//! The decisions: which rules, in which order. One list per family, which both writers render.
//! Order matters: the first rule that returns or redirects ends the walk.

use super::{Family, ProxyTraffic, RedirectOptions, Selection};
use ipnet::IpNet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A chain of the nat table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Chain {
    Prerouting,
    Output,
    Inbound,
    Redirect,
    InRedirect,
    Outbound,
}

impl Chain {
    pub(super) fn name(self) -> &'static str {
        match self {
            Chain::Prerouting => "PREROUTING",
            Chain::Output => "OUTPUT",
            Chain::Inbound => "ISTIO_INBOUND",
            Chain::Redirect => "ISTIO_REDIRECT",
            Chain::InRedirect => "ISTIO_IN_REDIRECT",
            Chain::Outbound => "ISTIO_OUTPUT",
        }
    }
}

/// One condition of a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Match {
    Tcp,
    Ports(Vec<u16>),
    NotPort(u16),
    From(String),
    To(String),
    Source(IpNet),
    Destination(IpNet),
    NotDestination(IpNet),
    Proxy(Owner),
    NotProxy(Owner),
}

/// One way in which a packet shows that the proxy sent it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Owner {
    Uid(u32),
    Gid(u32),
    Mark(u32),
}

/// What a rule does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Return,
    Jump(Chain),
    RedirectTo(u16),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rule {
    pub chain: Chain,
    pub matches: Vec<Match>,
    pub verdict: Verdict,
}

fn rule(chain: Chain, matches: Vec<Match>, verdict: Verdict) -> Rule {
    Rule { chain, matches, verdict }
}

/// The rules of one family, in order.
pub(super) fn rules(options: &RedirectOptions, family: Family) -> Vec<Rule> {
    let mut rules = vec![
        rule(Chain::Redirect, vec![Match::Tcp], Verdict::RedirectTo(options.outbound_port)),
        rule(Chain::InRedirect, vec![Match::Tcp], Verdict::RedirectTo(options.inbound_port)),
    ];
    rules.extend(virtual_interfaces(options, family));
    rules.extend(inbound(options));
    rules.extend(outbound(options, family));
    rules
}

fn loopback(family: Family) -> IpNet {
    match family {
        Family::V4 => IpNet::from(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        Family::V6 => IpNet::from(IpAddr::V6(Ipv6Addr::LOCALHOST)),
    }
}

fn virtual_interfaces(options: &RedirectOptions, family: Family) -> Vec<Rule> {
    let mut rules = Vec::new();
    for interface in &options.virtual_interfaces {
        let from = Match::From(interface.clone());
        for destination in selected(&options.outbound, family) {
            let matches = std::iter::once(from.clone()).chain(destination).collect();
            rules.push(rule(Chain::Inbound, matches, Verdict::Jump(Chain::Redirect)));
        }
        rules.push(rule(Chain::Inbound, vec![from], Verdict::Return));
    }
    rules
}

fn inbound(options: &RedirectOptions) -> Vec<Rule> {
    let from_excluded =
        |interface: &String| rule(Chain::Inbound, vec![Match::From(interface.clone())], Verdict::Return);
    let mut rules: Vec<Rule> = options.interfaces_excluded.iter().map(from_excluded).collect();
    rules.push(rule(Chain::Inbound, vec![Match::Tcp, Match::Ports(vec![options.tunnel_port])], Verdict::Return));
    let capture = Verdict::Jump(Chain::InRedirect);
    match &options.inbound {
        Selection::All => {
            for ports in in_groups(&options.inbound_excluded) {
                rules.push(rule(Chain::Inbound, vec![Match::Tcp, Match::Ports(ports)], Verdict::Return));
            }
            rules.push(rule(Chain::Inbound, vec![Match::Tcp], capture));
        }
        Selection::Only(ports) => {
            for ports in in_groups(ports) {
                rules.push(rule(Chain::Inbound, vec![Match::Tcp, Match::Ports(ports)], capture));
            }
        }
    }
    if !options.inbound.is_none() || !options.virtual_interfaces.is_empty() {
        rules.push(rule(Chain::Prerouting, vec![Match::Tcp], Verdict::Jump(Chain::Inbound)));
    }
    rules
}

fn outbound(options: &RedirectOptions, family: Family) -> Vec<Rule> {
    let out = |matches, verdict| rule(Chain::Outbound, matches, verdict);
    let mut rules = vec![rule(Chain::Output, vec![Match::Tcp], Verdict::Jump(Chain::Outbound))];
    for interface in &options.interfaces_excluded {
        rules.push(out(vec![Match::To(interface.clone())], Verdict::Return));
    }
    for ports in in_groups(&options.outbound_ports_excluded) {
        rules.push(out(vec![Match::Tcp, Match::Ports(ports)], Verdict::Return));
    }
    let lo = || Match::To("lo".to_owned());
    rules.push(out(vec![lo(), Match::Source(family.inbound_source().into())], Verdict::Return));
    for owner in owners(&options.proxy) {
        rules.extend(own_connections(options, family, owner));
    }
    rules.push(out(vec![Match::Destination(loopback(family))], Verdict::Return));
    for net in options.outbound_excluded.iter().filter(|net| family.holds(net)) {
        rules.push(out(vec![Match::Destination(*net)], Verdict::Return));
    }
    let capture = Verdict::Jump(Chain::Redirect);
    for ports in in_groups(&options.outbound_ports) {
        rules.push(out(vec![Match::Tcp, Match::Ports(ports)], capture));
    }
    for destination in selected(&options.outbound, family) {
        rules.push(out(destination.into_iter().collect(), capture));
    }
    rules
}

/// What the proxy sends is not captured again, but for a call that it routes back to its own pod: that one is inbound.
/// Applications that talk to themselves over `lo` are left alone.
fn own_connections(options: &RedirectOptions, family: Family, owner: Owner) -> [Rule; 3] {
    let lo = || Match::To("lo".to_owned());
    let to_own_pod = vec![
        lo(),
        Match::NotDestination(loopback(family)),
        Match::Tcp,
        Match::NotPort(options.tunnel_port),
        Match::Proxy(owner),
    ];
    [
        rule(Chain::Outbound, to_own_pod, Verdict::Jump(Chain::InRedirect)),
        rule(Chain::Outbound, vec![lo(), Match::NotProxy(owner)], Verdict::Return),
        rule(Chain::Outbound, vec![Match::Proxy(owner)], Verdict::Return),
    ]
}

fn owners(proxy: &ProxyTraffic) -> Vec<Owner> {
    match proxy {
        ProxyTraffic::Owner { uids, gids } => {
            uids.iter().copied().map(Owner::Uid).chain(gids.iter().copied().map(Owner::Gid)).collect()
        }
        ProxyTraffic::Mark(mark) => vec![Owner::Mark(*mark)],
    }
}

/// The destination matches that a selection needs in one family: none at all for everything.
fn selected(selection: &Selection<IpNet>, family: Family) -> Vec<Option<Match>> {
    match selection {
        Selection::All => vec![None],
        Selection::Only(nets) => {
            nets.iter().filter(|net| family.holds(net)).map(|net| Some(Match::Destination(*net))).collect()
        }
    }
}

/// iptables' multiport match takes at most 15 ports.
fn in_groups(ports: &[u16]) -> impl Iterator<Item = Vec<u16>> + '_ {
    ports.chunks(15).map(<[u16]>::to_vec)
}
