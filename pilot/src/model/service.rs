//! A destination that clients can name: a Kubernetes service or a ServiceEntry host.

use super::{ExportTo, Host, Labels, ObjectRef, Port};
use std::net::IpAddr;
use std::sync::Arc;

/// One service: one host of one object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// The name that clients use.
    pub host: Host,
    /// Namespace of the object.
    pub namespace: Arc<str>,
    /// Name of the object (for a ServiceEntry the host, as Istio's metrics have it).
    pub name: Arc<str>,
    /// What kind of object it is.
    pub kind: ServiceKind,
    /// Virtual addresses: cluster IPs or ServiceEntry addresses. Empty for headless and host-only services.
    pub addresses: Vec<IpAddr>,
    /// Ports that the mesh carries (no UDP), by number.
    pub ports: Vec<Port>,
    /// Extra names that the server's certificate must have (one is enough).
    pub subject_alt_names: Vec<Arc<str>>,
    /// Who sees it.
    pub export_to: ExportTo,
    /// Pods behind it: Kubernetes `selector` or ServiceEntry `workloadSelector`; None when there is none.
    pub selector: Option<Labels>,
    /// `metadata.creationTimestamp` in seconds since the epoch; 0 when the object has none.
    pub creation: i64,
    /// The object.
    pub source: Arc<ObjectRef>,
    /// `clusterIP: None`: clients dial the endpoints themselves.
    pub headless: bool,
}

/// The object behind a service.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ServiceKind {
    /// A Kubernetes service.
    Kubernetes,
    /// A Kubernetes service of type ExternalName: another name for a host outside the mesh.
    ExternalName(Arc<str>),
    /// A ServiceEntry host.
    ServiceEntry {
        /// Inside or outside the mesh.
        location: Location,
        /// How endpoints are found.
        resolution: Resolution,
    },
}

/// ServiceEntry `location`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Location {
    /// Outside the mesh: no automatic mTLS.
    External,
    /// Part of the mesh.
    Internal,
}

/// ServiceEntry `resolution`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Resolution {
    /// Forward to the address that the client dialled.
    None,
    /// The endpoints in the object.
    Static,
    /// Resolve endpoint names (or the host) and use every address.
    Dns,
    /// Resolve one name and use the first address.
    DnsRoundRobin,
}

impl Service {
    /// The port with this number.
    pub fn port(&self, number: u16) -> Option<&Port> {
        self.ports.iter().find(|port| port.number == number)
    }

    /// A ServiceEntry without addresses, or an ExternalName: only the host name (or SNI) tells it apart.
    pub fn is_host_only(&self) -> bool {
        self.kind != ServiceKind::Kubernetes && self.addresses.is_empty()
    }

    /// Outside the mesh: never automatic mTLS.
    pub fn is_external(&self) -> bool {
        match self.kind {
            ServiceKind::Kubernetes => false,
            ServiceKind::ExternalName(_) => true,
            ServiceKind::ServiceEntry { location, .. } => location == Location::External,
        }
    }

    /// How endpoints are found; a Kubernetes service's are static, a headless one's are what the client dialled.
    pub fn resolution(&self) -> Resolution {
        match self.kind {
            ServiceKind::Kubernetes if self.headless => Resolution::None,
            ServiceKind::Kubernetes => Resolution::Static,
            ServiceKind::ExternalName(_) => Resolution::Dns,
            ServiceKind::ServiceEntry { resolution, .. } => resolution,
        }
    }
}
