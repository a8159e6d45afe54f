//! The CPU time of a process, from the kernel's accounting: nanoseconds where it has them, and user apart from system.

use std::fs;
use std::io;
use std::time::Duration;

/// The kernel shows utime and stime in these units on every architecture of Linux that runs our programs (USER_HZ).
const TICK: Duration = Duration::from_millis(10);
/// utime and stime are each cut to whole ticks; sums that differ by more have lost a thread that ended.
const ROUNDING: Duration = Duration::from_millis(30);

/// What a process has used so far, all threads together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CpuTime {
    /// The sum over the threads that live, exact to nanoseconds.
    exact: Duration,
    /// In user mode, ended threads included, in ticks of 10 ms.
    user: Duration,
    /// In the kernel, likewise.
    system: Duration,
}

/// CPU time used between two looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CpuUse {
    /// In user mode.
    pub user: Duration,
    /// In the kernel.
    pub system: Duration,
}

impl CpuTime {
    /// What the process with this id has used.
    ///
    /// # Errors
    /// When it has ended, or /proc is not there.
    pub fn of(pid: i32) -> io::Result<CpuTime> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
        let (user, system) =
            ticks(&stat).ok_or_else(|| io::Error::other(format!("process {pid} has no CPU figures")))?;
        let mut exact = Duration::ZERO;
        for task in fs::read_dir(format!("/proc/{pid}/task"))? {
            // A thread may end between the listing and this.
            let text = fs::read_to_string(task?.path().join("schedstat")).unwrap_or_default();
            let running = text.split(' ').next().and_then(|number| number.parse().ok());
            exact += Duration::from_nanos(running.unwrap_or(0));
        }
        Ok(CpuTime { exact, user, system })
    }

    /// What was used since an earlier look: the sum is exact, its parts are in the ratio of the ticks.
    pub fn since(&self, earlier: &CpuTime) -> CpuUse {
        let user = self.user.saturating_sub(earlier.user);
        let system = self.system.saturating_sub(earlier.system);
        let exact = self.exact.saturating_sub(earlier.exact);
        let sum = user + system;
        if sum.is_zero() || exact + ROUNDING < sum {
            return if sum.is_zero() { CpuUse { user: exact, system } } else { CpuUse { user, system } };
        }
        let user = exact.mul_f64(user.as_secs_f64() / sum.as_secs_f64());
        CpuUse { user, system: exact.saturating_sub(user) }
    }
}

/// utime and stime; the name before them may hold spaces and brackets.
fn ticks(stat: &str) -> Option<(Duration, Duration)> {
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let mut next = || fields.next()?.parse().ok().map(|ticks: u32| TICK * ticks);
    Some((next()?, next()?))
}

#[cfg(test)]
mod tests {
    use super::{CpuTime, CpuUse, ticks};
    use std::time::Duration;

    fn at(exact: u64, user: u64, system: u64) -> CpuTime {
        let [exact, user, system] = [exact, user, system].map(Duration::from_millis);
        CpuTime { exact, user, system }
    }

    #[test]
    fn a_name_with_brackets_and_spaces_is_skipped() {
        let stat = "7 (a b) c) S 1 7 7 0 -1 4194304 100 0 0 0 12 34 0 0 20 0 1";
        assert_eq!(ticks(stat), Some((Duration::from_millis(120), Duration::from_millis(340))));
    }

    #[test]
    fn the_sum_is_exact_and_split_as_the_ticks_are() {
        let used = at(1_104, 310, 790).since(&at(100, 10, 90));
        assert_eq!(used.user + used.system, Duration::from_millis(1_004));
        assert!(used.user > Duration::from_millis(300) && used.user < Duration::from_millis(302), "{used:?}");
    }

    #[test]
    fn a_thread_that_ended_is_counted_by_ticks() {
        let (user, system) = (Duration::from_millis(300), Duration::from_millis(700));
        assert_eq!(at(500, 310, 790).since(&at(100, 10, 90)), CpuUse { user, system });
    }
}
