//! S25, S27 and S30: upstreams that answer as no honest one would. The client gets one answer, and nobody else any part of it.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use super::backend::{Backend, Script, Then};
use super::{ECHO, ECHO_POD, Way, exchange, mesh, statuses, tell};
use crate::Outcome;

/// An answer, and what the client may get.
struct Hostile {
    row: &'static str,
    script: Script,
    ask: Ask,
    may: May,
}

/// What the client may get.
#[derive(Clone, Copy)]
struct May {
    statuses: &'static [u16],
    /// Text that must be in the client's answer.
    has: &'static str,
    /// An answer of 200 must not come to its end.
    cut: bool,
}

/// What the client sends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ask {
    Get,
    Head,
    /// A WebSocket, and a request behind it that came too early.
    WebSocket,
}

const BAD: &[u16] = &[502];
const OK: &[u16] = &[200];

fn hostile(row: &'static str, name: &'static str, answer: impl Into<Vec<u8>>) -> Hostile {
    let script = Script { name, answer: answer.into(), then: Then::Listen };
    Hostile { row, script, ask: Ask::Get, may: May { statuses: BAD, has: "", cut: false } }
}

impl Hostile {
    fn served(mut self, statuses: &'static [u16], has: &'static str) -> Self {
        (self.may.statuses, self.may.has) = (statuses, has);
        self
    }

    fn cut_off(mut self) -> Self {
        self.may.cut = true;
        self
    }

    fn ask(mut self, ask: Ask) -> Self {
        self.ask = ask;
        self
    }

    fn then(mut self, then: Then) -> Self {
        self.script.then = then;
        self
    }
}

fn all() -> Vec<Hostile> {
    [heads(), lengths(), leftovers(), upgrades(), interim()].into_iter().flatten().collect()
}

