//! How long threads were ready to run while others had their CPU, by the kernel's accounting. On a shared machine that is
//! most of what a slow answer took, and no fault of the program that is measured.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::time::Duration;

/// Threads whose waits are taken together.
pub struct Waits(Vec<File>);

impl Waits {
    /// Of this thread, and of the threads with a name in a process.
    pub fn of_this_thread_and(named: &[(i32, &str)]) -> io::Result<Self> {
        let mut threads = vec![File::open("/proc/thread-self/schedstat")?];
        for (process, name) in named {
            let before = threads.len();
            for task in fs::read_dir(format!("/proc/{process}/task"))? {
                let task = task?.path();
                // One that has just ended is none of those that are meant.
                if fs::read_to_string(task.join("comm")).is_ok_and(|comm| comm.trim_end() == *name) {
                    threads.push(File::open(task.join("schedstat"))?);
                }
            }
            if threads.len() == before {
                return Err(io::Error::other(format!("process {process} has no thread {name}")));
            }
        }
        Ok(Self(threads))
    }

    /// Since they began, all together.
    pub fn so_far(&self) -> io::Result<Duration> {
        let mut text = [0; 128];
        let mut all = 0;
        for thread in &self.0 {
            let read = thread.read_at(&mut text, 0)?;
            // Time on a CPU, time ready but waiting for one, and how often it ran.
            let waited = std::str::from_utf8(&text[..read]).ok().and_then(|text| text.split(' ').nth(1));
            let nanos = waited.and_then(|nanos| nanos.parse::<u64>().ok());
            all += nanos.ok_or_else(|| io::Error::other("this kernel does not tell how long threads wait"))?;
        }
        Ok(Duration::from_nanos(all))
    }
}
