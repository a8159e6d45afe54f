//! Nothing is lost: under 300 requests a second, a quarter of them POSTs with a body and a tenth on new connections, what
//! happens in the life of a cluster happens, and not one request fails.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use citadel::TrustDomain;
use citadel::ca::CertificateAuthority;
use cluster::Component;
use lab::{Load, Summary};
use libtest_mimic::Trial;
use serde_json::json;

use crate::installed::{Installed, LIMIT, SYSTEM, on_mesh};
use crate::{Outcome, ensure, heavy};

const NAMESPACE: &str = "lossless";
/// Requests per second.
const RATE: u32 = 300;

pub fn tests() -> Vec<Trial> {
    vec![
        on_mesh("lossless::the_control_plane_is_deleted_and_comes_back", control_plane),
        on_mesh("lossless::kube_proxy_restarts", kube_proxy),
        on_mesh("lossless::the_api_server_is_away", api_server),
        on_mesh("lossless::a_deployment_rolls_to_a_new_version", new_version),
        on_mesh("lossless::a_service_scales_to_ten_and_back", scale),
        on_mesh("lossless::a_ca_is_plugged_in_and_the_control_plane_restarts", plugged_in),
    ]
}

/// Sends from the client's pod while something happens, and for a moment before and after it.
fn none_fails(
    mesh: &Installed,
    what: &str,
    happens: impl FnOnce() -> Result<(), String> + Send,
) -> Result<Summary, String> {
    let target = ready(mesh)?;
    let load = Load { rate: Some(RATE), ..Load::steady(target, "web") };
    let client = mesh.network(NAMESPACE, "app=client")?;
    let started = Instant::now();
    let (summary, happened) = load.run(&client, || {
        // Not for anything to become ready: what is to be seen is a load that was there before, and goes on after.
        let moment = Duration::from_secs(1);
        std::thread::sleep(moment);
        let happened = happens();
        std::thread::sleep(moment);
        happened
    });
    println!("  {what}: {:.0} s, {}, {} slow", started.elapsed().as_secs_f32(), summary.told(), summary.slow);
    happened?;
    let enough = started.elapsed().as_secs() * u64::from(RATE) * 9 / 10;
    if summary.sent < enough {
        return Err(format!("less than {enough} requests: {}", summary.told()));
    }
    if summary.failed() > 0 { Err(summary.told()) } else { Ok(summary) }
}

/// The namespace with its pods, and the address of the service.
fn ready(mesh: &Installed) -> Result<SocketAddr, String> {
    let told = |error: cluster::ClusterError| error.to_string();
    if mesh.cluster.get(&format!("/api/v1/namespaces/{NAMESPACE}")).is_err() {
        mesh.enrolled(NAMESPACE).map_err(told)?;
        mesh.apply(NAMESPACE, include_str!("lossless/pods.yaml")).map_err(told)?;
    }
    mesh.rolled_out(NAMESPACE, &["deployment/client", "deployment/web"]).map_err(told)?;
    mesh.address(NAMESPACE, "web", 80)
}

fn control_plane(mesh: &Installed) -> Outcome {
    let before = mesh.pod(SYSTEM, "app=meltemi")?;
    none_fails(mesh, "the control plane is deleted", || restarted(mesh))?;
    ensure!(mesh.pod(SYSTEM, "app=meltemi")? != before, "it was not deleted");
    Ok(())
}

/// Deletes the control plane, and waits until another one is there for the client's sidecar.
fn restarted(mesh: &Installed) -> Result<(), String> {
    let pod = mesh.pod(SYSTEM, "app=meltemi")?;
    let delete = ["delete", "pod", "--namespace", SYSTEM, "--wait", &pod];
    mesh.cluster.kubectl(&delete).map_err(|error| error.to_string())?;
    mesh.rolled_out(SYSTEM, &["deployment/meltemi"]).map_err(|error| error.to_string())?;
    connected(mesh)
}

/// Until the client's sidecar is connected to a control plane.
fn connected(mesh: &Installed) -> Result<(), String> {
    let pod = mesh.pod(NAMESPACE, "app=client")?;
    let look = || {
        let metrics = mesh.metrics(NAMESPACE, &pod)?;
        let line = metrics.lines().find(|line| line.starts_with("meltemi_control_plane_connected ")).map(str::to_owned);
        if line.as_deref() == Some("meltemi_control_plane_connected 1") { Ok(()) } else { Err(format!("{line:?}")) }
    };
    mesh.cluster
        .wait_until("a connected sidecar", LIMIT, look)
        .map_err(|error: cluster::ClusterError| error.to_string())
}

fn kube_proxy(mesh: &Installed) -> Outcome {
    let restart = || mesh.cluster.restart_component(Component::KubeProxy).map_err(|error| error.to_string());
    none_fails(mesh, "kube-proxy restarts", restart)?;
    Ok(())
}

