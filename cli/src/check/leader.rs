//! Somebody leads: one replica of the control plane holds the Lease and renews it.

use super::control_plane::LOGS;
use super::line::Line;
use crate::names::{LEASE, SYSTEM};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::jiff::Timestamp;
use kube::Client;
use kube::api::Api;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Kubernetes' own clients take so long when a Lease does not say.
const USUAL_SECONDS: i32 = 15;
/// A leader renews every two seconds; in this time it does so more than once, also while the API server is slow.
const PATIENCE: Duration = Duration::from_secs(6);
const PAUSE: Duration = Duration::from_millis(500);

/// Who holds the Lease.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Held {
    by: String,
    renewed: Option<Timestamp>,
    /// By this machine's clock.
    fresh: bool,
}

pub async fn check(client: &Client) -> Result<Vec<Line>, kube::Error> {
    let leases: Api<Lease> = Api::namespaced(client.clone(), SYSTEM);
    let read = async || Ok::<_, kube::Error>(held(leases.get_opt(LEASE).await?.as_ref(), Timestamp::now()));
    let first = match read().await? {
        Ok(held) if !held.fresh => held,
        other => return Ok(vec![judge(other, None)]),
    };
    // Our clock may differ from the leader's: only a Lease that stands still is that of a leader that is gone.
    let deadline = Instant::now() + PATIENCE;
    loop {
        sleep(PAUSE).await;
        let now = read().await?;
        let stands_still = now.as_ref().is_ok_and(|now| now.renewed == first.renewed);
        if !stands_still || Instant::now() > deadline {
            return Ok(vec![judge(now, Some(&first))]);
        }
    }
}

/// What a Lease says, or what it lacks.
fn held(lease: Option<&Lease>, now: Timestamp) -> Result<Held, String> {
    let spec = lease.and_then(|lease| lease.spec.as_ref());
    let spec = spec.ok_or_else(|| format!("there is no Lease {SYSTEM}/{LEASE}"))?;
    let holder = spec.holder_identity.clone().filter(|holder| !holder.is_empty());
    let seconds = i64::from(spec.lease_duration_seconds.unwrap_or(USUAL_SECONDS));
    let renewed = spec.renew_time.as_ref().map(|renewed| renewed.0);
    let fresh = renewed.is_some_and(|renewed| (now.as_second() - renewed.as_second()).abs() <= seconds);
    Ok(Held { by: holder.ok_or("nobody holds the Lease")?, renewed, fresh })
}

/// One look, and an earlier one where it did not look fresh.
fn judge(now: Result<Held, String>, before: Option<&Held>) -> Line {
    let failed = |what: String| {
        let remedy = format!("{LOGS}; until somebody leads, no status is written and no namespace gets its roots");
        Line::failed("leader", what, remedy)
    };
    match now {
        Err(lacks) => failed(lacks),
        Ok(now) if now.fresh || before.is_some_and(|before| before.renewed != now.renewed) => {
            Line::ok("leader", format!("{} leads", now.by))
        }
        Ok(Held { by, renewed: Some(renewed), .. }) => {
            failed(format!("{by} does not renew its Lease, since {renewed} by its own clock"))
        }
        Ok(Held { by, renewed: None, .. }) => failed(format!("{by} has never renewed its Lease")),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::{Held, held, judge};
    use crate::check::line::Outcome;
    use k8s_openapi::api::coordination::v1::Lease;
    use k8s_openapi::jiff::Timestamp;
    use serde_json::{Value, json};

    fn lease(spec: Value) -> Lease {
        serde_json::from_value(json!({ "spec": spec })).unwrap()
    }

    fn renewed(at: &str) -> Held {
        let spec = json!({ "holderIdentity": "meltemi-1", "leaseDurationSeconds": 15, "renewTime": at });
        held(Some(&lease(spec)), "2026-01-01T00:00:20Z".parse::<Timestamp>().unwrap()).unwrap()
    }

    #[test]
    fn a_lease_leads_while_it_is_renewed() {
        let fresh = judge(Ok(renewed("2026-01-01T00:00:05.000000Z")), None);
        assert_eq!((fresh.outcome, fresh.what.as_str()), (Outcome::Ok, "meltemi-1 leads"));
        let old = renewed("2026-01-01T00:00:04.000000Z");
        let stale = judge(Ok(old.clone()), Some(&old));
        let what = "meltemi-1 does not renew its Lease, since 2026-01-01T00:00:04Z by its own clock";
        assert_eq!((stale.outcome, stale.what.as_str()), (Outcome::Failed, what));
    }

    #[test]
    fn a_leader_whose_clock_differs_leads_while_its_lease_moves() {
        for (before, after) in
            [("2026-01-01T00:00:00Z", "2026-01-01T00:00:02Z"), ("2026-01-01T00:09:00Z", "2026-01-01T00:09:02Z")]
        {
            let (before, after) = (renewed(&before.replace('Z', ".000000Z")), renewed(&after.replace('Z', ".000000Z")));
            assert!(!before.fresh);
            assert_eq!(judge(Ok(after), Some(&before)).outcome, Outcome::Ok);
            assert_eq!(judge(Ok(before.clone()), Some(&before)).outcome, Outcome::Failed);
        }
    }

    #[test]
    fn a_lease_that_nobody_holds_fails() {
        let now = Timestamp::UNIX_EPOCH;
        assert_eq!(judge(held(None, now), None).outcome, Outcome::Failed);
        assert_eq!(held(Some(&lease(json!({ "holderIdentity": "" }))), now).unwrap_err(), "nobody holds the Lease");
    }
}
