//! Who of an HTTP/2 connection waits for a peer that takes nothing: the socket, or a stream without a window.
//!
//! One coarse clock for each connection looks at all of it, so that a stream pays for no timer. A silence is found up to two
//! beats of that clock late, and never early.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use tokio::task::AbortHandle;
use tokio::time::Instant;

/// The clock's beat, unless a limit asks for a faster one.
const BEAT: Duration = Duration::from_secs(10);

/// How long which silence is borne; `None`: for ever.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// The socket takes not one byte.
    pub socket: Duration,
    /// A stream has something to send and no window for it.
    pub stream: Option<Duration>,
    /// No stream is open.
    pub idle: Option<Duration>,
}

/// What was borne for too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Over {
    /// The socket took nothing.
    Socket,
    /// There were no streams.
    Idle,
}

/// The streams of one connection, and what they wait for.
#[derive(Debug)]
pub struct Stalls {
    /// As of the last beat.
    now: Cell<Instant>,
    /// Since when the socket has taken nothing of what there was to send.
    blocked: Cell<Option<Instant>>,
    /// Since when no stream is open.
    idle: Cell<Option<Instant>>,
    slots: RefCell<Slots>,
}

#[derive(Debug, Default)]
struct Slots {
    all: Vec<Occupied>,
    free: Vec<usize>,
}

#[derive(Debug, Default)]
struct Occupied {
    /// Since when it has no window.
    unsent: Option<Instant>,
    task: Option<AbortHandle>,
}

/// A stream's place among the others.
pub struct Slot {
    stalls: Rc<Stalls>,
    index: usize,
}

impl Stalls {
    /// Of a connection that begins now.
    pub fn new() -> Rc<Self> {
        let now = Instant::now();
        Rc::new(Self {
            now: Cell::new(now),
            blocked: Cell::new(None),
            idle: Cell::new(Some(now)),
            slots: RefCell::default(),
        })
    }

    /// The socket refused bytes.
    pub fn block(&self) {
        if self.blocked.get().is_none() {
            self.blocked.set(Some(self.now.get()));
        }
    }

    /// The socket took bytes.
    pub fn unblock(&self) {
        self.blocked.set(None);
    }

    /// Whether the socket takes nothing just now.
    pub fn is_blocked(&self) -> bool {
        self.blocked.get().is_some()
    }

    /// A stream begins.
    pub fn open(self: &Rc<Self>) -> Slot {
        let mut slots = self.slots.borrow_mut();
        let index = slots.free.pop().unwrap_or_else(|| {
            slots.all.push(Occupied::default());
            slots.all.len() - 1
        });
        self.idle.set(None);
        Slot { stalls: self.clone(), index }
    }

    fn close(&self, index: usize) {
        let mut slots = self.slots.borrow_mut();
        slots.all[index] = Occupied::default();
        slots.free.push(index);
        if slots.free.len() == slots.all.len() {
            self.idle.set(Some(self.now.get()));
        }
    }

    /// Cuts streams that stall, telling of each, until more than streams is over.
    pub async fn watch(&self, limits: &Limits, cut: impl Fn()) -> Over {
        let shortest = [Some(limits.socket), limits.stream, limits.idle].into_iter().flatten().min();
        let beat = shortest.map_or(BEAT, |shortest| (shortest / 3).clamp(Duration::from_millis(50), BEAT));
        loop {
            tokio::time::sleep(beat).await;
            let now = Instant::now();
            self.now.set(now);
            // What began after a beat bears that beat's time, so one beat more must have gone by.
            let over = |since: Option<Instant>, limit: Option<Duration>| match (since, limit) {
                (Some(since), Some(limit)) => now.saturating_duration_since(since) >= limit + beat,
                _ => false,
            };
            if over(self.blocked.get(), Some(limits.socket)) {
                return Over::Socket;
            }
            if over(self.idle.get(), limits.idle) {
                return Over::Idle;
            }
            for slot in self.slots.borrow_mut().all.iter_mut().filter(|slot| over(slot.unsent, limits.stream)) {
                slot.unsent = None;
                if let Some(task) = slot.task.take() {
                    task.abort();
                    cut();
                }
            }
        }
    }
}

