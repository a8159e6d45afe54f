//! The cluster itself: what it must do before a mesh on it means anything.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use cluster::{Cluster, Component, Options, ProxyMode, echo};
use libtest_mimic::Trial;

use crate::shared::shared;
use crate::{Outcome, ensure, test, workloads};

pub fn tests() -> Vec<Trial> {
    vec![
        test("basics::pods_reach_services_by_name_and_programs_run_in_them", services),
        test("basics::pods_reach_what_is_outside_by_the_name_that_a_test_gave_it", outside),
        test("basics::parts_of_the_control_plane_go_and_come_back_while_pods_go_on", parts_come_back),
        test(
            "basics::two_clusters_run_side_by_side_and_reach_one_another_by_either_family_and_either_proxy",
            two_clusters,
        ),
    ]
}

fn services() -> Outcome {
    let cluster = shared()?;
    let namespace = "services";
    let started = Instant::now();
    workloads::echo(cluster, namespace, "server")?;
    println!("a pod is ready after {:?}", started.elapsed());
    workloads::echo(cluster, namespace, "client")?;
    let client = workloads::pod(cluster, namespace, "client")?;
    for name in ["server", "server.services", "server.services.svc.cluster.local"] {
        workloads::reaches(cluster, namespace, &client, &format!("http://{name}/"), "server-")?;
    }
    workloads::reaches(cluster, namespace, &client, "http://client/", "client-")?;
    let nobody = workloads::call(cluster, namespace, &client, "http://nobody/");
    ensure!(nobody.is_err(), "a Service that does not exist answered: {nobody:?}");
    Ok(())
}

fn outside() -> Outcome {
    let cluster = shared()?;
    let namespace = "outside";
    workloads::echo(cluster, namespace, "client")?;
    let client = workloads::pod(cluster, namespace, "client")?;
    let address = cluster.addresses().outside();
    let listener = std::net::TcpListener::bind((address, 0))?;
    let port = listener.local_addr()?.port();
    cluster.name_outside("legacy.example", address.into())?;
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = std::io::Write::write_all(&mut stream, b"HTTP/1.1 418 I'm a teapot\r\ncontent-length: 0\r\n\r\n");
        }
    });
    let url = format!("http://legacy.example:{port}/");
    cluster.wait_until(&url, workloads::LIMIT, || match workloads::call(cluster, namespace, &client, &url) {
        Ok(answer) if answer.contains("StatusCode=418") => Ok(()),
        other => Err(format!("{other:?}")),
    })?;
    Ok(())
}

fn parts_come_back() -> Outcome {
    let cluster = shared()?;
    let namespace = "parts";
    workloads::echo(cluster, namespace, "server")?;
    let ip = cluster.kubectl(&[
        "get",
        "service",
        "server",
        "--namespace",
        namespace,
        "--output=jsonpath={.spec.clusterIP}",
    ])?;
    let service = SocketAddr::from((ip.parse::<Ipv4Addr>()?, 80));
    for component in [Component::ApiServer, Component::KubeProxy, Component::Kubelet, Component::Containerd] {
        let before = cluster.process(component);
        cluster.stop_component(component);
        ensure!(cluster.process(component).is_none(), "{component} still runs");
        answers(cluster, service).map_err(|error| format!("without {component}: {error}"))?;
        if component == Component::ApiServer {
            let refused = cluster.kubectl(&["get", "nodes"]);
            ensure!(refused.is_err(), "an API server that is away answered: {refused:?}");
        }
        cluster.start_component(component)?;
        ensure!(cluster.process(component) != before, "{component} is the same process as before");
    }
    // All of them are needed for this.
    workloads::echo(cluster, namespace, "after")?;
    Ok(())
}

/// A Service that asks for both families has an address of each, and both answer.
fn both_families(cluster: &Cluster, namespace: &str) -> Outcome {
    let both = r#"{"spec": {"ipFamilyPolicy": "RequireDualStack"}}"#;
    cluster.kubectl(&["patch", "service", "two", "--namespace", namespace, "--patch", both])?;
    let path = "--output=jsonpath={.spec.clusterIPs[*]}";
    let ips = cluster.kubectl(&["get", "service", "two", "--namespace", namespace, path])?;
    let ips = ips.split(' ').map(str::parse).collect::<Result<Vec<IpAddr>, _>>()?;
    ensure!(ips.iter().map(IpAddr::is_ipv6).eq([false, true]), "not an address of each family: {ips:?}");
    for ip in ips {
        let address = SocketAddr::from((ip, 80));
        cluster.wait_until(&format!("an answer of {address}"), workloads::LIMIT, || answers(cluster, address))?;
    }
    Ok(())
}

/// Whether a server answers 200 to the node.
fn answers(cluster: &Cluster, address: SocketAddr) -> Result<(), String> {
    let stream = cluster.node().connect(address, Duration::from_secs(2)).map_err(|error| error.to_string())?;
    let answer = lab::http::get(stream, "server", "/", &[]).map_err(|error| error.to_string())?;
    if answer.status == 200 { Ok(()) } else { Err(format!("{answer:?}")) }
}

fn two_clusters() -> Outcome {
    let first = shared()?;
    let second = Cluster::start(Options { proxy_mode: ProxyMode::Nftables, dual_stack: true })?;
    second.load(&echo(second.programs())?)?;
    let namespace = "neighbours";
    workloads::echo(first, namespace, "one")?;
    workloads::echo(&second, namespace, "two")?;
    let ip =
        second.kubectl(&["get", "pods", "--namespace", namespace, "--output=jsonpath={.items[0].status.podIP}"])?;
    let pod = workloads::pod(first, namespace, "one")?;
    workloads::reaches(first, namespace, &pod, &format!("http://{ip}:8080/"), "two-")?;
    both_families(&second, namespace)?;
    // Names and Services are each cluster's own.
    let pod = workloads::pod(&second, namespace, "two")?;
    workloads::reaches(&second, namespace, &pod, "http://two/", "two-")?;
    let stranger = workloads::call(&second, namespace, &pod, "http://one/");
    ensure!(stranger.is_err(), "a Service of the other cluster answered by its name: {stranger:?}");
    Ok(())
}
