//! Out of file descriptors, or without an upstream: clients are told or closed, nothing ends, and service is whole again
//! within a second after the cause ends.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use lab::{Lab, Pod};
use libtest_mimic::Trial;

use crate::config::{Config, Replica};
use crate::waiting::until;
use crate::{Outcome, ensure, meltemi, test};

const ECHO: ([u8; 4], u16) = ([10, 96, 2, 10], 80);
const ECHO_POD: ([u8; 4], u16) = ([10, 44, 2, 11], 8080);
/// Open files of every sidecar here.
const LIMIT: u32 = 192;
const AGAIN: Duration = Duration::from_secs(1);

pub fn tests() -> Vec<Trial> {
    vec![
        test("descriptors::the_limit_of_open_files_is_raised_to_what_the_system_allows", raised),
        test("descriptors::a_proxy_out_of_them_tells_its_clients_and_recovers_within_a_second", exhausted),
        test("descriptors::an_upstream_that_is_gone_gives_503_and_service_is_back_within_a_second", upstream_gone),
    ]
}

/// One echo, a client, and an outsider without a sidecar.
fn config() -> Config {
    let config = Config::new();
    config.client("client", 2, true);
    config.client("outsider", 99, false);
    let echo = [Replica { pod: "echo", host: 11, version: "v1" }];
    config.app("echo", "10.96.2.10", &[("http", 80, 8080)], &["echo"], &echo);
    config
}

/// A lab whose sidecars start with these limits, soft and hard.
fn limited(config: &Config, soft: u32, hard: u32) -> Result<Lab, Box<dyn std::error::Error>> {
    let wrapper = tempfile::Builder::new().suffix(".sh").tempfile()?.into_temp_path();
    let program = meltemi();
    let program = program.display();
    let text = format!(
        "#!/bin/sh\n[ \"$1\" != proxy ] || exec prlimit --nofile={soft}:{hard} {program} \"$@\"\nexec {program} \"$@\"\n"
    );
    fs::write(&wrapper, text)?;
    fs::set_permissions(&wrapper, fs::Permissions::from_mode(0o755))?;
    let mut options = config.options();
    options.meltemi = wrapper.keep()?;
    Ok(Lab::start(options)?)
}

fn raised() -> Outcome {
    let config = config();
    let lab = limited(&config, LIMIT, 4096)?;
    let pid = lab.pod("client")?.sidecar().ok_or("no sidecar")?.pid();
    let limits = fs::read_to_string(format!("/proc/{pid}/limits"))?;
    let files = limits.lines().find(|line| line.starts_with("Max open files")).unwrap_or_default();
    let both: Vec<&str> = files.split_whitespace().skip(3).take(2).collect();
    ensure!(both == ["4096", "4096"], "soft and hard limit: {both:?}");
    Ok(())
}

/// How a request on a connection of its own ended.
#[derive(Debug, Clone, PartialEq, Eq)]
enum End {
    Answered(u16, String),
    Closed,
    Waiting,
}

fn ask(stream: &mut TcpStream, headers: &str) -> std::io::Result<()> {
    stream.write_all(format!("GET / HTTP/1.1\r\nHost: echo\r\n{headers}\r\n").as_bytes())
}

fn end(stream: &mut TcpStream, patience: Duration) -> End {
    stream.set_read_timeout(Some(patience)).expect("a timeout");
    let mut answer = vec![0; 4096];
    match stream.read(&mut answer) {
        Ok(0) => End::Closed,
        Ok(n) => {
            let text = String::from_utf8_lossy(&answer[..n]).into_owned();
            End::Answered(text.get(9..12).and_then(|status| status.parse().ok()).unwrap_or(0), text)
        }
        Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => End::Waiting,
        Err(_) => End::Closed,
    }
}

/// Opens so many connections that each ask for something, and says how each began to end.
fn crowd(pod: &Pod, target: ([u8; 4], u16), headers: &str) -> std::io::Result<Vec<(TcpStream, End)>> {
    let mut open = Vec::new();
    for _ in 0..2 * LIMIT {
        let mut stream = pod.connect(target)?;
        // One that is closed already does not take it.
        let _ = ask(&mut stream, headers);
        open.push(stream);
    }
    Ok(open
        .into_iter()
        .map(|mut stream| {
            let end = end(&mut stream, Duration::from_secs(5));
            (stream, end)
        })
        .collect())
}

fn whole_again(pod: &Pod, target: ([u8; 4], u16)) -> Outcome {
    let started = Instant::now();
    until("service", Duration::from_secs(10), || match lab::http::get(pod.connect(target)?, "echo", "/", &[]) {
        Ok(response) if response.status == 200 => Ok(()),
        other => Err(std::io::Error::other(format!("{other:?}"))),
    })?;
    let took = started.elapsed();
    println!("whole again after {took:?}");
    ensure!(took < AGAIN, "service was whole again after {took:?}");
    Ok(())
}

fn exhausted() -> Outcome {
    let config = config();
    let lab = limited(&config, LIMIT, LIMIT)?;
    let cases = [
        // Kept-alive connections at the server's sidecar; requests that wait, at the client's.
        ("the server's sidecar", "outsider", ECHO_POD, "echo", ""),
        ("the client's sidecar", "client", ECHO, "client", "echo-delay-ms: 1500\r\n"),
    ];
    for (what, from, target, sidecar, headers) in cases {
        let (from, sidecar) = (lab.pod(from)?, lab.pod(sidecar)?);
        let all = crowd(from, target, headers)?;
        let count = |wanted: &dyn Fn(&End) -> bool| all.iter().filter(|(_, end)| wanted(end)).count();
        let served = count(&|end| matches!(end, End::Answered(200, _)));
        let told = count(&|end| matches!(end, End::Answered(503, _)));
        let closed = count(&|end| *end == End::Closed);
        println!("{what}: of {} connections {served} served, {told} told 503, {closed} closed", all.len());
        if let Some((_, End::Answered(503, text))) = all.iter().find(|(_, end)| matches!(end, End::Answered(503, _))) {
            println!("{text}");
        }
        ensure!(served + told + closed == all.len(), "{what}: left without an answer: {:?}", all.first());
        ensure!(served > 0 && told + closed > 0, "{what}: {served} served, {told} told, {closed} closed");
        // What the operator asks is answered all the while.
        let ready = sidecar.admin("/ready")?;
        ensure!(ready.status == 200, "{what}: readiness is {}", ready.status);
        let text = sidecar.admin("/stats/prometheus")?.text();
        let counted = text
            .lines()
            .any(|line| line.starts_with("meltemi_connections_refused_total{reason=\"out_of_descriptors\"}"));
        ensure!(counted || told > 0, "{what}: nothing was counted");
        drop(all);
        whole_again(from, target)?;
        lab.check()?;
    }
    Ok(())
}

fn upstream_gone() -> Outcome {
    let config = config();
    let lab = config.start()?;
    let (client, echo) = (lab.pod("client")?, lab.pod("echo")?);
    ensure!(client.get(ECHO, "/")?.status == 200, "echo does not answer");
    echo.stop_app();
    let gone = client.get(ECHO, "/")?;
    ensure!(gone.status == 503, "an upstream that is gone gives {}", gone.status);
    ensure!(!gone.body.is_empty(), "the 503 says nothing: {gone:?}");
    println!("gone: {}", gone.text());
    echo.start_app()?;
    whole_again(client, ECHO)
}
