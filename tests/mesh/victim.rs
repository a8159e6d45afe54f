//! A client that behaves, beside one that does not: a modest steady load, how long its answers took, and how much of that
//! was no wait for a CPU.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use lab::Pod;

use crate::waits::Waits;

/// Between two requests: 250 a second.
const PACE: Duration = Duration::from_millis(4);
/// An answer that takes longer is none.
const PATIENCE: Duration = Duration::from_secs(5);
/// It is asked for so many answers at least.
const FEWEST: usize = 100;
/// What an answer may wait for one turn of another in the sidecar under attack (`proxy/src/turns.rs`): 16 requests, 128 frames
/// or a handshake. The debug program takes ten times as long over it as the one that ships.
const TURN: Duration = Duration::from_micros(if cfg!(debug_assertions) { 1000 } else { 100 });
/// The kernel's own threads also carry packets, and what these wait for a CPU nobody may ask. Where another program is busy
/// they wait until the next tick of the clock: 4 ms at 250 Hz.
const TICK: Duration = Duration::from_millis(4);
/// An answer comes through the sidecar twice, as a request and as a response.
const NOISE: Duration = TURN.saturating_mul(2).saturating_add(TICK);

/// What a steady client saw.
#[derive(Debug, Default)]
pub struct Seen {
    /// Of each answer with status 200, sorted.
    took: Vec<Duration>,
    /// The same without what the threads on its way waited for a CPU, sorted.
    served: Vec<Duration>,
    /// Everything else.
    pub errors: Vec<String>,
}

impl Seen {
    /// Of a hundred answers the slowest but one.
    pub fn p99(&self) -> Duration {
        p99(&self.took)
    }

    /// The same without waits for a CPU.
    pub fn p99_served(&self) -> Duration {
        p99(&self.served)
    }

    /// Answers.
    pub fn count(&self) -> usize {
        self.took.len()
    }

    /// Whether it was served as well as in `normal` times: no error, and p99, without waits for a CPU, within three times.
    /// Where it is `strict` nothing is allowed for noise.
    pub fn is_unharmed(&self, normal: &Seen, strict: bool) -> bool {
        let noise = if strict { Duration::ZERO } else { NOISE };
        self.errors.is_empty() && self.count() > 0 && self.p99_served() <= normal.p99_served() * 3 + noise
    }
}

fn p99(sorted: &[Duration]) -> Duration {
    let rank = (sorted.len() * 99).div_ceil(100);
    rank.checked_sub(1).map_or(PATIENCE, |slower| sorted[slower])
}

/// Sends from `pod` while `during` runs. What it asks goes through the threads `on_the_way`: processes, and names in them.
pub fn beside<T>(
    pod: &Pod,
    target: impl Into<SocketAddr>,
    on_the_way: &[(i32, &str)],
    during: impl FnOnce() -> T,
) -> (Seen, T) {
    let (target, stop) = (target.into(), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let victim = scope.spawn(|| send(pod, target, on_the_way, &stop));
        let result = during();
        stop.store(true, Ordering::Relaxed);
        (victim.join().expect("the victim"), result)
    })
}

fn send(pod: &Pod, target: SocketAddr, on_the_way: &[(i32, &str)], stop: &AtomicBool) -> Seen {
    let waits = Waits::of_this_thread_and(on_the_way).expect("threads that run");
    let waited = || waits.so_far().expect("threads that run");
    let mut seen = Seen::default();
    let mut kept = None;
    while !stop.load(Ordering::Relaxed) || seen.took.len() + seen.errors.len() < FEWEST {
        let (before, started) = (waited(), Instant::now());
        match kept.take().map_or_else(|| open(pod, target), Ok).and_then(one) {
            Ok(stream) => {
                let took = started.elapsed();
                seen.took.push(took);
                seen.served.push(took.saturating_sub(waited() - before));
                kept = Some(stream);
            }
            Err(error) => seen.errors.push(error.to_string()),
        }
        std::thread::sleep(PACE.saturating_sub(started.elapsed()));
    }
    seen.took.sort_unstable();
    seen.served.sort_unstable();
    seen
}

fn open(pod: &Pod, target: SocketAddr) -> io::Result<TcpStream> {
    let stream = pod.connect(target)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// One request and its answer, of which the body is as long as `content-length` says.
fn one(mut stream: TcpStream) -> io::Result<TcpStream> {
    stream.write_all(b"GET / HTTP/1.1\r\nHost: origin\r\n\r\n")?;
    let mut answer = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let n = stream.read(&mut buffer)?;
        answer.extend_from_slice(&buffer[..n]);
        let text = String::from_utf8_lossy(&answer).to_ascii_lowercase();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.split("content-length: ").nth(1).and_then(|rest| rest.lines().next());
            if !head.starts_with("http/1.1 200") {
                return Err(io::Error::other(head.lines().next().unwrap_or_default().to_owned()));
            }
            if length.and_then(|length| length.parse().ok()) == Some(body.len()) {
                return Ok(stream);
            }
        }
        if n == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}
