//! What one request costs each of its two sidecars, in allocations and in system calls: listed, and held below ceilings.
//! `cost.rs` is about what a sidecar costs in a large mesh; this is about its request path.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use lab::{Lab, Pod};
use libtest_mimic::Trial;

use crate::config::Config;
use crate::origin::Origin;
use crate::strace::Strace;
use crate::waiting::until;
use crate::{Outcome, ensure, raw_h2, test};

/// The most that a request may cost. System calls: what was measured when the line was last changed, and about 5 %.
/// Allocations: half a one more, for they hardly differ from run to run, and one more per request is to be seen.
/// A change that lowers a figure lowers its line here; one that raises a line says why. They are figures of the debug
/// program: the release one allocates as often or, where the compiler saw that it need not, a little less.
const CEILINGS: &[Ceiling] = &[
    Ceiling { scene: (Protocol::Http1, "client"), allocations: 23.5, calls: HTTP1_CALLS },
    Ceiling { scene: (Protocol::Http1, "origin"), allocations: 21.5, calls: HTTP1_CALLS },
    Ceiling { scene: (Protocol::Http2, "client"), allocations: 31.8, calls: HTTP2_CALLS },
    Ceiling { scene: (Protocol::Http2, "origin"), allocations: 29.7, calls: HTTP2_CALLS },
];

/// One transfer each way on each side.
const HTTP1_CALLS: &[(&str, f64)] = &[("epoll_wait", 2.1), ("recvfrom", 2.1), ("sendto", 1.05), ("writev", 1.05)];
/// Frames that carry no request add to what is received; how often a sidecar waits is 4 to 5 times, by who is faster.
const HTTP2_CALLS: &[(&str, f64)] = &[("epoll_wait", 2.15), ("recvfrom", 2.25), ("sendto", 1.05), ("writev", 1.05)];

/// For each system call that a ceiling does not name: timers, reports, pings.
const RARE: f64 = 0.05;
/// Until buffers, tables and the connection between the sidecars are as they will stay.
const WARM_UP: u32 = 20;
/// So many that the two questions for the count, some hundred allocations, do not matter.
const COUNTED: u32 = 2000;
/// Fewer, for each system call takes long then; so many that what a timer does does not matter.
const TRACED: u32 = 500;
const BODY: usize = 1024;

struct Ceiling {
    /// What the client speaks, and the pod whose sidecar is meant.
    scene: (Protocol, &'static str),
    allocations: f64,
    calls: &'static [(&'static str, f64)],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Protocol {
    Http1,
    Http2,
}

pub fn tests() -> Vec<Trial> {
    vec![test("request_costs::a_request_takes_no_more_allocations_and_system_calls_than_it_did", costs)]
}

fn costs() -> Outcome {
    let config = Config::new();
    config.client("client", 2, true);
    config.client("origin", 13, true);
    let ports = [("http", 80, 8080), ("http2", 81, 8081)];
    let service = crate::config::service("origin", "10.96.2.13", &ports)
        + &crate::config::endpoints("origin", &ports, [("origin", 13)].into_iter());
    config.write("origin-service.yaml", &service);
    let mut options = config.options();
    // No access log, and no report while requests are counted.
    options.proxy_args = ["--access-log=off", "--report-every=1h"].map(str::to_owned).to_vec();
    let lab = Lab::start(options)?;
    let _origins = [Origin::start(lab.pod("origin")?, 8080)?, Origin::start(lab.pod("origin")?, 8081)?];
    let near = lab.pod("client")?;
    let mut above = Vec::new();
    for protocol in [Protocol::Http1, Protocol::Http2] {
        let mut client = until("the origin", Duration::from_secs(10), || Client::open(near, protocol))?;
        let allocations = allocated(&lab, &mut client)?;
        let calls = called(&lab, &mut client)?;
        for ((pod, allocations), calls) in PODS.into_iter().zip(allocations).zip(calls) {
            println!("{}", told(protocol, pod, allocations, &calls));
            above.extend(above_ceiling((protocol, pod), allocations, &calls));
        }
    }
    ensure!(above.is_empty(), "a request costs more than it did:\n{}", above.join("\n"));
    Ok(())
}

const PODS: [&str; 2] = ["client", "origin"];

type Calls = BTreeMap<String, f64>;
type Failure = Box<dyn std::error::Error>;

/// Allocations per request of each sidecar.
fn allocated(lab: &Lab, client: &mut Client) -> Result<[f64; 2], Failure> {
    let count =
        || -> Result<[u64; 2], Failure> { Ok([allocations(lab.pod("client")?)?, allocations(lab.pod("origin")?)?]) };
    let before = count()?;
    client.send(COUNTED)?;
    let after = count()?;
    Ok([0, 1].map(|side| (after[side] - before[side]) as f64 / f64::from(COUNTED)))
}

fn allocations(pod: &Pod) -> Result<u64, Failure> {
    let answer = pod.admin("/allocations")?.text();
    answer.trim().parse().map_err(|_| format!("/allocations of {}: {answer}", pod.spec().name).into())
}

