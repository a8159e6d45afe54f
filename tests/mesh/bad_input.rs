//! Bad input gets a clear refusal, is counted, and ends nothing else.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use lab::{Lab, Load, Pod};
use libtest_mimic::Trial;

use crate::config::Config;
use crate::waiting::until;
use crate::{Outcome, ensure, test};

const ECHO: ([u8; 4], u16) = ([10, 96, 2, 10], 80);
const ECHO_POD: ([u8; 4], u16) = ([10, 44, 2, 11], 8080);

pub fn tests() -> Vec<Trial> {
    vec![
        test("bad_input::garbage_on_every_port_ends_nothing", garbage),
        test("bad_input::a_head_of_a_megabyte_is_refused_with_431", large_head),
        test("bad_input::a_slow_head_is_cut_and_counted", slow_head),
        test("bad_input::a_truncated_tls_hello_is_cut_and_counted", truncated_hello),
        test("bad_input::requests_that_two_hops_could_read_differently_are_refused", smuggling),
    ]
}

/// What a peer reads until the connection ends; it must end.
fn read_to_end(stream: &mut TcpStream, limit: Duration) -> Result<Vec<u8>, String> {
    stream.set_read_timeout(Some(limit)).map_err(|error| error.to_string())?;
    let mut all = Vec::new();
    match stream.read_to_end(&mut all) {
        Ok(_) => Ok(all),
        Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => Ok(all),
        Err(error) => Err(format!("not closed within {limit:?}: {error}; read {:?}", String::from_utf8_lossy(&all))),
    }
}

fn served(pod: &Pod) -> Outcome {
    let response = pod.get(ECHO, "/")?;
    ensure!(response.status == 200, "the mesh serves no longer: status {}", response.status);
    Ok(())
}

fn metric(lab: &Lab, pod: &str, series: &str) -> Outcome {
    until(series, Duration::from_secs(5), || {
        let text =
            lab.pod(pod).map_err(|e| e.to_string())?.admin("/stats/prometheus").map_err(|e| e.to_string())?.text();
        let found = text.lines().any(|line| line.starts_with(series));
        if found { Ok(()) } else { Err("not counted".to_owned()) }
    })?;
    Ok(())
}

fn garbage() -> Outcome {
    let config = Config::echo();
    config.client("outsider", 99, false);
    let lab = config.start()?;
    let garbage: Vec<u8> = (0..4096_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let openings: [&[u8]; 4] = [
        &[0xff; 64],
        b"\x00\x00\x00\x00",
        b"\x16\x03\x01\xff\xff\x01",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\xff\xff\xff",
    ];
    let pod = |port: u16| SocketAddr::from(([10, 44, 2, 11], port));
    let control_plane = lab.control_plane().address();
    let ports = [pod(15001), pod(15006), pod(15020), pod(15021), pod(15090), pod(8080), pod(12345), control_plane];
    let (summary, ended) = Load { rate: Some(100), ..Load::steady(ECHO, "echo") }.run(
        lab.pod("client")?.namespaces(),
        || -> Result<(), String> {
            for address in ports {
                for opening in openings {
                    let outsider = lab.pod("outsider").map_err(|error| error.to_string())?;
                    let Ok(mut stream) = outsider.connect(address) else { continue };
                    // The other side may have closed before all of it was written.
                    let _ = stream.write_all(opening).and_then(|()| stream.write_all(&garbage));
                    let _ = stream.shutdown(std::net::Shutdown::Write);
                    read_to_end(&mut stream, Duration::from_secs(15)).map_err(|error| format!("{address}: {error}"))?;
                }
            }
            Ok(())
        },
    );
    ended?;
    ensure!(summary.failed() == 0, "other clients were hurt: {}", summary.told());
    lab.check()?;
    served(lab.pod("client")?)
}

fn large_head() -> Outcome {
    let config = Config::echo();
    let lab = config.start()?;
    let client = lab.pod("client")?;
    let mut stream = client.connect(ECHO)?;
    let head = format!("GET / HTTP/1.1\r\nHost: echo\r\nx-large: {}\r\n\r\n", "a".repeat(1 << 20));
    // The refusal may come before all of it was written.
    let _ = stream.write_all(head.as_bytes());
    let answer = read_to_end(&mut stream, Duration::from_secs(10))?;
    let answer = String::from_utf8_lossy(&answer);
    ensure!(answer.starts_with("HTTP/1.1 431"), "the answer was {answer:?}");
    metric(&lab, "client", "meltemi_invalid_requests_total{reason=\"head_too_large\"}")?;
    served(client)
}

fn slow_head() -> Outcome {
    let config = Config::echo();
    let lab = config.start()?;
    let client = lab.pod("client")?;
    let mut stream = client.connect(ECHO)?;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: ec")?;
    let started = Instant::now();
    let answer = read_to_end(&mut stream, Duration::from_secs(20))?;
    let took = started.elapsed();
    let answer = String::from_utf8_lossy(&answer);
    println!("cut after {took:?}: {answer:?}");
    ensure!(answer.starts_with("HTTP/1.1 408"), "the answer was {answer:?}");
    metric(&lab, "client", "meltemi_invalid_requests_total{reason=\"timeout\"}")?;
    served(client)
}

fn truncated_hello() -> Outcome {
    let config = Config::echo();
    config.client("outsider", 99, false);
    let lab = config.start()?;
    let mut stream = lab.pod("outsider")?.connect(ECHO_POD)?;
    stream.write_all(&[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3])?;
    let started = Instant::now();
    read_to_end(&mut stream, Duration::from_secs(15))?;
    ensure!(started.elapsed() < Duration::from_secs(10), "it was held for {:?}", started.elapsed());
    metric(&lab, "echo-v1", "meltemi_connections_refused_total{reason=\"tls\"}")?;
    served(lab.pod("client")?)
}

fn smuggling() -> Outcome {
    let config = Config::echo();
    let lab = config.start()?;
    let client = lab.pod("client")?;
    let cases: [(&str, &str); 8] = [
        ("two Hosts", "GET / HTTP/1.1\r\nHost: echo\r\nHost: other\r\n\r\n"),
        ("no Host", "GET / HTTP/1.1\r\n\r\n"),
        ("an absolute target that disagrees", "GET http://echo/ HTTP/1.1\r\nHost: other\r\n\r\n"),
        ("a space before the colon", "GET / HTTP/1.1\r\nHost : echo\r\n\r\n"),
        ("userinfo", "GET / HTTP/1.1\r\nHost: a@echo\r\n\r\n"),
        ("a length that is none", "POST / HTTP/1.1\r\nHost: echo\r\nContent-Length: +3\r\n\r\nabc"),
        ("two lengths", "POST / HTTP/1.1\r\nHost: echo\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd"),
        ("a coding that is none", "POST / HTTP/1.1\r\nHost: echo\r\nTransfer-Encoding: xchunked\r\n\r\n"),
    ];
    for (what, request) in cases {
        let mut stream = client.connect(ECHO)?;
        stream.write_all(request.as_bytes())?;
        let answer = read_to_end(&mut stream, Duration::from_secs(5))?;
        let answer = String::from_utf8_lossy(&answer);
        ensure!(answer.starts_with("HTTP/1.1 400") || answer.starts_with("HTTP/1.1 501"), "{what}: {answer:?}");
    }
    served(client)
}
