//! Every pod that should have a sidecar has one, ready and of the control plane's version.

use super::line::{Line, some};
use super::pods::{self, PodFacts, Sidecar};
use super::wanted::{self, Wish};
use crate::cluster;
use crate::install::rollout::ControlPlane;
use k8s_openapi::api::core::v1::Namespace;
use kube::Client;
use kube::api::{Api, ListParams};
use std::collections::BTreeMap;

/// The labels of each namespace.
pub type Namespaces = BTreeMap<String, BTreeMap<String, String>>;

pub async fn check(client: &Client, planes: &[ControlPlane]) -> Result<Vec<Line>, kube::Error> {
    let namespaces = namespaces(client).await?;
    let revisions: Vec<&str> = planes.iter().map(|plane| plane.revision.as_str()).collect();
    let no_labels = BTreeMap::new();
    let judged = pods::read(client, |pod| {
        let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
        let wish = wanted::wish(&pod, namespaces.get(namespace).unwrap_or(&no_labels), &revisions);
        (pods::facts(&pod), wish)
    });
    let (pods, wishes): (Vec<PodFacts>, Vec<Wish>) = judged.await?.into_iter().unzip();
    let mut lines = vec![readiness(&pods, &revisions)];
    lines.extend(planes.iter().filter_map(|plane| versions(&pods, plane)));
    let without = without_sidecar(pods.iter().zip(wishes));
    let opted_in = |revision: &&str| {
        namespaces.iter().filter(|(name, labels)| wanted::namespace_opted_in(name, labels, revision)).count()
    };
    match without.is_empty() {
        true => lines.push(Line::ok(
            "injection",
            format!("{} namespaces opted in, no pod lacks its sidecar", revisions.iter().map(opted_in).sum::<usize>()),
        )),
        false => lines.extend(without),
    }
    Ok(lines)
}

/// Those that are not being removed.
pub async fn namespaces(client: &Client) -> Result<Namespaces, kube::Error> {
    let all = cluster::list(Api::<Namespace>::all(client.clone()), ListParams::default(), |namespace| {
        let going = namespace.metadata.deletion_timestamp.is_some();
        let name = namespace.metadata.name.filter(|_| !going)?;
        Some((name, namespace.metadata.labels.unwrap_or_default()))
    });
    Ok(all.await?.into_iter().flatten().collect())
}

fn with_sidecar(pods: &[PodFacts]) -> impl Iterator<Item = (&PodFacts, &Sidecar)> {
    pods.iter().filter(|pod| !pod.ended).filter_map(|pod| Some((pod, pod.sidecar.as_ref()?)))
}

/// Of the sidecars of these control planes. Those of an Istio have the same name, and are not ours to judge.
fn readiness(pods: &[PodFacts], revisions: &[&str]) -> Line {
    let ours = |pod: &PodFacts| pod.revision.as_deref().is_some_and(|revision| revisions.contains(&revision));
    let ours: Vec<(&PodFacts, &Sidecar)> = with_sidecar(pods).filter(|(pod, _)| ours(pod)).collect();
    let waiting: Vec<&PodFacts> = ours.iter().filter(|(_, sidecar)| !sidecar.ready).map(|(pod, _)| *pod).collect();
    let Some(first) = waiting.first() else {
        return Line::ok("sidecars", format!("{}, all ready", ours.len()));
    };
    let names: Vec<String> = waiting.iter().map(|pod| pod.place()).collect();
    let trouble = waiting.iter().find_map(|pod| pod.trouble.as_ref());
    let remedy = match trouble {
        Some(trouble) => format!("{}; {}", trouble.what, trouble.remedy),
        None => format!("see `kubectl logs --namespace {} {} --container istio-proxy`", first.namespace, first.name),
    };
    Line::failed("sidecars", format!("not ready in {}", some(&names)), remedy)
}

/// Sidecars of this control plane whose image is not its own; an image that a pod's author chose is left out.
fn versions(pods: &[PodFacts], plane: &ControlPlane) -> Option<Line> {
    let image = &plane.image;
    let of_plane = |pod: &PodFacts| pod.revision.as_ref().is_some_and(|revision| *revision == plane.revision);
    let other = |sidecar: &Sidecar| sidecar.image != *image && !sidecar.own_image;
    let old = with_sidecar(pods).filter(|(pod, sidecar)| of_plane(pod) && other(sidecar));
    let old: Vec<&PodFacts> = old.map(|(pod, _)| pod).collect();
    let first = old.first()?;
    let names: Vec<String> = old.iter().map(|pod| pod.place()).collect();
    let what = format!("another image than the control plane's {image} in {}", some(&names));
    Some(Line::warning("versions", what, restart(&first.namespace)))
}

