//! The text of the rules against what Istio documents of its chains.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::*;

fn iptables_rules(options: &RedirectOptions) -> Vec<String> {
    let text = iptables::restore(options, Family::V4, "");
    text.lines().filter(|line| line.starts_with("-A ")).map(str::to_owned).collect()
}

fn position(rules: &[String], wanted: &str) -> usize {
    rules.iter().position(|rule| rule == wanted).unwrap_or_else(|| panic!("no rule {wanted:?} in {rules:#?}"))
}

#[test]
fn default_rules_are_istios() {
    let rules = iptables_rules(&RedirectOptions::default());
    let expected = [
        "-A ISTIO_REDIRECT -p tcp -j REDIRECT --to-ports 15001",
        "-A ISTIO_IN_REDIRECT -p tcp -j REDIRECT --to-ports 15006",
        "-A ISTIO_INBOUND -p tcp --dport 15008 -j RETURN",
        "-A ISTIO_INBOUND -p tcp -m multiport --dports 15090,15021,15020 -j RETURN",
        "-A ISTIO_INBOUND -p tcp -j ISTIO_IN_REDIRECT",
        "-A PREROUTING -p tcp -j ISTIO_INBOUND",
        "-A OUTPUT -p tcp -j ISTIO_OUTPUT",
        "-A ISTIO_OUTPUT -o lo -s 127.0.0.6/32 -j RETURN",
        "-A ISTIO_OUTPUT -o lo ! -d 127.0.0.1/32 -p tcp ! --dport 15008 -m owner --uid-owner 1337 -j ISTIO_IN_REDIRECT",
        "-A ISTIO_OUTPUT -o lo -m owner ! --uid-owner 1337 -j RETURN",
        "-A ISTIO_OUTPUT -m owner --uid-owner 1337 -j RETURN",
        "-A ISTIO_OUTPUT -o lo ! -d 127.0.0.1/32 -p tcp ! --dport 15008 -m owner --gid-owner 1337 -j ISTIO_IN_REDIRECT",
        "-A ISTIO_OUTPUT -o lo -m owner ! --gid-owner 1337 -j RETURN",
        "-A ISTIO_OUTPUT -m owner --gid-owner 1337 -j RETURN",
        "-A ISTIO_OUTPUT -d 127.0.0.1/32 -j RETURN",
        "-A ISTIO_OUTPUT -j ISTIO_REDIRECT",
    ];
    assert_eq!(rules, expected);
}

#[test]
fn a_mark_replaces_every_owner_match() {
    let options = RedirectOptions { proxy: ProxyTraffic::Mark(1337), ..RedirectOptions::default() };
    let text = iptables::restore(&options, Family::V4, "");
    assert!(!text.contains("owner"), "{text}");
    let rules = iptables_rules(&options);
    let own = position(&rules, "-A ISTIO_OUTPUT -m mark --mark 0x539 -j RETURN");
    assert!(own < position(&rules, "-A ISTIO_OUTPUT -j ISTIO_REDIRECT"));
}

