//! Where two of our sidecars meet, many requests of HTTP/1.1 share a connection: they come out as they went in, a slow one
//! holds up no other, and a connection that is lost takes only what was under way with it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use lab::{Lab, Pod};
use libtest_mimic::{Failed, Trial};

use crate::config::{Config, Replica};
use crate::waiting::until;
use crate::{Outcome, ensure, test};

const ECHO: ([u8; 4], u16) = ([10, 96, 2, 10], 80);
/// Of one wave: all are under way at once.
const CLIENTS: usize = 64;
/// More than are under way before the rest share, which are [`CLIENTS`] less these at least.
const FIRST: usize = 16;
const PATIENCE: Duration = Duration::from_secs(10);
/// More than any window: it waits for a client that does not read.
const LARGE: usize = 64 << 20;
/// A route that tries again whatever was lost, oftener than anything can be lost here.
const TRIES_AGAIN: &str = "    - retries: {attempts: 5, retryOn: \"connect-failure,reset\"}
      route: [{destination: {host: echo}}]";

pub fn tests() -> Vec<Trial> {
    vec![
        test("multiplex::requests_that_share_a_connection_come_out_as_they_went_in", as_they_went_in),
        test("multiplex::bodies_and_trailers_that_share_a_connection_come_out_as_they_went_in", bodies),
        test("multiplex::a_slow_request_among_fast_ones_holds_up_none", slow_among_fast),
        test("multiplex::a_lost_connection_takes_only_what_was_under_way", lost),
        test("multiplex::a_lost_connection_costs_nothing_where_the_route_tries_again", tried_again),
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

    /// Nobody waits any longer.
    fn open(&self) {
        self.shut(0);
        self.opened.notify_all();
    }

    fn pass(&self) {
        let mut state = self.wanted.lock().expect("the gate");
        state.1 += 1;
        self.opened.notify_all();
        let _ = self.opened.wait_timeout_while(state, PATIENCE, |(wanted, come)| come < wanted).expect("the gate");
    }

    /// Waits until so many have come since it was shut.
    fn come(&self, expected: usize) -> Result<(), String> {
        until(&format!("{expected} under way"), PATIENCE, || match self.wanted.lock().expect("the gate").1 {
            come if come >= expected => Ok(()),
            come => Err(format!("{come} have come")),
        })
    }
}

struct Scene {
    lab: Lab,
    gate: Arc<Gate>,
    _config: Config,
}

/// What one client of a wave does: its number, and the wave's.
type Ask = fn(&Pod, usize, usize) -> Result<(), String>;

impl Scene {
    fn start() -> Result<Self, Failed> {
        Self::with(None)
    }

    /// With these routes to the application.
    fn with(routes: Option<&str>) -> Result<Self, Failed> {
        let config = Config::new();
        config.client("client", 2, true);
        let server = [Replica { pod: "echo", host: 11, version: "v1" }];
        config.app("echo", "10.96.2.10", &[("http", 80, 8080)], &["echo"], &server);
        if let Some(routes) = routes {
            config.echo_routes(routes);
        }
        let lab = config.start()?;
        lab.pod("echo")?.stop_app();
        let gate = Arc::new(Gate { wanted: Mutex::new((0, 0)), opened: Condvar::new() });
        serve(lab.pod("echo")?.listen(([0, 0, 0, 0], 8080))?, gate.clone());
        let scene = Self { lab, gate, _config: config };
        until("requests that share a connection", PATIENCE, || {
            scene.waves(1, FIRST, ask)?;
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

    /// One after the other, each of so many requests at once by clients of their own: how long each took.
    fn waves(&self, waves: usize, clients: usize, ask: Ask) -> Result<Vec<Duration>, String> {
        let mut took = Vec::new();
        for wave in 0..waves {
            let started = Instant::now();
            self.gate.shut(clients);
            let failed: Vec<String> = std::thread::scope(|scope| {
                let asked: Vec<_> = (0..clients).map(|n| scope.spawn(move || ask(self.client(), n, wave))).collect();
                asked.into_iter().filter_map(|asked| asked.join().expect("a client").err()).collect()
            });
            if !failed.is_empty() {
                return Err(format!("{} of {clients} failed: {failed:?}", failed.len()));
            }
            took.push(started.elapsed());
        }
        Ok(took)
    }

    /// So many at once that are answered when the gate opens: what was wrong with them, after something happens meanwhile.
    fn held<T>(&self, clients: usize, during: impl FnOnce() -> Result<T, Failed>) -> Result<(Vec<String>, T), Failed> {
        self.gate.shut(usize::MAX);
        std::thread::scope(|scope| {
            let held: Vec<_> = (0..clients).map(|n| scope.spawn(move || ask(self.client(), n, 0))).collect();
            let during = self.gate.come(clients).map_err(Failed::from).and_then(|()| during());
            self.gate.open();
            let failed = held.into_iter().filter_map(|asked| asked.join().expect("a client").err()).collect();
            Ok((failed, during?))
        })
    }

    /// Requests that came to the server's sidecar on shared connections.
    fn sharing(&self) -> Result<u64, String> {
        self.server("meltemi_multiplexed_requests_total ")
    }

    fn accepted(&self) -> Result<u64, String> {
        self.server("meltemi_connections_accepted_total{direction=\"inbound\"} ")
    }

    fn server(&self, series: &str) -> Result<u64, String> {
        counted(self.lab.pod("echo").expect("a pod of the scene"), series)
    }
}

/// What a pod's sidecar has counted, by the text before the number.
pub fn counted(pod: &Pod, series: &str) -> Result<u64, String> {
    let text = pod.admin("/stats/prometheus").map_err(|error| error.to_string())?.text();
    Ok(text.lines().find_map(|line| line.strip_prefix(series)?.parse().ok()).unwrap_or(0))
}

fn serve(listener: TcpListener, gate: Arc<Gate>) {
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let gate = gate.clone();
            std::thread::spawn(move || {
                let mut reader = BufReader::new(&stream);
                while answer(&mut reader, &gate).is_some() {}
            });
        }
    });
}

/// One request: its own name in the answer, or its own body, if it came as it was sent; what is wrong with it otherwise.
fn answer(reader: &mut BufReader<&TcpStream>, gate: &Gate) -> Option<()> {
    let mut stream = *reader.get_ref();
    let head = read_lines(reader)?;
    if head.starts_with("GET /large ") {
        write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {LARGE}\r\n\r\n").ok()?;
        return stream.write_all(&vec![b'x'; LARGE]).ok();
    }
    let sent = if head.starts_with("POST ") { Some(read_body(reader, &head)?) } else { None };
    gate.pass();
    let came = ["GET /a HTTP/1.1\r\n", "POST /a HTTP/1.1\r\n"].iter().any(|line| head.starts_with(line))
        && head.contains("\r\nHost: echo\r\n");
    let name = head.lines().find_map(|line| line.strip_prefix("X-NaMe: ")).filter(|_| came);
    let (body, sum) = match (name, &sent) {
        (None, _) => (format!("it came as {head:?}").into_bytes(), None),
        (Some(name), None) => (name.as_bytes().to_vec(), None),
        (Some(_), Some((body, trailers))) => {
            let chunked = field(&head, "transfer-encoding").is_some();
            (body.clone(), chunked.then(|| sum_of(trailers).unwrap_or("none came alone")))
        }
    };
    stream.write_all(&message("HTTP/1.1 200 OK\r\nX-MiXed: Answer\r\n", &body, sum)).ok()
}

/// A message: with a declared length, or in chunks and with a trailer behind them.
fn message(head: &str, body: &[u8], sum: Option<&str>) -> Vec<u8> {
    let Some(sum) = sum else {
        return [format!("{head}Content-Length: {}\r\n\r\n", body.len()).as_bytes(), body].concat();
    };
    let mut message = format!("{head}Transfer-Encoding: chunked\r\nTrailer: X-SuM\r\n\r\n").into_bytes();
    for chunk in body.chunks(1000) {
        message.extend([format!("{:x}\r\n", chunk.len()).as_bytes(), chunk, b"\r\n"].concat());
    }
    // What only a head may say is dropped on the way.
    let head_like = "Host: evil\r\nAuthorization: evil\r\nContent-Length: 1\r\nX-Meltemi-Not-Processed: 1\r\n";
    message.extend(format!("0\r\nX-SuM: {sum}\r\n{head_like}\r\n").as_bytes());
    message
}

/// Lines up to an empty one, which is the last.
fn read_lines(reader: &mut impl BufRead) -> Option<String> {
    let mut lines = String::new();
    loop {
        let start = lines.len();
        if reader.read_line(&mut lines).ok()? == 0 {
            return None;
        }
        if &lines[start..] == "\r\n" {
            return Some(lines);
        }
    }
}

/// A field by its name in lower case: proxies write those of the framing as they like.
fn field<'a>(lines: &'a str, name: &str) -> Option<&'a str> {
    let fields = lines.lines().filter_map(|line| line.split_once(": "));
    fields.filter(|(came, _)| came.eq_ignore_ascii_case(name)).map(|(_, value)| value).next()
}

