//! What to know before an install: Helm, rights, definitions that are there already, other control planes.

use super::line::{Line, or_unreadable, some};
use super::rights;
use crate::cluster;
use crate::helm::Helm;
use crate::names::{self, CRDS, REVISION};
use k8s_openapi::api::admissionregistration::v1::MutatingWebhookConfiguration;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, ListParams};
use kube::{Client, Error};

/// The label of the release that brought a definition of the Gateway API.
const GATEWAY_VERSION: &str = "gateway.networking.k8s.io/bundle-version";

/// A definition, as far as it matters here.
struct Definition {
    name: String,
    gateway_version: Option<String>,
    ours: bool,
}

pub async fn check(client: &Client, revision: &str) -> Vec<Line> {
    let mut lines = or_unreadable("rights", rights::check(client).await);
    lines.extend(or_unreadable("definitions", definitions(client).await.map(|found| judge_definitions(&found))));
    lines.extend(or_unreadable(
        "revisions",
        revisions(client).await.map(|found| vec![judge_revisions(&found, revision)]),
    ));
    lines
}

/// Whether Helm is there.
pub fn helm(found: anyhow::Result<Helm>) -> Line {
    match found.and_then(|helm| helm.version()) {
        Ok(version) => Line::ok("helm", version),
        Err(error) => Line::failed("helm", format!("{error:#}"), "install Helm 3.14 or newer, or give --helm FILE"),
    }
}

async fn definitions(client: &Client) -> Result<Vec<Definition>, Error> {
    let all: Api<CustomResourceDefinition> = Api::all(client.clone());
    let found = cluster::list(all, ListParams::default(), |found| {
        let annotations = found.metadata.annotations.unwrap_or_default();
        let labels = found.metadata.labels.unwrap_or_default();
        Definition {
            name: found.metadata.name.unwrap_or_default(),
            gateway_version: annotations.get(GATEWAY_VERSION).cloned(),
            ours: labels.get("app.kubernetes.io/name").is_some_and(|name| name == CRDS),
        }
    });
    found.await
}

fn judge_definitions(found: &[Definition]) -> Vec<Line> {
    let route = found.iter().find(|one| one.name == "httproutes.gateway.networking.k8s.io");
    let gateway = match route {
        Some(route) => {
            let version = route.gateway_version.as_deref().unwrap_or("of an unknown version");
            Line::ok("gateway api", format!("its definitions are there, {version}"))
        }
        None => Line::warning(
            "gateway api",
            "its definitions are not there: HTTPRoute and GRPCRoute cannot be used",
            "apply standard-install.yaml of https://github.com/kubernetes-sigs/gateway-api/releases if you want them",
        ),
    };
    let istio: Vec<String> =
        found.iter().filter(|one| one.name.ends_with(".istio.io") && !one.ours).map(|one| one.name.clone()).collect();
    let istio = match istio.len() {
        0 => "none of Istio's kinds is there; they will be installed".to_owned(),
        count => format!("{count} of Istio's kinds are there and will be left as they are: {}", some(&istio)),
    };
    vec![gateway, Line::ok("definitions", istio)]
}

/// Revisions of control planes that inject, with the configuration that says so.
async fn revisions(client: &Client) -> Result<Vec<(String, String)>, Error> {
    let all: Api<MutatingWebhookConfiguration> = Api::all(client.clone());
    let labelled = ListParams::default().labels(REVISION);
    let found = cluster::list(all, labelled, |found| {
        let revision = found.metadata.labels.unwrap_or_default().remove(REVISION)?;
        Some((found.metadata.name?, revision))
    });
    Ok(found.await?.into_iter().flatten().collect())
}

fn judge_revisions(found: &[(String, String)], wanted: &str) -> Line {
    let foreign = found.iter().filter(|(name, revision)| *name != names::injector(revision));
    if let Some((name, _)) = foreign.clone().find(|(_, revision)| revision == wanted) {
        let what = format!("{name} injects for the revision {wanted}, too: pods would get two sidecars");
        return Line::failed("revisions", what, "install with another one, such as --revision meltemi");
    }
    let others: Vec<String> = foreign.map(|(name, revision)| format!("{revision} ({name})")).collect();
    match others.is_empty() {
        true => Line::ok("revisions", "no other control plane injects"),
        false => Line::ok("revisions", format!("others are there and stay untouched: {}", some(&others))),
    }
}

#[cfg(test)]
mod tests {
    use super::{Definition, judge_definitions, judge_revisions};
    use crate::check::line::Outcome;

    fn definition(name: &str, version: Option<&str>, ours: bool) -> Definition {
        Definition { name: name.to_owned(), gateway_version: version.map(str::to_owned), ours }
    }

    #[test]
    fn definitions_of_others_are_told_and_left() {
        let found = [
            definition("httproutes.gateway.networking.k8s.io", Some("v1.6.3"), false),
            definition("virtualservices.networking.istio.io", None, false),
            definition("destinationrules.networking.istio.io", None, true),
        ];
        let lines = judge_definitions(&found);
        assert_eq!(lines[0].what, "its definitions are there, v1.6.3");
        assert!(lines[1].what.starts_with("1 of Istio's kinds are there and will be left"), "{}", lines[1].what);
        assert_eq!(judge_definitions(&[])[0].outcome, Outcome::Warning);
    }

    #[test]
    fn two_control_planes_of_one_revision_are_refused() {
        let istio = [("istio-sidecar-injector".to_owned(), "default".to_owned())];
        assert_eq!(judge_revisions(&istio, "default").outcome, Outcome::Failed);
        assert_eq!(judge_revisions(&istio, "meltemi").outcome, Outcome::Ok);
        assert_eq!(
            judge_revisions(&[("meltemi-injector".to_owned(), "default".to_owned())], "default").outcome,
            Outcome::Ok
        );
    }
}
