//! IPv6 beside IPv4, and alone: captured, routed, secured and served as the other family is.

use std::io::Read;
use std::net::{Ipv6Addr, SocketAddr};
use std::process::Command;
use std::time::Duration;

use lab::{Lab, Pod};
use libtest_mimic::Trial;

use crate::config::{Config, NAMESPACE};
use crate::waiting::until;
use crate::wire::{carries, server_hellos};
use crate::{Outcome, ensure, envoy, test};

/// The Service `echo`, which names its IPv6 address first: its endpoints are called there.
const ECHO: [&str; 2] = ["[fd96::2:10]:80", "10.96.2.10:80"];
const ECHO_POD: Ipv6Addr = Ipv6Addr::new(0xfd44, 0, 0, 0, 0, 0, 2, 0x11);
/// The Service `stock`, which names its IPv4 address first, and whose server speaks first.
const STOCK: [&str; 2] = ["10.96.2.30:9000", "[fd96::2:30]:9000"];
/// The Service `six` and its pod, which have no IPv4 address.
const SIX: &str = "[fd96::2:60]:80";
const SIX_POD: Ipv6Addr = Ipv6Addr::new(0xfd44, 0, 0, 0, 0, 0, 2, 0x61);
/// How long a call may take: nothing here may wait for a limit to pass.
const SOON: Duration = Duration::from_secs(5);

pub fn tests() -> Vec<Trial> {
    vec![
        test("dual_stack::http_and_tcp_go_by_mtls_to_services_and_pods_of_both_families", both),
        test("dual_stack::strict_refuses_plaintext_over_ipv6_and_permissive_serves_it", modes),
        test("dual_stack::a_pod_without_ipv4_calls_is_called_and_is_probed", alone),
        test("dual_stack::an_address_outside_the_mesh_is_passed_through", outside),
        test("dual_stack::where_one_family_does_not_answer_the_other_is_called", fallback),
        test("dual_stack::envoy_takes_part_on_both_sides", with_envoy),
    ]
}

fn world() -> Config {
    let config = Config::new();
    let both = |number: &str| vec![format!("10.44.2.{number}"), format!("fd44::2:{number}")];
    for (name, sidecar) in [("client", true), ("outsider", false)] {
        let number = if sidecar { "2" } else { "99" };
        config.write(&format!("{name}.yaml"), &pod(name, "none", &both(number), None, sidecar));
    }
    for (name, vips, addresses, port, target) in [
        ("echo", ["fd96::2:10", "10.96.2.10"].as_slice(), both("11"), 80, 8080),
        ("stock", ["10.96.2.30", "fd96::2:30"].as_slice(), both("31"), 9000, 7000),
        ("six", ["fd96::2:60"].as_slice(), vec![SIX_POD.to_string()], 80, 8080),
    ] {
        let role = if name == "stock" { "stock" } else { "echo" };
        let protocol = if name == "stock" { "tcp" } else { "http" };
        let mut text = service(name, vips, &format!("{{name: {protocol}, port: {port}, targetPort: {target}}}"));
        for address in &addresses {
            text.push_str(&slice(name, address, &format!("{{name: {protocol}, port: {target}}}")));
        }
        text.push_str(&pod(name, role, &addresses, Some(target), true));
        config.write(&format!("{name}.yaml"), &text);
    }
    config.mtls("STRICT");
    config
}

fn service(name: &str, vips: &[&str], port: &str) -> String {
    let vips: Vec<String> = vips.iter().map(|vip| format!("\"{vip}\"")).collect();
    format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{name: {name}, namespace: {NAMESPACE}}}\nspec:\n  clusterIP: {}\n  \
         clusterIPs: [{}]\n  selector: {{app: {name}}}\n  ports: [{port}]\n---\n",
        vips[0],
        vips.join(", ")
    )
}

fn slice(name: &str, address: &str, port: &str) -> String {
    let family = if address.contains(':') { "IPv6" } else { "IPv4" };
    format!(
        "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata:\n  name: {name}-{}\n  namespace: {NAMESPACE}\n  \
         labels: {{kubernetes.io/service-name: {name}}}\naddressType: {family}\nports: [{port}]\nendpoints:\n  \
         - addresses: [\"{address}\"]\n    targetRef: {{kind: Pod, name: {name}, namespace: {NAMESPACE}}}\n---\n",
        family.to_lowercase()
    )
}

