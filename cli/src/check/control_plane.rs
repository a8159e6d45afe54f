//! The control plane is available, and of the version of this program.

use super::line::Line;
use crate::install::rollout::{self, ControlPlane, missing};
use crate::names::SYSTEM;
use crate::pod_trouble;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use kube::Client;

const VERSION_LABEL: &str = "app.kubernetes.io/version";

pub async fn check(client: &Client, deployment: &Deployment, plane: &ControlPlane) -> Result<Vec<Line>, kube::Error> {
    let pods = rollout::pods(client, deployment).await?;
    let mut lines = vec![judge(deployment, plane, &pods)];
    lines.extend(version(deployment));
    Ok(lines)
}

fn judge(deployment: &Deployment, plane: &ControlPlane, pods: &[Pod]) -> Line {
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
