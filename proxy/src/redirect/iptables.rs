//! The rules as text for `iptables-restore --noflush` (and `ip6tables-restore`): one transaction that removes what an
//! earlier run left and writes the new set, so that running twice leaves one set.

use super::plan::{self, Match, Owner, Rule, Verdict};
use super::{CHAINS, Family, RedirectOptions};
use std::fmt::Write;

/// Text that replaces whatever `saved` (the output of `iptables-save -t nat`) holds of ours by the rules of `options`.
pub fn restore(options: &RedirectOptions, family: Family, saved: &str) -> String {
    let mut text = String::from("*nat\n");
    text.push_str(&remove_hooks(saved));
    for chain in CHAINS {
        // With --noflush, declaring a chain creates it or empties it.
        let _ = writeln!(text, ":{chain} - [0:0]");
    }
    for rule in plan::rules(options, family) {
        let _ = writeln!(text, "{}", line(&rule));
    }
    text.push_str("COMMIT\n");
    text
}

/// Text that removes all that `saved` holds of ours; `None` when there is nothing.
pub fn cleanup(saved: &str) -> Option<String> {
    let present: Vec<&str> = CHAINS.into_iter().filter(|chain| saved.contains(&format!(":{chain} "))).collect();
    if present.is_empty() {
        return None;
    }
    let mut text = String::from("*nat\n");
    text.push_str(&remove_hooks(saved));
    // All are emptied before the first is deleted: a chain that another one jumps to cannot go.
    for chain in &present {
        let _ = writeln!(text, ":{chain} - [0:0]");
    }
    for chain in &present {
        let _ = writeln!(text, "-X {chain}");
    }
    text.push_str("COMMIT\n");
    Some(text)
}

/// Deletions of the jumps from the built-in chains into ours.
fn remove_hooks(saved: &str) -> String {
    let mut text = String::new();
    for line in saved.lines() {
        let Some(rest) = line.strip_prefix("-A ") else { continue };
        let from_builtin = rest.starts_with("PREROUTING ") || rest.starts_with("OUTPUT ");
        if from_builtin && CHAINS.iter().any(|chain| rest.ends_with(&format!("-j {chain}"))) {
            let _ = writeln!(text, "-D {rest}");
        }
    }
    text
}

fn line(rule: &Rule) -> String {
    let mut text = format!("-A {}", rule.chain.name());
    for one in &rule.matches {
        text.push(' ');
        text.push_str(&condition(one));
    }
    match rule.verdict {
        Verdict::Return => text.push_str(" -j RETURN"),
        Verdict::Jump(chain) => {
            let _ = write!(text, " -j {}", chain.name());
        }
        Verdict::RedirectTo(port) => {
            let _ = write!(text, " -j REDIRECT --to-ports {port}");
        }
    }
    text
}

fn condition(one: &Match) -> String {
    match one {
        Match::Tcp => "-p tcp".to_owned(),
        Match::Ports(ports) => match ports.as_slice() {
            [port] => format!("--dport {port}"),
            many => {
                let list: Vec<String> = many.iter().map(u16::to_string).collect();
                format!("-m multiport --dports {}", list.join(","))
            }
        },
        Match::NotPort(port) => format!("! --dport {port}"),
        Match::From(interface) => format!("-i {interface}"),
        Match::To(interface) => format!("-o {interface}"),
        Match::Source(net) => format!("-s {net}"),
        Match::Destination(net) => format!("-d {net}"),
        Match::NotDestination(net) => format!("! -d {net}"),
        Match::Proxy(owner) => self::owner("", *owner),
        Match::NotProxy(owner) => self::owner("! ", *owner),
    }
}

fn owner(not: &str, owner: Owner) -> String {
    match owner {
        Owner::Uid(id) => format!("-m owner {not}--uid-owner {id}"),
        Owner::Gid(id) => format!("-m owner {not}--gid-owner {id}"),
        Owner::Mark(mark) => format!("-m mark {not}--mark {mark:#x}"),
    }
}
