//! File descriptors: as many as the system gives, and some kept back, so that a proxy whose clients take all that
//! there are still reaches upstreams, answers its probes and renews its certificate.

use std::os::fd::{AsRawFd, RawFd};

use nix::fcntl::{FcntlArg, fcntl};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Kept for upstreams, at least; else an eighth of all.
const FOR_UPSTREAMS: RawFd = 32;
/// Kept for the control thread: administration, the control plane, reports.
const FOR_CONTROL: RawFd = 16;
/// Numbers that the kernel's table has room for from the start, at 8 bytes each. It doubles when it is full, and where threads
/// share it the one that wants another number waits for all CPUs: 6 to 30 ms for a worker, each time, while a crowd connects.
const ROOM: RawFd = 16 * 1024;

/// The process's limit. The system gives the lowest number that is free, so a high number tells that few are left.
#[derive(Debug, Clone, Copy)]
pub struct Descriptors {
    limit: RawFd,
}

impl Descriptors {
    /// Raises the limit to what the system allows, says what it is, and makes room; to be called before there are threads.
    pub fn raise() -> Self {
        let raised = getrlimit(Resource::RLIMIT_NOFILE).and_then(|(soft, hard)| {
            if soft < hard {
                setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
            }
            Ok(hard)
        });
        let limit = raised.unwrap_or_else(|error| {
            tracing::warn!(%error, "cannot raise the limit of open files");
            getrlimit(Resource::RLIMIT_NOFILE).map_or(u64::MAX, |(soft, _)| soft)
        });
        tracing::info!(limit, "open files");
        let limit = RawFd::try_from(limit).unwrap_or(RawFd::MAX);
        if let Err(error) = make_room(ROOM.min(limit)) {
            tracing::warn!(%error, "cannot make room for open files: a crowd of new connections will hold up others for moments");
        }
        Self { limit }
    }

    /// Open files that the process may have.
    pub fn limit(&self) -> RawFd {
        self.limit
    }

    /// Whether a downstream connection may keep its socket.
    pub fn admit_downstream(&self, socket: &impl AsRawFd) -> bool {
        socket.as_raw_fd() < self.limit - FOR_CONTROL - FOR_UPSTREAMS.max(self.limit / 8)
    }

    /// Whether an upstream connection may keep its socket.
    pub fn admit_upstream(&self, socket: &impl AsRawFd) -> bool {
        socket.as_raw_fd() < self.limit - FOR_CONTROL
    }
}

/// The table stays as large as its highest number ever asked for.
fn make_room(numbers: RawFd) -> nix::Result<()> {
    nix::unistd::close(fcntl(std::io::stderr(), FcntlArg::F_DUPFD_CLOEXEC(numbers - 1))?)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    struct Number(RawFd);

    impl AsRawFd for Number {
        fn as_raw_fd(&self) -> RawFd {
            self.0
        }
    }

    /// The numbers that either kind may have end here.
    fn ends(limit: RawFd) -> (Option<RawFd>, Option<RawFd>) {
        let all = Descriptors { limit };
        let first_refused = |admit: &dyn Fn(&Number) -> bool| (0..limit).find(|number| !admit(&Number(*number)));
        (first_refused(&|n| all.admit_downstream(n)), first_refused(&|n| all.admit_upstream(n)))
    }

    #[test]
    fn downstreams_stop_before_upstreams_and_those_before_the_control_thread() {
        assert_eq!(ends(1024), (Some(1024 - 16 - 128), Some(1024 - 16)));
        assert_eq!(ends(128), (Some(128 - 16 - 32), Some(128 - 16)));
    }

    /// Each doubling of the kernel's table would hold up a worker.
    #[test]
    fn a_crowd_of_connections_finds_room() {
        let wanted = ROOM.min(Descriptors::raise().limit());
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let size = status.lines().find_map(|line| line.strip_prefix("FDSize:")).unwrap();
        assert!(size.trim().parse::<RawFd>().unwrap() >= wanted, "{size} of {wanted}");
    }
}
