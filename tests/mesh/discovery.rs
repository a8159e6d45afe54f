//! Discovery on demand: what a workload calls is found when it calls, and what does not exist is told apart.

use std::time::{Duration, Instant};

use libtest_mimic::Trial;

use crate::config::{Config, Replica};
use crate::waiting::until;
use crate::{Outcome, ensure, test};

const ECHO: ([u8; 4], u16) = ([10, 96, 2, 10], 80);

pub fn tests() -> Vec<Trial> {
    vec![
        test("discovery::a_new_service_is_reached_without_a_restart", new_service),
        test("discovery::a_new_destination_is_refused_with_a_reason_while_the_control_plane_is_away", away),
        test("discovery::a_host_without_an_address_does_not_take_the_port_from_services", host_only),
        test("discovery::metrics_name_both_ends", metrics),
    ]
}

fn new_service() -> Outcome {
    let config = Config::echo();
    let lab = config.start()?;
    let client = lab.pod("client")?;
    ensure!(client.get(ECHO, "/")?.status == 200, "echo cannot be reached");
    // The same pods under another name and address.
    let text = crate::config::service("late", "10.96.2.77", &[("http", 80, 8080)])
        .replace("{app: late}", "{app: echo}")
        + &crate::config::endpoints("late", &[("http", 80, 8080)], [("echo-v1", 11)].into_iter());
    config.write("late.yaml", &text);
    // A try before Pilot has read the file goes where it would without a mesh, and takes as long as that does.
    let response =
        until("the new service", Duration::from_secs(15), || match client.get(([10, 96, 2, 77], 80), "/") {
            Ok(response) if response.status == 200 => Ok(response),
            Ok(response) => Err(format!("status {}", response.status)),
            Err(error) => Err(error.to_string()),
        })?;
    ensure!(response.header("x-version") == Some("v1"), "answered by {:?}", response.headers);
    Ok(())
}

fn away() -> Outcome {
    let config = Config::echo();
    let other = [Replica { pod: "other", host: 41, version: "v1" }];
    config.app("other", "10.96.2.40", &[("http", 80, 8080)], &["echo"], &other);
    let mut options = config.options();
    options.proxy_args.extend(["--discovery-timeout".to_owned(), "1s".to_owned()]);
    let lab = lab::Lab::start(options)?;
    let client = lab.pod("client")?;
    ensure!(client.get(ECHO, "/")?.status == 200, "echo cannot be reached");
    lab.control_plane().kill();
    ensure!(client.get(ECHO, "/")?.status == 200, "a known destination is lost with the control plane");
    let started = Instant::now();
    let answer = client.get(([10, 96, 2, 40], 80), "/");
    ensure!(answer.is_err(), "a destination not met before was served: {answer:?}");
    ensure!(started.elapsed() < Duration::from_secs(4), "the refusal took {:?}", started.elapsed());
    let metrics = client.admin("/stats/prometheus")?.text();
    let counted =
        metrics.lines().any(|line| line.starts_with("meltemi_connections_refused_total{reason=\"undiscovered\"} 1"));
    ensure!(counted, "the refusal was not counted");
    lab.control_plane().start()?;
    until("the destination once the control plane is back", Duration::from_secs(15), || {
        match client.get(([10, 96, 2, 40], 80), "/") {
            Ok(response) if response.status == 200 => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })?;
    Ok(())
}

/// Once the listener for any address on port 80 is known, a service not met before must still be asked for.
fn host_only() -> Outcome {
    let config = Config::echo();
    config.mtls("STRICT");
    config.write(
        "outside.yaml",
        "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata:\n  name: outside\n  namespace: test\nspec:\n  \
         hosts: [outside.example]\n  ports: [{number: 80, name: http, protocol: HTTP}]\n  resolution: STATIC\n  \
         endpoints: [{address: 10.44.2.11, ports: {http: 8080}}]\n",
    );
    let lab = config.start()?;
    let client = lab.pod("client")?;
    let refused = lab::http::get(client.connect(([10, 44, 0, 1], 80))?, "outside.example", "/", &[]);
    println!("the host without an address: {:?}", refused.map(|response| response.status));
    let listeners = client.admin("/config_dump")?.text();
    ensure!(listeners.contains("0.0.0.0_80"), "the listener for any address is not known");
    let response = client.get(ECHO, "/")?;
    ensure!(response.status == 200, "a service met after it: {}", response.status);
    Ok(())
}

fn metrics() -> Outcome {
    let config = Config::echo();
    config.mtls("STRICT");
    let lab = config.start()?;
    let client = lab.pod("client")?;
    let wanted = |reporter: &str, policy: &str| {
        [
            format!("reporter=\"{reporter}\""),
            "source_workload=\"client\"".to_owned(),
            "source_canonical_service=\"client\"".to_owned(),
            "source_workload_namespace=\"test\"".to_owned(),
            "source_principal=\"spiffe://cluster.local/ns/test/sa/client\"".to_owned(),
            "destination_principal=\"spiffe://cluster.local/ns/test/sa/echo\"".to_owned(),
            "destination_service=\"echo.test.svc.cluster.local\"".to_owned(),
            "destination_service_name=\"echo\"".to_owned(),
            "destination_version=\"v1\"".to_owned(),
            "request_protocol=\"http\"".to_owned(),
            "response_code=\"200\"".to_owned(),
            format!("connection_security_policy=\"{policy}\""),
        ]
    };
    let has = |pod: &str, labels: &[String]| -> Result<(), String> {
        // Traffic tells the server's sidecar whom to ask about; the answer comes in the background.
        let _ = client.get(ECHO, "/");
        let text = lab
            .pod(pod)
            .map_err(|error| error.to_string())?
            .admin("/stats/prometheus")
            .map_err(|error| error.to_string())?
            .text();
        let lines: Vec<&str> = text.lines().filter(|line| line.starts_with("istio_requests_total{")).collect();
        match lines.iter().any(|line| labels.iter().all(|label| line.contains(label))) {
            true => Ok(()),
            false => Err(format!("no line with all of {labels:?} among {lines:#?}")),
        }
    };
    until("the client's metrics", Duration::from_secs(10), || has("client", &wanted("source", "unknown")))?;
    until("the server's metrics", Duration::from_secs(10), || has("echo-v1", &wanted("destination", "mutual_tls")))?;
    Ok(())
}
