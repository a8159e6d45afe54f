//! The memory of a process, from /proc/<pid>/smaps_rollup.

use std::io;

/// In bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    /// Resident set size: all pages in memory, shared ones included.
    pub rss: u64,
    /// Proportional set size: shared pages divided by the number of their users.
    pub pss: u64,
}

impl Memory {
    /// What the process with this id takes now.
    ///
    /// # Errors
    /// When it has ended, or /proc is not there.
    pub fn of(pid: i32) -> io::Result<Memory> {
        let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
        Memory::parse(&text).ok_or_else(|| io::Error::other(format!("process {pid} has no memory figures")))
    }

    fn parse(text: &str) -> Option<Memory> {
        let figure = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name))?;
            let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
            Some(kib * 1024)
        };
        Some(Memory { rss: figure("Rss:")?, pss: figure("Pss:")? })
    }
}

#[cfg(test)]
mod tests {
    use super::Memory;

    #[test]
    fn figures_are_bytes() {
        let text = "55d0-7ffe ---p 00000000 00:00 0 [rollup]\nRss:    2048 kB\nPss:     512 kB\nPss_Anon: 100 kB\n";
        assert_eq!(Memory::parse(text), Some(Memory { rss: 2 * 1024 * 1024, pss: 512 * 1024 }));
        assert_eq!(Memory::parse("Rss: 1 kB\n"), None);
    }
}