/// Heads that are none (RFC 9112, 4 and 5).
fn heads() -> Vec<Hostile> {
    let with = |lines: &str| format!("HTTP/1.1 200 OK\r\n{lines}Content-Length: 2\r\n\r\nok");
    vec![
        hostile("S25", "nul-in-value", with("X: a\0b\r\n")),
        hostile("S25", "cr-in-value", with("X: a\rb\r\n")),
        hostile("S25", "lf-in-head", with("X: a\nb: c\r\n")),
        hostile("S25", "control-in-value", with("X: a\x01b\r\n")),
        hostile("S25", "del-in-value", with("X: a\x7fb\r\n")),
        hostile("S25", "folded-value", with("X: a\r\n b\r\n")),
        hostile("S25", "folded-first", with(" X: a\r\n")),
        hostile("S25", "space-before-colon", with("X : a\r\n")),
        hostile("S25", "empty-name", with(": a\r\n")),
        hostile("S25", "space-in-name", with("X a: b\r\n")),
        hostile("S25", "no-colon", with("X\r\n")),
        hostile("S25", "bare-lf", "HTTP/1.1 200 OK\nContent-Length: 2\n\nok"),
        hostile("S25", "cr-cr-lf", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\r\n\r\nok"),
        hostile("S25", "nul-in-reason", "HTTP/1.1 200 O\0K\r\nContent-Length: 2\r\n\r\nok"),
        hostile("S25", "cr-in-reason", "HTTP/1.1 200 O\rK\r\nContent-Length: 2\r\n\r\nok"),
        hostile("S25", "short-status", "HTTP/1.1 20 OK\r\nContent-Length: 2\r\n\r\nok"),
        hostile("S25", "long-status", "HTTP/1.1 2000 OK\r\nContent-Length: 2\r\n\r\nok"),
        hostile("S25", "signed-status", "HTTP/1.1 +20 OK\r\nContent-Length: 2\r\n\r\nok"),
        hostile("S25", "small-status", "HTTP/1.1 099 OK\r\nContent-Length: 2\r\n\r\nok"),
        hostile("S25", "http-2", "HTTP/2.0 200 OK\r\nContent-Length: 2\r\n\r\nok"),
        hostile("S25", "http-0.9", "hello").then(Then::Close).served(&[502, 503], ""),
        hostile("S25", "another-protocol", "SSH-2.0-x\r\n\r\n"),
        hostile("S25", "large-head", with(&format!("X: {}\r\n", "a".repeat(500_000)))),
        hostile("S25", "many-headers", with(&"X: a\r\n".repeat(2000))),
    ]
}

/// Bodies whose end is unclear (RFC 9112, 6).
fn lengths() -> Vec<Hostile> {
    let with = |lines: &str, body: &str| format!("HTTP/1.1 200 OK\r\n{lines}\r\n{body}");
    let poison = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison";
    let chunks = "Transfer-Encoding: chunked\r\n";
    let mut all: Vec<Hostile> = [
        ("two-lengths", "Content-Length: 2\r\nContent-Length: 4\r\n"),
        ("two-equal-lengths", "Content-Length: 2\r\nContent-Length: 2\r\n"),
        ("list-of-lengths", "Content-Length: 2, 4\r\n"),
        ("signed-length", "Content-Length: +2\r\n"),
        ("negative-length", "Content-Length: -2\r\n"),
        ("hex-length", "Content-Length: 0x2\r\n"),
        ("empty-length", "Content-Length:\r\n"),
        ("long-length", "Content-Length: 18446744073709551618\r\n"),
        ("length-and-chunks", "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n"),
        ("chunks-and-length", "Transfer-Encoding: chunked\r\nContent-Length: 2\r\n"),
        ("xchunked", "Transfer-Encoding: xchunked\r\n"),
        ("gzip-chunked", "Transfer-Encoding: gzip, chunked\r\n"),
        ("chunked-twice", "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"),
    ]
    .map(|(name, lines)| hostile("S25", name, with(lines, &format!("ok{poison}"))))
    .into();
    let old = "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n";
    all.push(hostile("S25", "chunks-in-1.0", old));
    // The head is gone before the fault shows: the client's answer is cut off, never ended as if it were whole.
    for (name, body) in [
        ("chunk-bare-lf", "2\nok\r\n0\r\n\r\n"),
        ("chunk-plus", "+2\r\nok\r\n0\r\n\r\n"),
        ("chunk-space", "2 \r\nok\r\n0\r\n\r\n"),
        ("chunk-overlong", "2\r\nokok\r\n0\r\n\r\n"),
        ("chunk-overflow", "ffffffffffffffff2\r\nok\r\n0\r\n\r\n"),
        ("chunk-extension", &format!("2;{}\r\nok\r\n0\r\n\r\n", "a".repeat(100_000))),
        ("chunk-bad-trailer", "2\r\nok\r\n0\r\nX : y\r\n\r\n"),
    ] {
        all.push(hostile("S25", name, with(chunks, body)).served(&[200, 502, 503], "").cut_off());
    }
    all
}

/// Bytes behind an answer, and answers with a body that cannot have one.
fn leftovers() -> Vec<Hostile> {
    let poison = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison";
    let go_on = |name, answer: String| hostile("S30", name, answer).then(Then::GoOn);
    vec![
        go_on("extra-bytes", format!("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok{poison}")).served(OK, "ok"),
        go_on("extra-line-end", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok\r\n".into()).served(OK, "ok"),
        go_on(
            "extra-after-chunks",
            format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n{poison}"),
        )
        .served(OK, "ok"),
        go_on("no-content-with-body", format!("HTTP/1.1 204 No Content\r\n\r\n{poison}")).served(&[204], ""),
        go_on("no-content-with-length", "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nhello".into())
            .served(&[204, 502], ""),
        go_on("not-modified-with-body", format!("HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\nhello{poison}"))
            .served(&[304], ""),
        go_on("head-with-body", format!("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello{poison}"))
            .ask(Ask::Head)
            .served(OK, ""),
        hostile("S30", "short-body", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nok")
            .then(Then::Close)
            .served(OK, "ok")
            .cut_off(),
        hostile("S30", "until-the-end", "HTTP/1.1 200 OK\r\n\r\nok").then(Then::Close).served(OK, "ok"),
        hostile("S30", "closing", "HTTP/1.1 200 OK\r\nConnection: x, Close\r\nContent-Length: 2\r\n\r\nok")
            .served(OK, "ok"),
        hostile("S30", "old", "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok").served(OK, "ok"),
    ]
}

/// Answers to an upgrade. What the client sent too early reaches nobody before a 101, and never as a request.
fn upgrades() -> Vec<Hostile> {
    let ok = "Content-Length: 2\r\n\r\nok";
    vec![
        hostile("S27", "upgrade-refused", format!("HTTP/1.1 426 Upgrade Required\r\n{ok}"))
            .ask(Ask::WebSocket)
            .served(&[426], "ok"),
        hostile("S27", "upgrade-ignored", format!("HTTP/1.1 200 OK\r\n{ok}")).ask(Ask::WebSocket).served(OK, "ok"),
        hostile("S27", "upgrade-empty", "HTTP/1.1 204 No Content\r\n\r\n").ask(Ask::WebSocket).served(&[204], ""),
        hostile("S27", "upgrade-failed", format!("HTTP/1.1 500 No\r\n{ok}")).ask(Ask::WebSocket).served(&[500], "ok"),
        hostile("S27", "upgrade-unanswered", "").ask(Ask::WebSocket).served(&[0, 503, 504], ""),
        hostile(
            "S27",
            "upgrade-done",
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nhello",
        )
        .ask(Ask::WebSocket)
        .served(&[101], "hello"),
        hostile(
            "S27",
            "upgrade-to-another",
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: foo\r\n\r\nhello",
        )
        .ask(Ask::WebSocket),
        hostile(
            "S27",
            "switch-unasked",
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nhello",
        ),
    ]
}

fn interim() -> Vec<Hostile> {
    let hints = "HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\n\r\n";
    let ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    vec![
        hostile("S30", "one-hint", format!("{hints}{ok}")).then(Then::GoOn).served(OK, "ok"),
        hostile("S30", "a-thousand-hints", format!("{}{ok}", hints.repeat(1000))).served(&[200, 502], ""),
        hostile("S30", "continue-unasked", format!("HTTP/1.1 100 Continue\r\n\r\n{ok}"))
            .then(Then::GoOn)
            .served(OK, "ok"),
        hostile("S30", "hint-with-length", format!("HTTP/1.1 103 Early Hints\r\nContent-Length: 5\r\n\r\n{ok}"))
            .then(Then::GoOn)
            .served(OK, "ok"),
    ]
}

pub fn run() -> Outcome {
    let (cases, scripts): (Vec<_>, Vec<_>) = all()
        .into_iter()
        .map(|one| ((one.row, one.script.name, one.ask, one.script.then, one.may), one.script))
        .unzip();
    let (lab, backend) = mesh(scripts)?;
    let ways = [
        Way { name: "in plain text", from: lab.pod("stranger")?, to: ECHO_POD },
        Way { name: "through two sidecars", from: lab.pod("client")?, to: ECHO },
    ];
    let started = Instant::now();
    let mut rows: BTreeMap<&str, (usize, Vec<String>)> = BTreeMap::new();
    for (row, name, ask, then, may) in cases {
        for way in ways {
            let ended = one(name, ask, then, way, &backend)
                .and_then(|answer| judge(&answer, may))
                .and_then(|()| next_client(name, way));
            // Whatever is left over belongs to this case.
            let left = backend.take().map(drop);
            let (passed, failed) = rows.entry(row).or_default();
            match ended.and(left) {
                Ok(()) => *passed += 1,
                Err(why) => failed.push(format!("{name}, {}: {why}", way.name)),
            }
        }
    }
    tell(rows, started.elapsed())
}

/// What the client reads.
fn one(name: &str, ask: Ask, then: Then, way: Way<'_>, backend: &Backend) -> Result<Vec<u8>, String> {
    let stream = way.from.connect(way.to).map_err(|error| error.to_string())?;
    let method = if ask == Ask::Head { "HEAD" } else { "GET" };
    if ask == Ask::WebSocket {
        return websocket(name, stream, backend);
    }
    let request = format!("{method} /script/{name} HTTP/1.1\r\nHost: echo\r\nConnection: close\r\n\r\n");
    let answer = exchange(stream, request.as_bytes(), false)?;
    if then == Then::Listen {
        quiet(backend)?;
    }
    Ok(answer)
}

/// The sidecar must let go of a connection that it cannot trust, and send nothing more on it.
fn quiet(backend: &Backend) -> Result<(), String> {
    let seen = backend.wait(Duration::from_secs(3), |seen| seen.iter().all(|seen| seen.settled));
    match seen.iter().find(|seen| !seen.settled || !seen.after.is_empty()) {
        None => Ok(()),
        Some(seen) if seen.after.is_empty() => Err("the connection to the application is kept".to_owned()),
        Some(seen) => Err(format!("the application was sent {:?} behind", String::from_utf8_lossy(&seen.after))),
    }
}

fn websocket(name: &str, mut stream: TcpStream, backend: &Backend) -> Result<Vec<u8>, String> {
    let early = "GET /smuggled HTTP/1.1\r\nHost: echo\r\n\r\n";
    let request = format!(
        "GET /script/{name} HTTP/1.1\r\nHost: echo\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\n\r\n{early}"
    );
    stream.write_all(request.as_bytes()).map_err(|error| error.to_string())?;
    let answer = read_answer(&mut stream);
    let joined = statuses(&answer) == [101];
    if joined {
        backend.wait(Duration::from_secs(3), |seen| seen.iter().any(|seen| seen.after.ends_with(early.as_bytes())));
    }
    drop(stream);
    let seen = backend.wait(Duration::from_secs(3), |seen| seen.iter().all(|seen| seen.settled));
    let switch = seen.iter().find(|seen| seen.head.windows(8).any(|window| window == b"/script/"));
    let switch = switch.ok_or("the application did not see the request")?;
    if joined != (switch.after == early.as_bytes()) || !joined && !switch.after.is_empty() {
        return Err(format!("joined: {joined}; the application got {:?}", String::from_utf8_lossy(&switch.after)));
    }
    if !switch.settled {
        return Err("the connection to the application is kept".to_owned());
    }
    // A request that came too early may be served as one of its own, never on the connection that did not switch.
    match seen.iter().filter(|one| one.connection == switch.connection).count() {
        1 => Ok(answer),
        count => Err(format!("{count} requests on the connection of the upgrade")),
    }
}

/// Reads one answer, as far as it comes within a moment.
fn read_answer(stream: &mut TcpStream) -> Vec<u8> {
    let _ = stream.set_read_timeout(Some(Duration::from_millis(200)));
    let (mut answer, mut more) = (Vec::new(), [0; 4096]);
    while let Ok(read @ 1..) = stream.read(&mut more) {
        answer.extend_from_slice(&more[..read]);
        if answer.ends_with(b"ok") || answer.ends_with(b"hello") {
            break;
        }
    }
    answer
}

fn judge(answer: &[u8], may: May) -> Result<(), String> {
    let text = String::from_utf8_lossy(answer);
    let status = statuses(answer).first().copied().unwrap_or(0);
    if !may.statuses.contains(&status) {
        return Err(format!("the client got {:?}", text.chars().take(300).collect::<String>()));
    }
    if !text.contains(may.has) || text.contains("poison") || text.contains("X-Smuggled") {
        return Err(format!("the client read {text:?}"));
    }
    if may.cut && status == 200 && is_whole(&text) {
        return Err(format!("the client takes for whole {text:?}"));
    }
    Ok(())
}

/// Whether the answer came as far as its head promises. No body here has a line `0` but that of the last chunk.
fn is_whole(answer: &str) -> bool {
    let Some((head, body)) = answer.split_once("\r\n\r\n") else { return false };
    let head = head.to_ascii_lowercase();
    let of = |name: &str| head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    match of("content-length").and_then(|length| length.parse::<usize>().ok()) {
        Some(length) => body.len() >= length,
        None => of("transfer-encoding").is_none() || body.split("\r\n").any(|line| line == "0"),
    }
}

/// The next requests, on connections of their own, get their own answers.
fn next_client(name: &str, way: Way<'_>) -> Result<(), String> {
    for number in 0..2 {
        let stream = way.from.connect(way.to).map_err(|error| error.to_string())?;
        let target = format!("/after/{name}/{number}");
        let request = format!("GET {target} HTTP/1.1\r\nHost: echo\r\nConnection: close\r\n\r\n");
        let answer = exchange(stream, request.as_bytes(), false)?;
        let text = String::from_utf8_lossy(&answer);
        if statuses(&answer) != [200] || !text.ends_with(&format!("\r\n\r\nserved {target}")) {
            return Err(format!("the next client read {text:?}"));
        }
    }
    Ok(())
}
