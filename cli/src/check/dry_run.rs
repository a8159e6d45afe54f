//! Asks the webhooks through the API server, with objects that are not kept: only that shows the whole way.

use super::line::Line;
use super::sidecars::Namespaces;
use super::wanted;
use crate::cluster::told;
use crate::names::{self, REVISION, SIDECAR, SYSTEM};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, ApiResource, DynamicObject, GroupVersionKind, PostParams};
use kube::{Client, Error};
use serde_json::json;

const NAME: &str = "meltemi-check";
/// What the API server says when it cannot get an answer from a webhook.
const UNANSWERED: &str = "failed calling webhook";
fn not_kept() -> PostParams {
    PostParams { dry_run: true, ..PostParams::default() }
}

/// Sends a pod to the injector, in a namespace that opted in if there is one, else in one that lets its pods ask.
pub async fn injection(client: &Client, namespaces: &Namespaces, revision: &str) -> Line {
    for asks_for in [None, Some(revision)] {
        let pod = match pod(asks_for) {
            Ok(pod) => pod,
            Err(error) => return Line::failed("injector", error.to_string(), "report this as a bug"),
        };
        let gets_one = |name: &str, labels| wanted::gets_sidecar(&pod, name, labels, revision);
        if let Some((namespace, _)) = namespaces.iter().find(|(name, labels)| gets_one(name, labels)) {
            let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
            return judge_injection(&names::control_plane(revision), namespace, pods.create(&not_kept(), &pod).await);
        }
    }
    let remedy = format!("label a namespace {REVISION}={revision}, then run it again");
    Line::warning("injector", "not tried: no namespace lets a pod ask for a sidecar", remedy)
}

fn pod(asks_for: Option<&str>) -> serde_json::Result<Pod> {
    let labels = asks_for.map(|revision| json!({ REVISION: revision }));
    serde_json::from_value(json!({
        "metadata": { "generateName": format!("{NAME}-"), "labels": labels.unwrap_or_default() },
        "spec": { "containers": [{ "name": "check", "image": "meltemi/meltemi" }] },
    }))
}

/// What to do about a webhook of this control plane that does not answer.
fn reach(plane: &str, message: &str) -> String {
    if message.contains("x509") {
        return format!(
            "its certificate is not the one that the webhook's caBundle and Service ask for: restart it with `kubectl rollout \
             restart --namespace {SYSTEM} deployment {plane}`, and read its log if that does not help"
        );
    }
    format!(
        "see that the control plane runs, and that the API server reaches the Service {SYSTEM}/{plane} (network policies, \
         firewalls to port 15017)"
    )
}

fn judge_injection(plane: &str, namespace: &str, answer: Result<Pod, Error>) -> Line {
    let injected = |pod: &Pod| {
        let mut containers =
            pod.spec.iter().flat_map(|spec| spec.init_containers.iter().flatten().chain(&spec.containers));
        containers.any(|container| container.name == SIDECAR)
    };
    match answer {
        Ok(pod) if injected(&pod) => Line::ok("injector", format!("answers, tried in the namespace {namespace}")),
        Ok(_) => Line::failed(
            "injector",
            format!("a pod of the namespace {namespace}, tried without keeping it, got no sidecar"),
            "run `meltemi install` again; it restores the webhook's selectors",
        ),
        Err(Error::Api(status)) if status.message.contains(UNANSWERED) => {
            Line::failed("injector", format!("does not answer: {}", status.message), reach(plane, &status.message))
        }
        Err(Error::Api(status)) if status.message.contains("PodSecurity") => Line::warning(
            "injector",
            format!("the namespace {namespace} forbids pods with a sidecar: {}", status.message),
            "the init container needs NET_ADMIN: label the namespace pod-security.kubernetes.io/enforce=privileged",
        ),
        Err(error) => untried("injector", &error),
    }
}

/// Sends an object that cannot work to the validator.
pub async fn validation(client: &Client, revision: &str) -> Line {
    let kind = GroupVersionKind::gvk("networking.istio.io", "v1", "VirtualService");
    let resource = ApiResource::from_gvk_with_plural(&kind, "virtualservices");
    // A regular expression that does not end: schemas let it pass, only the validator reads it.
    let rule = json!({ "match": [{ "uri": { "regex": "(" } }], "route": [{ "destination": { "host": "meltemi" } }] });
    let mut wrong =
        DynamicObject::new(NAME, &resource).data(json!({ "spec": { "hosts": ["meltemi"], "http": [rule] } }));
    wrong.metadata.labels = Some([(REVISION.to_owned(), revision.to_owned())].into());
    let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), SYSTEM, &resource);
    judge_validation(&names::control_plane(revision), api.create(&not_kept(), &wrong).await.map(drop))
}

fn judge_validation(plane: &str, answer: Result<(), Error>) -> Line {
    match answer {
        Err(Error::Api(status)) if status.message.contains(UNANSWERED) => {
            Line::failed("validator", format!("does not answer: {}", status.message), reach(plane, &status.message))
        }
        Err(Error::Api(status)) if status.message.contains("admission webhook") => Line::ok("validator", "answers"),
        Err(error) => untried("validator", &error),
        Ok(()) => Line::failed(
            "validator",
            "let an object pass that cannot work: it does not answer (the API server then goes on without it), or its rules \
             were changed",
            reach(plane, ""),
        ),
    }
}

fn untried(name: &'static str, error: &Error) -> Line {
    let remedy = "run it with an account that may create pods and VirtualServices (nothing is kept)";
    Line::warning(name, format!("not tried: {}", told(error)), remedy)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::{judge_injection, judge_validation};
    use crate::check::line::Outcome;
    use kube::Error;
    use kube::core::Status;
    use serde_json::{Value, json};

    fn refused(message: &str) -> Error {
        Error::Api(Box::new(Status { message: message.to_owned(), code: 500, ..Status::default() }))
    }

    fn pod(containers: Value) -> k8s_openapi::api::core::v1::Pod {
        serde_json::from_value(json!({ "spec": { "containers": [], "initContainers": containers } })).unwrap()
    }

    #[test]
    fn only_a_sidecar_shows_that_the_injector_works() {
        let outcome = |answer| judge_injection("meltemi", "shop", answer).outcome;
        assert_eq!(outcome(Ok(pod(json!([{ "name": "istio-proxy" }])))), Outcome::Ok);
        assert_eq!(outcome(Ok(pod(json!([])))), Outcome::Failed);
        assert_eq!(outcome(Err(refused("Internal error: failed calling webhook \"x\": timeout"))), Outcome::Failed);
        assert_eq!(outcome(Err(refused("pods is forbidden: User x cannot create"))), Outcome::Warning);
    }

    #[test]
    fn a_certificate_that_does_not_fit_is_no_matter_of_the_network() {
        let told = judge_injection("meltemi-blue", "shop", Err(refused("failed calling webhook: x509: not valid for")));
        let remedy = told.remedy.unwrap();
        assert!(remedy.contains("deployment meltemi-blue") && !remedy.contains("firewalls"), "{remedy}");
    }

    #[test]
    fn only_a_refusal_by_the_webhook_shows_that_the_validator_works() {
        let outcome = |answer| judge_validation("meltemi", answer).outcome;
        assert_eq!(outcome(Err(refused("admission webhook \"v\" denied the request: …"))), Outcome::Ok);
        assert_eq!(outcome(Ok(())), Outcome::Failed);
        assert_eq!(outcome(Err(refused("failed calling webhook \"v\""))), Outcome::Failed);
        assert_eq!(outcome(Err(refused("virtualservices is forbidden"))), Outcome::Warning);
    }
}
