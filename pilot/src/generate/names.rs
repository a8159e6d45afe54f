//! The names of all resources, to print and to parse: for Envoy and for our proxy the same, and Istio's where Istio
//! has one.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use crate::model::Host;

/// Captures outbound connections.
pub const VIRTUAL_OUTBOUND: &str = "virtualOutbound";
/// Captures inbound connections.
pub const VIRTUAL_INBOUND: &str = "virtualInbound";
/// Leads to the address that the application dialled.
pub const PASSTHROUGH_CLUSTER: &str = "PassthroughCluster";
/// Leads nowhere.
pub const BLACK_HOLE_CLUSTER: &str = "BlackHoleCluster";
/// Leads to the workload's port that the client dialled, for ports that no service declares.
pub const INBOUND_PASSTHROUGH_CLUSTER: &str = "InboundPassthroughCluster";
/// The port that captured outbound connections arrive at.
pub const OUTBOUND_CAPTURE_PORT: u16 = 15001;
/// The port that captured inbound connections arrive at.
pub const INBOUND_CAPTURE_PORT: u16 = 15006;

/// The address in the names of listeners that only the port selects.
const ANY: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

/// The name of a listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ListenerName {
    /// `virtualOutbound`.
    VirtualOutbound,
    /// `virtualInbound`.
    VirtualInbound,
    /// `<ip>_<port>`: a port of a service address.
    Address(IpAddr, u16),
    /// `0.0.0.0_<port>`: destinations that only their host name tells apart.
    HostOnly(u16),
}

impl ListenerName {
    /// Reads a name; `None` for a name that Pilot never gives.
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            VIRTUAL_OUTBOUND => return Some(Self::VirtualOutbound),
            VIRTUAL_INBOUND => return Some(Self::VirtualInbound),
            _ => {}
        }
        let (address, port) = name.rsplit_once('_')?;
        let (address, port) = (address.parse::<IpAddr>().ok()?, port_number(port)?);
        let parsed = if address == ANY { Self::HostOnly(port) } else { Self::Address(address, port) };
        (parsed.to_string() == name).then_some(parsed)
    }
}

impl fmt::Display for ListenerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::VirtualOutbound => f.write_str(VIRTUAL_OUTBOUND),
            Self::VirtualInbound => f.write_str(VIRTUAL_INBOUND),
            Self::Address(address, port) => write!(f, "{address}_{port}"),
            Self::HostOnly(port) => write!(f, "{ANY}_{port}"),
        }
    }
}

/// The name of a route configuration.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum RouteName {
    /// `<host>:<port>`: a service port.
    Service(Host, u16),
    /// `<port>`: destinations that only their host name tells apart.
    HostOnly(u16),
}

impl RouteName {
    /// Reads a name; `None` for a name that Pilot never gives.
    pub fn parse(name: &str) -> Option<Self> {
        match name.rsplit_once(':') {
            None => port_number(name).map(Self::HostOnly),
            Some((host, port)) => Some(Self::Service(canonical(host)?, port_number(port)?)),
        }
    }
}

impl fmt::Display for RouteName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Service(host, port) => write!(f, "{host}:{port}"),
            Self::HostOnly(port) => write!(f, "{port}"),
        }
    }
}

/// The name of a cluster.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ClusterName {
    /// `outbound|<port>|<subset>|<host>`; it also names the endpoints.
    Outbound {
        /// The service's port.
        port: u16,
        /// A subset of the service's endpoints; `None` for all.
        subset: Option<Arc<str>>,
        /// The service.
        host: Host,
    },
    /// `workload|<port>||<ip>`: a port of another workload, dialled at its own address.
    Workload(IpAddr, u16),
    /// `inbound|<port>||`: a port of the workload itself.
    Inbound(u16),
    /// `PassthroughCluster`.
    Passthrough,
    /// `BlackHoleCluster`.
    BlackHole,
    /// `InboundPassthroughCluster`.
    InboundPassthrough,
}

impl ClusterName {
    /// The cluster of all endpoints of a service port.
    pub fn outbound(port: u16, host: &Host) -> Self {
        Self::Outbound { port, subset: None, host: host.clone() }
    }