impl Slot {
    /// Spawns the stream's task so that it can be cut.
    pub fn spawn(self, task: impl AsyncFnOnce(&Slot) + 'static) {
        let (stalls, index) = (self.stalls.clone(), self.index);
        let task = tokio::task::spawn_local(async move { task(&self).await });
        stalls.slots.borrow_mut().all[index].task = Some(task.abort_handle());
    }

    /// Whether the stream waits for a window.
    pub fn note(&self, blocked: bool) {
        let unsent = &mut self.stalls.slots.borrow_mut().all[self.index].unsent;
        *unsent = blocked.then(|| unsent.unwrap_or(self.stalls.now.get()));
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.stalls.close(self.index);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use tokio::time::sleep;

    use super::*;

    const LIMITS: Limits = Limits {
        socket: Duration::from_secs(30),
        stream: Some(Duration::from_secs(300)),
        idle: Some(Duration::from_secs(3600)),
    };
    const LATE: Duration = Duration::from_secs(20);

    fn run(test: impl Future<Output = ()>) {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        let runtime = builder.enable_all().start_paused(true).build_local(tokio::runtime::LocalOptions::default());
        let runtime = runtime.unwrap();
        runtime.block_on(test);
    }

    /// When the watch ends, and how many streams it has cut by then.
    async fn over(stalls: &Stalls) -> (Over, Duration, u32) {
        let (started, cut) = (Instant::now(), Cell::new(0));
        let over = stalls.watch(&LIMITS, || cut.set(cut.get() + 1)).await;
        (over, started.elapsed(), cut.get())
    }

    fn within(took: Duration, limit: Duration) -> bool {
        took >= limit && took <= limit + LATE
    }

    #[test]
    fn a_socket_that_takes_nothing_ends_the_connection_and_one_that_takes_a_byte_does_not() {
        run(async {
            let stalls = Stalls::new();
            let slow = stalls.clone();
            tokio::task::spawn_local(async move {
                for _ in 0..20 {
                    slow.block();
                    sleep(Duration::from_secs(29)).await;
                    slow.unblock();
                }
                slow.block();
            });
            let (over, took, _) = over(&stalls).await;
            assert_eq!(over, Over::Socket);
            assert!(within(took, Duration::from_secs(20 * 29 + 30)), "it took {took:?}");
        });
    }

    #[test]
    fn a_connection_without_streams_is_idle_and_one_with_a_stream_is_not() {
        run(async {
            let stalls = Stalls::new();
            stalls.open().spawn(async |_| sleep(Duration::from_secs(10_000)).await);
            let (over, took, cut) = over(&stalls).await;
            assert_eq!((over, cut), (Over::Idle, 0));
            assert!(within(took, Duration::from_secs(10_000 + 3600)), "it took {took:?}");
        });
    }

    #[test]
    fn a_stream_that_gets_no_window_is_cut_and_its_neighbours_are_not() {
        run(async {
            let stalls = Stalls::new();
            let ended = Rc::new(RefCell::new(Vec::new()));
            for (name, pause) in [("stalled", 100_000), ("slow", 200)] {
                let ended = ended.clone();
                stalls.open().spawn(async move |slot| {
                    slot.note(true);
                    sleep(Duration::from_secs(pause)).await;
                    slot.note(false);
                    // Waits for the upstream, for as long as that takes.
                    sleep(Duration::from_secs(1000)).await;
                    ended.borrow_mut().push(name);
                });
            }
            let (_, took, cut) = over(&stalls).await;
            assert_eq!((cut, &*ended.borrow()), (1, &vec!["slow"]));
            assert!(within(took, Duration::from_secs(1200 + 3600)), "it took {took:?}");
        });
    }
}
