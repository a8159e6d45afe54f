//! The address plan of one cluster, derived from its number, so that several fit into one network.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};

use crate::ClusterError;

/// More clusters than a machine can carry; the plan has room for these.
const CLUSTERS: u8 = 50;
static TAKEN: Mutex<BTreeSet<u8>> = Mutex::new(BTreeSet::new());

/// Where things are in one cluster. The number is free again when this is dropped.
#[derive(Debug)]
pub struct Addresses {
    number: u8,
}

impl Addresses {
    /// The plan with the lowest number that no other cluster of this program has.
    pub(crate) fn take() -> Result<Addresses, ClusterError> {
        let mut taken = TAKEN.lock().unwrap_or_else(PoisonError::into_inner);
        let number = (0..CLUSTERS).find(|number| !taken.contains(number)).ok_or(ClusterError::TooMany(CLUSTERS))?;
        taken.insert(number);
        Ok(Addresses { number })
    }

    /// Counts the clusters of this program, from 0.
    pub fn number(&self) -> u8 {
        self.number
    }

    /// The network interface that leads from the sandbox to the node.
    pub(crate) fn link(&self) -> String {
        format!("node{}", self.number)
    }

    /// The sandbox's side of that link: for the node, the way out.
    pub fn outside(&self) -> Ipv4Addr {
        Ipv4Addr::new(172, 30, self.number, 1)
    }

    /// Its address of version 6, in a cluster with two families.
    pub fn outside_v6(&self) -> Ipv6Addr {
        Ipv6Addr::new(0xfd30, self.number.into(), 0, 0, 0, 0, 0, 1)
    }

    /// The node, which is also the API server (port 6443) and the DNS server.
    pub fn node(&self) -> Ipv4Addr {
        Ipv4Addr::new(172, 30, self.number, 2)
    }

    /// The node's address of version 6.
    pub fn node_v6(&self) -> Ipv6Addr {
        Ipv6Addr::new(0xfd30, self.number.into(), 0, 0, 0, 0, 0, 2)
    }

    /// The network of the pods.
    pub fn pods(&self) -> String {
        format!("10.{}.0.0/16", 100 + self.number)
    }

    /// The pods' network of version 6.
    pub fn pods_v6(&self) -> String {
        format!("fd10:{:x}::/64", self.number)
    }

    /// The network of the Services' cluster IPs.
    pub fn services(&self) -> String {
        format!("10.{}.0.0/16", 200 + self.number)
    }

    /// The Services' network of version 6.
    pub fn services_v6(&self) -> String {
        format!("fd20:{:x}::/112", self.number)
    }

    /// The Service `kubernetes` of the namespace `default`.
    pub fn api_service(&self) -> Ipv4Addr {
        Ipv4Addr::new(10, 200 + self.number, 0, 1)
    }

    /// The Service `kube-dns`.
    pub fn dns_service(&self) -> Ipv4Addr {
        Ipv4Addr::new(10, 200 + self.number, 0, 10)
    }
}

impl Drop for Addresses {
    fn drop(&mut self) {
        TAKEN.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.number);
    }
}
