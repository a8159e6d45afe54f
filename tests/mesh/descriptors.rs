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
        test("descriptors::a_proxy_that_has_none_left_for_upstreams_says_so_in_its_503", none_for_upstreams),
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

/// What a 503 of a proxy that is out of them says.
fn named() -> String {
    format!(
        "reset reason: remote connection failure, transport failure reason: cannot connect to 10.44.2.11:8080: \
         no descriptor is left of {LIMIT} open files (RLIMIT_NOFILE)"
    )
}

/// How a request on a connection of its own ended.
#[derive(Debug, Clone, PartialEq, Eq)]
enum End {
    Answered(u16, String),
    Closed,
    Waiting,
}

fn ask(stream: &mut TcpStream, headers: &str) {
    // One that is closed already does not take it.
    let _ = stream.write_all(format!("GET / HTTP/1.1\r\nHost: echo\r\n{headers}\r\n").as_bytes());
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

/// Connections that are kept, and how each began to end.
struct Crowd {
    ends: Vec<End>,
    _open: Vec<TcpStream>,
}

impl Crowd {
    /// Opens so many that each ask for something.
    fn ask(pod: &Pod, target: ([u8; 4], u16), headers: &str) -> std::io::Result<Self> {
        let mut open = Vec::new();
        for _ in 0..2 * LIMIT {
            let mut stream = pod.connect(target)?;
            ask(&mut stream, headers);
            open.push(stream);
        }
        Ok(Self::wait(open))
    }

    fn wait(mut open: Vec<TcpStream>) -> Self {
        let ends = open.iter_mut().map(|stream| end(stream, Duration::from_secs(5))).collect();
        Self { ends, _open: open }
    }

    /// Each must have been served, told why not, or closed: so many of each.
    fn judge(&self, what: &str) -> Result<(usize, usize, usize), String> {
        let (mut served, mut told, mut closed) = (0, 0, 0);
        for end in &self.ends {
            match end {
                End::Answered(200, _) => served += 1,
                End::Answered(503, text) if text.contains(&named()) => told += 1,
                End::Closed => closed += 1,
                other => return Err(format!("{what}: a client got {other:?}")),
            }
        }
        println!("{what}: of {} connections {served} served, {told} told 503, {closed} closed", self.ends.len());
        Ok((served, told, closed))
    }
}

/// A series of a sidecar, as far as its labels are named.
type Series<'a> = (&'a str, &'a [&'a str]);

const REFUSED: Series<'_> = ("meltemi_connections_refused_total", &["reason=\"out_of_descriptors\""]);
const UNREACHED: Series<'_> = ("istio_requests_total", &["response_code=\"503\"", "response_flags=\"UF\""]);

fn total(pod: &Pod, (name, labels): Series<'_>) -> Result<f64, String> {
    let text = pod.admin("/stats/prometheus").map_err(|error| error.to_string())?.text();
    let all = text.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix('{')?.rsplit_once("} "));
    let fitting = all.filter(|(of, _)| labels.iter().all(|label| of.split(',').any(|one| one == *label)));
    Ok(fitting.filter_map(|(_, value)| value.parse::<f64>().ok()).sum())
}

fn counts(pod: &Pod, series: Series<'_>, expected: usize) -> Result<(), String> {
    until(series.0, Duration::from_secs(5), || match total(pod, series)? {
        sum if sum == expected as f64 => Ok(()),
        sum => Err(format!("{:?} came to {sum}, not to {expected}", series.1)),
    })
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
        let all = Crowd::ask(from, target, headers)?;
        let (served, told, closed) = all.judge(what)?;
        ensure!(served > 0 && told + closed > 0, "{what}: {served} served, {told} told, {closed} closed");
        // What the operator asks is answered all the while.
        let ready = sidecar.admin("/ready")?;
        ensure!(ready.status == 200, "{what}: readiness is {}", ready.status);
        counts(sidecar, REFUSED, closed)?;
        drop(all);
        whole_again(from, target)?;
        lab.check()?;
    }
    Ok(())
}

fn none_for_upstreams() -> Outcome {
    let config = config();
    let lab = limited(&config, LIMIT, LIMIT)?;
    let (outsider, echo) = (lab.pod("outsider")?, lab.pod("echo")?);
    let mut open = (0..2 * LIMIT).map(|_| outsider.connect(ECHO_POD)).collect::<std::io::Result<Vec<_>>>()?;
    // When one is refused the others hold all that clients may have, more than is kept for upstreams.
    until("a client that is refused", Duration::from_secs(5), || match total(echo, REFUSED)? {
        0.0 => Err("all were taken".to_owned()),
        _ => Ok(()),
    })?;
    open.iter_mut().for_each(|stream| ask(stream, "echo-delay-ms: 1500\r\n"));
    let all = Crowd::wait(open);
    let (served, told, closed) = all.judge("none for upstreams")?;
    ensure!(served > 0 && told > 0, "{served} served, {told} told, {closed} closed");
    counts(echo, REFUSED, closed)?;
    counts(echo, UNREACHED, told)?;
    drop(all);
    whole_again(outsider, ECHO_POD)?;
    lab.check()?;
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
    let reason = "reset reason: remote connection failure, transport failure reason: cannot connect to 10.44.2.11:8080: \
                  Connection refused";
    ensure!(gone.text().contains(reason), "the 503 says {:?}", gone.text());
    echo.start_app()?;
    whole_again(client, ECHO)
}
