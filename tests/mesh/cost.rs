//! Cost follows use: a sidecar that calls five services costs the same in a mesh of 100 and of 5,000, and what it does
//! not call sends it nothing.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use lab::Lab;
use libtest_mimic::Trial;

use crate::config::Config;
use crate::waiting::until;
use crate::{Outcome, ensure, test};

const CALLED: u8 = 5;

pub fn tests() -> Vec<Trial> {
    vec![
        test("cost::memory_is_equal_in_a_mesh_of_100_and_of_5000_services", memory),
        test("cost::an_endpoint_change_of_a_service_that_is_not_called_sends_nothing", silence),
        test("cost::hosts_without_an_address_are_nothing_to_who_calls_an_address", hosts),
    ]
}

/// Five services that are called (10.96.2.1 to .5, all served by echo) and so many more that are not.
fn mesh(services: usize) -> Config {
    let config = Config::echo();
    let ports = [("http", 80, 8080)];
    for number in 1..=CALLED {
        let name = format!("called-{number}");
        let text = crate::config::service(&name, &format!("10.96.4.{number}"), &ports)
            .replace(&format!("{{app: {name}}}"), "{app: echo}")
            + &crate::config::endpoints(&name, &ports, [("echo-v1", 11), ("echo-v2", 12)].into_iter());
        config.write(&format!("{name}.yaml"), &text);
    }
    let others: Vec<usize> = (0..services - usize::from(CALLED) - 1).collect();
    for (file, some) in others.chunks(250).enumerate() {
        let text: String = some.iter().map(|number| other(*number)).collect();
        config.write(&format!("others-{file}.yaml"), &text);
    }
    config
}

/// A service with three endpoints outside the lab.
fn other(number: usize) -> String {
    let name = format!("other-{number}");
    let (high, low) = (number / 250, number % 250 + 1);
    let mut text = crate::config::service(&name, &format!("10.100.{high}.{low}"), &[("http", 80, 8080)]);
    let _ = write!(
        text,
        "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata:\n  name: {name}\n  namespace: test\n  \
         labels: {{kubernetes.io/service-name: {name}}}\naddressType: IPv4\nports: [{{name: http, port: 8080}}]\nendpoints:\n"
    );
    for replica in 201..=203 {
        let _ = writeln!(text, "  - addresses: [10.{replica}.{high}.{low}]\n    conditions: {{ready: true}}");
    }
    text.push_str("---\n");
    text
}

/// Resident memory in KiB after the five services have been called.
fn resident(services: usize) -> Result<u64, Box<dyn std::error::Error>> {
    let config = mesh(services);
    let mut options = config.options();
    options.start_timeout = Duration::from_secs(120);
    let lab = Lab::start(options)?;
    let client = lab.pod("client")?;
    // What the start has mapped is let go a second after it; what counts is what the calls need.
    until("the end of the start", Duration::from_secs(10), || {
        let log = client.sidecar().ok_or("no sidecar")?.log_tail(100);
        if log.contains("the start is over") { Ok(()) } else { Err(log) }
    })?;
    for _ in 0..200 {
        for number in 1..=CALLED {
            let response = client.get(([10, 96, 4, number], 80), "/")?;
            if response.status != 200 {
                return Err(format!("10.96.4.{number} answered {}", response.status).into());
            }
        }
    }
    let memory = client.sidecar().ok_or("no sidecar")?.memory()?;
    println!("{services} services: {memory:?}");
    Ok(memory.rss / 1024)
}

fn memory() -> Outcome {
    let small = resident(100)?;
    let large = resident(5_000)?;
    let ratio = large as f64 / small as f64;
    println!("resident: {small} KiB at 100 services, {large} KiB at 5,000: ratio {ratio:.3}");
    ensure!((0.95..=1.05).contains(&ratio), "resident memory {small} KiB at 100 services, {large} KiB at 5,000");
    Ok(())
}

/// Everything that the control plane ever sent to the client's sidecar.
fn updates(lab: &Lab) -> Result<f64, Box<dyn std::error::Error>> {
    let text = lab.pod("client")?.admin("/stats/prometheus")?.text();
    let values = text
        .lines()
        .filter_map(|line| line.strip_prefix("meltemi_xds_updates_total{")?.rsplit(' ').next()?.parse::<f64>().ok());
    Ok(values.sum())
}

fn silence() -> Outcome {
    let config = mesh(100);
    let lab = config.start()?;
    let client = lab.pod("client")?;
    ensure!(client.get(([10, 96, 4, 1], 80), "/")?.status == 200, "a called service does not answer");
    let before = updates(&lab)?;
    let ports = [("http", 80, 8080)];
    let other = |pods: &[(&'static str, u8)]| {
        crate::config::service("other-new", "10.96.5.1", &ports)
            + &crate::config::endpoints("other-new", &ports, pods.iter().copied())
    };
    config.write("other-new.yaml", &other(&[("echo-v1", 11)]));
    config.write("other-new.yaml", &other(&[("echo-v1", 11), ("echo-v2", 12)]));
    // A change that does concern it comes after: when it has arrived, the others have had their time.
    let called = crate::config::service("called-1", "10.96.4.1", &ports).replace("{app: called-1}", "{app: echo}")
        + &crate::config::endpoints("called-1", &ports, [("echo-v2", 12)].into_iter());
    config.write("called-1.yaml", &called);
    until("the change of a called service", Duration::from_secs(5), || {
        for _ in 0..10 {
            let response = client.get(([10, 96, 4, 1], 80), "/").map_err(|error| error.to_string())?;
            if response.header("x-version") != Some("v2") {
                return Err(format!("answered by {:?}", response.header("x-version")));
            }
        }
        Ok(())
    })?;
    let after = updates(&lab)?;
    ensure!(after - before == 1.0, "{} messages came for one change that concerns the sidecar", after - before);
    Ok(())
}

/// Hosts without an address share the listener of their port; who calls a Service of that port needs none of them.
fn hosts() -> Outcome {
    let config = Config::echo();
    let names: String = (0..250).map(|number| format!("host-{number}.example, ")).collect();
    let entry = format!(
        "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {{name: hosts, namespace: test}}\nspec:\n  \
         hosts: [{names}]\n  ports: [{{name: http, number: 80, protocol: HTTP}}]\n  resolution: STATIC\n  \
         endpoints: [{{address: 10.44.2.11, ports: {{http: 8080}}}}]\n"
    );
    config.write("hosts.yaml", &entry);
    let lab = config.start()?;
    let client = lab.pod("client")?;
    let listeners = || -> Result<String, Box<dyn std::error::Error>> { Ok(client.admin("/config_dump")?.text()) };
    ensure!(client.get(([10, 96, 2, 10], 80), "/")?.status == 200, "a called service does not answer");
    let known = listeners()?;
    ensure!(known.contains("10.96.2.10_80") && !known.contains("host-1.example"), "{known}");
    let started = Instant::now();
    let answer = lab::http::get(client.connect(([192, 0, 2, 1], 80))?, "host-1.example", "/", &[])?;
    println!("250 hosts without an address are learnt with the first call in {:?}", started.elapsed());
    ensure!(answer.status == 200, "a host without an address answers {}", answer.status);
    ensure!(listeners()?.contains("host-1.example"), "the answer did not come by its route");
    Ok(())
}
