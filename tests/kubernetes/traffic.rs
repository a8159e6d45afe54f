//! Real traffic through injected pods: every protocol, every kind of pod, and places outside the mesh. Nothing is tried
//! twice: a call that fails once fails the test.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};

use libtest_mimic::Trial;

use crate::installed::{Installed, LIMIT, on_mesh};
use crate::{Outcome, ensure};

const NAMESPACE: &str = "traffic";
const CLIENT: &str = "spiffe://cluster.local/ns/traffic/sa/client";

pub fn tests() -> Vec<Trial> {
    vec![
        on_mesh("traffic::http_grpc_websocket_and_tcp", protocols),
        on_mesh("traffic::a_server_that_speaks_first", server_first),
        on_mesh("traffic::a_program_that_listens_on_the_pods_address_alone", pod_address),
        on_mesh("traffic::a_peer_of_a_stateful_set_by_its_pods_name", stateful),
        on_mesh("traffic::a_pod_that_calls_itself_through_its_service", itself),
        on_mesh("traffic::calls_before_a_pod_is_ready_and_a_job_that_ends", early),
        on_mesh("traffic::a_pod_on_the_nodes_network_is_left_alone_and_reported", on_host),
        on_mesh("traffic::the_api_server_and_an_address_outside_the_mesh", outside),
    ]
}

/// The namespace with its pods; made by the first test that asks.
pub fn ready(mesh: &Installed) -> Outcome {
    if mesh.cluster.get(&format!("/api/v1/namespaces/{NAMESPACE}")).is_err() {
        mesh.enrolled(NAMESPACE)?;
        mesh.apply(NAMESPACE, include_str!("traffic/pods.yaml"))?;
        mesh.apply(NAMESPACE, include_str!("traffic/special.yaml"))?;
    }
    let workloads = ["deployment/client", "deployment/server", "statefulset/peer", "deployment/on-host"];
    Ok(mesh.rolled_out(NAMESPACE, &workloads)?)
}

fn protocols(mesh: &Installed) -> Outcome {
    ready(mesh)?;
    for (url, protocol) in [
        ("http://server/", "HTTP/1.1"),
        ("http://server.traffic.svc.cluster.local/", "HTTP/1.1"),
        ("grpc://server:7070", "GRPC"),
        ("ws://server/", "HTTP/1.1"),
        ("tcp://server:9090", "TCP"),
        ("tcp://server:9092", "TCP"),
    ] {
        let answer = mesh.call(NAMESPACE, "client", &[url])?;
        answer.came_from("server")?;
        ensure!(answer.field("Proto").is_none_or(|proto| proto == protocol), "{url}: another protocol: {answer}");
        let encrypted = protocol == "TCP" || answer.caller() == Some(CLIENT);
        ensure!(encrypted, "{url}: the server's sidecar saw no certificate of the client: {answer}");
    }
    let answer = mesh.call(NAMESPACE, "client", &["--http2", "http://server:83/"])?;
    answer.came_from("server")?;
    ensure!(answer.field("Proto") == Some("HTTP/2.0"), "HTTP/2 did not stay HTTP/2: {answer}");
    let answer = mesh.call(NAMESPACE, "client", &["--method=POST", "--count=20", "http://server/"])?;
    answer.came_from("server")?;
    Ok(())
}

fn server_first(mesh: &Installed) -> Outcome {
    ready(mesh)?;
    for url in ["tcp://server:9091", "tcp://server:9093"] {
        mesh.call(NAMESPACE, "client", &["--server-first", url])?.came_from("server")?;
    }
    Ok(())
}

fn pod_address(mesh: &Installed) -> Outcome {
    ready(mesh)?;
    let answer = mesh.call(NAMESPACE, "client", &["http://server:82/"])?;
    answer.came_from("server")?;
    ensure!(answer.field("ServicePort") == Some("8082"), "not the port that is bound to the pod's address: {answer}");
    ensure!(answer.caller() == Some(CLIENT), "without mTLS: {answer}");
    Ok(())
}

fn stateful(mesh: &Installed) -> Outcome {
    ready(mesh)?;
    for peer in ["peer-0", "peer-1"] {
        let answer = mesh.call(NAMESPACE, "client", &[&format!("http://{peer}.peers:8080/")])?;
        answer.came_from(peer)?;
        ensure!(answer.caller() == Some(CLIENT), "without mTLS: {answer}");
    }
    let answer = mesh.call(NAMESPACE, "peer", &["http://peer-1.peers.traffic.svc.cluster.local:8080/"])?;
    answer.came_from("peer-1")?;
    let answer = mesh.call(NAMESPACE, "client", &["http://peers:8080/"])?;
    answer.came_from("peer")?;
    Ok(())
}

