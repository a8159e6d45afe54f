//! The sandbox around all clusters of one program, and what it cannot take away by itself.

use std::process::ExitCode;

use lab::sandbox::Sandbox;
use nix::unistd::geteuid;

use crate::ClusterError;
use crate::control_group::Hierarchies;

/// Runs `work` in a sandbox, as [`lab::sandbox::run`] does, where clusters can be started. Call it first thing in `main`.
///
/// Control groups alone are not in a namespace: those of clusters that are gone are removed before and after, also when
/// their programs were killed.
///
/// # Errors
/// Without root, and when there is no sandbox to be had.
pub fn run(ports: &[u16], work: impl FnOnce(Sandbox) -> ExitCode) -> Result<ExitCode, ClusterError> {
    if !geteuid().is_root() {
        return Err(ClusterError::NotRoot);
    }
    if !lab::sandbox::is_launcher() {
        return Ok(lab::sandbox::run(ports, work)?);
    }
    // Found now: /proc will be that of the sandbox, and gone with it.
    let groups = Hierarchies::find()?;
    groups.sweep()?;
    let result = lab::sandbox::run(ports, work);
    groups.sweep()?;
    Ok(result?)
}
