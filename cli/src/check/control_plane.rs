//! The control plane is available, and of the version of this program.

use super::line::Line;
use crate::install::rollout::{self, ControlPlane, missing};
use crate::names::SYSTEM;
use crate::pod_trouble;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use kube::Client;

/// Where to read why something of the whole mesh is missing: any control plane may be the one that leads.
pub const LOGS: &str = "see `kubectl logs --namespace meltemi-system --selector app=meltemi --prefix --tail=-1`";
const VERSION_LABEL: &str = "app.kubernetes.io/version";

pub async fn check(client: &Client, deployment: &Deployment, plane: &ControlPlane) -> Result<Vec<Line>, kube::Error> {
    let pods = rollout::pods(client, deployment).await?;
    let mut lines = vec![judge(deployment, plane, &pods)];
    lines.extend(version(deployment));
    Ok(lines)
}

fn judge(deployment: &Deployment, plane: &ControlPlane, pods: &[Pod]) -> Line {
    if plane.wanted == 0 {
        let remedy = format!("run `kubectl scale --namespace {SYSTEM} deployment {} --replicas=1`", plane.name);
        return Line::failed("control plane", format!("{} is scaled to nothing", plane.name), remedy);
    }
    let Some(missing) = missing(deployment) else {
        let what =
            format!("{} of {} available, revision {}, {}", plane.ready, plane.wanted, plane.revision, plane.image);
        return Line::ok("control plane", what);
    };
    match pods.iter().find_map(pod_trouble::of) {
        Some(trouble) => Line::failed("control plane", format!("{missing}: {}", trouble.what), trouble.remedy),
        None => Line::failed("control plane", missing, format!("see `kubectl describe pods --namespace {SYSTEM}`")),
    }
}

/// A note where the chart's version is another than this program's.
fn version(deployment: &Deployment) -> Option<Line> {
    let installed = deployment.metadata.labels.as_ref()?.get(VERSION_LABEL)?;
    let own = env!("CARGO_PKG_VERSION");
    (installed != own).then(|| {
        let remedy = format!("run `meltemi install` of version {own}, or use the program of version {installed}");
        Line::warning("version", format!("the control plane is {installed}, this program is {own}"), remedy)
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::judge;
    use crate::check::line::Outcome;
    use crate::install::rollout::describe;
    use k8s_openapi::api::apps::v1::Deployment;
    use serde_json::{Value, json};

    fn deployment(replicas: i32, available: i32) -> Deployment {
        let status = json!({ "replicas": replicas, "updatedReplicas": replicas, "availableReplicas": available });
        let template = json!({ "spec": { "containers": [{ "name": "a", "image": "m:1" }] } });
        let spec = json!({ "replicas": replicas, "selector": {}, "template": template });
        serde_json::from_value(json!({ "metadata": { "name": "meltemi" }, "spec": spec, "status": status })).unwrap()
    }

    fn judged(replicas: i32, available: i32, pods: Value) -> (Outcome, String) {
        let deployment = deployment(replicas, available);
        let line =
            judge(&deployment, &describe(&deployment).unwrap(), &serde_json::from_value::<Vec<_>>(pods).unwrap());
        (line.outcome, line.what)
    }

    #[test]
    fn what_is_not_available_says_why() {
        assert_eq!(judged(1, 1, json!([])), (Outcome::Ok, "1 of 1 available, revision default, m:1".to_owned()));
        assert_eq!(judged(0, 0, json!([])), (Outcome::Failed, "meltemi is scaled to nothing".to_owned()));
        let refused = json!({ "type": "PodScheduled", "status": "False", "message": "too small" });
        let pod = json!({ "metadata": { "namespace": "s", "name": "p" }, "status": { "conditions": [refused] } });
        let what = "0 of 1 pods are available: no node takes s/p: too small".to_owned();
        assert_eq!(judged(1, 0, json!([pod])), (Outcome::Failed, what));
    }
}
