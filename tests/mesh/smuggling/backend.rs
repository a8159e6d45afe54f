//! An application that writes down every byte it is sent, and answers as a script says, also as no honest one would.

use std::collections::HashMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use crate::corpus::{MARK, Reached};

/// Header names that a mesh adds.
const OF_THE_MESH: [&str; 5] = [
    "x-forwarded-proto",
    "x-request-id",
    "x-envoy-attempt-count",
    "x-envoy-expected-rq-timeout-ms",
    "x-envoy-original-path",
];
/// How long the sidecars may take to bring to an end what the application still waits for.
const SETTLE: Duration = Duration::from_secs(3);

/// A request as it came.
#[derive(Debug, Clone)]
pub struct Seen {
    /// Which connection, in the order in which they came.
    pub connection: usize,
    /// The head with its empty line.
    pub head: Vec<u8>,
    /// What came of the body, without its framing.
    pub body: Vec<u8>,
    /// Whether the body came to its end.
    pub whole: bool,
    /// Whether nothing more can come of it.
    pub settled: bool,
    /// What came on the connection after a script was played.
    pub after: Vec<u8>,
}

/// What is answered to a request whose target is `/script/<name>` or begins with that and a `/`.
pub struct Script {
    /// Its name.
    pub name: &'static str,
    /// The bytes of the answer; `{target}` stands for the request's target.
    pub answer: Vec<u8>,
    /// What is done around it.
    pub then: Then,
}

/// What is done around an answer.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Then {
    /// The request's body is read first, and the connection goes on.
    GoOn,
    /// The request's body is read first; what follows the answer is written down and never answered.
    Listen,
    /// The answer comes first and the request's body is read afterwards; the connection goes on.
    AnswerFirst,
    /// The request's body is read first; then the connection is closed.
    Close,
}

/// The application. It lives as long as the listener's pod.
pub struct Backend(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    scripts: HashMap<&'static str, Script>,
}

#[derive(Default)]
struct State {
    seen: Vec<Seen>,
    /// What `seen` had before it was taken.
    taken: usize,
    connections: usize,
}

impl Backend {
    /// Serves on threads of its own.
    pub fn start(listener: TcpListener, scripts: Vec<Script>) -> Self {
        let scripts = scripts.into_iter().map(|script| (script.name, script)).collect();
        let shared = Arc::new(Shared { state: Mutex::default(), changed: Condvar::new(), scripts });
        let accepting = shared.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let shared = accepting.clone();
                std::thread::spawn(move || shared.serve(stream));
            }
        });
        Self(shared)
    }

    /// What came since the last time, once nothing more can come of any of it.
    pub fn take(&self) -> Result<Vec<Seen>, String> {
        let started = Instant::now();
        let mut state = self.0.lock();
        while !state.seen.iter().all(|seen| seen.settled) {
            let left = SETTLE.saturating_sub(started.elapsed());
            if left.is_zero() {
                let told: Vec<String> =
                    state.seen.iter().filter(|seen| !seen.settled).map(|seen| text(&seen.head)).collect();
                state.clear();
                return Err(format!("{SETTLE:?} later the application still waits for the rest of {told:?}"));
            }
            state = self.0.changed.wait_timeout(state, left).expect("the state").0;
        }
        Ok(state.clear())
    }

    /// Waits until what came fulfils a condition, and looks at it without taking it.
    pub fn wait(&self, limit: Duration, holds: impl Fn(&[Seen]) -> bool) -> Vec<Seen> {
        let started = Instant::now();
        let mut state = self.0.lock();
        while !holds(&state.seen) && started.elapsed() < limit {
            state = self.0.changed.wait_timeout(state, limit.saturating_sub(started.elapsed())).expect("the state").0;
        }
        state.seen.clone()
    }
}

impl State {
    fn clear(&mut self) -> Vec<Seen> {
        let seen = std::mem::take(&mut self.seen);
        self.taken += seen.len();
        seen
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("the state")
    }

    /// Changes what is known of a request, unless the test has lost interest in it.
    fn note(&self, number: usize, change: impl FnOnce(&mut Seen)) {
        let mut state = self.lock();
        let at = number.checked_sub(state.taken);
        if let Some(seen) = at.and_then(|at| state.seen.get_mut(at)) {
            change(seen);
        }
        self.changed.notify_all();
    }

    fn serve(&self, mut stream: TcpStream) {
        let connection = {
            let mut state = self.lock();
            state.connections += 1;
            state.connections
        };
        let mut buffer = Vec::new();
        while let Some(head) = read_head(&mut stream, &mut buffer) {
            let number = {
                let mut state = self.lock();
                let seen =
                    Seen { connection, head: head.clone(), body: vec![], whole: false, settled: false, after: vec![] };
                state.seen.push(seen);
                state.taken + state.seen.len() - 1
            };
            let going_on = self.answer(&mut stream, &mut buffer, &head, number);
            self.note(number, |seen| seen.settled = true);
            if !going_on {
                return;
            }
        }
        if !buffer.is_empty() {
            let seen = Seen { connection, head: buffer, body: vec![], whole: false, settled: true, after: vec![] };
            self.lock().seen.push(seen);
            self.changed.notify_all();
        }
    }

