//! The proxies' CPU time and memory, read by the load itself so that the two looks frame exactly what it counts.

use lab::{CpuTime, Memory};
use serde::{Deserialize, Serialize};

/// What the watched processes used together.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Used {
    /// Microseconds in user mode.
    pub user_us: f64,
    /// Microseconds in the kernel.
    pub system_us: f64,
    /// Resident bytes of each at the end, in the order in which they were named.
    pub rss: Vec<u64>,
}

impl Used {
    /// User and system together.
    pub fn cpu_us(&self) -> f64 {
        self.user_us + self.system_us
    }
}

/// The first look.
pub struct Watch(Vec<(i32, CpuTime)>);

impl Watch {
    /// Looks at these processes.
    ///
    /// # Errors
    /// When one has ended.
    pub fn start(pids: &[i32]) -> std::io::Result<Watch> {
        pids.iter().map(|pid| Ok((*pid, CpuTime::of(*pid)?))).collect::<Result<_, _>>().map(Watch)
    }

    /// Looks again.
    ///
    /// # Errors
    /// When one has ended.
    pub fn end(self) -> std::io::Result<Used> {
        let mut used = Used::default();
        for (pid, before) in &self.0 {
            let more = CpuTime::of(*pid)?.since(before);
            used.user_us += more.user.as_secs_f64() * 1e6;
            used.system_us += more.system.as_secs_f64() * 1e6;
        }
        // After all CPU figures: reading this walks the page tables.
        let pids: Vec<i32> = self.0.iter().map(|(pid, _)| *pid).collect();
        used.rss = resident(&pids)?;
        Ok(used)
    }
}

/// Resident bytes of each process.
///
/// # Errors
/// When one has ended.
pub fn resident(pids: &[i32]) -> std::io::Result<Vec<u64>> {
    pids.iter().map(|pid| Ok(Memory::of(*pid)?.rss)).collect()
}
