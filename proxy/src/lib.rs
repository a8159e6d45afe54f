//! The data plane: a proxy beside every workload. It captures the workload's connections, routes and secures them as
//! the control plane says over xDS, and keeps doing so while the control plane is away.
//!
//! The life of a connection, in the order of the modules: [`capture`], [`inspect`] with [`detect`], then [`tcp`] or
//! [`http`], then [`upstream`]. [`control`] feeds them snapshots ([`model`], compiled by [`snapshot`]).

pub mod admin;
pub mod app;
pub mod app_probes;
pub mod buffers;
pub mod bulk;
pub mod capture;
pub mod control;
pub mod descriptors;
pub mod detect;
pub mod handover;
pub mod http;
pub mod http1;
pub mod http2;
pub mod inbound;
pub mod inspect;
pub mod io;
mod memory;
pub mod model;
pub mod options;
pub mod outbound;
pub mod redirect;
pub mod refuse;
pub mod snapshot;
pub mod stats;
pub mod tcp;
pub mod tls;
pub mod turns;
pub mod upstream;
pub mod worker;

pub use app::{ProxyError, run};
pub use options::ProxyOptions;
