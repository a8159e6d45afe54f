//! Somebody leads: one replica of the control plane holds the Lease and renews it.

use super::line::Line;
use crate::names::{LEASE, SYSTEM};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::jiff::Timestamp;
use kube::Client;
use kube::api::Api;

/// Kubernetes' own clients take so long when a Lease does not say.
const USUAL_SECONDS: i32 = 15;
const LOGS: &str = "see `kubectl logs --namespace meltemi-system deployment/meltemi`; until somebody leads, no status is written and \
                    no namespace gets its roots";

pub async fn check(client: &Client) -> Result<Vec<Line>, kube::Error> {
    let lease = Api::<Lease>::namespaced(client.clone(), SYSTEM).get_opt(LEASE).await?;
    Ok(vec![judge(lease.as_ref(), Timestamp::now())])
}

fn judge(lease: Option<&Lease>, now: Timestamp) -> Line {
    let Some(spec) = lease.and_then(|lease| lease.spec.as_ref()) else {
        return Line::failed("leader", format!("there is no Lease {SYSTEM}/{LEASE}"), LOGS);
    };
    let Some(holder) = spec.holder_identity.as_deref().filter(|holder| !holder.is_empty()) else {
        return Line::failed("leader", "nobody holds the Lease", LOGS);
    };
    let seconds = i64::from(spec.lease_duration_seconds.unwrap_or(USUAL_SECONDS));
    let age = spec.renew_time.as_ref().map(|renewed| now.as_second() - renewed.0.as_second());
    match age {
        Some(age) if age <= seconds => Line::ok("leader", format!("{holder} leads")),
        Some(age) => Line::failed("leader", format!("{holder} has not renewed its Lease for {age} s"), LOGS),
        None => Line::failed("leader", format!("{holder} has never renewed its Lease"), LOGS),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::judge;
    use crate::check::line::Outcome;
    use k8s_openapi::api::coordination::v1::Lease;
    use k8s_openapi::jiff::Timestamp;
    use serde_json::{Value, json};

    fn lease(spec: Value) -> Lease {
        serde_json::from_value(json!({ "spec": spec })).unwrap()
    }

    #[test]
    fn a_lease_leads_while_it_is_renewed() {
        let held = |renewed: &str| {
            lease(json!({ "holderIdentity": "meltemi-1", "leaseDurationSeconds": 15, "renewTime": renewed }))
        };
        let now: Timestamp = "2026-01-01T00:00:20Z".parse().unwrap();
        let fresh = judge(Some(&held("2026-01-01T00:00:05.000000Z")), now);
        assert_eq!((fresh.outcome, fresh.what.as_str()), (Outcome::Ok, "meltemi-1 leads"));
        let stale = judge(Some(&held("2026-01-01T00:00:04.000000Z")), now);
        assert_eq!(
            (stale.outcome, stale.what.as_str()),
            (Outcome::Failed, "meltemi-1 has not renewed its Lease for 16 s")
        );
    }

    #[test]
    fn a_lease_that_nobody_holds_fails() {
        let now = Timestamp::UNIX_EPOCH;
        assert_eq!(judge(None, now).outcome, Outcome::Failed);
        assert_eq!(judge(Some(&lease(json!({ "holderIdentity": "" }))), now).what, "nobody holds the Lease");
    }
}
