//! Connections that are closed without being served: each has a reason, which is counted and logged at a bounded rate.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use record::LogLimit;

use crate::handover::Handover;
use crate::upstream::connect::ConnectError;

/// Why a connection is not served.
#[derive(Debug)]
pub enum Refusal {
    /// So many are open that the rest of the descriptors is kept for upstreams and administration.
    OutOfDescriptors(i32),
    /// It was made to the capture port itself, or would come back to it.
    Loop,
    /// The control plane has not said what is there.
    Undiscovered,
    /// The control plane's answer was refused, and there is no earlier one.
    BadConfiguration(String),
    /// No filter chain accepts it: plaintext under STRICT, most of the time.
    NoChain(&'static str),
    /// The handshake failed.
    Tls(String),
    /// The first bytes did not come in time.
    Silent,
    /// The peer left before it said anything: port scans, probes and unused connections do.
    Closed,
    /// What came first is a line of another protocol, on a port for HTTP.
    NotHttp,
    /// The first bytes make no sense, or the peer left.
    Io(String),
    /// There is no such cluster, or nothing in it.
    NoUpstream(String),
    /// The upstream cannot be reached.
    Connect(ConnectError),
}

impl Refusal {
    /// The label under which it is counted.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::OutOfDescriptors(_) => "out_of_descriptors",
            Self::Loop => "loop",
            Self::Undiscovered => "undiscovered",
            Self::BadConfiguration(_) => "bad_configuration",
            Self::NoChain(_) => "no_filter_chain",
            Self::Tls(_) => "tls",
            Self::Silent => "silent",
            Self::Closed => "closed",
            Self::NotHttp => "not_http",
            Self::Io(_) => "io",
            Self::NoUpstream(_) => "no_upstream",
            Self::Connect(_) => "upstream_connect",
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OutOfDescriptors(limit) => {
                write!(f, "too many connections for a limit of {limit} open files (RLIMIT_NOFILE); raise it")
            }
            Self::Loop => f.write_str("it was made to the proxy's own port and would come back to it"),
            Self::Undiscovered => {
                f.write_str("the control plane has not said what is there; is it up, and can this pod reach it?")
            }
            Self::BadConfiguration(reason) => {
                write!(f, "its configuration was refused and there is no earlier one: {reason}")
            }
            Self::NoChain(wire) => {
                write!(f, "no filter chain accepts {wire} here: the port may demand mTLS (PeerAuthentication STRICT)")
            }
            Self::Tls(error) => write!(f, "the TLS handshake failed: {error}"),
            Self::Silent => f.write_str("the peer said nothing in time"),
            Self::Closed => f.write_str("the peer closed before it said anything"),
            Self::NotHttp => f.write_str("its first line is of another protocol, and the port is for HTTP"),
            Self::Io(error) => write!(f, "the first bytes could not be read: {error}"),
            Self::NoUpstream(cluster) => write!(f, "cluster {cluster} has no endpoint to send it to"),
            Self::Connect(error) => error.fmt(f),
        }
    }
}

static LOG: LogLimit = LogLimit::new(Duration::from_secs(1));

/// Counts and logs.
pub fn note(handover: &Handover, remote: SocketAddr, original_dst: SocketAddr, refusal: &Refusal) {
    handover.stats.refused.with(&[refusal.reason()]).inc();
    if matches!(refusal, Refusal::Closed) {
        return;
    }
    if let Some(suppressed) = LOG.admit() {
        tracing::warn!(%remote, destination = %original_dst, reason = %refusal, suppressed, "refused a connection");
    }
}
