//! A client that behaves, beside one that does not: a modest steady load, how long its answers took, and how much of
//! that the sidecar under attack may have caused.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use lab::Pod;
use nix::time::clock_getcpuclockid;
use nix::unistd::Pid;

/// Between two requests: 250 a second.
const PACE: Duration = Duration::from_millis(4);
/// An answer that takes longer is none.
const PATIENCE: Duration = Duration::from_secs(5);
/// It is asked for so many answers at least.
const FEWEST: usize = 100;
/// On a shared machine so much is noise.
const NOISE: Duration = Duration::from_millis(50);
/// So much of an answer's time may be the sidecar's work for others: a few turns of connections that have much to do.
const TURNS: Duration = Duration::from_millis(if cfg!(debug_assertions) { 10 } else { 2 });

/// What a steady client saw.
#[derive(Debug, Default)]
pub struct Seen {
    /// Of each answer with status 200, sorted.
    took: Vec<Duration>,
    /// What the sidecar under attack had to do meanwhile, in CPU time and at most as long as the answer took, sorted.
    /// Whatever else the machine did is not in it.
    caused: Vec<Duration>,
    /// Everything else.
    pub errors: Vec<String>,
}

impl Seen {
    /// Of a hundred answers the slowest but one.
    pub fn p99(&self) -> Duration {
        p99(&self.took)
    }

    /// The same of what the sidecar may have caused of it.
    pub fn p99_caused(&self) -> Duration {
        p99(&self.caused)
    }

    /// Answers.
    pub fn count(&self) -> usize {
        self.took.len()
    }

    /// Whether it was served as well as in `normal` times: no error, and p99 within three times, or within noise.
    pub fn is_unharmed(&self, normal: &Seen) -> bool {
        self.errors.is_empty()
            && self.count() > 0
            && self.p99() <= (normal.p99() * 3).max(NOISE)
            && self.p99_caused() <= (normal.p99_caused() * 3).max(TURNS)
    }
}

fn p99(sorted: &[Duration]) -> Duration {
    let rank = (sorted.len() * 99).div_ceil(100);
    rank.checked_sub(1).map_or(PATIENCE, |slower| sorted[slower])
}

/// Sends from `pod` while `during` runs; `attacked` is the process of the sidecar under attack.
pub fn beside<T>(pod: &Pod, target: impl Into<SocketAddr>, attacked: i32, during: impl FnOnce() -> T) -> (Seen, T) {
    let (target, stop) = (target.into(), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let victim = scope.spawn(|| send(pod, target, attacked, &stop));
        let result = during();
        stop.store(true, Ordering::Relaxed);
        (victim.join().expect("the victim"), result)
    })
}

fn send(pod: &Pod, target: SocketAddr, attacked: i32, stop: &AtomicBool) -> Seen {
    let clock = clock_getcpuclockid(Pid::from_raw(attacked)).expect("the clock of a process that runs");
    let work = || Duration::from(clock.now().expect("the time of a process that runs"));
    let mut seen = Seen::default();
    let mut kept = None;
    while !stop.load(Ordering::Relaxed) || seen.took.len() + seen.errors.len() < FEWEST {
        let (started, before) = (Instant::now(), work());
        match kept.take().map_or_else(|| open(pod, target), Ok).and_then(one) {
            Ok(stream) => {
                let (took, worked) = (started.elapsed(), work() - before);
                seen.took.push(took);
                seen.caused.push(worked.min(took));
                kept = Some(stream);
            }
            Err(error) => seen.errors.push(error.to_string()),
        }
        std::thread::sleep(PACE.saturating_sub(started.elapsed()));
    }
    seen.took.sort_unstable();
    seen.caused.sort_unstable();
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
