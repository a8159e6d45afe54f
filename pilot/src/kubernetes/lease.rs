//! What a Lease says, and what a candidate may do about it: the rules of client-go's leader election, without I/O.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff::Timestamp;
use kube::api::ObjectMeta;
use tokio::time::Instant;

/// How long others respect a lease that is no longer renewed.
pub(super) const DURATION: Duration = Duration::from_secs(15);

/// The Lease as seen by one candidate. Only its own clock counts: a lease has run out when it was not seen to change
/// for as long as it says, whatever the times in it are.
#[derive(Debug, Default)]
pub(super) struct Observed {
    spec: LeaseSpec,
    changed: Option<Instant>,
}

impl Observed {
    /// Takes in what the Lease says now. Gives the holder if it is somebody else whose time is not over.
    pub(super) fn holder_other_than(&mut self, me: &str, lease: &Lease, now: Instant) -> Option<String> {
        let spec = lease.spec.clone().unwrap_or_default();
        let changed = match self.changed {
            Some(at) if spec == self.spec => at,
            _ => now,
        };
        (self.spec, self.changed) = (spec, Some(changed));
        let holder = self.spec.holder_identity.as_ref().filter(|holder| !holder.is_empty() && *holder != me);
        holder.filter(|_| self.end().is_some_and(|end| now < end)).cloned()
    }

    /// When the Lease as last seen runs out.
    pub(super) fn end(&self) -> Option<Instant> {
        let seconds = self.spec.lease_duration_seconds.and_then(|seconds| u64::try_from(seconds).ok());
        Some(self.changed? + seconds.map_or(DURATION, Duration::from_secs))
    }
}

/// The Lease with `me` as its holder from now on, or still.
pub(super) fn held_by(me: &str, name: &str, before: Option<Lease>) -> Lease {
    let mut lease = before.unwrap_or_else(|| Lease {
        metadata: ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() },
        spec: None,
    });
    let before = lease.spec.take();
    let now = MicroTime(Timestamp::now());
    let still = before.as_ref().is_some_and(|spec| spec.holder_identity.as_deref() == Some(me));
    let transitions = before.as_ref().map(|spec| spec.lease_transitions.unwrap_or_default() + i32::from(!still));
    lease.spec = Some(LeaseSpec {
        holder_identity: Some(me.to_owned()),
        lease_duration_seconds: i32::try_from(DURATION.as_secs()).ok(),
        acquire_time: before.filter(|_| still).and_then(|spec| spec.acquire_time).or_else(|| Some(now.clone())),
        renew_time: Some(now),
        lease_transitions: Some(transitions.unwrap_or_default()),
        ..LeaseSpec::default()
    });
    lease
}

/// The Lease given up, so that others need not wait for its end. `None` if it is not `me` who holds it.
pub(super) fn released_by(me: &str, mut lease: Lease) -> Option<Lease> {
    let spec = lease.spec.take().filter(|spec| spec.holder_identity.as_deref() == Some(me))?;
    let now = MicroTime(Timestamp::now());
    lease.spec = Some(LeaseSpec {
        holder_identity: Some(String::new()),
        lease_duration_seconds: Some(1),
        acquire_time: Some(now.clone()),
        renew_time: Some(now),
        ..spec
    });
    Some(lease)
}
