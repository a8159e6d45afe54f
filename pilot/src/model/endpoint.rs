//! One endpoint of one service.

use super::{Locality, Workload};
use std::net::IpAddr;
use std::sync::Arc;

/// Where requests for a service can go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// IP address, or a name to be resolved (ServiceEntry with DNS resolution).
    pub address: EndpointAddress,
    /// The same pod's address of the other family, where the service has both: for whom `address` is out of reach.
    pub other: Option<IpAddr>,
    /// The ports it serves, by service port.
    pub ports: Vec<EndpointPort>,
    /// Who runs there; None when no object says.
    pub workload: Option<Arc<Workload>>,
    /// Where it runs.
    pub locality: Locality,
    /// Share of traffic beside its neighbours; 1 by default.
    pub weight: u32,
    /// Whether it takes requests.
    pub state: EndpointState,
    /// Has a sidecar that accepts mesh mTLS.
    pub mtls: bool,
}

/// An endpoint's address.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum EndpointAddress {
    /// An IP address.
    Ip(IpAddr),
    /// A host name for the proxy to resolve.
    Name(Arc<str>),
}

/// One service port at an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EndpointPort {
    /// The service's port.
    pub service_port: u16,
    /// The endpoint's own port.
    pub number: u16,
}

/// EndpointSlice `conditions`, folded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum EndpointState {
    /// Takes requests.
    Ready,
    /// Terminating, but still serving: existing connections finish, new requests go elsewhere.
    Draining,
    /// Not ready, or terminating and no longer serving.
    NotReady,
}

impl Endpoint {
    /// The endpoint's own port behind a service port; None when it does not serve that one.
    pub fn port(&self, service_port: u16) -> Option<u16> {
        self.ports.iter().find(|p| p.service_port == service_port).map(|p| p.number)
    }
}
