//! A DestinationRule: the subsets of a host and how its endpoints are used.

use super::{ExportTo, Host, Labels, ObjectRef};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// What holds for one host in one scope: one DestinationRule, or several of a namespace merged.
#[derive(Clone, Debug, PartialEq)]
pub struct DestinationRule {
    /// The objects that it was merged from, oldest first.
    pub sources: Vec<Arc<ObjectRef>>,
    /// Host or wildcard.
    pub host: Host,
    /// Who uses it.
    pub export_to: ExportTo,
    /// `metadata.creationTimestamp` of the oldest in seconds since the epoch; 0 when it has none.
    pub creation: i64,
    /// Policy for the host.
    pub policy: TrafficPolicy,
    /// Subsets in the order written.
    pub subsets: Vec<Subset>,
}

/// A named part of a service's endpoints.
#[derive(Clone, Debug, PartialEq)]
pub struct Subset {
    /// Name.
    pub name: Arc<str>,
    /// Labels of its endpoints.
    pub labels: Labels,
    /// Policy that overrides the host's, block by block.
    pub policy: TrafficPolicy,
    /// The object that declares it.
    pub source: Arc<ObjectRef>,
}

/// `trafficPolicy`: a level for all ports, and levels that replace it for single ports.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TrafficPolicy {
    /// For all ports that have no level of their own.
    pub all: PolicyLevel,
    /// By service port; replaces `all` as a whole.
    pub ports: BTreeMap<u16, PolicyLevel>,
}

/// The blocks of one level; None is not set.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PolicyLevel {
    /// Load balancing.
    pub load_balancer: Option<LoadBalancer>,
    /// TLS towards the endpoints. None: mesh mTLS where the endpoint can.
    pub tls: Option<ClientTls>,
    /// Connection limits.
    pub connection_pool: Option<ConnectionPool>,
}

/// How an endpoint is chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum LoadBalancer {
    /// The less busy of two (default).
    #[default]
    LeastRequest,
    /// In turn.
    RoundRobin,
    /// By chance.
    Random,
    /// The address that the client dialled.
    Passthrough,
}

/// TLS towards the endpoints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientTls {
    /// Mode.
    pub mode: TlsMode,
    /// SNI; None: the mesh's own for ISTIO_MUTUAL, else the request's host.
    pub sni: Option<Arc<str>>,
    /// Names, one of which the server's certificate must have.
    pub subject_alt_names: Vec<Arc<str>>,
    /// PEM file with roots; None: the system's.
    pub ca_certificates: Option<Arc<str>>,
    /// PEM file with the client's chain (MUTUAL).
    pub client_certificate: Option<Arc<str>>,
    /// PEM file with the client's key (MUTUAL).
    pub private_key: Option<Arc<str>>,
    /// Do not verify the server.
    pub insecure_skip_verify: bool,
}

/// `tls.mode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TlsMode {
    /// Plain text.
    Disable,
    /// Verify the server.
    Simple,
    /// Verify the server, show a certificate from files.
    Mutual,
    /// Mesh mTLS.
    IstioMutual,
}

/// `connectionPool`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConnectionPool {
    /// Longest time to connect; None: the mesh's 10 s.
    pub connect_timeout: Option<Duration>,
}

impl DestinationRule {
    /// The subset with this name.
    pub fn subset(&self, name: &str) -> Option<&Subset> {
        self.subsets.iter().find(|subset| subset.name.as_ref() == name)
    }

    /// What holds for one port of the host or of one subset: the subset's blocks over the host's. A port level hides
    /// all that is less specific: a block that it leaves out has its default (`portLevelSettings`,
    /// destination_rule.proto).
    pub fn effective(&self, port: u16, subset: Option<&str>) -> PolicyLevel {
        let base = self.policy.level(port);
        match subset.and_then(|name| self.subset(name)) {
            Some(subset) => match subset.policy.ports.get(&port) {
                Some(level) => level.clone(),
                None => subset.policy.all.over(base),
            },
            None => base.clone(),
        }
    }
}

impl TrafficPolicy {
    /// The level that decides for a port.
    fn level(&self, port: u16) -> &PolicyLevel {
        self.ports.get(&port).unwrap_or(&self.all)
    }
}

impl PolicyLevel {
    /// This level's blocks, and `base` where there are none.
    fn over(&self, base: &PolicyLevel) -> PolicyLevel {
        PolicyLevel {
            load_balancer: self.load_balancer.or(base.load_balancer),
            tls: self.tls.clone().or_else(|| base.tls.clone()),
            connection_pool: self.connection_pool.clone().or_else(|| base.connection_pool.clone()),
        }
    }
}
