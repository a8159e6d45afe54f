//! A cluster of both address families: Services, pods and names of IPv6 beside those of IPv4, through injected pods.

use std::net::{IpAddr, SocketAddr};

use libtest_mimic::Trial;

use crate::installed::{Installed, LIMIT, on_mesh};
use crate::{Outcome, ensure};

const NAMESPACE: &str = "families";
const CLIENT: &str = "spiffe://cluster.local/ns/families/sa/client";
/// Has an address of each family.
const BOTH: &str = r#"{"spec": {"ipFamilyPolicy": "PreferDualStack"}}"#;
/// The same pods under a name with an address of IPv6 alone, and under one that stands for the pods themselves.
const SERVICES: &str = "
apiVersion: v1
kind: Service
metadata: {name: six}
spec:
  ipFamilyPolicy: SingleStack
  ipFamilies: [IPv6]
  selector: {app: server}
  ports: [{name: http, port: 80, targetPort: 8080}, {name: tcp, port: 9090}]
---
apiVersion: v1
kind: Service
metadata: {name: pods}
spec:
  clusterIP: None
  ipFamilyPolicy: SingleStack
  ipFamilies: [IPv6]
  selector: {app: server}
  ports: [{name: http, port: 8080}]
";

pub fn tests() -> Vec<Trial> {
    vec![
        on_mesh("families::a_service_answers_at_both_of_its_addresses", both),
        on_mesh("families::a_name_that_has_ipv6_alone_is_called_there", by_name),
        on_mesh("families::strict_and_probes_hold_at_a_pods_ipv6_address", strict),
    ]
}

/// The namespace with its pods; made by the first test that asks.
fn ready(mesh: &Installed) -> Outcome {
    if mesh.cluster.get(&format!("/api/v1/namespaces/{NAMESPACE}")).is_err() {
        mesh.enrolled(NAMESPACE)?;
        mesh.apply(NAMESPACE, include_str!("traffic/pods.yaml"))?;
        mesh.apply(NAMESPACE, SERVICES)?;
        mesh.cluster.kubectl(&["patch", "service", "server", "--namespace", NAMESPACE, "--patch", BOTH])?;
    }
    Ok(mesh.rolled_out(NAMESPACE, &["deployment/client", "deployment/server"])?)
}

/// Two addresses, IPv4 first.
fn two(listed: &serde_json::Value, field: impl Fn(&serde_json::Value) -> Option<&str>) -> Result<[IpAddr; 2], String> {
    let all = listed.as_array().into_iter().flatten().filter_map(|item| field(item)?.parse().ok());
    match all.collect::<Vec<IpAddr>>().as_slice() {
        [v4, v6] if v4.is_ipv4() && v6.is_ipv6() => Ok([*v4, *v6]),
        _ => Err(format!("not an address of each family: {listed}")),
    }
}

fn server_pod(mesh: &Installed) -> Result<[IpAddr; 2], Box<dyn std::error::Error>> {
    let pod = mesh.pod(NAMESPACE, "app=server")?;
    let pod = mesh.cluster.get(&format!("/api/v1/namespaces/{NAMESPACE}/pods/{pod}"))?;
    Ok(two(&pod["status"]["podIPs"], |item| item["ip"].as_str())?)
}

fn both(mesh: &Installed) -> Outcome {
    ready(mesh)?;
    let service = mesh.cluster.get(&format!("/api/v1/namespaces/{NAMESPACE}/services/server"))?;
    for ip in two(&service["spec"]["clusterIPs"], |item| item.as_str())? {
        let answer = mesh.call(NAMESPACE, "client", &[&format!("http://{}/", SocketAddr::from((ip, 80)))])?;
        answer.came_from("server")?;
        ensure!(answer.caller() == Some(CLIENT), "{ip}: without mTLS: {answer}");
        for url in ["grpc", "tcp"] {
            let port = if url == "grpc" { 7070 } else { 9090 };
            mesh.call(NAMESPACE, "client", &[&format!("{url}://{}", SocketAddr::from((ip, port)))])?
                .came_from("server")?;
        }
    }
    // The pod itself, past its Service, where plain text is refused; and the pod by its own Service.
    for ip in server_pod(mesh)? {
        let url = format!("http://{}/", SocketAddr::from((ip, 8080)));
        mesh.call(NAMESPACE, "client", &[&url])?.came_from("server")?;
    }
    Ok(mesh.call(NAMESPACE, "server", &["http://six/"])?.came_from("server")?)
}

fn by_name(mesh: &Installed) -> Outcome {
    ready(mesh)?;
    for url in ["http://six/", "http://pods:8080/"] {
        let answer = mesh.call(NAMESPACE, "client", &[url])?;
        answer.came_from("server")?;
        ensure!(answer.caller() == Some(CLIENT), "{url}: without mTLS: {answer}");
    }
    Ok(mesh.call(NAMESPACE, "client", &["tcp://six:9090"])?.came_from("server")?)
}

/// The node has no certificate of the mesh.
fn strict(mesh: &Installed) -> Outcome {
    ready(mesh)?;
    let [_, v6] = server_pod(mesh)?;
    let ask = |port: u16, path: &str| {
        let stream = mesh.cluster.node().connect((v6, port).into(), LIMIT)?;
        stream.set_read_timeout(Some(LIMIT))?;
        lab::http::get(stream, "server", path, &[])
    };
    let refused = ask(8080, "/");
    ensure!(refused.is_err(), "plain text was let in: {refused:?}");
    for (port, path) in [(15021, "/healthz/ready"), (15020, "/app-health/echo/readyz")] {
        let answer = ask(port, path)?;
        ensure!(answer.status == 200, "[{v6}]:{port}{path}: {answer:?}");
    }
    Ok(())
}
