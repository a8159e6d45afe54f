//! Who runs where during an attack: the sidecar under attack has a CPU to itself. All others share another one, of which
//! attackers take only what is left. What the victim loses then, that sidecar has taken from it.

use std::process::Command;

use nix::sched::{CpuSet, sched_getaffinity};
use nix::unistd::{Pid, gettid};

use crate::Outcome;

/// Two CPUs, or one and the same where this process may use no other.
#[derive(Debug, Clone, Copy)]
pub struct Cpus {
    attacked: usize,
    rest: usize,
}

impl Cpus {
    /// Chooses the first that this process may use, and the last. This thread belongs to the rest, with all that it starts.
    pub fn divide() -> std::io::Result<Self> {
        let allowed = sched_getaffinity(Pid::from_raw(0))?;
        let mut all = (0..CpuSet::count()).filter(|cpu| allowed.is_set(*cpu).unwrap_or(false));
        let rest = all.next().unwrap_or_default();
        let attacked = all.next_back().unwrap_or(rest);
        lab::pin(rest)?;
        Ok(Self { attacked, rest })
    }

    /// What `start` starts is under attack.
    pub fn apart<T>(self, start: impl FnOnce() -> T) -> std::io::Result<T> {
        lab::pin(self.attacked)?;
        let started = start();
        lab::pin(self.rest)?;
        Ok(started)
    }
}

/// Runs a test on a thread of its own, whose CPUs are nobody else's concern.
pub fn on_own_thread(body: fn() -> Outcome) -> Outcome {
    std::thread::scope(|scope| match scope.spawn(body).join() {
        Ok(outcome) => outcome,
        Err(panic) => std::panic::resume_unwind(panic),
    })
}

/// Runs `work` on a thread that gets only what others leave of its CPU, and so do the threads that it starts.
pub fn behind<T: Send>(work: impl FnOnce() -> T + Send) -> std::io::Result<T> {
    let lowered = || {
        let chrt = Command::new("chrt").args(["--idle", "--pid", "0", &gettid().to_string()]).status()?;
        if !chrt.success() {
            return Err(std::io::Error::other(format!("chrt --idle (package util-linux) ended with {chrt}")));
        }
        Ok(work())
    };
    std::thread::scope(|scope| match scope.spawn(lowered).join() {
        Ok(result) => result,
        Err(panic) => std::panic::resume_unwind(panic),
    })
}
