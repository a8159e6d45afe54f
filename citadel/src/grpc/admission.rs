//! How many connections a listener holds at once. Whoever has not proved an identity shares a part of the room, and
//! one address gets a part of that, so that strangers cannot use up the process's files.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nix::sys::resource::{Resource, getrlimit};

/// Bounds the memory and the work of handshakes where the limit of open files does not.
const MOST_UNPROVED: usize = 1024;
const MOST_UNPROVED_PER_SOURCE: usize = 64;
/// POSIX's least value of the limit, for a system that does not tell its own.
const FEWEST_OPEN_FILES: u64 = 20;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Limits {
    total: usize,
    unproved: usize,
    unproved_per_source: usize,
}

impl Limits {
    /// Half of the files are for connections, the rest for everything else that the process does.
    fn for_open_files(files: u64) -> Self {
        let total = usize::try_from(files / 2).unwrap_or(usize::MAX).max(1);
        let unproved = (total / 2).clamp(1, MOST_UNPROVED);
        Self { total, unproved, unproved_per_source: (unproved / 4).clamp(1, MOST_UNPROVED_PER_SOURCE) }
    }
}

/// Why a connection is closed as soon as it is accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    #[error("{0} connections are open, half of the limit of open files; raise it (`ulimit -n`) or run more replicas")]
    Total(usize),
    #[error("{0} connections without a verified client certificate are open, and no more are taken")]
    Unproved(usize),
    #[error("{0} connections without a verified client certificate are open from this address, and no more are taken")]
    Source(usize),
}

impl Refusal {
    /// The metric's label.
    pub(super) fn reason(self) -> &'static str {
        match self {
            Self::Total(_) => "too_many_connections",
            Self::Unproved(_) => "too_many_without_certificate",
            Self::Source(_) => "too_many_from_address",
        }
    }
}

/// Counts the connections of a listener; a clone counts the same ones.
#[derive(Debug, Clone)]
pub(super) struct Admission {
    limits: Limits,
    held: Arc<Mutex<Held>>,
}

#[derive(Debug, Default)]
struct Held {
    total: usize,
    unproved: usize,
    /// Of the unproved ones.
    by_source: HashMap<IpAddr, usize>,
}

impl Admission {
    /// Limits that fit the process's limit of open files as it is now.
    pub(super) fn for_this_process() -> Self {
        let files = getrlimit(Resource::RLIMIT_NOFILE).map_or(FEWEST_OPEN_FILES, |(soft, _)| soft);
        Self::new(Limits::for_open_files(files))
    }

    fn new(limits: Limits) -> Self {
        Self { limits, held: Arc::default() }
    }

    /// Room for one connection, unproved at first, until the slot is dropped.
    pub(super) fn admit(&self, remote: IpAddr) -> Result<Slot, Refusal> {
        let (source, limits) = (source(remote), self.limits);
        let mut held = self.held();
        let from_source = held.by_source.get(&source).copied().unwrap_or_default();
        if held.total >= limits.total {
            return Err(Refusal::Total(held.total));
        }
        if from_source >= limits.unproved_per_source {
            return Err(Refusal::Source(from_source));
        }
        if held.unproved >= limits.unproved {
            return Err(Refusal::Unproved(held.unproved));
        }
        held.total += 1;
        held.unproved += 1;
        held.by_source.insert(source, from_source + 1);
        Ok(Slot { admission: self.clone(), unproved_from: Some(source) })
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    fn no_longer_unproved(&mut self, source: IpAddr) {
        self.unproved -= 1;
        if let Some(count) = self.by_source.get_mut(&source) {
            *count -= 1;
            if *count == 0 {
                self.by_source.remove(&source);
            }
        }
    }
}

/// The room of one connection, given back when dropped.
#[derive(Debug)]
pub(super) struct Slot {
    admission: Admission,
    unproved_from: Option<IpAddr>,
}

impl Slot {
    /// The client showed a certificate that verified: from now on only the limit of all connections counts.
    pub(super) fn proved(&mut self) {
        if let Some(source) = self.unproved_from.take() {
            self.admission.held().no_longer_unproved(source);
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.proved();
        self.admission.held().total -= 1;
    }
}

/// An IPv6 client usually has a whole /64 to itself.
fn source(remote: IpAddr) -> IpAddr {
    match remote.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into(),
        address => address,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn strangers_cannot_use_up_256_files() {
        let admission = Admission::new(Limits::for_open_files(256));
        let mut held: Vec<_> = (0..240).filter_map(|_| admission.admit(ip("10.0.0.1")).ok()).collect();
        assert_eq!(held.len(), 16);
        assert_eq!(admission.admit(ip("10.0.0.1")).unwrap_err(), Refusal::Source(16));
        for other in 2..=20 {
            held.extend((0..240).map_while(|_| admission.admit(ip(&format!("10.0.0.{other}"))).ok()));
        }
        assert_eq!(held.len(), 64);
        assert_eq!(admission.admit(ip("10.0.1.1")).unwrap_err(), Refusal::Unproved(64));

        held.pop();
        let mut workloads = Vec::new();
        while let Ok(mut slot) = admission.admit(ip("10.0.1.1")) {
            slot.proved();
            workloads.push(slot);
        }
        assert_eq!(workloads.len(), 128 - 63, "workloads have the rest");
        assert_eq!(admission.admit(ip("10.0.1.1")).unwrap_err(), Refusal::Total(128));
    }

    #[test]
    fn room_comes_back_when_a_connection_ends() {
        let admission = Admission::new(Limits::for_open_files(256));
        for proved in [false, true] {
            let mut slot = admission.admit(ip("10.0.0.1")).unwrap();
            if proved {
                slot.proved();
            }
            drop(slot);
            let held = admission.held();
            assert_eq!((held.total, held.unproved, held.by_source.len()), (0, 0, 0));
        }
    }

    #[test]
    fn limits_fit_small_and_unlimited_processes() {
        let limits = |files| {
            let Limits { total, unproved, unproved_per_source } = Limits::for_open_files(files);
            (total, unproved, unproved_per_source)
        };
        assert_eq!(limits(1), (1, 1, 1));
        assert_eq!(limits(1024), (512, 256, 64));
        assert_eq!(limits(u64::MAX).1, 1024);
    }

    #[test]
    fn addresses_of_one_client_count_as_one() {
        assert_eq!(source(ip("2001:db8::1")), source(ip("2001:db8::ffff:1")));
        assert_ne!(source(ip("2001:db8::1")), source(ip("2001:db8:0:1::1")));
        assert_eq!(source(ip("::ffff:10.0.0.1")), ip("10.0.0.1"));
    }
}
