//! Faults, timeouts and retries happen as often as written, and never to a request whose policy does not allow it.

use std::time::{Duration, Instant};

use lab::{Lab, Load, Pod};
use libtest_mimic::Trial;

use crate::config::Config;
use crate::waiting::until;
use crate::{Outcome, ensure, test};

const ECHO: ([u8; 4], u16) = ([10, 96, 2, 10], 80);
const REQUESTS: u64 = 10_000;

pub fn tests() -> Vec<Trial> {
    vec![
        test("faults::aborts_and_delays_happen_as_often_as_written", injected),
        test("faults::retries_happen_as_written_and_never_repeat_a_post_that_may_not_be", retries),
        test("faults::a_mirror_gets_copies_and_the_client_no_answer_of_them", mirrored),
        test("faults::a_timeout_ends_a_slow_request", timeout),
        test("faults::header_edits_rewrites_and_redirects_are_seen", edits),
    ]
}

/// Routes with a mark in the response, and a wait until the mark is seen.
fn apply(config: &Config, lab: &Lab, mark: &str, rules: &str) -> Result<(), Box<dyn std::error::Error>> {
    let marked = format!(
        "    - match: [{{uri: {{exact: /mark}}}}]\n      directResponse: {{status: 200, body: {{string: {mark}}}}}\n{rules}"
    );
    config.echo_routes(&marked);
    let client = lab.pod("client")?;
    until("the new routes", Duration::from_secs(5), || {
        let text = client.get(ECHO, "/mark").map_err(|error| error.to_string())?.text();
        if text == mark { Ok(()) } else { Err(format!("/mark says {text:?}")) }
    })?;
    Ok(())
}

fn injected() -> Outcome {
    let config = Config::echo();
    let lab = config.start()?;
    let client = lab.pod("client")?;
    apply(
        &config,
        &lab,
        "abort",
        "    - fault: {abort: {httpStatus: 418, percentage: {value: 20}}}\n      route: [{destination: {host: echo}}]",
    )?;
    let (summary, ()) = Load::burst(ECHO, "echo", REQUESTS).run(client.namespaces(), || ());
    let aborted = *summary.statuses.get(&418).unwrap_or(&0);
    println!("aborted {aborted} of {REQUESTS}, written 20 %");
    within_chance(aborted, 0.2)?;

    apply(
        &config,
        &lab,
        "delay",
        "    - fault: {delay: {fixedDelay: 1100ms, percentage: {value: 10}}}\n      route: [{destination: {host: echo}}]",
    )?;
    let load = Load { connections: 200, ..Load::burst(ECHO, "echo", REQUESTS) };
    let (summary, ()) = load.run(client.namespaces(), || ());
    println!("delayed {} of {REQUESTS}, written 10 %", summary.slow);
    ensure!(summary.failed() == 0, "{}", summary.told());
    within_chance(summary.slow, 0.1)
}

/// Within four and a half standard deviations of a binomial distribution: one false alarm in 147,000.
fn within_chance(observed: u64, share: f64) -> Outcome {
    let expected = REQUESTS as f64 * share;
    let deviation = (REQUESTS as f64 * share * (1.0 - share)).sqrt();
    ensure!(
        (observed as f64 - expected).abs() < 4.5 * deviation,
        "{observed} of {REQUESTS}, expected {expected} ± {deviation:.0}"
    );
    Ok(())
}

fn retries() -> Outcome {
    let config = Config::echo();
    let lab = config.start()?;
    let client = lab.pod("client")?;
    let one = "route: [{destination: {host: echo, subset: v1}}]";
    let rule = format!("    - retries: {{attempts: 3, retryOn: \"503\"}}\n      {one}");
    apply(&config, &lab, "retry503", &rule)?;
    // (fails of the upstream, expected status, expected tries)
    for (fails, status, tries) in [(0, 200, 1), (1, 200, 2), (3, 200, 4), (4, 503, 4)] {
        let got = tried(client, "GET", &format!("retry-{fails}"), fails)?;
        ensure!(
            got == (status, tries),
            "{fails} failures: got (status, tries) {got:?}, expected {:?}",
            (status, tries)
        );
    }
    // A policy that names the status repeats a POST too: so says the API.
    let got = tried(client, "POST", "post-allowed", 1)?;
    ensure!(got == (200, 2), "a POST whose policy allows it: {got:?}");

    // A body larger than what is kept goes out once, and the client gets the answer that it got.
    let large = vec![b'x'; 200_000];
    let headers = [("x-request-id", "large"), ("echo-fail-first", "1")];
    let response = lab::http::request(client.connect(ECHO)?, "POST", "echo", "/", &headers, &large)?;
    let seen: serde_json::Value = serde_json::from_slice(&response.body)?;
    ensure!(response.status == 503 && seen["attempt"] == 1, "a large body: {} {seen}", response.status);

    // The default policy repeats nothing of which a byte may have been processed.
    apply(&config, &lab, "default", &format!("    - {one}"))?;
    for method in ["GET", "POST"] {
        let got = tried(client, method, &format!("default-{method}"), 1)?;
        ensure!(got == (503, 1), "{method} under the default policy: {got:?}");
    }
    apply(&config, &lab, "off", &format!("    - retries: {{attempts: 0}}\n      {one}"))?;
    let got = tried(client, "POST", "off", 1)?;
    ensure!(got == (503, 1), "a POST with retries off: {got:?}");
    Ok(())
}

