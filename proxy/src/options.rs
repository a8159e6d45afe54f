//! What a proxy is told when it starts.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use xds::node::NodeInfo;

use crate::app_probes::Declared;

/// Settings of one proxy process; everything else comes from the control plane.
#[derive(Debug, Clone)]
pub struct ProxyOptions {
    /// Who this proxy is.
    pub node: NodeInfo,
    /// The application version that metrics report, from the label `version`.
    pub version: String,
    /// The application name that metrics report, from the label `app`.
    pub app: String,
    /// `host:port` of the control plane's TLS port.
    pub control_plane: String,
    /// Name that the control plane's certificate must have.
    pub control_plane_name: String,
    /// PEM file with the mesh's roots, to reach the CA before there is a certificate.
    pub root_file: PathBuf,
    /// Token that proves to the CA who we are.
    pub token_file: PathBuf,
    /// Trust domain of the mesh.
    pub trust_domain: String,
    /// Life asked for each certificate.
    pub certificate_ttl: Duration,
    /// Address on which the capture sockets are opened.
    pub capture_address: IpAddr,
    /// Port that outbound connections are redirected to.
    pub outbound_port: u16,
    /// Port that inbound connections are redirected to.
    pub inbound_port: u16,
    /// Administration: loopback only.
    pub admin: SocketAddr,
    /// Readiness, for the kubelet.
    pub readiness: SocketAddr,
    /// Prometheus, on each of these.
    pub metrics: Vec<SocketAddr>,
    /// What the kubelet asks the application, and asks us for instead.
    pub app_probes: Declared,
    /// `SO_MARK` of our own connections, where the redirect rules tell them apart by mark and not by uid.
    pub mark: Option<u32>,
    /// Threads that carry traffic.
    pub workers: usize,
    /// How long a connection to an address that the proxy has not met waits for the control plane.
    pub discovery_timeout: Duration,
    /// A destination unused for so long is forgotten.
    pub discovery_idle: Duration,
    /// What happens to a new destination while no control plane can be reached.
    pub unreachable: WhenUnreachable,
    /// How long the first bytes of a client are waited for on a port of unknown protocol before the upstream is asked.
    pub detect_silence: Duration,
    /// After SIGTERM: serve at most so long before connections are cut.
    pub drain: Duration,
    /// After SIGTERM: serve at least so long, for the news to reach everybody, if anybody ever called.
    pub drain_at_least: Duration,
    /// Where the access log goes.
    pub access_log: AccessLogTarget,
    /// How often metrics are sent to the hub.
    pub report_every: Duration,
    /// Tells how often the process has asked for memory, where that is counted: in debug builds.
    pub allocations: Option<fn() -> u64>,
}

/// What happens to a destination that nobody can be asked about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhenUnreachable {
    /// The connection is refused: nothing leaves that policy has not seen.
    Refuse,
    /// The connection goes where it was going, as it is.
    PassThrough,
}

/// Where the access log goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AccessLogTarget {
    /// Nowhere.
    Off,
    /// Standard output.
    Stdout,
    /// Appended to a file.
    File(PathBuf),
}