fn itself(mesh: &Installed) -> Outcome {
    ready(mesh)?;
    let answer = mesh.call(NAMESPACE, "server", &["http://server/"])?;
    answer.came_from("server")?;
    mesh.call(NAMESPACE, "server", &["grpc://server:7070"])?.came_from("server")?;
    mesh.call(NAMESPACE, "server", &["tcp://server:9090"])?.came_from("server")?;
    // By its own address, as clustered programs do.
    let pod = mesh.pod(NAMESPACE, "app=server")?;
    let ip = &mesh.cluster.get(&format!("/api/v1/namespaces/{NAMESPACE}/pods/{pod}"))?["status"]["podIP"];
    let url = format!("http://{}:8080/", ip.as_str().unwrap_or_default());
    Ok(mesh.call(NAMESPACE, "server", &[&url])?.came_from("server")?)
}

fn early(mesh: &Installed) -> Outcome {
    ready(mesh)?;
    mesh.apply(NAMESPACE, include_str!("traffic/early.yaml"))?;
    mesh.rolled_out(NAMESPACE, &["deployment/early"])?;
    let pod = mesh.pod(NAMESPACE, "app=early")?;
    let status = &mesh.cluster.get(&format!("/api/v1/namespaces/{NAMESPACE}/pods/{pod}"))?["status"];
    for list in ["initContainerStatuses", "containerStatuses"] {
        for container in status[list].as_array().into_iter().flatten() {
            ensure!(container["restartCount"] == 0, "something went wrong the first time: {container}");
        }
    }
    // A Job is complete when its pod has ended, sidecar included.
    let wait = ["wait", "--namespace", NAMESPACE, "--for=condition=Complete", "--timeout=60s", "job/once"];
    mesh.cluster.kubectl(&wait)?;
    let pods = mesh.cluster.get(&format!("/api/v1/namespaces/{NAMESPACE}/pods?labelSelector=app=once"))?;
    let pod = &pods["items"][0];
    ensure!(pod["status"]["phase"] == "Succeeded", "{}", pod["status"]);
    let sidecar = pod["status"]["initContainerStatuses"].as_array().into_iter().flatten();
    let ended =
        sidecar.filter(|one| one["name"] == "istio-proxy").any(|one| one["state"]["terminated"]["exitCode"] == 0);
    ensure!(ended, "no sidecar that ended well: {}", pod["status"]["initContainerStatuses"]);
    let log = mesh.cluster.kubectl(&["logs", "--namespace", NAMESPACE, "job/once", "--container=asks"])?;
    ensure!(log.contains("StatusCode=200"), "the job's call: {log}");
    Ok(())
}

fn on_host(mesh: &Installed) -> Outcome {
    ready(mesh)?;
    let pod = mesh.pod(NAMESPACE, "app=on-host")?;
    let spec = &mesh.cluster.get(&format!("/api/v1/namespaces/{NAMESPACE}/pods/{pod}"))?["spec"];
    ensure!(spec["initContainers"].is_null(), "something was added: {spec}");
    let check = mesh.meltemi(&["check"])?;
    let told = |line: &str| line.contains("node's network") && line.contains(&format!("{NAMESPACE}/{pod}"));
    ensure!(check.lines().any(told), "not reported: {check}");
    // It is reached without mTLS, and is refused where mTLS is demanded.
    let answer = mesh.call(NAMESPACE, "client", &["http://on-host/"])?;
    ensure!(answer.field("StatusCode") == Some("200") && answer.caller().is_none(), "{answer}");
    let refused = mesh.call(NAMESPACE, "on-host", &["http://server/"]);
    ensure!(refused.is_err(), "a pod without sidecar was let in: {refused:?}");
    Ok(())
}

fn outside(mesh: &Installed) -> Outcome {
    ready(mesh)?;
    // Who it is does not matter here: it answers, over TLS of its own.
    let answer = mesh.call(NAMESPACE, "client", &["--insecure-skip-verify", "https://kubernetes.default/version"])?;
    ensure!(matches!(answer.field("StatusCode"), Some("200" | "401" | "403")), "not the API server: {answer}");
    let listener = TcpListener::bind((mesh.cluster.addresses().outside(), 0))?;
    let address = listener.local_addr()?;
    std::thread::scope(|scope| {
        let served = scope.spawn(|| serve_once(&listener));
        let answer = mesh.call(NAMESPACE, "client", &[&format!("http://{address}/elsewhere")]);
        if answer.is_err() {
            // So that the thread ends.
            let _ = std::net::TcpStream::connect_timeout(&address, LIMIT);
        }
        let answer = answer?;
        let (peer, request) = served.join().map_err(|_| "the server panicked")??;
        ensure!(answer.field("StatusCode") == Some("200"), "{answer}");
        ensure!(request.starts_with("GET /elsewhere HTTP/1.1\r\n"), "from {peer}: {request}");
        ensure!(!request.to_lowercase().contains("x-forwarded-client-cert"), "told outside who we are: {request}");
        Ok(())
    })
}

/// Answers one request, and tells what came.
fn serve_once(listener: &TcpListener) -> std::io::Result<(SocketAddr, String)> {
    let (mut stream, peer) = listener.accept()?;
    stream.set_read_timeout(Some(LIMIT))?;
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        let mut piece = [0; 1024];
        match stream.read(&mut piece)? {
            0 => break,
            read => request.extend_from_slice(&piece[..read]),
        }
    }
    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")?;
    Ok((peer, String::from_utf8_lossy(&request).into_owned()))
}