    /// Reads a name; `None` for a name that Pilot never gives.
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            PASSTHROUGH_CLUSTER => return Some(Self::Passthrough),
            BLACK_HOLE_CLUSTER => return Some(Self::BlackHole),
            INBOUND_PASSTHROUGH_CLUSTER => return Some(Self::InboundPassthrough),
            _ => {}
        }
        match name.split('|').collect::<Vec<_>>().as_slice() {
            ["outbound", port, subset, host] => {
                let subset = (!subset.is_empty()).then(|| Arc::from(*subset));
                Some(Self::Outbound { port: port_number(port)?, subset, host: canonical(host)? })
            }
            ["workload", port, "", address] => {
                let parsed = Self::Workload(address.parse().ok()?, port_number(port)?);
                (parsed.to_string() == name).then_some(parsed)
            }
            ["inbound", port, "", ""] => port_number(port).map(Self::Inbound),
            _ => None,
        }
    }
}

impl fmt::Display for ClusterName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Outbound { port, subset, host } => {
                write!(f, "outbound|{port}|{}|{host}", subset.as_deref().unwrap_or_default())
            }
            Self::Workload(address, port) => write!(f, "workload|{port}||{address}"),
            Self::Inbound(port) => write!(f, "inbound|{port}||"),
            Self::Passthrough => f.write_str(PASSTHROUGH_CLUSTER),
            Self::BlackHole => f.write_str(BLACK_HOLE_CLUSTER),
            Self::InboundPassthrough => f.write_str(INBOUND_PASSTHROUGH_CLUSTER),
        }
    }
}

/// The SNI of mesh mTLS: the cluster's name in a form that is legal there.
pub(super) fn sni(port: u16, subset: Option<&str>, host: &Host) -> String {
    format!("outbound_.{port}_.{}_.{host}", subset.unwrap_or_default())
}

/// The name of an address, `<network>/<ip>`. Meltemi has one network, whose name is empty.
pub fn address_name(address: IpAddr) -> String {
    format!("/{address}")
}

/// Reads [`address_name`]; `None` for other networks and what is no address.
pub fn parse_address_name(name: &str) -> Option<IpAddr> {
    let address: IpAddr = name.strip_prefix('/')?.parse().ok()?;
    (address_name(address) == name).then_some(address)
}

/// A host that is written as Pilot writes it: a name in another case is another name, and does not exist.
fn canonical(host: &str) -> Option<Host> {
    Host::parse(host).ok().filter(|parsed| parsed.as_str() == host)
}

/// A port number without sign, leading zeros or blanks.
fn port_number(text: &str) -> Option<u16> {
    let port: u16 = text.parse().ok()?;
    (port != 0 && port.to_string() == text).then_some(port)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn names_survive_both_ways() {
        for name in ["virtualOutbound", "virtualInbound", "10.96.3.7_80", "2001:db8::1_443", "0.0.0.0_9080"] {
            assert_eq!(ListenerName::parse(name).unwrap().to_string(), name);
        }
        for name in ["catalog.shop.svc.cluster.local:80", "*.example.com:80", "8080"] {
            assert_eq!(RouteName::parse(name).unwrap().to_string(), name);
        }
        for name in [
            "outbound|80||catalog.shop.svc.cluster.local",
            "outbound|80|v1|catalog.shop.svc.cluster.local",
            "workload|8080||10.0.0.5",
            "workload|8080||2001:db8::1",
            "inbound|8080||",
            "PassthroughCluster",
            "BlackHoleCluster",
            "InboundPassthroughCluster",
        ] {
            assert_eq!(ClusterName::parse(name).unwrap().to_string(), name);
        }
        assert_eq!(parse_address_name("/10.0.0.5"), Some([10, 0, 0, 5].into()));
    }

    #[test]
    fn other_names_are_nobodys() {
        for name in
            ["", "10.0.0.1", "10.0.0.1_", "10.0.0.1_080", "10.0.0.1_0", "host_80", "10.0.0.1_99999", "2001:DB8::1_80"]
        {
            assert_eq!(ListenerName::parse(name), None, "{name}");
        }
        for name in ["", "http", "a:b", "Catalog.shop:80", ":80"] {
            assert_eq!(RouteName::parse(name), None, "{name}");
        }
        for name in [
            "outbound|80|catalog",
            "workload|80||a.b",
            "workload|80||10.0.0.05",
            "inbound|80|v1|",
            "outbound|+80||a.b",
            "outbound|80||a.b|",
            "Passthrough",
        ] {
            assert_eq!(ClusterName::parse(name), None, "{name}");
        }
        for name in ["10.0.0.5", "net/10.0.0.5", "/10.0.0", "/"] {
            assert_eq!(parse_address_name(name), None, "{name}");
        }
    }
}
