//! Nothing is lost: under 500 requests a second, one in four a POST with a body and one in ten on a new connection,
//! what must happen in the life of a mesh happens, and not one request fails.

use std::time::Duration;

use lab::{Lab, Load, Summary};
use libtest_mimic::Trial;
use nix::sys::signal::Signal;

use crate::config::{Config, Replica};
use crate::waiting::until;
use crate::{Outcome, ensure, test};

const ECHO: ([u8; 4], u16) = ([10, 96, 2, 10], 80);

pub fn tests() -> Vec<Trial> {
    vec![
        test("lossless::the_control_plane_is_killed_and_comes_back", control_plane),
        test("lossless::certificates_are_renewed_every_five_seconds", renewal),
        test("lossless::a_replica_is_stopped_with_sigterm", replica),
        test("lossless::a_first_request_to_a_service_not_met_before", first_request),
    ]
}

fn none_failed(what: &str, summary: &Summary) -> Outcome {
    println!("{what}: {}", summary.told());
    ensure!(summary.sent > 500, "too little load to say anything: {}", summary.told());
    ensure!(summary.failed() == 0, "{}", summary.told());
    Ok(())
}

/// Until a sidecar's metric has at least this value.
fn metric(lab: &Lab, pod: &str, name: &str, wanted: impl Fn(f64) -> bool) -> Result<(), String> {
    until(name, Duration::from_secs(30), || {
        let text =
            lab.pod(pod).map_err(|e| e.to_string())?.admin("/stats/prometheus").map_err(|e| e.to_string())?.text();
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<f64>().ok());
        match value {
            Some(value) if wanted(value) => Ok(()),
            other => Err(format!("{name} is {other:?}")),
        }
    })
}

fn control_plane() -> Outcome {
    let config = Config::echo();
    let lab = config.start()?;
    let (summary, ended) = Load::steady(ECHO, "echo").run(lab.pod("client")?.namespaces(), || -> Result<(), String> {
        metric(&lab, "client", "meltemi_connections_accepted_total{direction=\"outbound\"} ", |accepted| {
            accepted > 50.0
        })?;
        lab.control_plane().kill();
        metric(&lab, "client", "meltemi_control_plane_connected ", |value| value == 0.0)?;
        std::thread::sleep(Duration::from_secs(3));
        lab.control_plane().start().map_err(|error| error.to_string())?;
        metric(&lab, "client", "meltemi_control_plane_connected ", |value| value == 1.0)?;
        std::thread::sleep(Duration::from_secs(1));
        Ok(())
    });
    ended?;
    none_failed("control plane killed and restarted", &summary)
}

fn renewal() -> Outcome {
    let config = Config::echo();
    let mut options = config.options();
    options.proxy_args.extend(["--certificate-ttl".to_owned(), "10s".to_owned()]);
    let lab = Lab::start(options)?;
    let (summary, ended) = Load::steady(ECHO, "echo").run(lab.pod("client")?.namespaces(), || {
        metric(&lab, "echo-v1", "meltemi_identity_renewals_total ", |renewals| renewals >= 4.0)
    });
    ended?;
    none_failed("certificates renewed every 5 s, three times under load", &summary)
}

/// Application and sidecar get SIGTERM at once, as pods do, while their endpoint is still in everybody's configuration;
/// a moment later it is taken out.
fn replica() -> Outcome {
    let config = Config::echo();
    let replicas = [
        Replica { pod: "echo-v1", host: 11, version: "v1" },
        Replica { pod: "echo-v2", host: 12, version: "v2" },
        Replica { pod: "echo-v3", host: 13, version: "v3" },
    ];
    config.app("echo", "10.96.2.10", &[("http", 80, 8080)], &["echo"], &replicas);
    let lab = config.start()?;
    let (summary, ended) = Load::steady(ECHO, "echo").run(lab.pod("client")?.namespaces(), || -> Result<(), String> {
        std::thread::sleep(Duration::from_secs(1));
        let pod = lab.pod("echo-v1").map_err(|error| error.to_string())?;
        for process in [pod.app(), pod.sidecar()].into_iter().flatten() {
            process.signal(Signal::SIGTERM);
        }
        std::thread::sleep(Duration::from_millis(300));
        config.app("echo", "10.96.2.10", &[("http", 80, 8080)], &["echo"], &replicas[1..]);
        let sidecar = pod.sidecar().ok_or("no sidecar")?;
        sidecar.wait(Duration::from_secs(10)).ok_or("the sidecar did not end within 10 s")?;
        std::thread::sleep(Duration::from_secs(1));
        Ok(())
    });
    ended?;
    none_failed("one replica of three stopped with SIGTERM", &summary)
}

fn first_request() -> Outcome {
    let config = Config::echo();
    let names = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"];
    for (number, name) in names.iter().enumerate() {
        let text = crate::config::service(name, &format!("10.96.3.{number}"), &[("http", 80, 8080)])
            .replace(&format!("{{app: {name}}}"), "{app: echo}")
            + &crate::config::endpoints(name, &[("http", 80, 8080)], [("echo-v1", 11), ("echo-v2", 12)].into_iter());
        config.write(&format!("{name}.yaml"), &text);
    }
    let lab = config.start()?;
    let (summary, failures) =
        Load::steady(ECHO, "echo").run(lab.pod("client")?.namespaces(), || -> Result<Vec<String>, String> {
            let client = lab.pod("client").map_err(|error| error.to_string())?;
            let mut failures = Vec::new();
            for number in 0..u8::try_from(names.len()).unwrap_or(0) {
                std::thread::sleep(Duration::from_millis(200));
                match client.get(([10, 96, 3, number], 80), "/") {
                    Ok(response) if response.status == 200 => {}
                    other => failures.push(format!("10.96.3.{number}: {other:?}")),
                }
            }
            Ok(failures)
        });
    let failures = failures?;
    ensure!(failures.is_empty(), "first requests failed: {failures:?}");
    none_failed("ten first requests to services not met before", &summary)
}
