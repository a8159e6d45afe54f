//! The data plane's process: its end is awaited on a thread of its own, and it is stopped with patience.

use anyhow::Context;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::future::Future;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitCode, ExitStatus};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::timeout;

/// After SIGTERM, before SIGKILL.
const PATIENCE: Duration = Duration::from_secs(3);

/// A running data plane.
pub struct Child {
    pid: Pid,
}

/// Starts it. The future resolves with its end.
pub fn start(mut command: Command) -> anyhow::Result<(Child, impl Future<Output = ExitStatus> + Unpin)> {
    let program = command.get_program().to_string_lossy().into_owned();
    let mut process = command.spawn().with_context(|| format!("start {program}"))?;
    let pid = Pid::from_raw(i32::try_from(process.id())?);
    let (ended, end) = oneshot::channel();
    std::thread::spawn(move || {
        let _ = ended.send(process.wait().unwrap_or_else(|_| ExitStatus::from_raw(1)));
    });
    let end = Box::pin(async move { end.await.unwrap_or_else(|_| ExitStatus::from_raw(1)) });
    Ok((Child { pid }, end))
}

impl Child {
    /// SIGTERM, then SIGKILL. `ended` must not have resolved yet.
    pub async fn stop(&self, mut ended: impl Future<Output = ExitStatus> + Unpin) -> ExitStatus {
        let _ = kill(self.pid, Signal::SIGTERM);
        match timeout(PATIENCE, &mut ended).await {
            Ok(status) => status,
            Err(_) => {
                let _ = kill(self.pid, Signal::SIGKILL);
                ended.await
            }
        }
    }
}

/// As a shell gives it on: 128 and the signal's number for one that was killed. An end on SIGTERM was asked for.
pub fn exit_code(status: ExitStatus) -> ExitCode {
    match (status.code(), status.signal()) {
        (Some(code), _) => ExitCode::from(u8::try_from(code).unwrap_or(1)),
        (None, Some(signal)) if signal == Signal::SIGTERM as i32 => ExitCode::SUCCESS,
        (None, signal) => ExitCode::from(u8::try_from(128 + signal.unwrap_or(0)).unwrap_or(1)),
    }
}
