//! Open files: a load opens more connections than a shell's default allows.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Raises the limit to the highest that this process may have.
///
/// # Errors
/// When the system refuses.
pub fn raise_open_files() -> anyhow::Result<()> {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    Ok(setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?)
}