#[test]
fn ipv6_uses_its_own_loopback_and_only_its_own_ranges() {
    let options = RedirectOptions {
        outbound: Selection::Only(vec!["10.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap()]),
        ..RedirectOptions::default()
    };
    let text = iptables::restore(&options, Family::V6, "");
    assert!(text.contains("-A ISTIO_OUTPUT -o lo -s ::6/128 -j RETURN"), "{text}");
    assert!(text.contains("-A ISTIO_OUTPUT -d ::1/128 -j RETURN"), "{text}");
    assert!(text.contains("-A ISTIO_OUTPUT -d fd00::/8 -j ISTIO_REDIRECT"), "{text}");
    assert!(!text.contains("10.0.0.0"), "{text}");
}

#[test]
fn exclusions_come_before_what_they_exclude_from() {
    let options = RedirectOptions {
        outbound_excluded: vec!["10.9.0.0/16".parse().unwrap()],
        outbound_ports_excluded: vec![22, 3306],
        interfaces_excluded: vec!["eth9".to_owned()],
        ..RedirectOptions::default()
    };
    let rules = iptables_rules(&options);
    let capture = position(&rules, "-A ISTIO_OUTPUT -j ISTIO_REDIRECT");
    for spared in [
        "-A ISTIO_OUTPUT -d 10.9.0.0/16 -j RETURN",
        "-A ISTIO_OUTPUT -p tcp -m multiport --dports 22,3306 -j RETURN",
        "-A ISTIO_OUTPUT -o eth9 -j RETURN",
    ] {
        assert!(position(&rules, spared) < capture, "{spared} after the capture");
    }
    assert!(
        position(&rules, "-A ISTIO_INBOUND -i eth9 -j RETURN")
            < position(&rules, "-A ISTIO_INBOUND -p tcp -j ISTIO_IN_REDIRECT")
    );
}

#[test]
fn listed_ports_are_captured_alone() {
    let options = RedirectOptions {
        inbound: Selection::Only(vec![8080]),
        outbound: Selection::Only(Vec::new()),
        outbound_ports: vec![80],
        ..RedirectOptions::default()
    };
    let rules = iptables_rules(&options);
    position(&rules, "-A ISTIO_INBOUND -p tcp --dport 8080 -j ISTIO_IN_REDIRECT");
    position(&rules, "-A ISTIO_OUTPUT -p tcp --dport 80 -j ISTIO_REDIRECT");
    assert!(!rules.contains(&"-A ISTIO_OUTPUT -j ISTIO_REDIRECT".to_owned()));
    assert!(!rules.contains(&"-A ISTIO_INBOUND -p tcp -j ISTIO_IN_REDIRECT".to_owned()));
}

#[test]
fn no_inbound_capture_leaves_prerouting_alone() {
    let options = RedirectOptions { inbound: Selection::Only(Vec::new()), ..RedirectOptions::default() };
    assert!(!iptables::restore(&options, Family::V4, "").contains("PREROUTING"));
}

#[test]
fn more_than_fifteen_ports_take_several_rules() {
    let options = RedirectOptions { inbound_excluded: (1..=20).collect(), ..RedirectOptions::default() };
    let rules = iptables_rules(&options);
    assert_eq!(rules.iter().filter(|rule| rule.contains("-A ISTIO_INBOUND -p tcp -m multiport")).count(), 2);
}

#[test]
fn what_comes_from_a_virtual_machine_is_outbound() {
    let options = RedirectOptions { virtual_interfaces: vec!["tap0".to_owned()], ..RedirectOptions::default() };
    let rules = iptables_rules(&options);
    let capture = position(&rules, "-A ISTIO_INBOUND -i tap0 -j ISTIO_REDIRECT");
    assert!(capture < position(&rules, "-A ISTIO_INBOUND -i tap0 -j RETURN"));
}

#[test]
fn a_second_run_removes_the_hooks_of_the_first() {
    let saved = "*nat\n:PREROUTING ACCEPT [0:0]\n:ISTIO_INBOUND - [0:0]\n-A PREROUTING -p tcp -j ISTIO_INBOUND\n\
                 -A OUTPUT -p tcp -j ISTIO_OUTPUT\n-A OUTPUT -p tcp -j SOMEBODY_ELSES\n-A ISTIO_OUTPUT -j ISTIO_REDIRECT\nCOMMIT\n";
    let text = iptables::restore(&RedirectOptions::default(), Family::V4, saved);
    let deletions: Vec<&str> = text.lines().filter(|line| line.starts_with("-D")).collect();
    assert_eq!(deletions, ["-D PREROUTING -p tcp -j ISTIO_INBOUND", "-D OUTPUT -p tcp -j ISTIO_OUTPUT"]);
    let cleanup = iptables::cleanup(saved).unwrap();
    assert!(cleanup.contains("-X ISTIO_INBOUND") && !cleanup.contains("-X ISTIO_OUTPUT"), "{cleanup}");
    assert_eq!(iptables::cleanup("*nat\n:PREROUTING ACCEPT [0:0]\nCOMMIT\n"), None);
}

#[test]
fn nft_says_the_same_in_its_own_words() {
    let options = RedirectOptions { proxy: ProxyTraffic::Mark(1337), ..RedirectOptions::default() };
    let text = nft::ruleset(&options, Family::V4);
    for wanted in [
        "add rule ip meltemi_redirect ISTIO_REDIRECT meta l4proto tcp redirect to :15001",
        "add rule ip meltemi_redirect ISTIO_INBOUND tcp dport { 15090, 15021, 15020 } return",
        "add rule ip meltemi_redirect ISTIO_OUTPUT oifname \"lo\" ip saddr 127.0.0.6/32 return",
        "add rule ip meltemi_redirect ISTIO_OUTPUT oifname \"lo\" ip daddr != 127.0.0.1/32 tcp dport != 15008 meta mark 0x539 jump ISTIO_IN_REDIRECT",
        "add rule ip meltemi_redirect ISTIO_OUTPUT jump ISTIO_REDIRECT",
        "type nat hook output priority -100",
    ] {
        assert!(text.contains(wanted), "no {wanted:?} in\n{text}");
    }
    assert!(text.starts_with("add table ip meltemi_redirect\ndelete table ip meltemi_redirect\n"));
}
