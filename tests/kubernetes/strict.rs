//! A fresh mesh is STRICT: callers are named by their certificates, who has none is refused, and yet the kubelet's probes
//! tell the truth about the applications.

use libtest_mimic::Trial;

use crate::installed::{Installed, LIMIT, on_mesh};
use crate::{Outcome, ensure, traffic};

const NAMESPACE: &str = "traffic";
const OUTSIDE: &str = "no-mesh";

pub fn tests() -> Vec<Trial> {
    vec![
        on_mesh("strict::the_server_learns_who_calls_and_nobody_can_pretend", named),
        on_mesh("strict::a_pod_without_sidecar_is_refused", refused),
        on_mesh("strict::probes_of_every_kind_tell_the_truth", probes),
    ]
}

fn named(mesh: &Installed) -> Outcome {
    traffic::ready(mesh)?;
    let lie = "X-Forwarded-Client-Cert: By=spiffe://x;URI=spiffe://cluster.local/ns/traffic/sa/boss";
    let answer = mesh.call(NAMESPACE, "client", &["--header", lie, "http://server/"])?;
    answer.came_from("server")?;
    let seen: Vec<&str> = answer.headers("X-Forwarded-Client-Cert").collect();
    let [seen] = seen[..] else { return Err(format!("not one certificate: {answer}").into()) };
    ensure!(seen.starts_with("By=spiffe://cluster.local/ns/traffic/sa/server;Hash="), "{seen}");
    ensure!(seen.ends_with("URI=spiffe://cluster.local/ns/traffic/sa/client"), "{seen}");
    ensure!(!seen.contains("boss"), "{seen}");
    Ok(())
}

fn refused(mesh: &Installed) -> Outcome {
    traffic::ready(mesh)?;
    mesh.namespace(OUTSIDE, "")?;
    mesh.apply(OUTSIDE, include_str!("traffic/pods.yaml"))?;
    mesh.rolled_out(OUTSIDE, &["deployment/client", "deployment/server"])?;
    for (protocol, port) in [("http", 80), ("http", 82), ("grpc", 7070), ("tcp", 9090), ("tcp", 9092)] {
        // Its own neighbours answer, so what is refused below is not broken by itself.
        let neighbour = format!("{protocol}://server:{port}");
        mesh.cluster.wait_until("a call without mesh", LIMIT, || mesh.call(OUTSIDE, "client", &[&neighbour]))?;
        let answer = mesh.call(OUTSIDE, "client", &[&format!("{protocol}://server.{NAMESPACE}:{port}")]);
        let Err(error) = answer else { return Err(format!("{protocol}:{port} let in: {answer:?}").into()) };
        // The connection is closed without a word of the server.
        let broken = ["EOF", "reset"].iter().any(|word| error.contains(word)) && !error.contains("Hostname=");
        ensure!(broken, "{protocol}:{port} was not refused by the sidecar: {error}");
    }
    // The other way is open: a client of the mesh may call who has no sidecar.
    let answer = mesh.call(NAMESPACE, "client", &[&format!("http://server.{OUTSIDE}/")])?;
    answer.came_from("server")?;
    ensure!(answer.caller().is_none(), "mTLS with a pod without sidecar? {answer}");
    mesh.cluster.kubectl(&["delete", "namespace", OUTSIDE, "--wait=false"])?;
    Ok(())
}

fn probes(mesh: &Installed) -> Outcome {
    traffic::ready(mesh)?;
    mesh.apply(NAMESPACE, include_str!("traffic/probes.yaml"))?;
    mesh.rolled_out(NAMESPACE, &["deployment/well"])?;
    for container in ["http", "tcp", "grpc"] {
        mesh.cluster.wait_until(&format!("a failing probe of {container}"), LIMIT, || unhealthy(mesh, container))?;
    }
    let sick = &mesh.cluster.get(&format!("/api/v1/namespaces/{NAMESPACE}/pods/sick"))?["status"];
    for container in sick["containerStatuses"].as_array().into_iter().flatten() {
        ensure!(container["ready"] == false, "counts as ready: {container}");
    }
    let well = mesh.pod(NAMESPACE, "app=well")?;
    let well = &mesh.cluster.get(&format!("/api/v1/namespaces/{NAMESPACE}/pods/{well}"))?["status"];
    for container in well["containerStatuses"].as_array().into_iter().flatten() {
        ensure!(container["restartCount"] == 0 && container["ready"] == true, "{container}");
    }
    mesh.cluster.kubectl(&["delete", "--namespace", NAMESPACE, "--wait=false", "pod/sick", "deployment/well"])?;
    Ok(())
}

/// The kubelet reports that the sidecar told of a probe that failed.
fn unhealthy(mesh: &Installed, container: &str) -> Result<(), String> {
    let selector = "involvedObject.name=sick,reason=Unhealthy";
    let path = format!("/api/v1/namespaces/{NAMESPACE}/events?fieldSelector={selector}");
    let events = mesh.cluster.get(&path).map_err(|error| error.to_string())?;
    let field = format!("spec.containers{{{container}}}");
    let all = events["items"].as_array().into_iter().flatten();
    let mut of_it = all.filter(|event| event["involvedObject"]["fieldPath"] == field.as_str());
    let told = of_it.any(|event| event["message"].as_str().is_some_and(|message| message.contains("statuscode: 503")));
    if told { Ok(()) } else { Err(format!("{events}")) }
}
