//! Process 1 of the sandbox: private mounts, the worker, orphans, and an end as soon as the launcher is gone.

use super::ROLE;
use super::refusal::SandboxError;
use nix::errno::Errno;
use nix::mount::{MsFlags, mount};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitStatus, wait};
use nix::unistd::Pid;
use std::io::Read;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode, Stdio};

pub(super) fn run() -> Result<ExitCode, SandboxError> {
    let io = |step| move |errno: Errno| SandboxError::Io { step, source: errno.into() };
    nix::sys::prctl::set_pdeathsig(Signal::SIGKILL).map_err(io("parent death signal"))?;
    private_mounts()?;
    let worker = Command::new("/proc/self/exe")
        .arg0(std::env::args_os().next().unwrap_or_else(|| "meltemi".into()))
        .args(std::env::args_os().skip(1))
        .env(ROLE, "worker")
        .stdin(Stdio::null())
        .spawn()
        .map_err(|source| SandboxError::Io { step: "start worker", source })?;
    let worker = Pid::from_raw(i32::try_from(worker.id()).unwrap_or(i32::MAX));
    std::thread::spawn(move || follow_lifeline(worker));
    loop {
        match wait() {
            Ok(WaitStatus::Exited(pid, code)) if pid == worker => {
                return Ok(ExitCode::from(u8::try_from(code).unwrap_or(1)));
            }
            Ok(WaitStatus::Signaled(pid, signal, _)) if pid == worker => {
                return Ok(ExitCode::from(u8::try_from(128 + signal as i32).unwrap_or(1)));
            }
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(io("wait")(errno)),
        }
    }
}

/// A byte means "please stop"; the end of the pipe means that the launcher is gone. It is also there when the launcher
/// died before the parent death signal was set.
fn follow_lifeline(worker: Pid) {
    let mut byte = [0];
    while matches!(std::io::stdin().lock().read(&mut byte), Ok(1)) {
        let _ = kill(worker, Signal::SIGTERM);
    }
    std::process::exit(137);
}

/// Mounts that nobody outside sees: /proc of this process namespace, and an empty /run for locks, tokens and logs.
fn private_mounts() -> Result<(), SandboxError> {
    let none: Option<&str> = None;
    let io = |step| move |errno: Errno| SandboxError::Io { step, source: errno.into() };
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).map_err(io("make mounts private"))?;
    let quiet = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    mount(Some("tmpfs"), "/run", Some("tmpfs"), quiet, Some("mode=0755")).map_err(io("mount /run"))?;
    // A container that hides parts of /proc does not let us have a new one; only memory figures need it.
    if let Err(errno) = mount(Some("proc"), "/proc", Some("proc"), quiet | MsFlags::MS_NOEXEC, none) {
        tracing::warn!("cannot mount /proc in the sandbox ({errno}); memory figures will be missing");
    }
    Ok(())
}