/// The sum, if there is no other trailer.
fn sum_of(trailers: &str) -> Option<&str> {
    field(trailers, "x-sum").filter(|_| trailers.trim_end().lines().count() == 1)
}

/// What follows a head: the body without its framing, and the trailers.
fn read_body(reader: &mut impl BufRead, head: &str) -> Option<(Vec<u8>, String)> {
    let mut body = Vec::new();
    if let Some(length) = field(head, "content-length") {
        body.resize(length.parse().ok()?, 0);
        reader.read_exact(&mut body).ok()?;
        return Some((body, String::new()));
    }
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let size = usize::from_str_radix(line.trim_end(), 16).ok()?;
        if size == 0 {
            return Some((body, read_lines(reader)?));
        }
        let end = body.len() + size;
        body.resize(end + 2, 0);
        reader.read_exact(&mut body[end - size..]).ok()?;
        if body.split_off(end) != b"\r\n" {
            return None;
        }
    }
}

fn connect(pod: &Pod) -> Result<TcpStream, String> {
    let stream = pod.connect(ECHO).map_err(|error| error.to_string())?;
    stream.set_read_timeout(Some(PATIENCE)).map_err(|error| error.to_string())?;
    Ok(stream)
}

fn ask(pod: &Pod, client: usize, wave: usize) -> Result<(), String> {
    let mut stream = connect(pod)?;
    let name = format!("{client}-{wave}");
    write!(stream, "GET /a HTTP/1.1\r\nHost: echo\r\nX-NaMe: {name}\r\nConnection: close\r\n\r\n")
        .map_err(|error| error.to_string())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).map_err(|error| error.to_string())?;
    if is_answer(&answer) && answer.ends_with(&format!("\r\n\r\n{name}")) {
        Ok(())
    } else {
        Err(format!("{name} got {answer:?}"))
    }
}