fn api_server(mesh: &Installed) -> Outcome {
    let away = Duration::from_secs(if heavy() { 60 } else { 15 });
    none_fails(mesh, &format!("the API server is away for {} s", away.as_secs()), || {
        mesh.cluster.stop_component(Component::ApiServer);
        std::thread::sleep(away);
        mesh.cluster.start_component(Component::ApiServer).map_err(|error| error.to_string())
    })?;
    Ok(())
}

fn new_version(mesh: &Installed) -> Outcome {
    let summary = none_fails(mesh, "a Deployment of two rolls to a new version", || {
        let set = ["set", "env", "--namespace", NAMESPACE, "deployment/web", "APP_VERSION=v2"];
        mesh.cluster.kubectl(&set).map_err(|error| error.to_string())?;
        mesh.rolled_out(NAMESPACE, &["deployment/web"]).map_err(|error| error.to_string())?;
        pods_left(mesh, 2)
    })?;
    ensure!(summary.versions.keys().eq(["v1", "v2"]), "answered by {:?}", summary.versions);
    Ok(())
}

fn scale(mesh: &Installed) -> Outcome {
    let to = |replicas: u32| -> Result<(), String> {
        let scale = ["scale", "--namespace", NAMESPACE, "deployment/web", &format!("--replicas={replicas}")];
        mesh.cluster.kubectl(&scale).map_err(|error| error.to_string())?;
        mesh.rolled_out(NAMESPACE, &["deployment/web"]).map_err(|error| error.to_string())?;
        pods_left(mesh, replicas as usize)
    };
    to(1)?;
    none_fails(mesh, "a service scales 1 -> 10 -> 1", || to(10).and_then(|()| to(1)))?;
    Ok(())
}

/// A company's root takes the place of the mesh's own at once, which nobody has prepared; at the end it is the other way
/// round. Control planes that saw the change meet ones that did not; in the long form, pods with old and new certificates meet
/// each other, too.
fn plugged_in(mesh: &Installed) -> Outcome {
    let plugged = ["secret/cacerts", "--namespace", SYSTEM];
    none_fails(mesh, "a CA is plugged in and the control plane restarts", || {
        mesh.apply(SYSTEM, &cacerts()?).map_err(|error| error.to_string())?;
        both_roots(mesh)?;
        restarted(mesh)?;
        if heavy() {
            // The former CA signs for three minutes. Which one signed the new pods is not looked at.
            std::thread::sleep(Duration::from_secs(190));
        }
        mesh.cluster
            .kubectl(&["rollout", "restart", "deployment/web", "--namespace", NAMESPACE])
            .map_err(|error| error.to_string())?;
        mesh.rolled_out(NAMESPACE, &["deployment/web"]).map_err(|error| error.to_string())?;
        both_roots(mesh)?;
        mesh.cluster.kubectl(&[&["delete"], &plugged[..]].concat()).map_err(|error| error.to_string())?;
        restarted(mesh)?;
        both_roots(mesh)
    })?;
    Ok(())
}

/// The Secret of a CA that nobody knows yet.
fn cacerts() -> Result<String, String> {
    let (root, key) = CertificateAuthority::generate(&TrustDomain::default()).map_err(|error| error.to_string())?;
    let files = json!({ "ca-cert.pem": root, "ca-key.pem": *key, "root-cert.pem": root, "cert-chain.pem": root });
    let metadata = json!({ "name": "cacerts" });
    Ok(json!({ "apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": files }).to_string())
}

/// Until the pods are given the old root and the new one.
fn both_roots(mesh: &Installed) -> Result<(), String> {
    let path = format!("/api/v1/namespaces/{NAMESPACE}/configmaps/meltemi-ca-root-cert");
    let look = || {
        let map = mesh.cluster.get(&path).map_err(|error| error.to_string())?;
        let roots = map["data"]["root-cert.pem"].as_str().unwrap_or_default().matches("BEGIN").count();
        if roots == 2 { Ok(()) } else { Err(format!("{roots} roots")) }
    };
    mesh.cluster.wait_until("both roots", LIMIT, look).map_err(|error: cluster::ClusterError| error.to_string())
}

/// Until there are so many pods of the server, those that are ending included.
fn pods_left(mesh: &Installed, wanted: usize) -> Result<(), String> {
    let path = format!("/api/v1/namespaces/{NAMESPACE}/pods?labelSelector=app=web");
    let look = || {
        let pods = mesh.cluster.get(&path).map_err(|error| error.to_string())?;
        let count = pods["items"].as_array().map_or(0, Vec::len);
        if count == wanted { Ok(()) } else { Err(format!("{count} pods")) }
    };
    mesh.cluster
        .wait_until("as many pods as wanted", LIMIT, look)
        .map_err(|error: cluster::ClusterError| error.to_string())
}
