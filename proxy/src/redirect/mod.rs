//! The redirect rules that send a pod's TCP through its proxy: what they are (here), and how iptables and nft write them.
//! Everything here is a pure function from options to text; `meltemi init` applies it. Chains, ports and exclusions are
//! Istio's, so that `iptables-save` in a pod reads as people know it.

pub mod iptables;
pub mod nft;
mod plan;

#[cfg(test)]
mod tests;

use ipnet::IpNet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The chains that Meltemi owns, in the order in which they must be declared.
pub const CHAINS: [&str; 4] = ["ISTIO_INBOUND", "ISTIO_REDIRECT", "ISTIO_IN_REDIRECT", "ISTIO_OUTPUT"];

/// What is captured and what is spared. `Default` is what a pod gets with no annotations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RedirectOptions {
    /// Port of the proxy's outbound capture socket (15001).
    pub outbound_port: u16,
    /// Port of the proxy's inbound capture socket (15006).
    pub inbound_port: u16,
    /// Port of the inbound tunnel, never captured (15008).
    pub tunnel_port: u16,
    /// How the proxy's own connections are told from the application's.
    pub proxy: ProxyTraffic,
    /// Inbound ports that are captured.
    pub inbound: Selection<u16>,
    /// Inbound ports that are not, when all are.
    pub inbound_excluded: Vec<u16>,
    /// Destinations whose outbound connections are captured.
    pub outbound: Selection<IpNet>,
    /// Destinations that are never captured, whatever `outbound` says.
    pub outbound_excluded: Vec<IpNet>,
    /// Outbound ports captured whatever the destination.
    pub outbound_ports: Vec<u16>,
    /// Outbound ports that are never captured.
    pub outbound_ports_excluded: Vec<u16>,
    /// Network interfaces left alone in both directions.
    pub interfaces_excluded: Vec<String>,
    /// Interfaces behind which virtual machines sit; what comes in there counts as outbound.
    pub virtual_interfaces: Vec<String>,
}

/// All of something, or a list; an empty list is nothing at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selection<T> {
    /// `*`
    All,
    /// The listed ones only.
    Only(Vec<T>),
}

impl<T> Selection<T> {
    /// Nothing is selected.
    pub fn is_none(&self) -> bool {
        matches!(self, Selection::Only(list) if list.is_empty())
    }
}

/// What marks a connection as the proxy's own, which must not be captured again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProxyTraffic {
    /// The owner of the socket: how pods do it.
    Owner {
        /// User ids of the proxy.
        uids: Vec<u32>,
        /// Group ids of the proxy.
        gids: Vec<u32>,
    },
    /// SO_MARK on the socket: in a user namespace that has one uid nothing else works.
    Mark(u32),
}

/// One of the two address families; each has its own rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Default for RedirectOptions {
    fn default() -> Self {
        RedirectOptions {
            outbound_port: 15001,
            inbound_port: 15006,
            tunnel_port: 15008,
            proxy: ProxyTraffic::Owner { uids: vec![1337], gids: vec![1337] },
            inbound: Selection::All,
            inbound_excluded: vec![15090, 15021, 15020],
            outbound: Selection::All,
            outbound_excluded: Vec::new(),
            outbound_ports: Vec::new(),
            outbound_ports_excluded: Vec::new(),
            interfaces_excluded: Vec::new(),
            virtual_interfaces: Vec::new(),
        }
    }
}

impl Family {
    /// Istio's convention: the address that a sidecar binds before it calls its own application.
    pub fn inbound_source(self) -> IpAddr {
        match self {
            Family::V4 => Ipv4Addr::new(127, 0, 0, 6).into(),
            Family::V6 => Ipv6Addr::new(0, 0, 0, 0, 0, 0, 0, 6).into(),
        }
    }

    fn holds(self, net: &IpNet) -> bool {
        matches!((self, net.addr()), (Family::V4, IpAddr::V4(_)) | (Family::V6, IpAddr::V6(_)))
    }
}
