//! Requests that two hops could read in two ways are refused or made unambiguous, and upstreams that answer so harm
//! nobody: the corpus, through one sidecar and through two, before an application that writes down what it gets.

mod backend;
mod http2;
mod pooling;
mod upstreams;

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use lab::{Lab, Pod};
use libtest_mimic::Trial;

use self::backend::{Backend, Seen};
use self::http2::Ended;
use crate::config::{Config, Replica};
use crate::corpus::{self, Case, Outcome as Expected, Reached, Ways, Wire, reached};
use crate::{Outcome, ensure, test};

const ECHO: ([u8; 4], u16) = ([10, 96, 2, 10], 80);
const ECHO_POD: ([u8; 4], u16) = ([10, 44, 2, 11], 8080);

/// The honest request that follows a case on its connection.
const NEXT: &[u8] = b"GET /next HTTP/1.1\r\nHost: echo\r\nConnection: close\r\n\r\n";

pub fn tests() -> Vec<Trial> {
    vec![
        test("smuggling::the_corpus_of_requests_ends_as_it_must", requests),
        test("smuggling::answers_that_two_hops_could_read_differently_harm_nobody", upstreams::run),
        test("smuggling::no_answer_reaches_another_client", pooling::run),
        test("smuggling::a_sidecar_does_not_call_itself", loops),
    ]
}

