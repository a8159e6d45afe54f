//! A child process of the lab: its log, its end, its signals.

use crate::error::LabError;
use crate::memory::Memory;
use crate::namespaces::Namespaces;
use nix::sys::signal::{Signal, kill, killpg};
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use nix::unistd::Pid;
use std::fs::OpenOptions;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How much of a log an error shows.
const TAIL_LINES: usize = 15;

/// A process that runs inside namespaces. Dropping it kills it.
#[derive(Debug)]
pub struct Process {
    name: String,
    log: PathBuf,
    pid: Pid,
    end: Arc<End>,
}

#[derive(Debug, Default)]
struct End {
    status: Mutex<Option<ExitStatus>>,
    changed: Condvar,
}

impl End {
    fn lock(&self) -> MutexGuard<'_, Option<ExitStatus>> {
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Process {
    /// Starts `command` inside `namespaces` with both outputs appended to the file `log`.
    ///
    /// # Errors
    /// When the log cannot be opened or the program cannot be started.
    pub fn start(name: &str, mut command: Command, log: &Path, namespaces: &Namespaces) -> Result<Process, LabError> {
        let starting = || LabError::io(format!("start {name}"));
        let output = OpenOptions::new().create(true).append(true).open(log).map_err(starting())?;
        let errors = output.try_clone().map_err(starting())?;
        // A process group of its own: what it starts is killed with it.
        command.stdin(Stdio::null()).stdout(output).stderr(errors).process_group(0);
        let child: Child = namespaces.enter(|| command.spawn()).and_then(|spawned| spawned).map_err(starting())?;
        let pid = Pid::from_raw(i32::try_from(child.id()).unwrap_or(i32::MAX));
        let end = Arc::new(End::default());
        let waiting = Arc::clone(&end);
        std::thread::Builder::new()
            .name("wait".to_owned())
            .spawn(move || await_end(child, pid, &waiting))
            .map_err(starting())?;
        Ok(Process { name: name.to_owned(), log: log.to_owned(), pid, end })
    }

    /// What people call it, such as `proxy of shop/catalog-v1`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its process id, as this process namespace counts.
    pub fn pid(&self) -> i32 {
        self.pid.as_raw()
    }

    /// The file with its output.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// Sends a signal, SIGKILL also to what it has started; false when it has ended already.
    pub fn signal(&self, signal: Signal) -> bool {
        // Under the lock the process is not reaped, so the id cannot have become another's.
        let status = self.end.lock();
        let send = || if signal == Signal::SIGKILL { killpg(self.pid, signal) } else { kill(self.pid, signal) };
        status.is_none() && send().is_ok()
    }

    /// How it ended, if it has.
    pub fn exited(&self) -> Option<ExitStatus> {
        *self.end.lock()
    }

    /// Waits for its end for at most `timeout`.
    pub fn wait(&self, timeout: Duration) -> Option<ExitStatus> {
        let running = self.end.lock();
        let waited = self.end.changed.wait_timeout_while(running, timeout, |status| status.is_none());
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }

    /// SIGTERM, up to `grace` to finish, then SIGKILL.
    pub fn stop(&self, grace: Duration) -> Option<ExitStatus> {
        self.signal(Signal::SIGTERM);
        self.wait(grace).or_else(|| {
            self.signal(Signal::SIGKILL);
            self.wait(Duration::from_secs(5))
        })
    }

    /// What it takes of memory now.
    ///
    /// # Errors
    /// When it has ended, or /proc is not there.
    pub fn memory(&self) -> std::io::Result<Memory> {
        Memory::of(self.pid.as_raw())
    }

    /// A process that it has started and that still runs.
    ///
    /// # Errors
    /// When /proc is not there.
    pub fn child(&self) -> std::io::Result<Option<i32>> {
        let own = self.pid.to_string();
        for entry in std::fs::read_dir("/proc")? {
            let entry = entry?;
            let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
            // A process may end between the listing and this.
            let stat = std::fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
            let parent = stat.rsplit_once(") ").and_then(|(_, rest)| rest.split(' ').nth(1));
            if parent == Some(own.as_str()) {
                return Ok(Some(pid));
            }
        }
        Ok(None)
    }

    /// The last `lines` lines of its log.
    pub fn log_tail(&self, lines: usize) -> String {
        let text = std::fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let all: Vec<&str> = text.lines().collect();
        all[all.len().saturating_sub(lines)..].join("\n")
    }

    /// Waits until `ready` says so.
    ///
    /// # Errors
    /// When the process ends, or `timeout` passes; both show the end of its log.
    pub fn wait_ready(
        &self,
        waiting_for: &str,
        timeout: Duration,
        mut ready: impl FnMut() -> bool,
    ) -> Result<(), LabError> {
        let deadline = Instant::now() + timeout;
        let mut pause = Duration::from_millis(5);
        while !ready() {
            if let Some(status) = self.wait(pause) {
                return Err(self.ended(status));
            }
            if Instant::now() >= deadline {
                let (name, log) = (self.name.clone(), self.log_tail(TAIL_LINES));
                return Err(LabError::NotReady { name, waiting_for: waiting_for.to_owned(), after: timeout, log });
            }
            pause = (pause * 2).min(Duration::from_millis(50));
        }
        Ok(())
    }

    /// An error that says that this process has ended.
    pub(crate) fn ended(&self, status: ExitStatus) -> LabError {
        LabError::Ended { name: self.name.clone(), status: status.to_string(), log: self.log_tail(TAIL_LINES) }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.signal(Signal::SIGKILL);
    }
}

fn await_end(mut child: Child, pid: Pid, end: &End) {
    // Wait without reaping, so that the id stays taken until the status is known to all.
    while let Err(nix::errno::Errno::EINTR) = waitid(Id::Pid(pid), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT) {}
    let mut status = end.lock();
    *status = child.wait().ok();
    end.changed.notify_all();
}
