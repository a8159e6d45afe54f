//! The data plane's own picture of its configuration: what `snapshot/` compiles from xDS and everything else works on.
//!
//! Values here are immutable and complete: regular expressions are compiled, durations are durations. Nothing here does I/O.

pub mod cluster;
pub mod listener;
pub mod retired;
pub mod tables;

pub use cluster::{
    Assignment, Cluster, Discovery, DnsFamily, Endpoint, LbPolicy, Transport, TransportMatch, UpstreamHttp,
    UpstreamTls, UpstreamVersion,
};
pub use listener::{
    ChainMatch, ClientCertHeader, DownstreamTls, Facts, FilterChain, HttpSettings, Listener, NetworkFilter,
    RouteSource, ServerHeader, TcpProxy, Wire,
};
pub use retired::Retired;
pub use tables::{Destination, InUse, Known, Tables, Usage, destination};
