//! Entering the namespaces, as root or through a user namespace with a single identity.

use super::refusal::{Advice, SandboxError};
use nix::errno::Errno;
use nix::sched::{CloneFlags, unshare};
use nix::unistd::{getegid, geteuid};
use std::fs;

/// Moves this process into new network, mount, IPC and host name namespaces; its next child
/// becomes process 1 of a new process namespace. Needs a process with one thread.
pub(super) fn enter() -> Result<(), SandboxError> {
    let own = CloneFlags::CLONE_NEWNS
        | CloneFlags::CLONE_NEWNET
        | CloneFlags::CLONE_NEWIPC
        | CloneFlags::CLONE_NEWUTS
        | CloneFlags::CLONE_NEWPID;
    if geteuid().is_root() {
        match unshare(own) {
            // Root of a container that lacks CAP_SYS_ADMIN may still have a user namespace.
            Err(Errno::EPERM) => {}
            other => return other.map_err(|errno| refused("unshare", errno)),
        }
    }
    let (uid, gid) = (geteuid(), getegid());
    unshare(CloneFlags::CLONE_NEWUSER).map_err(|errno| refused("user namespace", errno))?;
    // The order is the kernel's: a group map may be written only after setgroups is denied (user_namespaces(7)).
    write("/proc/self/setgroups", "deny")?;
    write("/proc/self/uid_map", &format!("0 {uid} 1"))?;
    write("/proc/self/gid_map", &format!("0 {gid} 1"))?;
    unshare(own).map_err(|errno| refused("network namespace", errno))
}

fn write(path: &'static str, text: &str) -> Result<(), SandboxError> {
    fs::write(path, text).map_err(|source| {
        let errno = source.raw_os_error().map_or(Errno::EPERM, Errno::from_raw);
        refused(path, errno)
    })
}

fn refused(step: &'static str, errno: Errno) -> SandboxError {
    SandboxError::Refused { step, errno, advice: Advice::find() }
}