/// System calls per request of each sidecar, by name.
fn called(lab: &Lab, client: &mut Client) -> Result<[Calls; 2], Failure> {
    let [near, far] = PODS.map(|pod| -> Result<Strace, Failure> {
        Ok(Strace::attach(lab.pod(pod)?.sidecar().ok_or("no sidecar")?.pid())?)
    });
    let (near, far) = (near?, far?);
    client.send(TRACED)?;
    let share = |counts: BTreeMap<String, u64>| -> Calls {
        counts.into_iter().map(|(name, count)| (name, count as f64 / f64::from(TRACED))).collect()
    };
    Ok([share(near.end()?), share(far.end()?)])
}

/// One line: the allocations, and the system calls with the most frequent first.
fn told(protocol: Protocol, pod: &str, allocations: f64, calls: &Calls) -> String {
    let mut frequent: Vec<_> = calls.iter().collect();
    frequent.sort_by(|left, right| right.1.total_cmp(left.1));
    let named: Vec<String> = frequent.into_iter().map(|(name, share)| format!("{name} {share:.3}")).collect();
    let all: f64 = calls.values().sum();
    format!(
        "{protocol:?}, sidecar of {pod}: {allocations:.2} allocations, {all:.2} system calls per request: {}",
        named.join(", ")
    )
}

/// A line for each figure that is higher than it may be.
fn above_ceiling(scene: (Protocol, &str), allocations: f64, calls: &Calls) -> Vec<String> {
    let Some(ceiling) = CEILINGS.iter().find(|ceiling| ceiling.scene == scene) else {
        return vec![format!("{scene:?} has no ceiling")];
    };
    let allowed = |name: &str| ceiling.calls.iter().find(|(one, _)| *one == name).map_or(RARE, |(_, most)| *most);
    let figures = calls.iter().map(|(name, share)| (name.as_str(), *share, allowed(name)));
    std::iter::once(("allocations", allocations, ceiling.allocations))
        .chain(figures)
        .filter(|(_, figure, most)| figure > most)
        .map(|(name, figure, most)| format!("{scene:?}: {name} {figure:.3}, at most {most}"))
        .collect()
}

/// One connection from the client's pod, kept. Bytes by hand: a library would sometimes send a head and its body apart.
struct Client {
    stream: TcpStream,
    protocol: Protocol,
    /// The last stream of HTTP/2.
    last: u32,
}

impl Client {
    /// Connects and warms up.
    fn open(pod: &Pod, protocol: Protocol) -> std::io::Result<Self> {
        let port = if protocol == Protocol::Http1 { 80 } else { 81 };
        let mut stream = pod.connect(([10, 96, 2, 13], port))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        if protocol == Protocol::Http2 {
            let window = raw_h2::frame(raw_h2::WINDOW_UPDATE, 0, 0, &(1_u32 << 30).to_be_bytes());
            stream.write_all(&[raw_h2::opening(&[]), window].concat())?;
        }
        let mut client = Self { stream, protocol, last: 1 };
        client.send(WARM_UP)?;
        Ok(client)
    }

    /// So many requests, one after the other.
    fn send(&mut self, count: u32) -> std::io::Result<()> {
        for _ in 0..count {
            match self.protocol {
                Protocol::Http1 => self.http1()?,
                Protocol::Http2 => self.http2()?,
            }
        }
        Ok(())
    }

    fn http1(&mut self) -> std::io::Result<()> {
        let head = format!("POST /echo HTTP/1.1\r\nHost: origin\r\nContent-Length: {BODY}\r\n\r\n");
        self.stream.write_all(&[head.as_bytes(), &[b'x'; BODY]].concat())?;
        let mut answer = Vec::new();
        let mut part = [0; 4 * BODY];
        loop {
            match self.stream.read(&mut part)? {
                0 => return Err(std::io::Error::other("the connection was closed")),
                n => answer.extend_from_slice(&part[..n]),
            }
            if answer.windows(4).position(|four| four == b"\r\n\r\n").is_some_and(|end| answer.len() == end + 4 + BODY)
            {
                break;
            }
        }
        let ok = answer.starts_with(b"HTTP/1.1 200");
        if ok { Ok(()) } else { Err(std::io::Error::other(String::from_utf8_lossy(&answer))) }
    }

    fn http2(&mut self) -> std::io::Result<()> {
        self.last += 2;
        let body = raw_h2::frame(raw_h2::DATA, raw_h2::END_STREAM, self.last, &[b'x'; BODY]);
        self.stream.write_all(&[raw_h2::post(self.last, "/echo"), body].concat())?;
        let heard = raw_h2::hear(&mut self.stream, |heard| heard.resets > 0 || heard.data >= BODY);
        let ok = heard.ok == 1 && heard.data == BODY && heard.resets == 0;
        if ok { Ok(()) } else { Err(std::io::Error::other(format!("{heard:?}"))) }
    }
}
