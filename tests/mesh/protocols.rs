//! What travels through the mesh as it came: WebSocket, HTTP/2, TCP whose server speaks first, header case, a self-call.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use libtest_mimic::Trial;

use crate::config::{Config, Replica};
use crate::{Outcome, ensure, test};

pub fn tests() -> Vec<Trial> {
    vec![
        test("protocols::a_server_that_speaks_first_is_heard_at_once", server_first),
        test("protocols::a_websocket_is_joined_after_101", websocket),
        test("protocols::header_case_and_trace_headers_pass_through", headers),
        test("protocols::an_upload_goes_on_while_nobody_reads_its_answer", both_at_once),
        test("protocols::a_pod_reaches_itself_through_its_own_service", self_call),
    ]
}

/// `tcp` says so in its port's name; `plain` leaves the protocol open.
fn server_first() -> Outcome {
    let config = Config::new();
    config.client("client", 2, true);
    let stock = [Replica { pod: "stock", host: 31, version: "v1" }];
    config.app("stock", "10.96.2.30", &[("tcp", 9000, 7000), ("plain", 9001, 7000)], &["stock"], &stock);
    let lab = config.start()?;
    for (port, limit) in [(9000, 1000), (9001, 1000)] {
        for round in 0..3 {
            let started = Instant::now();
            let mut stream = lab.pod("client")?.connect(([10, 96, 2, 30], port))?;
            stream.set_read_timeout(Some(Duration::from_secs(5)))?;
            let mut greeting = [0; 1];
            stream.read_exact(&mut greeting)?;
            let took = started.elapsed();
            println!("port {port}, round {round}: greeted after {took:?}");
            ensure!(took < Duration::from_millis(limit), "port {port}: the greeting took {took:?}");
        }
    }
    crate::waiting::until("lines of the access log", Duration::from_secs(5), || {
        let sidecar = lab.pod("client").map_err(|error| error.to_string())?.sidecar().ok_or("no sidecar")?;
        let log = sidecar.log_tail(50);
        let lines =
            log.lines().filter(|line| line.contains("outbound|900") && line.contains("10.44.2.31:7000")).count();
        if lines == 6 { Ok(()) } else { Err(format!("{lines} lines of six connections in\n{log}")) }
    })?;
    Ok(())
}

fn websocket() -> Outcome {
    let config = Config::new();
    config.client("client", 2, true);
    let server = [Replica { pod: "echo", host: 11, version: "v1" }];
    config.app("echo", "10.96.2.10", &[("http", 80, 8080)], &["echo"], &server);
    let lab = config.start()?;
    lab.pod("echo")?.stop_app();
    let listener = lab.pod("echo")?.listen(([0, 0, 0, 0], 8080))?;
    let answering = std::thread::spawn(move || -> std::io::Result<String> {
        let (mut stream, _) = listener.accept()?;
        let head = read_head(&mut stream)?;
        stream
            .write_all(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nhello")?;
        let mut said = [0; 4];
        for _ in 0..2 {
            stream.read_exact(&mut said)?;
            stream.write_all(&said)?;
        }
        Ok(head)
    });
    let mut stream = lab.pod("client")?.connect(([10, 96, 2, 10], 80))?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    stream.write_all(
        b"GET /ws HTTP/1.1\r\nHost: echo\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\n\r\n",
    )?;
    let head = read_head(&mut stream)?;
    ensure!(head.starts_with("HTTP/1.1 101"), "the answer was {head:?}");
    let mut hello = [0; 5];
    stream.read_exact(&mut hello)?;
    let mut echoed = [0; 4];
    stream.write_all(b"ping")?;
    stream.read_exact(&mut echoed)?;
    ensure!(&hello == b"hello" && &echoed == b"ping", "bytes were lost: {hello:?} {echoed:?}");
    // Longer than a head may take: the limits of HTTP are not those of what follows a switch.
    std::thread::sleep(Duration::from_secs(11));
    stream.write_all(b"pong")?;
    stream.read_exact(&mut echoed)?;
    ensure!(&echoed == b"pong", "after a silence: {echoed:?}");
    let seen = answering.join().expect("the server")?;
    ensure!(seen.to_ascii_lowercase().contains("upgrade: websocket"), "the upstream saw {seen:?}");
    Ok(())
}

fn read_head(stream: &mut TcpStream) -> std::io::Result<String> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    Ok(String::from_utf8_lossy(&head).into_owned())
}