fn pod(name: &str, role: &str, addresses: &[String], port: Option<u16>, sidecar: bool) -> String {
    let container = match port {
        Some(port) => format!("{{name: app, image: meltemi/shop, args: [{role}], ports: [{{containerPort: {port}}}]}}"),
        None => "{name: app, image: none, command: [sleep, infinity]}".to_owned(),
    };
    let ips: Vec<String> = addresses.iter().map(|address| format!("{{ip: \"{address}\"}}")).collect();
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata:\n  name: {name}\n  namespace: {NAMESPACE}\n  \
         labels: {{app: {name}, sidecar.istio.io/inject: \"{sidecar}\"}}\nspec:\n  serviceAccountName: {name}\n  \
         containers: [{container}]\nstatus:\n  podIP: \"{}\"\n  podIPs: [{}]\n---\n",
        addresses[0],
        ips.join(", ")
    )
}

/// The status of a GET from a pod.
fn get(from: &Pod, address: impl Into<SocketAddr>, path: &str) -> Result<u16, String> {
    let address = address.into();
    let ask = || {
        let stream = from.connect(address)?;
        stream.set_read_timeout(Some(SOON))?;
        lab::http::get(stream, "echo", path, &[("x-secret", "the-plaintext")])
    };
    ask().map(|response| response.status).map_err(|error| format!("{address}: {error}"))
}

fn served(from: &Pod, address: impl Into<SocketAddr>) -> Outcome {
    let address = address.into();
    let status = get(from, address, "/")?;
    ensure!(status == 200, "{address} answered {status}");
    Ok(())
}

/// The server of `stock` speaks first.
fn greeted(from: &Pod, address: SocketAddr) -> Outcome {
    let mut stream = from.connect(address)?;
    stream.set_read_timeout(Some(SOON))?;
    let mut greeting = [0; 5];
    stream.read_exact(&mut greeting).map_err(|error| format!("{address}: {error}"))?;
    ensure!(&greeting == b"stock", "{address} said {greeting:?}");
    Ok(())
}

fn both() -> Outcome {
    let config = world();
    let lab = config.start()?;
    let client = lab.pod("client")?;
    let capture = lab.pod("echo")?.capture()?;
    for vip in ECHO {
        served(client, vip.parse::<SocketAddr>()?)?;
    }
    served(client, (ECHO_POD, 8080))?;
    // By its own Service, and by its own address.
    let echo = lab.pod("echo")?;
    served(echo, ECHO[0].parse::<SocketAddr>()?)?;
    served(echo, (ECHO_POD, 8080))?;
    let seen = capture.stop().on_wire();
    let at_pod = SocketAddr::from((ECHO_POD, 8080));
    let six: Vec<_> = seen.into_iter().filter(|s| s.source == at_pod || s.destination == at_pod).collect();
    let hellos = server_hellos(&six);
    println!("{} segments of {at_pod}, ServerHellos {hellos:x?}", six.len());
    ensure!(!hellos.is_empty() && hellos.iter().all(|hello| hello.version == 0x0304), "{hellos:x?}");
    for text in ["the-plaintext", "HTTP/1.1"] {
        ensure!(!carries(&six, text.as_bytes()), "{text:?} crossed the wire in plaintext");
    }
    for vip in STOCK {
        greeted(client, vip.parse()?)?;
    }
    logged(client, "\"[fd44::2:11]:8080\"")?;
    logged(client, "10.44.2.31:7000")?;
    logged(client, "[fd96::2:10]:80")
}

/// The access log of a pod's sidecar has a line with this text.
fn logged(pod: &Pod, text: &str) -> Outcome {
    until("the access log", SOON, || {
        let log = pod.sidecar().ok_or("no sidecar")?.log_tail(50);
        if log.contains(text) { Ok(()) } else { Err(format!("no {text} in\n{log}")) }
    })?;
    Ok(())
}

fn modes() -> Outcome {
    let config = world();
    let lab = config.start()?;
    let outsider = lab.pod("outsider")?;
    let refused = get(outsider, (ECHO_POD, 8080), "/");
    ensure!(refused.is_err(), "a client without a certificate was served under STRICT: {refused:?}");
    let metrics = lab.pod("echo")?.admin("/stats/prometheus")?.text();
    let counted = "meltemi_connections_refused_total{reason=\"no_filter_chain\"}";
    ensure!(metrics.lines().any(|line| line.starts_with(counted)), "{counted} is not among the metrics");
    served(lab.pod("client")?, (ECHO_POD, 8080))?;
    config.mtls("PERMISSIVE");
    until("PERMISSIVE", SOON, || get(outsider, (ECHO_POD, 8080), "/"))?;
    served(outsider, (ECHO_POD, 8080))
}

const PROBES: &str = r#"{"/app-health/app/livez":{"httpGet":{"path":"/","port":8080}}}"#;

fn alone() -> Outcome {
    let config = world();
    let mut options = config.options();
    options.proxy_args.extend(["--app-probers", PROBES].map(str::to_owned));
    let lab = Lab::start(options)?;
    let six = lab.pod("six")?;
    served(lab.pod("client")?, SIX.parse::<SocketAddr>()?)?;
    served(lab.pod("client")?, (SIX_POD, 8080))?;
    // `echo` names IPv6 first, `stock` IPv4: that pod can call either.
    served(six, ECHO[0].parse::<SocketAddr>()?)?;
    greeted(six, STOCK[1].parse()?)?;
    let outsider = lab.pod("outsider")?;
    for (port, path) in [(15021, "/healthz/ready"), (15020, "/stats/prometheus"), (15020, "/app-health/app/livez")] {
        let status = get(outsider, (SIX_POD, port), path)?;
        ensure!(status == 200, "port {port}, {path}: {status}");
    }
    // An application that is there for this address alone.
    six.stop_app();
    let listener = six.listen((SIX_POD, 8080))?;
    let answering = std::thread::spawn(move || -> std::io::Result<SocketAddr> {
        let (mut stream, peer) = listener.accept()?;
        std::io::Write::write_all(&mut stream, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")?;
        stream.read_to_end(&mut Vec::new())?;
        Ok(peer)
    });
    served(lab.pod("client")?, SIX.parse::<SocketAddr>()?)?;
    let peer = answering.join().expect("the application")?;
    ensure!(peer.ip() == Ipv6Addr::new(0, 0, 0, 0, 0, 0, 0, 6), "the application was called from {peer}");
    Ok(())
}

fn outside() -> Outcome {
    let config = world();
    let lab = config.start()?;
    let address = SocketAddr::from((Ipv6Addr::new(0xfd44, 0, 0, 0, 0, 0, 2, 0x99), 7777));
    let listener = lab.pod("outsider")?.listen(address)?;
    let answering = std::thread::spawn(move || -> std::io::Result<()> {
        let (mut stream, _) = listener.accept()?;
        std::io::Write::write_all(&mut stream, b"hello")
    });
    let mut stream = lab.pod("client")?.connect(address)?;
    stream.set_read_timeout(Some(SOON))?;
    let mut said = [0; 5];
    stream.read_exact(&mut said)?;
    ensure!(&said == b"hello", "{said:?}");
    answering.join().expect("the server")?;
    drop(stream);
    logged(lab.pod("client")?, "PassthroughCluster")?;
    // What was dialled is the sidecar itself: refused, not sent round in circles.
    let own = SocketAddr::from((Ipv6Addr::new(0xfd44, 0, 0, 0, 0, 0, 2, 2), 15001));
    let looped = get(lab.pod("outsider")?, own, "/");
    ensure!(looped.is_err(), "the capture port answered: {looped:?}");
    Ok(())
}

fn fallback() -> Outcome {
    let config = world();
    let lab = config.start()?;
    let client = lab.pod("client")?;
    let gone = lab.pod("echo")?.run(Command::new("ip").args(["addr", "del", "fd44::2:11/64", "dev", "eth0"]))?;
    ensure!(gone.status.success(), "{gone:?}");
    for vip in ECHO {
        served(client, vip.parse::<SocketAddr>()?)?;
    }
    Ok(())
}

fn with_envoy() -> Outcome {
    let config = world();
    let mut options = config.options();
    for pod in ["client", "six"] {
        options.sidecars.insert(pod.to_owned(), envoy::envoy()?);
    }
    let lab = Lab::start(options)?;
    // From Envoy to ours and to Envoy, and from ours to Envoy.
    let [client, echo] = [lab.pod("client")?, lab.pod("echo")?];
    for vip in ECHO.into_iter().chain([SIX]) {
        served(client, vip.parse::<SocketAddr>()?)?;
    }
    for vip in STOCK {
        greeted(client, vip.parse()?)?;
    }
    served(echo, SIX.parse::<SocketAddr>()?)?;
    served(lab.pod("six")?, ECHO[0].parse::<SocketAddr>()?)?;
    for pod in [client, lab.pod("six")?] {
        let refused = envoy::refused(pod)?;
        ensure!(refused.is_empty(), "{} refused resources: {refused:?}", pod.spec().name);
    }
    Ok(())
}