/// What the routes of the client's sidecar answer themselves.
const ROUTES: &str =
    "    - match: [{authority: {exact: secret.example}}, {uri: {exact: /exact}}, {headers: {role: {exact: admin}}}]
      directResponse: {status: 403}
    - match: [{uri: {exact: /negative}, withoutHeaders: {x-role: {regex: \"adm.*\"}}}]
      directResponse: {status: 418}
    - route: [{destination: {host: echo}}]";

/// A client with a sidecar, a stranger without, and a server whose application is the test's own.
fn mesh(scripts: Vec<backend::Script>) -> Result<(Lab, Backend), Box<dyn std::error::Error>> {
    let config = Config::new();
    config.client("client", 2, true);
    config.client("stranger", 99, false);
    let server = [Replica { pod: "echo", host: 11, version: "v1" }];
    config.app("echo", "10.96.2.10", &[("http", 80, 8080)], &["echo"], &server);
    config.echo_routes(ROUTES);
    let lab = config.start()?;
    let pod = lab.pod("echo")?;
    pod.stop_app();
    let backend = Backend::start(pod.listen(([0, 0, 0, 0], 8080))?, scripts);
    Ok((lab, backend))
}

/// From where to where.
#[derive(Clone, Copy)]
struct Way<'a> {
    name: &'static str,
    from: &'a Pod,
    to: ([u8; 4], u16),
}

fn requests() -> Outcome {
    let (lab, backend) = mesh(Vec::new())?;
    let plain = Way { name: "in plain text", from: lab.pod("stranger")?, to: ECHO_POD };
    let meshed = Way { name: "through two sidecars", from: lab.pod("client")?, to: ECHO };
    let started = Instant::now();
    let mut rows: BTreeMap<&str, (usize, Vec<String>)> = BTreeMap::new();
    for case in corpus::cases() {
        let ways: &[Way<'_>] =
            if case.ways == Ways::Both && !stays_http2(&case) { &[plain, meshed] } else { &[meshed] };
        for way in ways {
            let (passed, failed) = rows.entry(case.row).or_default();
            match send(&case, *way, &backend) {
                Ok(()) => *passed += 1,
                Err(why) => failed.push(format!("{}, {}: {why}", case.name, way.name)),
            }
        }
    }
    let took = started.elapsed();
    tell(rows, took)?;
    ensure!(took < Duration::from_secs(40), "the corpus took {took:?}");
    Ok(())
}

/// What comes in plain text by HTTP/2 goes on by HTTP/2, which the application here does not speak. Refusals show all the same.
fn stays_http2(case: &Case) -> bool {
    matches!(case.wire, Wire::Http2 { .. }) && !matches!(case.outcome, Expected::Refused(_))
}

/// One line for each row; fails with all cases that did.
fn tell(rows: BTreeMap<&str, (usize, Vec<String>)>, took: Duration) -> Outcome {
    let mut failures = Vec::new();
    for (row, (passed, failed)) in rows {
        let word = if failed.is_empty() { "pass" } else { "FAIL" };
        println!("{row} {word} {passed}/{}", passed + failed.len());
        failures.extend(failed.into_iter().map(|case| format!("{row} {}", case.chars().take(300).collect::<String>())));
    }
    println!("in {took:.1?}");
    ensure!(failures.is_empty(), "{} cases ended otherwise:\n{}", failures.len(), failures.join("\n"));
    Ok(())
}

fn send(case: &Case, way: Way<'_>, backend: &Backend) -> Result<(), String> {
    let stream = way.from.connect(way.to).map_err(|error| format!("cannot connect: {error}"))?;
    // What is broken is answered while its beginning may still be on its way to the application, where a later case must
    // not be taken for it.
    let mark = matches!(case.outcome, Expected::Broken(_)).then(|| format!("{} {}", case.name, way.name));
    let wire = mark.as_ref().map_or_else(|| case.wire.clone(), |mark| case.wire.marked(mark));
    let seen = || {
        Ok::<_, String>(
            backend.take()?.into_iter().filter(|seen| seen.mark().is_none_or(|of| Some(of) == mark)).collect(),
        )
    };
    match wire {
        Wire::Http1(bytes) => {
            let answers = exchange(stream, &[&bytes, NEXT].concat(), false);
            // Also after a failure: what it left must not be taken for the next case's.
            let seen = seen();
            judge(&case.outcome, &statuses(&answers?), seen?)
        }
        Wire::Http1Cut(bytes) => {
            let answers = exchange(stream, &bytes, true);
            let seen = seen();
            judge(&case.outcome, &statuses(&answers?), seen?)
        }
        Wire::Http2 { fields, body, trailers } => {
            let ended = http2::exchange(stream, &fields, body.as_deref(), &trailers);
            let seen = seen();
            judge_http2(&case.outcome, ended?, seen?)
        }
    }
}

/// Sends bytes and reads until the sidecar closes, which it must.
fn exchange(mut stream: TcpStream, bytes: &[u8], cut: bool) -> Result<Vec<u8>, String> {
    stream.set_read_timeout(Some(Duration::from_secs(5))).map_err(|error| error.to_string())?;
    // A sidecar that refuses may be gone before all of it was written; what it said still counts.
    let _ = stream.write_all(bytes);
    if cut {
        let _ = stream.shutdown(Shutdown::Write);
    }
    let mut answers = Vec::new();
    match stream.read_to_end(&mut answers) {
        Err(error) if error.kind() != std::io::ErrorKind::ConnectionReset => {
            Err(format!("not closed within 5 s ({error}); it said {:?}", String::from_utf8_lossy(&answers)))
        }
        _ => Ok(answers),
    }
}

/// The statuses of responses in their order. No body here has a line that begins like a head.
fn statuses(answers: &[u8]) -> Vec<u16> {
    String::from_utf8_lossy(answers)
        .split("HTTP/1.")
        .skip(1)
        .filter_map(|rest| rest.get(1..5)?.trim_start().parse().ok())
        .collect()
}

fn judge(expected: &Expected, statuses: &[u16], seen: Vec<Seen>) -> Result<(), String> {
    let got = || format!("{statuses:?}, and the application saw {}", told(&seen));
    let holds = match expected {
        Expected::Refused(allowed) => matches!(statuses, [status] if allowed.contains(status)) && seen.is_empty(),
        Expected::RefusedAtServer(allowed) => match statuses {
            [status] => allowed.contains(status) && seen.is_empty(),
            [status, 200] => allowed.contains(status) && reached_by(&seen) == [reached("GET /next")],
            _ => false,
        },
        Expected::Broken(allowed) => {
            matches!(statuses, []) | matches!(statuses, [status] if allowed.contains(status)) && only_a_beginning(&seen)
        }
        Expected::Answered(status) => statuses == [*status, 200] && reached_by(&seen) == [reached("GET /next")],
        Expected::Reaches(requests) => {
            let mut all: Vec<&Reached> = requests.iter().collect();
            let next = reached("GET /next");
            all.push(&next);
            statuses.iter().all(|status| *status == 200)
                && statuses.len() == all.len()
                && reached_by(&seen).iter().eq(all)
        }
    };
    if holds { Ok(()) } else { Err(got()) }
}

fn judge_http2(expected: &Expected, ended: Ended, seen: Vec<Seen>) -> Result<(), String> {
    let refused = |allowed: &[u16]| match ended {
        Ended::Status(status) => allowed.contains(&status),
        Ended::Reset => true,
    };
    let holds = match expected {
        Expected::Refused(allowed) | Expected::RefusedAtServer(allowed) => refused(allowed) && seen.is_empty(),
        Expected::Broken(allowed) => refused(allowed) && only_a_beginning(&seen),
        Expected::Answered(status) => ended == Ended::Status(*status) && seen.is_empty(),
        Expected::Reaches(requests) => ended == Ended::Status(200) && reached_by(&seen) == *requests,
    };
    if holds { Ok(()) } else { Err(format!("{ended:?}, and the application saw {}", told(&seen))) }
}

fn only_a_beginning(seen: &[Seen]) -> bool {
    seen.len() <= 1 && seen.iter().all(|seen| !seen.whole)
}

fn reached_by(seen: &[Seen]) -> Vec<Reached> {
    seen.iter().map(Seen::reached).collect()
}

fn told(seen: &[Seen]) -> String {
    let one = |seen: &Seen| {
        let Reached { line, headers, body } = seen.reached();
        let body: String = String::from_utf8_lossy(&body).chars().take(60).collect();
        format!("{line:?} {headers:?} {body:?}{}", if seen.whole { "" } else { " (cut off)" })
    };
    if seen.is_empty() { "nothing".to_owned() } else { seen.iter().map(one).collect::<Vec<_>>().join(" and ") }
}

/// Endpoints that are listeners of sidecars, the caller's own among them: one answer, no circle.
fn loops() -> Outcome {
    let config = Config::new();
    config.client("client", 2, true);
    config.client("stranger", 99, false);
    let server = [Replica { pod: "echo", host: 11, version: "v1" }];
    config.app("echo", "10.96.2.10", &[("http", 80, 8080)], &["echo"], &server);
    let endpoints = [("self", "10.96.2.21", "client", 2_u8), ("other", "10.96.2.22", "echo", 11)];
    for (name, address, pod, host) in endpoints {
        let ports = [("http-in", 80, 15006), ("http-out", 81, 15001)];
        let text = crate::config::service(name, address, &ports)
            + &crate::config::endpoints(name, &ports, [(pod, host)].into_iter());
        config.write(&format!("{name}.yaml"), &text);
    }
    let lab = config.start()?;
    let request = b"GET /a HTTP/1.1\r\nHost: loop\r\nConnection: close\r\n\r\n";
    for (name, address, ..) in endpoints {
        for port in [80, 81] {
            let address: std::net::SocketAddr = format!("{address}:{port}").parse()?;
            let started = Instant::now();
            let answer = statuses(&exchange(lab.pod("client")?.connect(address)?, request, false)?);
            println!("{name}, port {port}: {answer:?} after {:?}", started.elapsed());
            ensure!(matches!(answer[..], [502 | 503 | 508]), "{name}, port {port}: {answer:?}");
        }
    }
    for port in [15001, 15006] {
        let stream = lab.pod("stranger")?.connect(([10, 44, 2, 11], port))?;
        let answer = statuses(&exchange(stream, request, false)?);
        ensure!(answer.is_empty(), "port {port} answered a stranger: {answer:?}");
    }
    let response = lab.pod("client")?.get(ECHO, "/")?;
    ensure!(response.status == 200, "the mesh serves no longer: {}", response.status);
    Ok(())
}
