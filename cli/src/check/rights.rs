//! Whether this account may do what an install does: the charts by Helm, then the proof.

use super::line::Line;
use crate::names::SYSTEM;
use futures::future::try_join_all;
use k8s_openapi::api::authorization::v1::SelfSubjectAccessReview;
use kube::api::{Api, PostParams};
use kube::{Client, Error};
use serde_json::json;

/// What may be needed of a kind of objects.
struct Need {
    group: &'static str,
    /// In the plural; with a part of it after a slash.
    resource: &'static str,
    /// In the control plane's namespace only.
    inside: bool,
    verbs: &'static [&'static str],
}

/// What Helm does with the objects of a release.
const RELEASED: &[&str] = &["get", "create", "patch", "delete"];

const NEEDED: [Need; 21] = [
    everywhere("", "namespaces", &["get", "list", "create", "delete"]),
    everywhere("apiextensions.k8s.io", "customresourcedefinitions", RELEASED),
    everywhere("rbac.authorization.k8s.io", "clusterroles", RELEASED),
    everywhere("rbac.authorization.k8s.io", "clusterrolebindings", RELEASED),
    everywhere("admissionregistration.k8s.io", "mutatingwebhookconfigurations", RELEASED),
    everywhere("admissionregistration.k8s.io", "validatingwebhookconfigurations", RELEASED),
    inside("rbac.authorization.k8s.io", "roles", RELEASED),
    inside("rbac.authorization.k8s.io", "rolebindings", RELEASED),
    inside("apps", "deployments", RELEASED),
    inside("", "services", RELEASED),
    inside("", "configmaps", RELEASED),
    inside("", "serviceaccounts", RELEASED),
    inside("networking.k8s.io", "networkpolicies", RELEASED),
    inside("policy", "poddisruptionbudgets", RELEASED),
    inside("security.istio.io", "peerauthentications", RELEASED),
    // Helm's notes of its releases.
    inside("", "secrets", &["get", "list", "create", "update", "delete"]),
    // The proof, in a namespace that has no name yet.
    everywhere("", "pods", &["get", "list", "create", "delete"]),
    everywhere("", "pods/log", &["get"]),
    everywhere("", "configmaps", &["get"]),
    everywhere("", "services", &["create"]),
    everywhere("", "serviceaccounts", &["create"]),
];

/// Without these, an account can grant only what it has itself.
const GRANTING: [Need; 2] = [
    everywhere("rbac.authorization.k8s.io", "clusterroles", &["escalate", "bind"]),
    inside("rbac.authorization.k8s.io", "roles", &["escalate", "bind"]),
];

const fn everywhere(group: &'static str, resource: &'static str, verbs: &'static [&'static str]) -> Need {
    Need { group, resource, inside: false, verbs }
}

const fn inside(group: &'static str, resource: &'static str, verbs: &'static [&'static str]) -> Need {
    Need { group, resource, inside: true, verbs }
}

pub async fn check(client: &Client) -> Result<Vec<Line>, Error> {
    Ok(judge(&missing(client, &NEEDED).await?, &missing(client, &GRANTING).await?))
}

/// What the account lacks, such as `create, patch roles in meltemi-system`.
async fn missing(client: &Client, needs: &[Need]) -> Result<Vec<String>, Error> {
    let lacking = try_join_all(needs.iter().map(|need| lacking(client, need))).await?;
    let lacking = needs.iter().zip(lacking).filter(|(_, verbs)| !verbs.is_empty());
    Ok(lacking.map(|(need, verbs)| need.told(&verbs)).collect())
}

async fn lacking(client: &Client, need: &Need) -> Result<Vec<&'static str>, Error> {
    let reviews: Api<SelfSubjectAccessReview> = Api::all(client.clone());
    let (resource, part) = need.resource.split_once('/').unwrap_or((need.resource, ""));
    let mut lacking = Vec::new();
    for &verb in need.verbs {
        let attributes = json!({ "group": need.group, "resource": resource, "subresource": part, "verb": verb,
                                 "namespace": need.inside.then_some(SYSTEM) });
        let review = serde_json::from_value(json!({ "spec": { "resourceAttributes": attributes } }));
        let review: SelfSubjectAccessReview = review.map_err(Error::SerdeError)?;
        let answer = reviews.create(&PostParams::default(), &review).await?;
        if !answer.status.is_some_and(|status| status.allowed) {
            lacking.push(verb);
        }
    }
    Ok(lacking)
}

impl Need {
    fn told(&self, verbs: &[&str]) -> String {
        let place = if self.inside { format!(" in {SYSTEM}") } else { String::new() };
        let group = if self.group.is_empty() { String::new() } else { format!(".{}", self.group) };
        format!("{} {}{group}{place}", verbs.join(", "), self.resource)
    }
}

fn judge(missing: &[String], granting: &[String]) -> Vec<Line> {
    let admin = "use an account bound to the ClusterRole cluster-admin";
    let mut lines = vec![if missing.is_empty() {
        Line::ok("rights", "this account may do all that an install does")
    } else {
        let remedy = format!("{admin}; with --no-proof, install needs no right on pods");
        Line::failed("rights", format!("this account may not {}", missing.join("; ")), remedy)
    }];
    if !granting.is_empty() {
        let what = format!(
            "this account may not {}: the install fails unless it has itself every right that the control plane gets",
            granting.join("; ")
        );
        lines.push(Line::warning("rights", what, admin));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::{GRANTING, NEEDED, judge};
    use crate::check::line::Outcome;

    #[test]
    fn missing_rights_are_named_with_their_place() {
        assert_eq!(judge(&[], &[])[0].outcome, Outcome::Ok);
        let missing = [NEEDED[0].told(&["create"]), NEEDED[12].told(&["create", "patch"])];
        let line = &judge(&missing, &[])[0];
        assert_eq!(line.outcome, Outcome::Failed);
        let what =
            "this account may not create namespaces; create, patch networkpolicies.networking.k8s.io in meltemi-system";
        assert_eq!(line.what, what);
    }

    #[test]
    fn an_account_that_cannot_grant_more_than_it_has_is_warned() {
        let lines = judge(&[], &[GRANTING[0].told(&["escalate", "bind"])]);
        assert_eq!(lines[1].outcome, Outcome::Warning);
        assert!(
            lines[1].what.contains("may not escalate, bind clusterroles.rbac.authorization.k8s.io: "),
            "{}",
            lines[1].what
        );
    }
}