/// Pods that should have a sidecar and have none.
fn without_sidecar<'a>(pods: impl Iterator<Item = (&'a PodFacts, Wish)>) -> Vec<Line> {
    let mut without: BTreeMap<&str, usize> = BTreeMap::new();
    let mut on_host = Vec::new();
    for (pod, wish) in pods.filter(|(pod, _)| !pod.ended && pod.sidecar.is_none()) {
        match wish {
            Wish::Sidecar => *without.entry(&pod.namespace).or_default() += 1,
            Wish::HostNetwork => on_host.push(pod.place()),
            Wish::None => {}
        }
    }
    let missing = |(namespace, count): (&&str, &usize)| {
        let what = format!("{count} pods of the namespace {namespace} should have a sidecar and have none");
        Line::failed("injection", what, restart(namespace))
    };
    let mut lines: Vec<Line> = without.iter().map(missing).collect();
    if !on_host.is_empty() {
        let what = format!("pods in their node's network, where no sidecar can be added: {}", some(&on_host));
        let remedy = "leave hostNetwork if they shall be in the mesh, or label them sidecar.istio.io/inject=false";
        lines.push(Line::warning("injection", what, remedy));
    }
    lines
}

fn restart(namespace: &str) -> String {
    format!("restart them, such as with `kubectl rollout restart deployment --namespace {namespace}`")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::{Wish, readiness, versions, without_sidecar};
    use crate::check::line::Outcome;
    use crate::check::pods::{PodFacts, facts};
    use crate::install::rollout::ControlPlane;
    use serde_json::{Value, json};

    fn pod(name: &str, spec: Value, ready: bool) -> PodFacts {
        let status = json!({ "phase": "Running", "initContainerStatuses": [{
            "name": "istio-proxy", "ready": ready, "image": "", "imageID": "", "restartCount": 0 }] });
        let annotations = json!({ "istio.io/rev": "default" });
        let metadata = json!({ "namespace": "shop", "name": name, "annotations": annotations });
        let pod = json!({ "metadata": metadata, "spec": spec, "status": status });
        facts(&serde_json::from_value(pod).unwrap())
    }

    fn injected(image: &str) -> Value {
        let sidecar = json!({ "name": "istio-proxy", "image": image, "restartPolicy": "Always" });
        json!({ "containers": [{ "name": "app" }], "initContainers": [sidecar] })
    }

    #[test]
    fn sidecars_that_are_not_ready_or_of_another_version_are_named() {
        let pods = [pod("a", injected("m:2"), true), pod("b", injected("m:1"), false)];
        assert_eq!(readiness(&pods, &["default"]).what, "not ready in shop/b");
        assert_eq!(readiness(&pods[..1], &["default"]).what, "1, all ready");
        let plane = |revision: &str| ControlPlane {
            name: "meltemi".to_owned(),
            ready: 1,
            wanted: 1,
            revision: revision.to_owned(),
            trust_domain: "cluster.local".to_owned(),
            image: "m:2".to_owned(),
            pull_policy: None,
            pull_secrets: Vec::new(),
        };
        assert_eq!(
            versions(&pods, &plane("default")).unwrap().what,
            "another image than the control plane's m:2 in shop/b"
        );
        assert_eq!(versions(&pods[..1], &plane("default")), None);
        assert_eq!(versions(&pods, &plane("blue")), None);
    }

    #[test]
    fn the_sidecars_of_an_istio_are_not_judged() {
        let of_istio = [pod("a", injected("docker.io/istio/proxyv2"), false)];
        assert_eq!(readiness(&of_istio, &["meltemi"]).what, "0, all ready");
    }

    #[test]
    fn pods_that_lack_their_sidecar_are_counted_by_namespace() {
        let bare = pod("a", json!({ "containers": [{ "name": "app" }] }), false);
        let pods = [(&bare, Wish::Sidecar), (&bare, Wish::Sidecar), (&bare, Wish::HostNetwork), (&bare, Wish::None)];
        let lines = without_sidecar(pods.into_iter());
        assert_eq!(lines[0].what, "2 pods of the namespace shop should have a sidecar and have none");
        assert_eq!((lines[0].outcome, lines[1].outcome), (Outcome::Failed, Outcome::Warning));
        assert!(lines[1].what.ends_with(": shop/a"), "{}", lines[1].what);
        let injected = pod("b", injected("m:2"), true);
        assert!(without_sidecar([(&injected, Wish::Sidecar)].into_iter()).is_empty());
    }
}
