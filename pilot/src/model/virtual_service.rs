//! A VirtualService: how requests for some hosts are routed. Routes of the Gateway API become VirtualServices too.

use super::{ExportTo, Host, HttpRule, Labels, ObjectRef, WeightedDestination};
use ipnet::IpNet;
use std::sync::Arc;

/// One VirtualService that is in force, with the hosts that it really decides.
#[derive(Clone, Debug, PartialEq)]
pub struct VirtualService {
    /// The object.
    pub source: Arc<ObjectRef>,
    /// Hosts or wildcards.
    pub hosts: Vec<Host>,
    /// It stands for the routes of the Gateway API that are attached to a Service; `source` is the oldest of them.
    pub gateway_api: bool,
    /// Who uses it.
    pub export_to: ExportTo,
    /// `metadata.creationTimestamp` in seconds since the epoch; 0 when the object has none.
    pub creation: i64,
    /// HTTP rules; the first match decides.
    pub http: Vec<HttpRule>,
    /// Rules for TLS that is passed through, by SNI.
    pub tls: Vec<TlsRule>,
    /// Rules for opaque TCP.
    pub tcp: Vec<TcpRule>,
}

/// One `tcp` rule.
#[derive(Clone, Debug, PartialEq)]
pub struct TcpRule {
    /// Any of these must match; empty matches all.
    pub matches: Vec<L4Match>,
    /// Where connections go.
    pub destinations: Vec<WeightedDestination>,
}

/// One `tls` rule.
#[derive(Clone, Debug, PartialEq)]
pub struct TlsRule {
    /// Any of these must match.
    pub matches: Vec<L4Match>,
    /// Where connections go.
    pub destinations: Vec<WeightedDestination>,
}

/// Conditions on a connection; all that are set must hold.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct L4Match {
    /// SNI names or wildcards (`tls` rules only, never empty there).
    pub sni_hosts: Vec<Host>,
    /// Destination addresses; empty means any.
    pub destination_subnets: Vec<IpNet>,
    /// The service's port.
    pub port: Option<u16>,
    /// Only clients with these labels get the rule; empty means all.
    pub source_labels: Labels,
    /// Only clients of this namespace get the rule.
    pub source_namespace: Option<Arc<str>>,
}
