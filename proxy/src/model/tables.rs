//! The tables of everything known: one immutable snapshot, replaced whole, whose parts are shared with the one before.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use record::Workload;

use super::{Assignment, Cluster, Listener};
use crate::http::route_table::RouteTable;

/// Stands for any address.
const ANY: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

/// What the control plane has said of a name.
#[derive(Debug)]
pub enum Known<T> {
    /// It exists and was accepted.
    Present(Arc<T>),
    /// It does not exist.
    Absent,
    /// It exists, this proxy refused it, and there was no earlier version to keep: the reason.
    Refused(Arc<str>),
}

impl<T> Known<T> {
    /// The value, if it is there.
    pub fn present(&self) -> Option<&Arc<T>> {
        match self {
            Self::Present(value) => Some(value),
            Self::Absent | Self::Refused(_) => None,
        }
    }
}

impl<T> Clone for Known<T> {
    fn clone(&self) -> Self {
        match self {
            Self::Present(value) => Self::Present(value.clone()),
            Self::Absent => Self::Absent,
            Self::Refused(reason) => Self::Refused(reason.clone()),
        }
    }
}

/// What is known of an original destination, and when a connection last went there.
#[derive(Debug)]
pub struct Destination {
    /// The listener that stands for it.
    pub listener: Known<Listener>,
    /// Outlives versions of the listener.
    pub usage: Arc<Usage>,
}

/// The key of an address among the destinations: any address is one and the same in both families.
pub fn destination(address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() { SocketAddr::new(ANY, address.port()) } else { address }
}

/// How a destination is used.
#[derive(Debug, Default)]
pub struct Usage {
    last: AtomicU64,
    open: AtomicU64,
}

/// A connection to a destination that is open.
pub struct InUse(Arc<Usage>);

impl Usage {
    /// Notes a use, in seconds on the proxy's own clock.
    pub fn touch(&self, now: u64) {
        self.last.store(now, Ordering::Relaxed);
    }

    /// When it was last used, for somebody for whom it is `now`; a destination with open connections is in use.
    pub fn last(&self, now: u64) -> u64 {
        if self.open.load(Ordering::Relaxed) > 0 { now } else { self.last.load(Ordering::Relaxed) }
    }

    /// Counts a connection for as long as the guard lives.
    pub fn open(self: &Arc<Self>) -> InUse {
        self.open.fetch_add(1, Ordering::Relaxed);
        InUse(self.clone())
    }
}

impl Drop for InUse {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Everything that the control plane has told this proxy.
#[derive(Debug, Default, Clone)]
pub struct Tables {
    /// Goes up by one with each snapshot.
    pub version: u64,
    /// The listener whose socket outbound connections arrive at.
    pub outbound: Option<Arc<Listener>>,
    /// The listener whose socket inbound connections arrive at.
    pub inbound: Option<Arc<Listener>>,
    /// By original destination; `0.0.0.0:port` stands for any address, see [`destination`].
    pub destinations: HashMap<SocketAddr, Arc<Destination>>,
    /// By route configuration name.
    pub routes: HashMap<Arc<str>, Known<RouteTable>>,
    /// By cluster name.
    pub clusters: HashMap<Arc<str>, Known<Cluster>>,
    /// By EDS name, or by cluster name where endpoints come from DNS.
    pub endpoints: HashMap<Arc<str>, Known<Assignment>>,
    /// Who an address is, for metrics.
    pub workloads: HashMap<IpAddr, Known<Workload>>,
}
