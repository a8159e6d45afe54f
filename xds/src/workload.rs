//! `istio.workload.Address` (istio/ztunnel, proto/workload.proto): who an address is. Only the fields that Meltemi
//! uses; the others are skipped when read.

use std::net::IpAddr;

use prost::{Message, Name, Oneof};

/// What an address belongs to. The resource's name is [`address_name`].
#[derive(Clone, PartialEq, Message)]
pub struct Address {
    /// A workload or a service.
    #[prost(oneof = "AddressType", tags = "1, 2")]
    pub r#type: Option<AddressType>,
}

/// The two kinds of owner of an address.
#[derive(Clone, PartialEq, Oneof)]
pub enum AddressType {
    /// One pod or machine.
    #[prost(message, tag = "1")]
    Workload(Workload),
    /// A group of workloads that is reached together.
    #[prost(message, tag = "2")]
    Service(Service),
}

/// One pod or machine.
#[derive(Clone, PartialEq, Message)]
pub struct Workload {
    /// The name, for Kubernetes the pod's.
    #[prost(string, tag = "1")]
    pub name: String,
    /// The namespace.
    #[prost(string, tag = "2")]
    pub namespace: String,
    /// The addresses, 4 or 16 bytes each; see [`Workload::ips`].
    #[prost(bytes = "vec", repeated, tag = "3")]
    pub addresses: Vec<Vec<u8>>,
    /// The network; empty for the default one.
    #[prost(string, tag = "4")]
    pub network: String,
    /// The trust domain; empty for the mesh's own.
    #[prost(string, tag = "6")]
    pub trust_domain: String,
    /// The service account; empty for `default`.
    #[prost(string, tag = "7")]
    pub service_account: String,
    /// The node that it runs on.
    #[prost(string, tag = "9")]
    pub node: String,
    /// The service that telemetry counts it under.
    #[prost(string, tag = "10")]
    pub canonical_name: String,
    /// The revision that telemetry counts it under.
    #[prost(string, tag = "11")]
    pub canonical_revision: String,
    /// What kind of object made it.
    #[prost(enumeration = "WorkloadType", tag = "12")]
    pub workload_type: i32,
    /// The name of the object that made it, such as the Deployment's.
    #[prost(string, tag = "13")]
    pub workload_name: String,
    /// Whether it can serve.
    #[prost(enumeration = "WorkloadStatus", tag = "17")]
    pub status: i32,
    /// The cluster that it belongs to.
    #[prost(string, tag = "18")]
    pub cluster_id: String,
    /// Unique in the mesh: `cluster/group/kind/namespace/name/section`.
    #[prost(string, tag = "20")]
    pub uid: String,
}

/// What kind of object made a workload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum WorkloadType {
    /// A Deployment, or what is like one.
    Deployment = 0,
    /// A CronJob.
    CronJob = 1,
    /// Nothing: a pod of its own.
    Pod = 2,
    /// A Job.
    Job = 3,
}

/// Whether a workload can serve.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum WorkloadStatus {
    /// It can.
    Healthy = 0,
    /// It cannot.
    Unhealthy = 1,
}

/// A group of workloads that is reached together.
#[derive(Clone, PartialEq, Message)]
pub struct Service {
    /// The name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// The namespace.
    #[prost(string, tag = "2")]
    pub namespace: String,
    /// The fully qualified host name.
    #[prost(string, tag = "3")]
    pub hostname: String,
    /// The addresses that reach it.
    #[prost(message, repeated, tag = "4")]
    pub addresses: Vec<NetworkAddress>,
}

/// An address in a network.
#[derive(Clone, PartialEq, Eq, Hash, Message)]
pub struct NetworkAddress {
    /// The network; empty for the default one.
    #[prost(string, tag = "1")]
    pub network: String,
    /// 4 or 16 bytes.
    #[prost(bytes = "vec", tag = "2")]
    pub address: Vec<u8>,
}

impl Name for Address {
    const NAME: &'static str = "Address";
    const PACKAGE: &'static str = "istio.workload";

    fn type_url() -> String {
        crate::ResourceType::Address.type_url().to_owned()
    }
}

impl Workload {
    /// The addresses that have 4 or 16 bytes, as all should.
    pub fn ips(&self) -> impl Iterator<Item = IpAddr> {
        self.addresses.iter().filter_map(|bytes| ip_from_bytes(bytes))
    }
}

/// An address as the protocol writes it: 4 or 16 bytes in network order.
pub fn ip_to_bytes(ip: IpAddr) -> Vec<u8> {
    match ip {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    }
}

/// The address that 4 or 16 bytes mean; `None` for any other number.
pub fn ip_from_bytes(bytes: &[u8]) -> Option<IpAddr> {
    if let Ok(octets) = <[u8; 4]>::try_from(bytes) {
        return Some(octets.into());
    }
    <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from)
}

/// The resource name of an address: `<network>/<ip>`, with an empty network for the default one.
pub fn address_name(network: &str, ip: IpAddr) -> String {
    format!("{network}/{ip}")
}

/// The network and the address that a resource name means, the inverse of [`address_name`].
pub fn parse_address_name(name: &str) -> Option<(&str, IpAddr)> {
    let (network, ip) = name.split_once('/')?;
    Some((network, ip.parse().ok()?))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_wire_format_is_istios() {
        let workload = Workload {
            uid: "u".into(),
            name: "n".into(),
            addresses: vec![ip_to_bytes([10, 0, 0, 5].into())],
            workload_type: WorkloadType::Pod.into(),
            cluster_id: "c".into(),
            ..Workload::default()
        };
        let bytes = Address { r#type: Some(AddressType::Workload(workload)) }.encode_to_vec();
        // Field numbers of workload.proto by hand: 1 name, 3 addresses, 12 type, 18 cluster_id, 20 uid; the key is number << 3 | wire type.
        let inner =
            [&[0x0a, 1, b'n'][..], &[0x1a, 4, 10, 0, 0, 5], &[0x60, 2], &[0x92, 0x01, 1, b'c'], &[0xa2, 0x01, 1, b'u']]
                .concat();
        assert_eq!(bytes, [&[0x0a, u8::try_from(inner.len()).unwrap()][..], &inner].concat());
    }

    #[test]
    fn fields_that_we_do_not_know_are_skipped() {
        // Inside of a workload: 1 name, 21 hostname, 25 network_mode.
        let inner = [&[0x0a, 1, b'n'][..], &[0xaa, 0x01, 1, b'h'], &[0xc8, 0x01, 1]].concat();
        let bytes = [&[0x0a, u8::try_from(inner.len()).unwrap()][..], &inner].concat();
        let address = Address::decode(bytes.as_slice()).unwrap();
        let Some(AddressType::Workload(workload)) = address.r#type else { panic!("a workload was sent") };
        assert_eq!(workload.name, "n");
    }

    #[test]
    fn names_and_addresses_survive_both_ways() {
        for (network, ip) in [("", "10.0.0.5"), ("vpc-1", "fd00::5")] {
            let ip: IpAddr = ip.parse().unwrap();
            assert_eq!(parse_address_name(&address_name(network, ip)), Some((network, ip)));
            assert_eq!(ip_from_bytes(&ip_to_bytes(ip)), Some(ip));
        }
        assert_eq!(address_name("", [10, 0, 0, 5].into()), "/10.0.0.5");
        assert_eq!(parse_address_name("10.0.0.5"), None);
        assert_eq!(ip_from_bytes(&[1, 2, 3]), None);
    }
}
