//! Two revisions side by side: each namespace has the one that it names, they are one mesh, and one of them can go.

use libtest_mimic::Trial;

use crate::installed::{Installed, on_mesh};
use crate::{Outcome, ensure, workloads};

const REVISION: &str = "blue";
/// A namespace of each revision, and its label.
const NAMESPACES: [(&str, &str); 2] = [("rev-first", "istio-injection=enabled"), ("rev-second", "istio.io/rev=blue")];

pub fn tests() -> Vec<Trial> {
    vec![on_mesh("revisions::two_are_one_mesh_and_one_can_go", side_by_side)]
}

fn side_by_side(mesh: &Installed) -> Outcome {
    // The installer itself proves a request between two pods of the new revision.
    let said = mesh.meltemi(&["install", "--revision", REVISION])?;
    ensure!(said.contains("/sa/client called spiffe://"), "no proof: {said}");
    for (namespace, label) in NAMESPACES {
        mesh.cluster.kubectl(&["create", "namespace", namespace])?;
        mesh.cluster.kubectl(&["label", "namespace", namespace, label])?;
        workloads::echo(&mesh.cluster, namespace, "web")?;
    }
    for (namespace, plane) in [("rev-first", "meltemi"), ("rev-second", "meltemi-blue")] {
        let pod = mesh.pod(namespace, "app=web")?;
        let containers = "--output=jsonpath={.spec.initContainers[*].args}";
        let arguments = mesh.cluster.kubectl(&["get", "pod", "--namespace", namespace, &pod, containers])?;
        ensure!(
            arguments.contains(&format!("\"--control-plane-name\",\"{plane}.meltemi-system.svc\"")),
            "{namespace}: {arguments}"
        );
    }
    for (from, to) in [("rev-first", "rev-second"), ("rev-second", "rev-first")] {
        let answer = mesh.call(from, "web", &[&format!("http://web.{to}/")])?;
        answer.came_from("web")?;
        let caller = format!("spiffe://cluster.local/ns/{from}/sa/default");
        ensure!(answer.caller() == Some(&caller), "{from} -> {to}: {answer}");
    }
    mesh.cluster.kubectl(&["delete", "namespace", "rev-second"])?;
    let said = mesh.meltemi(&["uninstall", "--revision", REVISION])?;
    ensure!(said.contains("Helm release meltemi-blue") && said.contains("meltemi uses them"), "{said}");
    // A pod that is made now has all that the first revision gives.
    workloads::echo(&mesh.cluster, "rev-first", "late")?;
    let answer = mesh.call("rev-first", "late", &["http://web/"])?;
    answer.came_from("web")?;
    ensure!(answer.caller().is_some(), "no mTLS: {answer}");
    mesh.cluster.kubectl(&["delete", "namespace", "rev-first", "--wait=false"])?;
    Ok(())
}
