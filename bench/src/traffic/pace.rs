//! When each connection or stream sends next: at once, or at a planned time that does not wait for answers.
//!
//! Planned times come from a thread that sleeps: the runtime's own timers are a millisecond coarse, more than what is measured.

use super::LoadArgs;
use std::io;
use std::time::{Duration, Instant};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// The turns of one connection or stream.
pub enum Turns {
    /// Again as soon as the last exchange has ended.
    AtOnce,
    /// When told, with the time that was planned.
    Planned(UnboundedReceiver<Instant>),
}

impl Turns {
    /// Waits for the next turn; the planned time where there is one.
    pub async fn next(&mut self) -> Option<Instant> {
        match self {
            Turns::AtOnce => None,
            // The pace runs as long as the process: the other end is never dropped.
            Turns::Planned(told) => told.recv().await,
        }
    }
}

/// The turns of every connection, or of every stream on it.
///
/// # Errors
/// When the system has no thread for us.
pub fn start(args: &LoadArgs) -> io::Result<Vec<Turns>> {
    let Some(rate) = args.rate else {
        return Ok((0..args.connections * args.streams).map(|_| Turns::AtOnce).collect());
    };
    let interval = Duration::from_secs(1) / rate.max(1);
    let (tellers, turns): (Vec<_>, Vec<_>) = (0..args.connections * args.streams)
        .map(|_| unbounded_channel())
        .map(|(teller, told)| (teller, Turns::Planned(told)))
        .unzip();
    std::thread::Builder::new().name("pace".to_owned()).spawn(move || tick(interval, &tellers))?;
    Ok(turns)
}

fn tick(interval: Duration, tellers: &[UnboundedSender<Instant>]) {
    // The kernel may otherwise add 50 µs to each sleep, to save wake-ups. Without this the figures are that much coarser.
    let _ = nix::sys::prctl::set_timerslack(1);
    let mut planned = Instant::now();
    for turn in 0.. {
        planned += interval;
        std::thread::sleep(planned.saturating_duration_since(Instant::now()));
        if tellers[turn % tellers.len()].send(planned).is_err() {
            return;
        }
    }
}