    /// Whether the connection goes on.
    fn answer(&self, stream: &mut TcpStream, buffer: &mut Vec<u8>, head: &[u8], number: usize) -> bool {
        let target = target(head);
        let script = target.strip_prefix("/script/").and_then(|rest| self.scripts.get(rest.split('/').next()?));
        let first = script.is_some_and(|script| script.then == Then::AnswerFirst);
        if !first && !self.read_body(stream, buffer, head, number) {
            return false;
        }
        let answer = match script {
            Some(script) => replace(&script.answer, &target),
            None => honest(head, &target),
        };
        if stream.write_all(&answer).is_err() {
            return false;
        }
        match script.map(|script| script.then) {
            None | Some(Then::GoOn) => true,
            Some(Then::AnswerFirst) => self.read_body(stream, buffer, head, number),
            Some(Then::Close) => false,
            Some(Then::Listen) => {
                self.listen(stream, buffer, number);
                false
            }
        }
    }

    /// Whether the body came to its end.
    fn read_body(&self, stream: &mut TcpStream, buffer: &mut Vec<u8>, head: &[u8], number: usize) -> bool {
        let mut body = Vec::new();
        let whole = read_body(stream, buffer, head, &mut body);
        self.note(number, |seen| (seen.body, seen.whole) = (body, whole));
        whole
    }

    fn listen(&self, stream: &mut TcpStream, buffer: &mut Vec<u8>, number: usize) {
        self.note(number, |seen| seen.after.append(buffer));
        let mut more = [0; 4096];
        while let Some(read) = read_some(stream, &mut more) {
            self.note(number, |seen| seen.after.extend_from_slice(&more[..read]));
        }
    }
}

/// The answer of an honest application: the target, so that nobody else's answer can pass for it.
fn honest(head: &[u8], target: &str) -> Vec<u8> {
    let body = format!("served {target}");
    let shown = if head.starts_with(b"HEAD ") { "" } else { &body };
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{shown}", body.len()).into_bytes()
}

fn replace(answer: &[u8], target: &str) -> Vec<u8> {
    const PLACE: &[u8] = b"{target}";
    match answer.windows(PLACE.len()).position(|window| window == PLACE) {
        Some(at) => [&answer[..at], target.as_bytes(), &answer[at + PLACE.len()..]].concat(),
        None => answer.to_vec(),
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn target(head: &[u8]) -> String {
    text(head).split(' ').nth(1).unwrap_or_default().to_owned()
}

fn read_some(stream: &mut TcpStream, into: &mut [u8]) -> Option<usize> {
    loop {
        match stream.read(into) {
            Ok(0) => return None,
            Ok(read) => return Some(read),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => return None,
        }
    }
}

fn fill(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<()> {
    let mut more = [0; 16 << 10];
    let read = read_some(stream, &mut more)?;
    buffer.extend_from_slice(&more[..read]);
    Some(())
}

/// Bytes up to and with `end`, taken off the buffer.
fn read_until(stream: &mut TcpStream, buffer: &mut Vec<u8>, end: &[u8]) -> Option<Vec<u8>> {
    loop {
        if let Some(at) = buffer.windows(end.len()).position(|window| window == end) {
            return Some(buffer.drain(..at + end.len()).collect());
        }
        fill(stream, buffer)?;
    }
}

fn read_head(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<Vec<u8>> {
    read_until(stream, buffer, b"\r\n\r\n")
}

/// Whether the body came to its end.
fn read_body(stream: &mut TcpStream, buffer: &mut Vec<u8>, head: &[u8], body: &mut Vec<u8>) -> bool {
    let lines = header_lines(head);
    if lines.iter().any(|line| line == "transfer-encoding: chunked") {
        return read_chunks(stream, buffer, body).is_some();
    }
    let length = lines.iter().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok()).unwrap_or(0);
    while buffer.len() < length {
        if fill(stream, buffer).is_none() {
            body.append(buffer);
            return false;
        }
    }
    body.extend(buffer.drain(..length));
    true
}

fn read_chunks(stream: &mut TcpStream, buffer: &mut Vec<u8>, body: &mut Vec<u8>) -> Option<()> {
    loop {
        let line = text(&read_until(stream, buffer, b"\r\n")?);
        let size = usize::from_str_radix(line.trim_end(), 16).ok()?;
        if size == 0 {
            break;
        }
        while buffer.len() < size + 2 {
            fill(stream, buffer)?;
        }
        body.extend(buffer.drain(..size));
        if buffer.drain(..2).as_slice() != b"\r\n" {
            return None;
        }
    }
    while read_until(stream, buffer, b"\r\n")? != b"\r\n" {}
    Some(())
}

/// `name: value`, names in lower case, sorted.
fn header_lines(head: &[u8]) -> Vec<String> {
    let mut lines: Vec<String> = text(head)
        .split("\r\n")
        .skip(1)
        .filter(|line| !line.is_empty())
        .map(|line| match line.split_once(':') {
            Some((name, value)) => format!("{}: {}", name.to_ascii_lowercase(), value.trim_matches([' ', '\t'])),
            None => line.to_owned(),
        })
        .collect();
    lines.sort_unstable();
    lines
}

impl Seen {
    /// The mark of the case that it belongs to, if it has one.
    pub fn mark(&self) -> Option<String> {
        header_lines(&self.head).iter().find_map(|line| Some(line.strip_prefix(MARK)?.strip_prefix(": ")?.to_owned()))
    }

    /// As the corpus tells of it.
    pub fn reached(&self) -> Reached {
        let mut headers = header_lines(&self.head);
        headers.retain(|line| !OF_THE_MESH.iter().any(|name| line.split(':').next() == Some(name)));
        // Between the sidecars the server's side writes who the client is; only what a client wrote itself is of interest.
        headers.retain(|line| !line.starts_with("x-forwarded-client-cert: By=spiffe://cluster.local/"));
        Reached {
            line: text(&self.head).split("\r\n").next().unwrap_or_default().to_owned(),
            headers,
            body: self.body.clone(),
        }
    }
}
