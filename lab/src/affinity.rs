//! Which CPU a thread runs on, for measurements. What a thread starts, threads and processes, stays where it is.

use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::Pid;
use std::io;

/// Keeps the calling thread, and what it starts from now on, on one CPU.
///
/// # Errors
/// When this machine has no such CPU or does not let us have it.
pub fn pin(cpu: usize) -> io::Result<()> {
    let mut set = CpuSet::new();
    set.set(cpu)?;
    Ok(sched_setaffinity(Pid::from_raw(0), &set)?)
}
