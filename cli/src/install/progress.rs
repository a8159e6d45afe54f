//! One line for each thing that is done, with the seconds since the start.

use std::time::Instant;

/// A clock that started with the command.
pub struct Progress {
    started: Instant,
}

impl Progress {
    pub fn start() -> Progress {
        Progress { started: Instant::now() }
    }

    /// Prints that `name` is done.
    pub fn done(&self, name: &str, what: &str) {
        println!("{:>7}  {name:<14} {what}", self.elapsed());
    }

    /// Such as `3.4 s`.
    pub fn elapsed(&self) -> String {
        format!("{:.1} s", self.started.elapsed().as_secs_f64())
    }
}
