//! Certificate chains that were found good lately. A peer shows the same chain on each of its connections, and whether
//! it leads to our roots does not change between them; that the peer holds the key is proved every time.
//!
//! The memory belongs to one set of credentials, so a change of roots or of our own certificate empties it.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rustls_pki_types::{CertificateDer, UnixTime};

use crate::peer;
use crate::spiffe::SpiffeId;

/// A chain is verified anew after this.
const MEMORY: Duration = Duration::from_secs(600);
/// Leaf certificates remembered; then the memory starts anew.
const MAX_LEAVES: usize = 1024;

/// The role that a peer plays; its certificate must be meant for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// It connected to us.
    Client,
    /// We connected to it.
    Server,
}

/// The memory, by leaf certificate.
#[derive(Default)]
pub(crate) struct KnownPeers(Mutex<HashMap<Box<[u8]>, Known>>);

struct Known {
    id: SpiffeId,
    good: Vec<Good>,
}

/// What was verified, and the seconds since 1970 between which that holds.
struct Good {
    role: Role,
    intermediates: Vec<CertificateDer<'static>>,
    from: u64,
    until: u64,
}

impl Good {
    fn covers(&self, role: Role, intermediates: &[CertificateDer<'_>], now: u64) -> bool {
        self.role == role && (self.from..self.until).contains(&now) && self.intermediates == intermediates
    }
}

impl KnownPeers {
    /// Whose chain this is, if it was verified in this role and that still holds.
    pub(crate) fn verified(
        &self,
        role: Role,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Option<SpiffeId> {
        let peers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = peers.get(leaf.as_ref())?;
        known.good.iter().any(|good| good.covers(role, intermediates, now.as_secs())).then(|| known.id.clone())
    }

    /// Whose certificate this is, if a chain with it was verified at any time.
    pub(crate) fn id(&self, leaf: &CertificateDer<'_>) -> Option<SpiffeId> {
        let peers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        peers.get(leaf.as_ref()).map(|known| known.id.clone())
    }

    /// A chain was verified in this role.
    pub(crate) fn remember(
        &self,
        role: Role,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        id: &SpiffeId,
        now: UnixTime,
    ) {
        let now = now.as_secs();
        let Some((from, until)) = validity(leaf, intermediates) else { return };
        let until = until.min(now + MEMORY.as_secs());
        let intermediates = intermediates.iter().map(|one| one.clone().into_owned()).collect();
        let mut peers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if peers.len() >= MAX_LEAVES {
            peers.clear();
        }
        let known = peers.entry(leaf.as_ref().into()).or_insert_with(|| Known { id: id.clone(), good: Vec::new() });
        // One for each role: a peer shows the same intermediates every time.
        known.good.retain(|good| good.role != role);
        known.good.push(Good { role, intermediates, from, until });
    }
}

/// When all of these certificates are valid, in seconds since 1970; not to be known if one cannot be read.
fn validity(leaf: &CertificateDer<'_>, intermediates: &[CertificateDer<'_>]) -> Option<(u64, u64)> {
    let (mut from, mut until) = (0, u64::MAX);
    for certificate in std::iter::once(leaf).chain(intermediates) {
        let (not_before, not_after) = peer::validity(certificate).ok()?;
        let seconds = |time: std::time::SystemTime| Some(time.duration_since(std::time::UNIX_EPOCH).ok()?.as_secs());
        from = from.max(seconds(not_before)?);
        until = until.min(seconds(not_after)?);
    }
    Some((from, until))
}

impl fmt::Debug for KnownPeers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.0.lock().unwrap_or_else(PoisonError::into_inner).len();
        f.debug_tuple("KnownPeers").field(&count).finish()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    /// A certificate that is valid from 2025-01-01 until 2025-02-01.
    fn certificate() -> CertificateDer<'static> {
        let mut params = rcgen::CertificateParams::default();
        (params.not_before, params.not_after) = (rcgen::date_time_ymd(2025, 1, 1), rcgen::date_time_ymd(2025, 2, 1));
        params.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap().into()
    }

    fn at(seconds: u64) -> UnixTime {
        UnixTime::since_unix_epoch(Duration::from_secs(seconds))
    }

    const FIRST: u64 = 1_735_689_600;
    const LAST: u64 = 1_738_368_000;

    #[test]
    fn what_was_verified_holds_for_that_role_chain_and_time_alone() {
        let (leaf, other) = (certificate(), certificate());
        let id: SpiffeId = "spiffe://cluster.local/ns/shop/sa/catalog".parse().unwrap();
        let known = KnownPeers::default();
        let between = std::slice::from_ref(&other);
        known.remember(Role::Client, &leaf, between, &id, at(LAST - 300));
        let verified = |role, leaf, between, now| known.verified(role, leaf, between, at(now));
        assert_eq!(verified(Role::Client, &leaf, between, LAST - 300), Some(id.clone()));
        assert_eq!(verified(Role::Client, &leaf, between, LAST - 1), Some(id.clone()));
        assert_eq!(verified(Role::Client, &leaf, between, LAST), None, "it has expired");
        assert_eq!(verified(Role::Client, &leaf, between, FIRST - 1), None, "it is not valid yet");
        assert_eq!(verified(Role::Server, &leaf, between, LAST - 300), None, "another role");
        assert_eq!(verified(Role::Client, &leaf, &[], LAST - 300), None, "other intermediates");
        assert_eq!(verified(Role::Client, &other, between, LAST - 300), None, "another leaf");
        assert_eq!(known.id(&leaf), Some(id));
        assert_eq!(known.id(&other), None);
    }

    #[test]
    fn it_is_verified_anew_after_a_while() {
        let leaf = certificate();
        let id: SpiffeId = "spiffe://cluster.local/ns/shop/sa/catalog".parse().unwrap();
        let known = KnownPeers::default();
        known.remember(Role::Server, &leaf, &[], &id, at(FIRST + 10));
        let verified = |after| known.verified(Role::Server, &leaf, &[], at(FIRST + 10 + after)).is_some();
        assert!(verified(0));
        assert!(verified(MEMORY.as_secs() - 1));
        assert!(!verified(MEMORY.as_secs()));
    }
}
