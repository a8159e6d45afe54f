//! What one request costs each of its two sidecars, in allocations and in system calls: listed, and held below ceilings.
//! `cost.rs` is about what a sidecar costs in a large mesh; this is about its request path.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use lab::{Lab, Pod};
use libtest_mimic::Trial;
use tokio::net::TcpStream;
use tokio::runtime::Runtime;

use crate::config::Config;
use crate::origin::Origin;
use crate::strace::Strace;
use crate::waiting::until;
use crate::{Outcome, ensure, test};

/// The most that a request may cost: what was measured when the line was last changed, and about 5 % for what happens
/// beside requests. A change that lowers a figure lowers its line here, and the change that raises one says why.
/// They are figures of the debug program: the release one allocates as often or, where the compiler saw that it need not,
/// a little less; its system calls are the same.
const CEILINGS: &[Ceiling] = &[
    Ceiling { scene: (Protocol::Http1, "client"), allocations: 0.0, calls: &[] },
    Ceiling { scene: (Protocol::Http1, "origin"), allocations: 0.0, calls: &[] },
    Ceiling { scene: (Protocol::Http2, "client"), allocations: 0.0, calls: &[] },
    Ceiling { scene: (Protocol::Http2, "origin"), allocations: 0.0, calls: &[] },
];

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
    vec![test("costs::a_request_takes_no_more_allocations_and_system_calls_than_it_did", costs)]
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

/// One connection from the client's pod, kept.
struct Client {
    runtime: Runtime,
    sender: Sender,
}

enum Sender {
    Http1(http1::SendRequest<Full<Bytes>>),
    Http2(http2::SendRequest<Full<Bytes>>),
}

impl Client {
    /// Connects and warms up.
    fn open(pod: &Pod, protocol: Protocol) -> Result<Self, String> {
        let port = if protocol == Protocol::Http1 { 80 } else { 81 };
        let stream = pod.connect(([10, 96, 2, 13], port)).map_err(|error| error.to_string())?;
        stream.set_nonblocking(true).and_then(|()| stream.set_nodelay(true)).map_err(|error| error.to_string())?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let sender = runtime.block_on(async {
            let io = TokioIo::new(TcpStream::from_std(stream).expect("a stream"));
            match protocol {
                Protocol::Http1 => {
                    let (sender, connection) = http1::handshake(io).await.map_err(|error| error.to_string())?;
                    tokio::spawn(connection);
                    Ok::<_, String>(Sender::Http1(sender))
                }
                Protocol::Http2 => {
                    let shaken = http2::handshake(TokioExecutor::new(), io).await;
                    let (sender, connection) = shaken.map_err(|error| error.to_string())?;
                    tokio::spawn(connection);
                    Ok(Sender::Http2(sender))
                }
            }
        })?;
        let mut client = Self { runtime, sender };
        client.send(WARM_UP)?;
        Ok(client)
    }

    /// So many requests, one after the other.
    fn send(&mut self, count: u32) -> Result<(), String> {
        let body = Bytes::from(vec![b'x'; BODY]);
        let Self { runtime, sender } = self;
        runtime.block_on(async {
            for _ in 0..count {
                sender.exchange(&body).await?;
            }
            Ok(())
        })
    }
}

impl Sender {
    async fn exchange(&mut self, body: &Bytes) -> Result<(), String> {
        let uri = if matches!(self, Sender::Http1(_)) { "/echo" } else { "http://origin/echo" };
        let request = Request::post(uri).body(Full::new(body.clone()));
        let mut request = request.map_err(|error| error.to_string())?;
        let answer = match self {
            Sender::Http1(sender) => {
                request.headers_mut().insert("host", http::HeaderValue::from_static("origin"));
                sender.ready().await.map_err(|error| error.to_string())?;
                sender.send_request(request).await
            }
            Sender::Http2(sender) => sender.send_request(request).await,
        };
        let answer = answer.map_err(|error| format!("{error:?}"))?;
        let status = answer.status();
        let back = answer.into_body().collect().await.map_err(|error| format!("{error:?}"))?.to_bytes();
        if status == 200 && back == *body { Ok(()) } else { Err(format!("{status} with {} bytes", back.len())) }
    }
}
