//! The system calls of a running process, counted by strace from when it has taken hold of every thread until it is told to end.

use std::collections::BTreeMap;
use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempPath;

use crate::waiting::until;

/// Counts for as long as it lives.
pub struct Strace {
    child: Child,
    summary: TempPath,
}

impl Strace {
    /// Returns when every thread of the process is watched.
    pub fn attach(pid: i32) -> Result<Self, String> {
        let summary = tempfile::NamedTempFile::new().map_err(|error| error.to_string())?.into_temp_path();
        let mut command = Command::new("strace");
        command.args(["-c", "-U", "calls,name", "-f", "-p", &pid.to_string(), "-o"]).arg(&summary);
        let child = command.stdin(Stdio::null()).stderr(Stdio::null()).spawn();
        let child = child.map_err(|error| format!("strace, which `make test` installs: {error}"))?;
        let mut strace = Self { child, summary };
        until("strace", Duration::from_secs(10), || {
            let ended = strace.child.try_wait().map_err(|error| error.to_string())?;
            if let Some(status) = ended {
                return Err(format!("it ended with {status}; may it trace processes here?"));
            }
            let loose = threads(pid).map_err(|error| error.to_string())?.iter().any(|status| untraced(status));
            if loose { Err("a thread is not watched".to_owned()) } else { Ok(()) }
        })?;
        Ok(strace)
    }

    /// Lets go of the process and returns how often each system call was made.
    pub fn end(mut self) -> Result<BTreeMap<String, u64>, String> {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).expect("a process id"));
        kill(pid, Signal::SIGINT).map_err(|error| error.to_string())?;
        self.child.wait().map_err(|error| error.to_string())?;
        let text = fs::read_to_string(&self.summary).map_err(|error| error.to_string())?;
        let mut counts = BTreeMap::new();
        for line in text.lines() {
            if let Some((count, name)) = line.trim().split_once(' ')
                && let Ok(count) = count.parse()
                && name != "total"
            {
                counts.insert(name.trim().to_owned(), count);
            }
        }
        if counts.is_empty() { Err(format!("strace counted nothing: {text}")) } else { Ok(counts) }
    }
}

impl Drop for Strace {
    fn drop(&mut self) {
        // It has ended already, unless the test failed in between.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// /proc's status of every thread.
fn threads(pid: i32) -> std::io::Result<Vec<String>> {
    fs::read_dir(format!("/proc/{pid}/task"))?.map(|thread| fs::read_to_string(thread?.path().join("status"))).collect()
}

fn untraced(status: &str) -> bool {
    status.lines().any(|line| line.strip_prefix("TracerPid:").is_some_and(|tracer| tracer.trim() == "0"))
}
