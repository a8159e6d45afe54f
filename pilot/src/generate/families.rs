//! The address families of a proxy's pod: where its capture listeners and those of any address stand, and from where it
//! calls its own application. A data plane refuses an address of a family that its kernel does not have.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use xds::cluster::cluster::DnsLookupFamily;
use xds::core::{BindConfig, ExtraSourceAddress};
use xds::listener::{AdditionalAddress, Listener};

use super::wrappers::{address, socket_address};

/// From here connections to the workload itself are made: the redirect rules let them through.
const INBOUND_SOURCES: [IpAddr; 2] =
    [IpAddr::V4(Ipv4Addr::new(127, 0, 0, 6)), IpAddr::V6(Ipv6Addr::new(0, 0, 0, 0, 0, 0, 0, 6))];
const ANY: [IpAddr; 2] = [IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::UNSPECIFIED)];

/// Which families a pod has addresses of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Families {
    /// IPv4.
    #[default]
    V4,
    /// IPv6.
    V6,
    /// Both.
    Both,
}

impl Families {
    /// Those of a pod with these addresses; what holds on one link or in one pod alone does not count.
    pub fn of(addresses: impl IntoIterator<Item = IpAddr>) -> Self {
        let (mut v4, mut v6) = (false, false);
        for address in addresses {
            match address.to_canonical() {
                IpAddr::V4(ip) => v4 |= !ip.is_loopback() && !ip.is_link_local(),
                IpAddr::V6(ip) => v6 |= !ip.is_loopback() && !ip.is_unicast_link_local(),
            }
        }
        match (v4, v6) {
            (true, true) => Self::Both,
            (false, true) => Self::V6,
            (_, false) => Self::V4,
        }
    }

    /// The values of the families that are there, of one for each.
    fn pick(self, [v4, v6]: [IpAddr; 2]) -> (IpAddr, Option<IpAddr>) {
        match self {
            Self::V4 => (v4, None),
            Self::V6 => (v6, None),
            Self::Both => (v4, Some(v6)),
        }
    }

    /// Lets a listener stand for this port of every address.
    pub(super) fn stand_for_any(self, port: u16, listener: &mut Listener) {
        let port = u32::from(port);
        let (first, second) = self.pick(ANY);
        listener.address = address(first, port);
        let more = |ip| AdditionalAddress { address: address(ip, port), ..AdditionalAddress::default() };
        listener.additional_addresses = second.map(more).into_iter().collect();
    }

    /// From where connections to the workload itself are made.
    pub(super) fn inbound_source(self) -> BindConfig {
        let (first, second) = self.pick(INBOUND_SOURCES);
        let extra = |ip| ExtraSourceAddress { address: Some(socket_address(ip, 0)), socket_options: None };
        BindConfig {
            source_address: Some(socket_address(first, 0)),
            extra_source_addresses: second.map(extra).into_iter().collect(),
            ..BindConfig::default()
        }
    }

    /// Which addresses of a name can be reached.
    pub(super) fn of_names(self) -> DnsLookupFamily {
        match self {
            Self::V4 | Self::Both => DnsLookupFamily::V4Preferred,
            Self::V6 => DnsLookupFamily::V6Only,
        }
    }
}
