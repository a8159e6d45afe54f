//! The webhooks are there, the API server trusts them because of this mesh's root, and they answer.

use super::dry_run;
use super::line::Line;
use super::roots::{self, certificates};
use super::sidecars;
use crate::install::rollout::ControlPlane;
use crate::names::{self, SYSTEM};
use k8s_openapi::api::admissionregistration::v1::{
    MutatingWebhookConfiguration, ValidatingWebhookConfiguration, WebhookClientConfig,
};
use kube::Client;
use kube::api::Api;
use std::collections::BTreeSet;

/// What is trusted for one webhook of a configuration.
struct Webhook {
    name: String,
    bundle: Vec<u8>,
}

pub async fn check(client: &Client, planes: &[ControlPlane]) -> Result<Vec<Line>, kube::Error> {
    let roots = roots::read(client).await?.remove(SYSTEM).unwrap_or_default();
    let roots = certificates(roots.as_bytes());
    let namespaces = sidecars::namespaces(client).await?;
    let mut lines = Vec::new();
    for plane in planes {
        let injector = names::injector(&plane.revision);
        let trusted = trust("injector", &plane.revision, &injector, &mutating(client, &injector).await?, &roots);
        lines.push(match trusted {
            Ok(()) => dry_run::injection(client, &namespaces, &plane.revision).await,
            Err(line) => line,
        });
        let validator = names::validator(&plane.revision);
        let trusted = trust("validator", &plane.revision, &validator, &validating(client, &validator).await?, &roots);
        lines.push(match trusted {
            Ok(()) => dry_run::validation(client, &plane.revision).await,
            Err(line) => line,
        });
    }
    Ok(lines)
}

async fn mutating(client: &Client, name: &str) -> Result<Vec<Webhook>, kube::Error> {
    let found = Api::<MutatingWebhookConfiguration>::all(client.clone()).get_opt(name).await?;
    let webhooks = found.into_iter().flat_map(|found| found.webhooks.into_iter().flatten());
    Ok(webhooks.map(|one| webhook(one.name, one.client_config)).collect())
}

async fn validating(client: &Client, name: &str) -> Result<Vec<Webhook>, kube::Error> {
    let found = Api::<ValidatingWebhookConfiguration>::all(client.clone()).get_opt(name).await?;
    let webhooks = found.into_iter().flat_map(|found| found.webhooks.into_iter().flatten());
    Ok(webhooks.map(|one| webhook(one.name, one.client_config)).collect())
}

fn webhook(name: String, client: WebhookClientConfig) -> Webhook {
    Webhook { name, bundle: client.ca_bundle.map(|bundle| bundle.0).unwrap_or_default() }
}

/// The API server can believe these webhooks, or a line that says why not.
fn trust(
    name: &'static str,
    revision: &str,
    configuration: &str,
    webhooks: &[Webhook],
    roots: &BTreeSet<Vec<u8>>,
) -> Result<(), Line> {
    if webhooks.is_empty() {
        let remedy = format!("run `meltemi install --revision {revision}` again");
        return Err(Line::failed(name, format!("there is no webhook configuration {configuration}"), remedy));
    }
    let logs = || {
        let plane = names::control_plane(revision);
        format!("see `kubectl logs --namespace {SYSTEM} deployment/{plane}`; the control plane keeps the caBundle")
    };
    for webhook in webhooks {
        let trusted = certificates(&webhook.bundle);
        if trusted.is_empty() {
            return Err(Line::failed(name, format!("the webhook {} has no caBundle", webhook.name), logs()));
        }
        if trusted.is_disjoint(roots) {
            let what = format!("the caBundle of the webhook {} holds none of this mesh's roots", webhook.name);
            return Err(Line::failed(name, what, logs()));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{Webhook, trust};
    use crate::check::line::Line;
    use crate::check::roots::certificates;

    fn pem(content: &str) -> String {
        format!("-----BEGIN CERTIFICATE-----\n{content}\n-----END CERTIFICATE-----\n")
    }

    fn said(bundle: &str) -> Result<(), String> {
        let webhooks = [Webhook { name: "w".to_owned(), bundle: bundle.into() }];
        let roots = certificates(pem("AAAA").as_bytes());
        trust("injector", "blue", "c", &webhooks, &roots).map_err(|line: Line| line.what)
    }

    #[test]
    fn a_bundle_must_hold_a_root_of_the_mesh() {
        assert_eq!(said(&(pem("BBBB") + &pem("AAAA"))), Ok(()));
        assert_eq!(said(&pem("BBBB")), Err("the caBundle of the webhook w holds none of this mesh's roots".to_owned()));
        assert_eq!(said(""), Err("the webhook w has no caBundle".to_owned()));
    }

    #[test]
    fn the_remedy_names_the_control_plane_of_the_revision() {
        let remedy = |webhooks: &[Webhook]| {
            let line = trust("injector", "blue", "c", webhooks, &certificates(b"")).err();
            line.and_then(|line| line.remedy).unwrap_or_default()
        };
        assert_eq!(remedy(&[]), "run `meltemi install --revision blue` again");
        let untrusted = remedy(&[Webhook { name: "w".to_owned(), bundle: Vec::new() }]);
        assert!(untrusted.contains("deployment/meltemi-blue`"), "{untrusted}");
    }
}
