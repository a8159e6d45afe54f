//! A private place for a lab: its own network, process and mount namespaces, entered before any thread exists.
//!
//! Three processes run the same program with the same arguments. The *launcher* stays in the host's process namespace,
//! keeps listeners on the host's loopback and waits. It starts *init*, process 1 of the new process namespace, which reaps
//! orphans and starts the *worker*, which does the work. When init ends, however it ends, the kernel kills all that runs in
//! the namespace, and with the last process go the interfaces, rules and mounts. Init ends when the launcher does.

mod enter;
mod init;
mod launcher;
mod refusal;
mod relay;

pub use refusal::SandboxError;
pub use relay::relay;

use std::net::SocketAddr;
use std::process::ExitCode;

/// Which of the three processes this is; absent in the launcher.
const ROLE: &str = "MELTEMI_SANDBOX";
/// The published addresses, comma-separated, in the order in which they were asked for.
const PUBLISHED: &str = "MELTEMI_SANDBOX_PUBLISHED";

/// What the worker knows of its sandbox.
#[derive(Debug, Clone)]
pub struct Sandbox {
    /// One address on the host's loopback for each port asked for; what connects there reaches
    /// the same port number of 127.0.0.1 inside, where the worker must listen.
    pub published: Vec<SocketAddr>,
}

/// Runs `work` inside a sandbox and returns its exit code. Call it first thing in `main`, before any thread or runtime.
///
/// For each of `ports` a listener is opened on the host's loopback, on that port or the next free one.
/// `work` runs in another process than the caller; only its exit code comes back.
///
/// # Errors
/// [`SandboxError`] when the system does not let us have namespaces or lacks a tool; its text says what to do.
pub fn run(ports: &[u16], work: impl FnOnce(Sandbox) -> ExitCode) -> Result<ExitCode, SandboxError> {
    match std::env::var(ROLE).as_deref() {
        Err(_) => launcher::launch(ports),
        Ok("init") => init::run(),
        Ok(_) => {
            crate::tools::run("ip", &["link", "set", "lo", "up"], "")?;
            let published = std::env::var(PUBLISHED).unwrap_or_default();
            let published = published.split(',').filter_map(|address| address.parse().ok()).collect();
            Ok(work(Sandbox { published }))
        }
    }
}

/// Whether this process is the one that the user started: it outlives all that runs in the sandbox.
pub fn is_launcher() -> bool {
    std::env::var(ROLE).is_err()
}

/// Whether this process is the worker of a sandbox.
pub fn is_inside() -> bool {
    std::env::var(ROLE).as_deref() == Ok("worker")
}