fn is_answer(head: &str) -> bool {
    head.starts_with("HTTP/1.1 200 OK\r\n") && head.contains("\r\nX-MiXed: Answer\r\n")
}

/// Sends a body, by turns with a declared length and in chunks with a trailer, and wants the same back.
fn post(pod: &Pod, client: usize, wave: usize) -> Result<(), String> {
    let name = format!("{client}-{wave}");
    let sum = (!(client + wave).is_multiple_of(2)).then_some(name.as_str());
    // Whoever takes it for the framing sees its end too early. From nothing up to what may still share a connection.
    let mut body = format!("{name}\r\n0\r\n\r\n").repeat(10_000).into_bytes();
    body.truncate(client * 1000 + wave);
    let head = format!("POST /a HTTP/1.1\r\nHost: echo\r\nX-NaMe: {name}\r\nTE: trailers\r\nConnection: TE, close\r\n");
    let mut stream = connect(pod)?;
    stream.write_all(&message(&head, &body, sum)).map_err(|error| format!("{name}: {error}"))?;
    let mut reader = BufReader::new(&stream);
    let head = read_lines(&mut reader).ok_or_else(|| format!("{name} got no whole head"))?;
    let (came, trailers) =
        read_body(&mut reader, &head).ok_or_else(|| format!("{name} got no whole body: {head:?}"))?;
    if is_answer(&head) && came == body && sum_of(&trailers) == sum {
        return Ok(());
    }
    let start = String::from_utf8_lossy(&came[..came.len().min(100)]);
    let told = format!("{} bytes back of {}: {start:?}", came.len(), body.len());
    Err(format!("{name} with trailer {sum:?} got {head:?}, trailers {trailers:?}, {told}"))
}

