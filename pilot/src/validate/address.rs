//! Addresses that configuration may lead to. Loopback, link-local and the like would reach into a proxy's own
//! pod or its node (an admin port, a cloud's metadata service), so they are refused.

use super::Check;
use crate::yaml::FieldPath;
use ipnet::IpNet;
use std::net::IpAddr;

impl Check<'_> {
    /// An IP address that traffic may be sent to.
    pub(super) fn address(&mut self, at: &FieldPath, text: &str) -> Option<IpAddr> {
        let Ok(address) = text.parse::<IpAddr>() else {
            self.problems.error(at, format!("\"{text}\" is not an IP address"));
            return None;
        };
        let address = address.to_canonical();
        match forbidden(address) {
            None => Some(address),
            Some(what) => {
                let message = format!(
                    "{address} is a {what} address, which would lead into the proxy's own pod or node; use the address of the destination"
                );
                self.problems.error(at, message);
                None
            }
        }
    }

    /// A virtual address: one IP, also written as a network of one.
    pub(super) fn virtual_address(&mut self, at: &FieldPath, text: &str) -> Option<IpAddr> {
        match text.parse::<IpNet>() {
            Err(_) => self.address(at, text),
            Ok(net) if net.prefix_len() == net.max_prefix_len() => self.address(at, &net.addr().to_string()),
            Ok(_) => {
                self.problems.error(at, format!("{text}: networks are not supported yet; list single addresses"));
                None
            }
        }
    }

    /// A network or a single address to match destinations with.
    pub(super) fn network(&mut self, at: &FieldPath, text: &str) -> Option<IpNet> {
        let net = text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
        match net {
            Ok(net) => Some(net.trunc()),
            Err(_) => {
                self.problems.error(at, format!("\"{text}\" is not a network; write it as 10.0.0.0/8"));
                None
            }
        }
    }
}

/// Why traffic may not be sent to an address.
fn forbidden(address: IpAddr) -> Option<&'static str> {
    let link_local = match address {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    };
    let broadcast = matches!(address, IpAddr::V4(v4) if v4.is_broadcast() || v4.octets()[0] == 0);
    match () {
        () if address.is_loopback() || is_own(address) => Some("loopback"),
        () if link_local => Some("link-local"),
        () if address.is_unspecified() || broadcast => Some("wildcard or broadcast"),
        () if address.is_multicast() => Some("multicast"),
        () => None,
    }
}

/// What begins with 96 zeros is nobody's, and `::6` is where a sidecar calls its own application from.
fn is_own(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(v6) if !v6.is_unspecified() && v6.to_ipv4().is_some())
}

/// Names that mean the proxy's own host.
pub(super) fn is_local_name(name: &str) -> bool {
    name == "localhost" || name.ends_with(".localhost")
}
