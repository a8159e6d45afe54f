//! S30: ten thousand requests of every kind over pooled and shared connections, each with a token of its own: nobody gets
//! another's answer.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::backend::{Script, Then};
use super::{ECHO, mesh, statuses};
use crate::multiplex::counted;
use crate::{Outcome, ensure};

/// Many more than have a connection each: those beyond 8 share one between the sidecars (Pilot's `MULTIPLEX_ABOVE`).
const CLIENTS: usize = 40;
const REQUESTS: usize = 250;

fn scripts() -> Vec<Script> {
    let script = |name, answer: String, then| Script { name, answer: answer.into_bytes(), then };
    let poison = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison";
    let hints = "HTTP/1.1 103 Early Hints\r\nX: y\r\n\r\n".repeat(20);
    let own = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    vec![
        script(
            "early",
            "HTTP/1.1 400 Bad Request\r\nX-Served: {target}\r\nContent-Length: 0\r\n\r\n".into(),
            Then::AnswerFirst,
        ),
        script("empty", format!("HTTP/1.1 204 No Content\r\nX-Served: {{target}}\r\n\r\n{poison}"), Then::GoOn),
        script(
            "hints",
            format!("{hints}HTTP/1.1 200 OK\r\nX-Served: {{target}}\r\nContent-Length: 2\r\n\r\nok"),
            Then::GoOn,
        ),
        script(
            "extra",
            format!("HTTP/1.1 200 OK\r\nX-Served: {{target}}\r\nContent-Length: 2\r\n\r\nok{poison}"),
            Then::GoOn,
        ),
        script("cut", "HTTP/1.1 200 OK\r\nX-Served: {target}\r\nContent-Length: 20\r\n\r\nok".into(), Then::Close),
        script("chunks", format!("{own}1\r\nx\r\n0\r\nX-Served: {{target}}\r\n\r\n"), Then::GoOn),
    ]
}

pub fn run() -> Outcome {
    let (lab, _backend) = mesh(scripts())?;
    let client = lab.pod("client")?;
    let (served, given_up) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let started = Instant::now();
    let wrong: Vec<String> = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|number| {
                let (served, given_up) = (&served, &given_up);
                scope.spawn(move || {
                    client.enter(move || requests(number, served, given_up)).map_err(|error| error.to_string())?
                })
            })
            .collect();
        clients.into_iter().filter_map(|client| client.join().expect("a client").err()).collect()
    });
    let (served, given_up) = (served.into_inner(), given_up.into_inner());
    let shared = counted(lab.pod("echo")?, "meltemi_multiplexed_requests_total ")?;
    println!(
        "{served} answers of their own, {given_up} given up on purpose, in {:.1?}; {shared} shared a connection",
        started.elapsed()
    );
    ensure!(wrong.is_empty(), "{} clients got an answer that was not theirs: {wrong:#?}", wrong.len());
    ensure!(served + given_up == CLIENTS * REQUESTS, "{served} + {given_up} of {}", CLIENTS * REQUESTS);
    // Both ways are to be shown, and the pooled one has the large bodies and whoever comes when few are under way.
    let all = (CLIENTS * REQUESTS) as u64;
    ensure!((all / 4..all).contains(&shared), "{shared} of {all} shared a connection");
    Ok(())
}

fn requests(client: usize, served: &AtomicUsize, given_up: &AtomicUsize) -> Result<(), String> {
    for number in 0..REQUESTS {
        let token = format!("{client}-{number}");
        // Beyond 64 KiB none shares a connection; the application keeps all that it reads, so these are few.
        let long = if number % 10 == 0 { 500_000 } else { 50_000 };
        // A prime, so that every kind meets every other on the connections.
        let (text, target) = match (number * 7 + client) % 9 {
            0 | 1 => get("GET", format!("/token/{token}")),
            2 => get("HEAD", format!("/token/{token}")),
            3 => post(format!("/token/{token}"), 1000, 1000),
            4 => post(format!("/given-up/{token}"), 1000, 10),
            5 => post(format!("/script/early/{token}"), long, long),
            6 => get("GET", format!("/script/empty/{token}")),
            7 => get("GET", format!("/script/hints/{token}")),
            _ => get("GET", format!("/script/{}/{token}", ["extra", "cut", "chunks"][number % 3])),
        };
        let mut stream = TcpStream::connect(SocketAddr::from(ECHO)).map_err(|error| error.to_string())?;
        stream.set_read_timeout(Some(Duration::from_secs(10))).map_err(|error| error.to_string())?;
        // An early answer may end the connection before all of the body is written.
        let _ = stream.write_all(&text);
        if target.starts_with("/given-up/") {
            given_up.fetch_add(1, Ordering::Relaxed);
            continue;
        }
        let mut answer = Vec::new();
        let read = stream.read_to_end(&mut answer);
        let answer = String::from_utf8_lossy(&answer).into_owned();
        judge(&target, &answer).map_err(|why| format!("{target}: {why}: {answer:?}, {read:?}"))?;
        served.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}

fn get(method: &str, target: String) -> (Vec<u8>, String) {
    (format!("{method} {target} HTTP/1.1\r\nHost: echo\r\nConnection: close\r\n\r\n").into_bytes(), target)
}

fn post(target: String, promised: usize, sent: usize) -> (Vec<u8>, String) {
    let head =
        format!("POST {target} HTTP/1.1\r\nHost: echo\r\nConnection: close\r\nContent-Length: {promised}\r\n\r\n");
    ([head.into_bytes(), vec![b'a'; sent]].concat(), target)
}

fn judge(target: &str, answer: &str) -> Result<(), &'static str> {
    if answer.contains("poison") {
        return Err("poisoned");
    }
    // A chunked answer names its request in a trailer, which a sidecar may drop.
    if target.starts_with("/script/chunks/") {
        return if statuses(answer.as_bytes()) == [200] { Ok(()) } else { Err("not served") };
    }
    let named: Vec<&str> =
        answer.match_indices('/').filter_map(|(at, _)| answer[at..].split(['\r', '\n']).next()).collect();
    let own = named.contains(&target);
    let another =
        named.iter().any(|name| (name.starts_with("/token/") || name.starts_with("/script/")) && *name != target);
    // The answer to HEAD names nothing.
    let silent = answer.starts_with("HTTP/1.1 200") && !answer.contains("served /") && target.starts_with("/token/");
    match (own || silent, another) {
        (_, true) => Err("somebody else's answer"),
        (false, false) => Err("no answer of its own"),
        (true, false) => Ok(()),
    }
}