/// Five waves: how many requests shared a connection, and how long a wave takes. Of the five the median, because other
/// programs of the machine hold up one or two of them, and what holds up requests here holds up all.
fn shared_waves(scene: &Scene, ask: Ask) -> Result<(u64, Duration), Failed> {
    let shared = scene.sharing()?;
    let mut took = scene.waves(5, CLIENTS, ask)?;
    took.sort_unstable();
    let shared = scene.sharing()? - shared;
    ensure!(shared >= 5 * (CLIENTS - FIRST) as u64, "only {shared} of 5 waves of {CLIENTS} shared a connection");
    Ok((shared, took[2]))
}

fn as_they_went_in() -> Outcome {
    let scene = Scene::start()?;
    let before = scene.accepted()?;
    let (shared, _) = shared_waves(&scene, ask)?;
    let opened = scene.accepted()? - before;
    println!("5 waves of {CLIENTS} at once: {shared} shared a connection, {opened} connections were opened");
    ensure!(opened < 16, "{opened} connections were opened");
    Ok(())
}

fn bodies() -> Outcome {
    let scene = Scene::start()?;
    let (shared, took) = shared_waves(&scene, post)?;
    println!("5 waves of {CLIENTS} with bodies, half of them in chunks: {shared} shared a connection, {took:.1?} each");
    Ok(())
}

/// A request that shares a connection, and whose answer is not read.
fn not_read(scene: &Scene) -> Result<TcpStream, Failed> {
    // Beside others, so that it shares.
    let (failed, slow) = scene.held(FIRST, || {
        let shared = scene.sharing()?;
        let mut slow = connect(scene.client())?;
        slow.write_all(b"GET /large HTTP/1.1\r\nHost: echo\r\n\r\n")?;
        slow.read_exact(&mut [0; 1000])?;
        ensure!(scene.sharing()? > shared, "the slow one did not share a connection");
        Ok(slow)
    })?;
    ensure!(failed.is_empty(), "{failed:?}");
    Ok(slow)
}

fn slow_among_fast() -> Outcome {
    let scene = Scene::start()?;
    // What the first wave makes is there for those that are compared.
    scene.waves(1, CLIENTS, ask)?;
    let (_, alone) = shared_waves(&scene, ask)?;
    let slow = not_read(&scene)?;
    let (shared, beside) = shared_waves(&scene, ask)?;
    let all = 5 * CLIENTS;
    println!("a wave of {CLIENTS}: {alone:.1?}; beside one that is not read: {beside:.1?}, {shared} of {all} shared");
    ensure!(beside <= 3 * alone + Duration::from_millis(50), "{beside:?} in place of {alone:?}: it holds up others");
    drop(slow);
    Ok(())
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
    let (failed, ()) = scene.held(32, || cut(scene.lab.pod("echo")?))?;
    println!("{} of 32 that were under way ended with an error", failed.len());
    ensure!(failed.len() == 32 && failed.iter().all(|why| why.contains("HTTP/1.1 503")), "{failed:?}");
    scene.waves(2, CLIENTS, ask)?;
    Ok(())
}

fn tried_again() -> Outcome {
    let scene = Scene::with(Some(TRIES_AGAIN))?;
    let before = scene.sharing()?;
    let (failed, shared) = scene.held(32, || {
        let shared = scene.sharing()? - before;
        cut(scene.lab.pod("echo")?)?;
        scene.gate.come(64).map_err(|why| format!("those that were lost did not all come again: {why}"))?;
        Ok(shared)
    })?;
    let again = counted(scene.client(), "meltemi_retries_total{reason=\"reset\"} ")?;
    println!("{shared} of 32 shared the connection that was lost; {again} were tried again, {} failed", failed.len());
    ensure!(shared >= (32 - FIRST) as u64, "only {shared} of 32 shared a connection");
    ensure!(failed.is_empty(), "{failed:?}");
    ensure!(again >= 32, "all were lost, and {again} were tried again");
    Ok(())
}
