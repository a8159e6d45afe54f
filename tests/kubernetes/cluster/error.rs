//! What can go wrong with a cluster, in words for whoever runs the tests.

use std::path::PathBuf;
use std::time::Duration;

/// The cluster could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// Kubelet and runc change control groups and mounts, which a user namespace does not allow.
    #[error("a Kubernetes cluster needs root; run it with sudo")]
    NotRoot,
    /// Not called from within [`crate::run`]: the cluster would change the machine's own network.
    #[error("a cluster must run inside cluster::run, or it would change this machine's own network")]
    NotInSandbox,
    /// A program or file has not been built.
    #[error("{} is missing; build it with `manifests/scripts/tools.sh kubernetes`, as `make test-cluster` does", .0.display())]
    NotBuilt(PathBuf),
    /// The plan of addresses is used up.
    #[error("{0} clusters run already, and there are no addresses for more")]
    TooMany(u8),
    /// The kernel lacks something.
    #[error("this machine cannot carry a cluster: {0}")]
    Machine(String),
    /// A part of the cluster ended by itself or was not ready in time; a namespace could not be made.
    #[error(transparent)]
    Lab(#[from] lab::LabError),
    /// `ip`, `ctr` or another program of the system failed.
    #[error(transparent)]
    Tool(#[from] lab::tools::ToolError),
    /// The sandbox could not be entered.
    #[error(transparent)]
    Sandbox(#[from] lab::sandbox::SandboxError),
    /// Something did not become true in time.
    #[error("{what}: not within {} s; at last: {last}", after.as_secs())]
    NotYet {
        /// What was waited for.
        what: String,
        /// For how long.
        after: Duration,
        /// What the last look saw.
        last: String,
    },
    /// `kubectl`, or another program that speaks with the API server, failed.
    #[error("`{command}` failed: {stderr}")]
    Command {
        /// The command line.
        command: String,
        /// What it printed on standard error.
        stderr: String,
    },
    /// A container has no process.
    #[error("{0} does not run")]
    NoProcess(String),
    /// A certificate or key could not be made.
    #[error("certificate of {who}: {source}")]
    Certificate {
        /// Whose.
        who: String,
        /// Why not.
        source: rcgen::Error,
    },
    /// An image could not be made.
    #[error(transparent)]
    Image(#[from] images::ImageError),
    /// The API server refused or did not answer.
    #[error("{what}: {source}")]
    Api {
        /// What was asked of it.
        what: String,
        /// What it said.
        source: Box<kube::Error>,
    },
    /// The client of the API server could not be made.
    #[error("client of the API server: {0}")]
    Client(String),
    /// The system refused something.
    #[error("{what}: {source}")]
    Io {
        /// What was being done.
        what: String,
        /// What the system said.
        source: std::io::Error,
    },
}

impl ClusterError {
    /// For `map_err`: names what was being done when the system refused.
    pub(crate) fn io<E: Into<std::io::Error>>(what: impl Into<String>) -> impl FnOnce(E) -> ClusterError {
        move |source| ClusterError::Io { what: what.into(), source: source.into() }
    }

    /// For `map_err`: names what was asked of the API server.
    pub(crate) fn api(what: impl Into<String>) -> impl FnOnce(kube::Error) -> ClusterError {
        move |source| ClusterError::Api { what: what.into(), source: Box::new(source) }
    }
}
