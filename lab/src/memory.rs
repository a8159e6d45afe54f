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

    /// What of it is no file's: heap and stacks.
    ///
    /// # Errors
    /// As [`Memory::of`].
    pub fn anonymous(pid: i32) -> io::Result<u64> {
        status(pid, |text| figure(text, "RssAnon:"))
    }

    /// The most of that since [`Memory::forget_peak`], if all pages of files that are mapped now were mapped then.
    ///
    /// # Errors
    /// As [`Memory::of`].
    pub fn anonymous_peak(pid: i32) -> io::Result<u64> {
        status(pid, |text| {
            let files = figure(text, "RssFile:")? + figure(text, "RssShmem:")?;
            Some(figure(text, "VmHWM:")?.saturating_sub(files))
        })
    }

    /// Begins a new time whose peak is asked for (proc(5), `clear_refs`).
    ///
    /// # Errors
    /// As [`Memory::of`].
    pub fn forget_peak(pid: i32) -> io::Result<()> {
        std::fs::write(format!("/proc/{pid}/clear_refs"), "5")
    }

    fn parse(text: &str) -> Option<Memory> {
        Some(Memory { rss: figure(text, "Rss:")?, pss: figure(text, "Pss:")? })
    }
}

fn status(pid: i32, read: impl Fn(&str) -> Option<u64>) -> io::Result<u64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    read(&text).ok_or_else(|| io::Error::other(format!("process {pid} has no memory figures")))
}

fn figure(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
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
