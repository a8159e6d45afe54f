//! Who a metric speaks about: the workloads on both ends, the service between them, and how they spoke.

use crate::names::{LATEST, UNKNOWN};

/// A workload as the metrics see it. A value that is not known reads `unknown`
/// (`canonical_revision`: `latest`); so does an empty one when it is written out.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Workload {
    /// Name of the Deployment, StatefulSet, ... that owns the pod.
    pub name: String,
    /// Kubernetes namespace.
    pub namespace: String,
    /// SPIFFE id, as a URI.
    pub principal: String,
    /// Label `app`.
    pub app: String,
    /// Label `version`.
    pub version: String,
    /// Id of the cluster, by Istio's default `Kubernetes`.
    pub cluster: String,
    /// Istio's canonical name of the service that the workload is part of.
    pub canonical_service: String,
    /// Istio's canonical revision of the workload within that service.
    pub canonical_revision: String,
}

impl Default for Workload {
    fn default() -> Self {
        Self::filled(UNKNOWN, LATEST)
    }
}

impl Workload {
    pub(crate) fn filled(value: &str, revision: &str) -> Self {
        Self {
            name: value.into(),
            namespace: value.into(),
            principal: value.into(),
            app: value.into(),
            version: value.into(),
            cluster: value.into(),
            canonical_service: value.into(),
            canonical_revision: revision.into(),
        }
    }
}

/// The service that the client asked for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Service {
    /// Full host name, such as `catalog.shop.svc.cluster.local`.
    pub host: String,
    /// Short name, or `PassthroughCluster`, `BlackHoleCluster`, `InboundPassthroughCluster`.
    pub name: String,
    /// Kubernetes namespace.
    pub namespace: String,
}

impl Default for Service {
    fn default() -> Self {
        Self::filled(UNKNOWN)
    }
}

impl Service {
    pub(crate) fn filled(value: &str) -> Self {
        Self { host: value.into(), name: value.into(), namespace: value.into() }
    }
}

/// Which end of a request reports it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reporter {
    /// The client's sidecar.
    Source,
    /// The server's sidecar.
    Destination,
}

impl Reporter {
    /// The value of the label `reporter`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Destination => "destination",
        }
    }
}

/// How a connection was secured. Istio lets only the server's side say; the client's says `Unknown`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Security {
    /// TLS with a verified certificate on both sides.
    MutualTls,
    /// Anything less.
    None,
    /// The reporter is the client.
    Unknown,
}

impl Security {
    /// The value of the label `connection_security_policy`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::MutualTls => "mutual_tls",
            Self::None => "none",
            Self::Unknown => UNKNOWN,
        }
    }
}

/// What was spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Protocol {
    /// HTTP of any version.
    Http,
    /// gRPC over HTTP/2.
    Grpc,
    /// Anything else.
    Tcp,
}

impl Protocol {
    /// The value of the label `request_protocol`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Grpc => "grpc",
            Self::Tcp => "tcp",
        }
    }
}
