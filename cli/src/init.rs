//! `meltemi init`: sets the redirect rules of the pod it runs in. Flags and their short forms are istio-iptables'.

use crate::loopback;
use anyhow::{Context, bail};
use clap::{Args, ValueEnum};
use ipnet::IpNet;
use lab::tools;
use proxy::redirect::{Family, ProxyTraffic, RedirectOptions, Selection, iptables, nft};
use std::fmt::Display;
use std::net::IpAddr;
use std::str::FromStr;

/// Arguments of `meltemi init`.
#[derive(Debug, Args)]
pub struct InitArgs {
    /// Port that outbound connections are sent to.
    #[arg(short = 'p', long, default_value_t = 15001)]
    envoy_port: u16,
    /// Port that inbound connections are sent to.
    #[arg(short = 'z', long, default_value_t = 15006)]
    inbound_capture_port: u16,
    /// Port of the inbound tunnel, never captured.
    #[arg(short = 'e', long, default_value_t = 15008)]
    inbound_tunnel_port: u16,
    /// User ids of the proxy, comma-separated: their connections are not captured.
    #[arg(short = 'u', long, default_value = "1337")]
    proxy_uid: String,
    /// Group ids of the proxy, comma-separated; the user ids without them.
    #[arg(short = 'g', long)]
    proxy_gid: Option<String>,
    /// SO_MARK of the proxy's connections, instead of user and group ids.
    #[arg(long)]
    proxy_mark: Option<u32>,
    /// How inbound connections are captured.
    #[arg(short = 'm', long, default_value = "REDIRECT")]
    istio_inbound_interception_mode: Mode,
    /// Inbound ports to capture, comma-separated; `*` for all, empty for none.
    #[arg(short = 'b', long, default_value = "*")]
    istio_inbound_ports: String,
    /// Inbound ports not to capture, when all are.
    #[arg(short = 'd', long, default_value = "15090,15021,15020")]
    istio_local_exclude_ports: String,
    /// Destination ranges to capture, comma-separated; `*` for all, empty for none.
    #[arg(short = 'i', long, default_value = "*")]
    istio_service_cidr: String,
    /// Destination ranges not to capture.
    #[arg(short = 'x', long, default_value = "")]
    istio_service_exclude_cidr: String,
    /// Outbound ports to capture whatever the destination.
    #[arg(short = 'q', long, default_value = "")]
    istio_outbound_ports: String,
    /// Outbound ports not to capture.
    #[arg(short = 'o', long, default_value = "")]
    istio_local_outbound_ports_exclude: String,
    /// Interfaces to leave alone.
    #[arg(short = 'c', long, default_value = "")]
    istio_exclude_interfaces: String,
    /// Interfaces of virtual machines, whose inbound traffic counts as outbound.
    #[arg(short = 'k', long, default_value = "")]
    kube_virt_interfaces: String,
    /// Print the rules and set none.
    #[arg(short = 'n', long)]
    dry_run: bool,
    /// Remove the rules and set none.
    #[arg(long)]
    cleanup_only: bool,
    /// Which program sets them; without it iptables where there is iptables-restore, else nft.
    #[arg(long)]
    backend: Option<Backend>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Mode {
    #[value(name = "REDIRECT")]
    Redirect,
    #[value(name = "TPROXY")]
    Tproxy,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Backend {
    Iptables,
    Nft,
}

/// Renders and applies.
pub fn run(args: &InitArgs) -> anyhow::Result<()> {
    let options = options(args)?;
    let backend = args.backend.unwrap_or_else(Backend::find);
    for family in [Family::V4, Family::V6] {
        if family == Family::V6 && !args.dry_run && !has_ipv6() {
            continue;
        }
        match (args.dry_run, args.cleanup_only) {
            (true, _) => print!("{}", render(backend, &options, family)),
            (false, true) => cleanup(family)?,
            (false, false) => apply(backend, &options, family)?,
        }
        if let IpAddr::V6(source) = family.inbound_source() {
            match (args.dry_run, args.cleanup_only) {
                (true, _) => println!("# ip -6 address add {source}/128 dev lo"),
                (false, true) => loopback::remove(source)?,
                (false, false) => loopback::add(source)?,
            }
        }
    }
    Ok(())
}

fn options(args: &InitArgs) -> anyhow::Result<RedirectOptions> {
    if args.istio_inbound_interception_mode == Mode::Tproxy {
        bail!(
            "-m TPROXY is not supported; use -m REDIRECT (the original client address is in the headers and in the log)"
        );
    }
    let proxy = match args.proxy_mark {
        Some(mark) => ProxyTraffic::Mark(mark),
        None => ProxyTraffic::Owner {
            uids: list("-u", &args.proxy_uid)?,
            gids: list("-g", args.proxy_gid.as_ref().unwrap_or(&args.proxy_uid))?,
        },
    };
    Ok(RedirectOptions {
        outbound_port: args.envoy_port,
        inbound_port: args.inbound_capture_port,
        tunnel_port: args.inbound_tunnel_port,
        proxy,
        inbound: selection("-b", &args.istio_inbound_ports)?,
        inbound_excluded: list("-d", &args.istio_local_exclude_ports)?,
        outbound: match args.istio_service_cidr.as_str() {
            "*" => Selection::All,
            ranges => Selection::Only(networks("-i", ranges)?),
        },
        outbound_excluded: networks("-x", &args.istio_service_exclude_cidr)?,
        outbound_ports: list("-q", &args.istio_outbound_ports)?,
        outbound_ports_excluded: list("-o", &args.istio_local_outbound_ports_exclude)?,
        interfaces_excluded: list("-c", &args.istio_exclude_interfaces)?,
        virtual_interfaces: list("-k", &args.kube_virt_interfaces)?,
    })
}

fn selection(flag: &str, text: &str) -> anyhow::Result<Selection<u16>> {
    Ok(if text == "*" { Selection::All } else { Selection::Only(list(flag, text)?) })
}

fn list<T: FromStr<Err: Display>>(flag: &str, text: &str) -> anyhow::Result<Vec<T>> {
    let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
    items.map(|item| item.parse().map_err(|error| anyhow::anyhow!("{flag} {text}: {item:?}: {error}"))).collect()
}

/// Ranges, of which a bare address is one with a single member.
fn networks(flag: &str, text: &str) -> anyhow::Result<Vec<IpNet>> {
    let items: Vec<String> = list(flag, text)?;
    let network = |item: &String| item.parse::<IpNet>().or_else(|_| item.parse::<IpAddr>().map(IpNet::from));
    items
        .iter()
        .map(|item| network(item).with_context(|| format!("{flag} {text}: {item:?} is no range such as 10.0.0.0/8")))
        .collect()
}

impl Backend {
    fn find() -> Backend {
        if tools::find("iptables-restore").is_some() { Backend::Iptables } else { Backend::Nft }
    }
}

/// Whether the kernel has IPv6 in this network namespace.
fn has_ipv6() -> bool {
    std::fs::read_to_string("/proc/net/if_inet6").is_ok_and(|addresses| !addresses.is_empty())
}

fn render(backend: Backend, options: &RedirectOptions, family: Family) -> String {
    match backend {
        Backend::Iptables => format!("# {}\n{}", programs(family)[0], iptables::restore(options, family, "")),
        Backend::Nft => nft::ruleset(options, family),
    }
}

fn apply(backend: Backend, options: &RedirectOptions, family: Family) -> anyhow::Result<()> {
    match backend {
        Backend::Iptables => {
            let [restore, save] = programs(family);
            let saved = tools::run(save, &["-t", "nat"], "")?;
            tools::run(restore, &["--noflush"], &iptables::restore(options, family, &saved))?;
        }
        Backend::Nft => {
            tools::run("nft", &["-f", "-"], &nft::ruleset(options, family))?;
        }
    }
    Ok(())
}

/// Removes what either program may have set.
fn cleanup(family: Family) -> anyhow::Result<()> {
    let [restore, save] = programs(family);
    if tools::find(save).is_some() {
        let saved = tools::run(save, &["-t", "nat"], "")?;
        if let Some(text) = iptables::cleanup(&saved) {
            tools::run(restore, &["--noflush"], &text)?;
        }
    }
    if tools::find("nft").is_some() {
        tools::run("nft", &["-f", "-"], &nft::cleanup(family))?;
    }
    Ok(())
}

fn programs(family: Family) -> [&'static str; 2] {
    match family {
        Family::V4 => ["iptables-restore", "iptables-save"],
        Family::V6 => ["ip6tables-restore", "ip6tables-save"],
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::{InitArgs, options};
    use clap::Parser;
    use proxy::redirect::{ProxyTraffic, RedirectOptions, Selection};

    #[derive(Parser)]
    struct Wrapped {
        #[command(flatten)]
        init: InitArgs,
    }

    fn read(line: &str) -> anyhow::Result<RedirectOptions> {
        let words = line.split(' ').map(|word| word.trim_matches('\''));
        options(&Wrapped::try_parse_from(std::iter::once("init").chain(words))?.init)
    }

    #[test]
    fn istios_own_command_line_gives_the_defaults() {
        let line = "-p 15001 -z 15006 -u 1337 -m REDIRECT -i '*' -x '' -b '*' -d 15090,15021,15020";
        assert_eq!(read(line).unwrap(), RedirectOptions::default());
    }

    #[test]
    fn a_mark_takes_the_place_of_the_ids() {
        assert_eq!(read("--proxy-mark 1337").unwrap().proxy, ProxyTraffic::Mark(1337));
    }

    #[test]
    fn ranges_may_be_bare_addresses() {
        let options = read("-i 10.0.0.0/8,192.0.2.1 -b 80,443").unwrap();
        assert_eq!(
            options.outbound,
            Selection::Only(vec!["10.0.0.0/8".parse().unwrap(), "192.0.2.1/32".parse().unwrap()])
        );
        assert_eq!(options.inbound, Selection::Only(vec![80, 443]));
    }

    #[test]
    fn what_cannot_be_done_is_refused_with_its_flag() {
        for (line, named) in
            [("-m TPROXY", "-m TPROXY"), ("-i 10.0.0.0/40", "-i 10.0.0.0/40"), ("-o 99999", "-o 99999")]
        {
            let error = format!("{:#}", read(line).unwrap_err());
            assert!(error.contains(named), "{error}");
        }
    }
}
