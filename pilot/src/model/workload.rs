//! Workloads: who runs behind an address, and what a proxy must serve for its own workload.

use super::{Host, Labels, Protocol};
use std::net::IpAddr;
use std::sync::Arc;

/// One workload instance (a pod, or a ServiceEntry endpoint).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Workload {
    /// Name of the instance (the pod).
    pub instance: Arc<str>,
    /// Name of the workload that it is a replica of (Deployment and the like).
    pub name: Arc<str>,
    /// Namespace.
    pub namespace: Arc<str>,
    /// Service account; empty when unknown.
    pub service_account: Arc<str>,
    /// Pod labels.
    pub labels: Labels,
    /// Canonical service by Istio's label rules; the workload's name when no label says.
    pub canonical_service: Arc<str>,
    /// Canonical revision by Istio's label rules; `latest` when no label says.
    pub canonical_revision: Arc<str>,
    /// Node it runs on; empty when unknown.
    pub node: Arc<str>,
    /// Where it runs.
    pub locality: Locality,
    /// Has a sidecar that accepts mesh mTLS.
    pub mtls: bool,
}

/// Where a workload runs; parts are empty when unknown.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Locality {
    /// Region.
    pub region: Arc<str>,
    /// Zone.
    pub zone: Arc<str>,
    /// Sub-zone.
    pub sub_zone: Arc<str>,
}

/// A proxy's view of its own workload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkloadInfo {
    /// Its address.
    pub address: IpAddr,
    /// Who it is.
    pub workload: Arc<Workload>,
    /// The ports that services lead to, by number.
    pub inbound: Vec<InboundPort>,
}

/// A port of the workload that at least one service leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InboundPort {
    /// The workload's own port.
    pub number: u16,
    /// The declared protocol; `Unknown` (detect) when several services disagree.
    pub protocol: Protocol,
    /// The services that lead here, oldest first.
    pub services: Vec<ServicePort>,
}

/// A port of a service by name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ServicePort {
    /// The service's host.
    pub host: Host,
    /// Name of the service.
    pub name: Arc<str>,
    /// Namespace of the service.
    pub namespace: Arc<str>,
    /// The service's port.
    pub port: u16,
}