fn headers() -> Outcome {
    let config = Config::new();
    config.client("client", 2, true);
    let server = [Replica { pod: "echo", host: 11, version: "v1" }];
    config.app("echo", "10.96.2.10", &[("http", 80, 8080)], &["echo"], &server);
    let lab = config.start()?;
    lab.pod("echo")?.stop_app();
    let listener = lab.pod("echo")?.listen(([0, 0, 0, 0], 8080))?;
    let answering = std::thread::spawn(move || -> std::io::Result<String> {
        let (mut stream, _) = listener.accept()?;
        let head = read_head(&mut stream)?;
        stream.write_all(b"HTTP/1.1 200 OK\r\nX-MiXed: Answer\r\nContent-Length: 0\r\n\r\n")?;
        Ok(head)
    });
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let mut stream = lab.pod("client")?.connect(([10, 96, 2, 10], 80))?;
    write!(stream, "GET / HTTP/1.1\r\nHost: echo\r\nX-CuStOm: yes\r\ntraceparent: {trace}\r\ntracestate: a=b\r\n\r\n")?;
    let answer = read_head(&mut stream)?;
    let seen = answering.join().expect("the server")?;
    ensure!(seen.contains("X-CuStOm: yes"), "the upstream saw {seen:?}");
    ensure!(seen.contains(trace) && seen.contains("a=b"), "trace headers changed: {seen:?}");
    ensure!(answer.contains("X-MiXed: Answer"), "the client saw {answer:?}");
    Ok(())
}

/// More than all buffers on the way hold.
const LARGE: usize = 32 << 20;

/// An application that answers at once and reads beside that; a client that sends everything and then reads.
fn both_at_once() -> Outcome {
    let config = Config::new();
    config.client("client", 2, true);
    let server = [Replica { pod: "echo", host: 11, version: "v1" }];
    config.app("echo", "10.96.2.10", &[("http", 80, 8080)], &["echo"], &server);
    let lab = config.start()?;
    lab.pod("echo")?.stop_app();
    let listener = lab.pod("echo")?.listen(([0, 0, 0, 0], 8080))?;
    let answering = std::thread::spawn(move || -> std::io::Result<()> {
        let (mut stream, _) = listener.accept()?;
        read_head(&mut stream)?;
        let mut reading = stream.try_clone()?;
        let read = std::thread::spawn(move || reading.read_exact(&mut vec![0; LARGE]));
        write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {LARGE}\r\n\r\n")?;
        stream.write_all(&vec![b'x'; LARGE])?;
        read.join().expect("the reader")
    });
    let mut stream = lab.pod("client")?.connect(([10, 96, 2, 10], 80))?;
    let limit = Some(Duration::from_secs(20));
    stream.set_write_timeout(limit)?;
    stream.set_read_timeout(limit)?;
    write!(stream, "POST /both HTTP/1.1\r\nHost: echo\r\nContent-Length: {LARGE}\r\n\r\n")?;
    stream.write_all(&vec![b'y'; LARGE]).map_err(|error| format!("the upload stopped: {error}"))?;
    let head = read_head(&mut stream)?;
    ensure!(head.starts_with("HTTP/1.1 200"), "{head}");
    stream.read_exact(&mut vec![0; LARGE])?;
    answering.join().expect("the server")?;
    Ok(())
}

fn self_call() -> Outcome {
    let config = Config::new();
    let server = [Replica { pod: "echo", host: 11, version: "v1" }];
    config.app("echo", "10.96.2.10", &[("http", 80, 8080)], &["echo"], &server);
    config.mtls("STRICT");
    let lab = config.start()?;
    let response = lab::http::get(lab.pod("echo")?.connect(([10, 96, 2, 10], 80))?, "echo", "/", &[])?;
    ensure!(response.status == 200, "status {}", response.status);
    Ok(())
}
