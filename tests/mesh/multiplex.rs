//! Where two of our sidecars meet, many requests of HTTP/1.1 share a connection: they come out as they went in, a slow one
//! holds up no other, and a connection that is lost takes only what was under way with it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use lab::{Lab, Pod};
use libtest_mimic::Trial;

use crate::config::{Config, Replica};
use crate::waiting::until;
use crate::{Outcome, ensure, test};

const ECHO: ([u8; 4], u16) = ([10, 96, 2, 10], 80);
/// Of one wave: all are under way at once.
const CLIENTS: usize = 64;
const PATIENCE: Duration = Duration::from_secs(10);
/// More than any window: it waits for a client that does not read.
const LARGE: usize = 64 << 20;

pub fn tests() -> Vec<Trial> {
    vec![
        test("multiplex::requests_that_share_a_connection_come_out_as_they_went_in", as_they_went_in),
        test("multiplex::a_slow_request_among_fast_ones_holds_up_none", slow_among_fast),
        test("multiplex::a_lost_connection_takes_only_what_was_under_way", lost),
    ]
}

/// An application that answers nobody before as many requests are under way as the test says.
struct Gate {
    wanted: Mutex<(usize, usize)>,
    opened: Condvar,
}

impl Gate {
    /// The requests that come next wait until there are so many.
    fn shut(&self, wanted: usize) {
        *self.wanted.lock().expect("the gate") = (wanted, 0);
    }

    fn pass(&self) {
        let mut state = self.wanted.lock().expect("the gate");
        state.1 += 1;
        self.opened.notify_all();
        let _ = self.opened.wait_timeout_while(state, PATIENCE, |(wanted, come)| come < wanted).expect("the gate");
    }
}

struct Scene {
    lab: Lab,
    gate: Arc<Gate>,
    _config: Config,
}

impl Scene {
    fn start() -> Result<Self, Box<dyn std::error::Error>> {
        let config = Config::new();
        config.client("client", 2, true);
        let server = [Replica { pod: "echo", host: 11, version: "v1" }];
        config.app("echo", "10.96.2.10", &[("http", 80, 8080)], &["echo"], &server);
        let lab = config.start()?;
        lab.pod("echo")?.stop_app();
        let gate = Arc::new(Gate { wanted: Mutex::new((0, 0)), opened: Condvar::new() });
        serve(lab.pod("echo")?.listen(([0, 0, 0, 0], 8080))?, gate.clone());
        let scene = Self { lab, gate, _config: config };
        until("requests that share a connection", PATIENCE, || {
            scene.wave(16, 0)?;
            match scene.sharing()? {
                0 => Err("none has shared one yet".to_owned()),
                _ => Ok(()),
            }
        })?;
        Ok(scene)
    }

    fn client(&self) -> &Pod {
        self.lab.pod("client").expect("a pod of the scene")
    }

    /// So many requests at once, each by a client of its own that keeps its connection for the rounds to come.
    fn wave(&self, clients: usize, rounds: usize) -> Result<(), String> {
        for round in 0..=rounds {
            self.gate.shut(clients);
            let failed: Vec<String> = std::thread::scope(|scope| {
                let asked: Vec<_> = (0..clients).map(|n| scope.spawn(move || ask(self.client(), n, round))).collect();
                asked.into_iter().filter_map(|asked| asked.join().expect("a client").err()).collect()
            });
            if !failed.is_empty() {
                return Err(format!("{} of {clients} failed: {failed:?}", failed.len()));
            }
        }
        Ok(())
    }

    /// Requests that came to the server's sidecar on shared connections.
    fn sharing(&self) -> Result<u64, String> {
        self.counted("meltemi_multiplexed_requests_total ")
    }

    fn accepted(&self) -> Result<u64, String> {
        self.counted("meltemi_connections_accepted_total{direction=\"inbound\"} ")
    }

    /// What the server's sidecar has counted.
    fn counted(&self, series: &str) -> Result<u64, String> {
        let pod = self.lab.pod("echo").map_err(|error| error.to_string())?;
        let text = pod.admin("/stats/prometheus").map_err(|error| error.to_string())?.text();
        Ok(text.lines().find_map(|line| line.strip_prefix(series)?.parse().ok()).unwrap_or(0))
    }
}

fn serve(listener: TcpListener, gate: Arc<Gate>) {
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let gate = gate.clone();
            std::thread::spawn(move || while answer(&stream, &gate).is_some() {});
        }
    });
}

