//! What can go wrong in a lab, in words for the person at the terminal.

use crate::tools::ToolError;
use std::path::PathBuf;
use std::time::Duration;

/// The lab could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum LabError {
    /// Not called from within a sandbox: the lab would change the host's network.
    #[error("a lab must run inside lab::sandbox::run, or it would change this machine's own network")]
    NotInSandbox,
    /// A program of the system is missing or failed.
    #[error(transparent)]
    Tool(#[from] ToolError),
    /// A manifest cannot be used.
    #[error("{}: {problem}", file.display())]
    Manifest {
        /// The file.
        file: PathBuf,
        /// What is wrong, and what would be right.
        problem: String,
    },
    /// A process ended that should run.
    #[error("{name} ended with {status}; the end of its log:\n{log}")]
    Ended {
        /// The process, as people call it.
        name: String,
        /// Its exit status.
        status: String,
        /// The last lines of its log.
        log: String,
    },
    /// A process runs but did not become ready.
    #[error("{name} was not ready after {} s ({waiting_for}); the end of its log:\n{log}", after.as_secs())]
    NotReady {
        /// The process, as people call it.
        name: String,
        /// What was waited for.
        waiting_for: String,
        /// For how long.
        after: Duration,
        /// The last lines of its log.
        log: String,
    },
    /// No pod of this name.
    #[error("no pod {0:?} in the lab; the pods are those of the configuration directory")]
    NoSuchPod(String),
    /// Keys, tokens or certificates could not be made.
    #[error("identity of {who}: {problem}")]
    Identity {
        /// Whose.
        who: String,
        /// What went wrong.
        problem: String,
    },
    /// The system refused something.
    #[error("{what}: {source}")]
    Io {
        /// What was being done.
        what: String,
        /// What the system said.
        source: std::io::Error,
    },
}

impl LabError {
    /// For `map_err`: names what was being done when the system refused.
    pub(crate) fn io<E: Into<std::io::Error>>(what: impl Into<String>) -> impl FnOnce(E) -> LabError {
        move |source| LabError::Io { what: what.into(), source: source.into() }
    }
}
