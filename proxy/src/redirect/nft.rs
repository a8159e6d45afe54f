//! The rules as text for `nft -f -`, for systems without iptables. One table per family, replaced in one transaction.

use super::plan::{self, Match, Owner, Rule, Verdict};
use super::{CHAINS, Family, RedirectOptions};
use std::fmt::Write;

const TABLE: &str = "meltemi_redirect";

/// Text that replaces our table of this family, or creates it.
pub fn ruleset(options: &RedirectOptions, family: Family) -> String {
    let rules = plan::rules(options, family);
    let mut text = cleanup(family);
    let _ = writeln!(text, "table {} {TABLE} {{", word(family));
    for chain in CHAINS {
        // Declared empty first: nft resolves jumps in the order of the text.
        let _ = writeln!(text, "\tchain {chain} {{ }}");
    }
    for (chain, hook) in [("PREROUTING", "prerouting"), ("OUTPUT", "output")] {
        let _ = writeln!(text, "\tchain {chain} {{\n\t\ttype nat hook {hook} priority -100; policy accept;\n\t}}");
    }
    text.push_str("}\n");
    for rule in &rules {
        let _ = writeln!(text, "add rule {} {TABLE} {}", word(family), line(rule, family));
    }
    text
}

/// Text that removes our table of this family, whether it exists or not.
pub fn cleanup(family: Family) -> String {
    let family = word(family);
    format!("add table {family} {TABLE}\ndelete table {family} {TABLE}\n")
}

fn word(family: Family) -> &'static str {
    match family {
        Family::V4 => "ip",
        Family::V6 => "ip6",
    }
}

fn line(rule: &Rule, family: Family) -> String {
    let mut text = rule.chain.name().to_owned();
    let has_port = rule.matches.iter().any(|one| matches!(one, Match::Ports(_) | Match::NotPort(_)));
    for one in &rule.matches {
        // A match on a TCP port says "tcp" itself.
        if *one == Match::Tcp && has_port {
            continue;
        }
        text.push(' ');
        text.push_str(&condition(one, family));
    }
    match rule.verdict {
        Verdict::Return => text.push_str(" return"),
        Verdict::Jump(chain) => {
            let _ = write!(text, " jump {}", chain.name());
        }
        Verdict::RedirectTo(port) => {
            let _ = write!(text, " redirect to :{port}");
        }
    }
    text
}

fn condition(one: &Match, family: Family) -> String {
    let family = word(family);
    match one {
        Match::Tcp => "meta l4proto tcp".to_owned(),
        Match::Ports(ports) => match ports.as_slice() {
            [port] => format!("tcp dport {port}"),
            many => {
                let list: Vec<String> = many.iter().map(u16::to_string).collect();
                format!("tcp dport {{ {} }}", list.join(", "))
            }
        },
        Match::NotPort(port) => format!("tcp dport != {port}"),
        Match::From(interface) => format!("iifname \"{interface}\""),
        Match::To(interface) => format!("oifname \"{interface}\""),
        Match::Source(net) => format!("{family} saddr {net}"),
        Match::Destination(net) => format!("{family} daddr {net}"),
        Match::NotDestination(net) => format!("{family} daddr != {net}"),
        Match::Proxy(owner) => self::owner("", *owner),
        Match::NotProxy(owner) => self::owner("!= ", *owner),
    }
}

fn owner(not: &str, owner: Owner) -> String {
    match owner {
        Owner::Uid(id) => format!("meta skuid {not}{id}"),
        Owner::Gid(id) => format!("meta skgid {not}{id}"),
        Owner::Mark(mark) => format!("meta mark {not}{mark:#x}"),
    }
}