/// One request: its own name in the answer if it came as it was sent, what is wrong with it otherwise.
fn answer(mut stream: &TcpStream, gate: &Gate) -> Option<()> {
    let head = read_head(&mut BufReader::with_capacity(1, stream))?;
    if head.starts_with("GET /large ") {
        write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {LARGE}\r\n\r\n").ok()?;
        return stream.write_all(&vec![b'x'; LARGE]).ok();
    }
    gate.pass();
    let came = head.starts_with("GET /a HTTP/1.1\r\n") && head.contains("\r\nHost: echo\r\n");
    let name = head.lines().find_map(|line| line.strip_prefix("X-NaMe: ")).filter(|_| came);
    let body = name.map_or_else(|| format!("it came as {head:?}"), ToOwned::to_owned);
    write!(stream, "HTTP/1.1 200 OK\r\nX-MiXed: Answer\r\nContent-Length: {}\r\n\r\n{body}", body.len()).ok()
}

fn read_head(reader: &mut impl BufRead) -> Option<String> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    Some(head)
}

fn ask(pod: &Pod, client: usize, round: usize) -> Result<(), String> {
    let mut stream = pod.connect(ECHO).map_err(|error| error.to_string())?;
    stream.set_read_timeout(Some(PATIENCE)).map_err(|error| error.to_string())?;
    let name = format!("{client}-{round}");
    write!(stream, "GET /a HTTP/1.1\r\nHost: echo\r\nX-NaMe: {name}\r\nConnection: close\r\n\r\n")
        .map_err(|error| error.to_string())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).map_err(|error| error.to_string())?;
    let whole = answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.contains("\r\nX-MiXed: Answer\r\n");
    if whole && answer.ends_with(&format!("\r\n\r\n{name}")) { Ok(()) } else { Err(format!("{name} got {answer:?}")) }
}

fn as_they_went_in() -> Outcome {
    let scene = Scene::start()?;
    let before = scene.accepted()?;
    let shared = scene.sharing()?;
    scene.wave(CLIENTS, 4)?;
    let shared = scene.sharing()? - shared;
    let opened = scene.accepted()? - before;
    println!("5 waves of {CLIENTS} at once: {shared} shared a connection, {opened} connections were opened");
    ensure!(shared >= 5 * (CLIENTS as u64 - 16), "only {shared} shared a connection");
    ensure!(opened < 16, "{opened} connections were opened");
    Ok(())
}

fn slow_among_fast() -> Outcome {
    let scene = Scene::start()?;
    // Held while the slow one is asked for, so that it shares.
    scene.gate.shut(17);
    let client = scene.client();
    std::thread::scope(|scope| {
        let held: Vec<_> = (0..16).map(|n| scope.spawn(move || ask(client, n, 0))).collect();
        until("16 under way", PATIENCE, || match scene.gate.wanted.lock().expect("the gate").1 {
            16 => Ok(()),
            come => Err(format!("{come} have come")),
        })?;
        let shared = scene.sharing()?;
        let mut slow = scene.client().connect(ECHO)?;
        slow.write_all(b"GET /large HTTP/1.1\r\nHost: echo\r\n\r\n")?;
        slow.read_exact(&mut [0; 1000])?;
        ensure!(scene.sharing()? > shared, "the slow one did not share a connection");
        scene.gate.shut(0);
        scene.gate.opened.notify_all();
        for asked in held {
            asked.join().expect("a client")?;
        }
        let started = Instant::now();
        scene.wave(CLIENTS, 4)?;
        println!("5 waves of {CLIENTS} beside one that is not read: {:?}", started.elapsed());
        ensure!(started.elapsed() < PATIENCE, "they took {:?}", started.elapsed());
        drop(slow);
        Ok(())
    })
}

/// Resets every connection that came to the sidecar from outside.
fn cut(pod: &Pod) -> Outcome {
    let output = pod.run(Command::new("ss").args(["--kill", "--tcp", "--no-header", "sport", "=", ":15006"]))?;
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(output.status.success() && !told.is_empty(), "ss cut nothing: {told} {output:?}");
    Ok(())
}

fn lost() -> Outcome {
    let scene = Scene::start()?;
    scene.gate.shut(usize::MAX);
    let client = scene.client();
    std::thread::scope(|scope| {
        let held: Vec<_> = (0..32).map(|n| scope.spawn(move || ask(client, n, 0))).collect();
        until("32 under way", PATIENCE, || match scene.gate.wanted.lock().expect("the gate").1 {
            32 => Ok(()),
            come => Err(format!("{come} have come")),
        })?;
        cut(scene.lab.pod("echo")?)?;
        let failed: Vec<String> = held.into_iter().filter_map(|asked| asked.join().expect("a client").err()).collect();
        println!("{} of 32 that were under way ended with an error", failed.len());
        ensure!(failed.iter().all(|why| why.contains("HTTP/1.1 503")), "{failed:?}");
        scene.wave(CLIENTS, 1)?;
        Ok(())
    })
}