/// Status, and tries that the upstream saw.
fn tried(client: &Pod, method: &str, id: &str, fails: u32) -> Result<(u16, u64), Box<dyn std::error::Error>> {
    let fails = fails.to_string();
    let headers = [("x-request-id", id), ("echo-fail-first", &fails)];
    let body: &[u8] = if method == "POST" { b"an order" } else { b"" };
    let response = lab::http::request(client.connect(ECHO)?, method, "echo", "/", &headers, body)?;
    let body: serde_json::Value = serde_json::from_slice(&response.body)?;
    Ok((response.status, body["attempt"].as_u64().unwrap_or(0)))
}

fn timeout() -> Outcome {
    let config = Config::echo();
    let lab = config.start()?;
    apply(&config, &lab, "timeout", "    - timeout: 300ms\n      route: [{destination: {host: echo}}]")?;
    let client = lab.pod("client")?;
    let started = Instant::now();
    let headers = [("echo-delay-ms", "3000")];
    let response = lab::http::get(client.connect(ECHO)?, "echo", "/", &headers)?;
    let took = started.elapsed();
    ensure!(response.status == 504, "status {}", response.status);
    ensure!(took >= Duration::from_millis(300) && took < Duration::from_millis(1500), "it took {took:?}");
    // A body that the upstream has taken does not keep the clock from starting.
    let started = Instant::now();
    let order = lab::http::request(client.connect(ECHO)?, "POST", "echo", "/", &headers, b"an order")?;
    ensure!(
        order.status == 504 && started.elapsed() < Duration::from_millis(1500),
        "a POST: {} after {:?}",
        order.status,
        started.elapsed()
    );
    let quick = lab::http::get(client.connect(ECHO)?, "echo", "/", &[("echo-delay-ms", "10")])?;
    ensure!(quick.status == 200, "a quick request ended with {}", quick.status);
    Ok(())
}

fn edits() -> Outcome {
    let config = Config::echo();
    let lab = config.start()?;
    let rules = "    - match: [{uri: {prefix: /old/}}]
      rewrite: {uri: /new/, authority: other.example}
      headers: {request: {set: {x-set: \"1\"}, add: {x-add: \"2\"}, remove: [x-gone]}, response: {set: {x-answer: \"3\"}, remove: [x-served-by]}}
      route: [{destination: {host: echo}}]
    - match: [{uri: {exact: /moved}}]
      redirect: {uri: /here, authority: there.example, redirectCode: 308}
    - route: [{destination: {host: echo}}]";
    apply(&config, &lab, "edits", rules)?;
    let client = lab.pod("client")?;
    let response = lab::http::get(client.connect(ECHO)?, "echo", "/old/page?q=1", &[("x-gone", "x"), ("x-add", "0")])?;
    let seen: serde_json::Value = serde_json::from_slice(&response.body)?;
    ensure!(seen["path"] == "/new/page?q=1", "the upstream saw path {}", seen["path"]);
    let headers = &seen["headers"];
    ensure!(headers["host"][0] == "other.example", "the upstream saw Host {}", headers["host"]);
    ensure!(headers["x-set"][0] == "1" && headers["x-gone"].is_null(), "the upstream saw {headers}");
    ensure!(headers["x-add"].as_array().is_some_and(|all| all.len() == 2), "x-add is {}", headers["x-add"]);
    ensure!(
        response.header("x-answer") == Some("3") && response.header("x-served-by").is_none(),
        "answer {:?}",
        response.headers
    );
    let moved = lab::http::get(client.connect(ECHO)?, "echo", "/moved", &[])?;
    let location = moved.header("location").unwrap_or_default().to_owned();
    ensure!(moved.status == 308 && location == "http://there.example/here", "{} to {location}", moved.status);
    Ok(())
}

fn mirrored() -> Outcome {
    let config = Config::echo();
    let lab = config.start()?;
    let rules = "    - mirror: {host: echo, subset: v2}\n      route: [{destination: {host: echo, subset: v1}}]";
    apply(&config, &lab, "mirror", rules)?;
    // What came before the routes were in force may have gone to either version.
    let before = requests_at(&lab, "echo-v2")?;
    let client = lab.pod("client")?;
    for (method, body) in [("GET", &b""[..]), ("POST", b"a body")] {
        let response = lab::http::request(client.connect(ECHO)?, method, "echo", "/", &[], body)?;
        ensure!(response.header("x-version") == Some("v1"), "answered by {:?}", response.header("x-version"));
    }
    until("the copies at v2", Duration::from_secs(10), || match requests_at(&lab, "echo-v2")? - before {
        2.0 => Ok(()),
        copies => Err(format!("{copies} copies")),
    })?;
    Ok(())
}

/// Requests that a pod's sidecar has let in.
fn requests_at(lab: &Lab, pod: &str) -> Result<f64, String> {
    let pod = lab.pod(pod).map_err(|error| error.to_string())?;
    let text = pod.admin("/stats/prometheus").map_err(|error| error.to_string())?.text();
    let lines = text.lines().filter(|line| line.starts_with("istio_requests_total{reporter=\"destination\""));
    Ok(lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum())
}
