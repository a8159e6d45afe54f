//! Two revisions side by side: each namespace has the one that it names, they are one mesh, and each of them can go.

use libtest_mimic::Trial;

use crate::installed::{Installed, LIMIT, SYSTEM, on_mesh};
use crate::{Outcome, ensure, workloads};

const REVISION: &str = "blue";
/// A namespace without sidecars.
const OUTSIDE: &str = "rev-outside";
/// A namespace of each revision, and its label.
const NAMESPACES: [(&str, &str); 2] = [("rev-first", "istio-injection=enabled"), ("rev-second", "istio.io/rev=blue")];

pub fn tests() -> Vec<Trial> {
    vec![on_mesh("revisions::two_are_one_mesh_and_each_can_go", side_by_side)]
}

fn side_by_side(mesh: &Installed) -> Outcome {
    // The installer itself proves a request between two pods of the new revision.
    let said = mesh.meltemi(&["install", "--revision", REVISION, "--set", "controlPlane.logLevel=warn"])?;
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
    values_are_kept(mesh)?;
    the_first_goes_and_comes_back(mesh)?;
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

/// Who installs again need not say again what was said before.
fn values_are_kept(mesh: &Installed) -> Outcome {
    let level = || {
        let path = "--output=jsonpath={.spec.template.spec.containers[0].env[?(@.name==\"RUST_LOG\")].value}";
        mesh.cluster.kubectl(&["get", "deployment", "--namespace", SYSTEM, "meltemi-blue", path])
    };
    for (values, wanted) in [(&[][..], "warn"), (&["--set", "controlPlane.logLevel=null"][..], "info")] {
        mesh.meltemi(&[&["install", "--revision", REVISION, "--wait=false"], values].concat())?;
        ensure!(level()? == wanted, "{values:?}: the log level is {}, not {wanted}", level()?);
    }
    Ok(())
}

/// The policy of the mesh came with the first revision, and does not go with it.
fn the_first_goes_and_comes_back(mesh: &Installed) -> Outcome {
    plain_text_is_refused(mesh)?;
    let said = mesh.meltemi(&["uninstall"])?;
    ensure!(said.contains("meltemi-blue uses them") && said.contains("the policy of the mesh"), "{said}");
    mesh.cluster.kubectl(&["get", "--namespace", SYSTEM, "peerauthentication/default"])?;
    // What the other revision says to a pod that is made now.
    workloads::echo(&mesh.cluster, "rev-second", "late")?;
    mesh.call("rev-second", "late", &["http://web/"])?.came_from("web")?;
    plain_text_is_refused(mesh)?;
    // As the shared cluster was.
    mesh.meltemi(&["install", "--no-proof"])?;
    mesh.cluster.kubectl(&["delete", "namespace", OUTSIDE, "--wait=false"])?;
    Ok(())
}

fn plain_text_is_refused(mesh: &Installed) -> Outcome {
    if mesh.cluster.get(&format!("/api/v1/namespaces/{OUTSIDE}")).is_err() {
        workloads::echo(&mesh.cluster, OUTSIDE, "web")?;
    }
    // Its own neighbour answers, so what is refused below is not broken by itself.
    let neighbour = || mesh.call(OUTSIDE, "web", &["http://web/"])?.came_from("web");
    mesh.cluster.wait_until("a call without mesh", LIMIT, neighbour)?;
    for server in mesh.cluster.kubectl(&["get", "services", "--namespace", "rev-second", "--output=name"])?.lines() {
        let url = format!("http://{}.rev-second/", server.trim_start_matches("service/"));
        let answer = mesh.call(OUTSIDE, "web", &[&url]);
        let Err(error) = answer else { return Err(format!("{url} took plain text: {answer:?}").into()) };
        ensure!(["EOF", "reset"].iter().any(|word| error.contains(word)), "{url} was not refused: {error}");
    }
    Ok(())
}
