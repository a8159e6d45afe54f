//! Waiting for something to become true: by looking again, never by hoping that a pause was long enough.

use std::fmt::Display;
use std::time::{Duration, Instant};

/// Looks until `look` says yes; the error of the last look tells what was still missing.
pub fn until<T, E: Display>(what: &str, limit: Duration, mut look: impl FnMut() -> Result<T, E>) -> Result<T, String> {
    let started = Instant::now();
    loop {
        match look() {
            Ok(value) => return Ok(value),
            Err(missing) if started.elapsed() > limit => {
                return Err(format!("{what}: not within {limit:?}: {missing}"));
            }
            Err(_) => std::thread::sleep(Duration::from_millis(10)),
        }
    }
}
