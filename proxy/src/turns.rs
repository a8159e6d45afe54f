//! Turns: whoever makes much work goes on one at a time, and between two of them the worker looks at its sockets. So a short
//! request waits for one turn of one other, however many others there are. Whoever only moves many bytes pauses until the next
//! look instead, and goes on together with the others who do.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::time::Instant;

/// Bytes of a turn: a tenth of a millisecond or two.
const TURN: usize = 128 * 1024;
/// There is one turn between two looks at the sockets, and one more for so much time that has gone by: several times what a
/// turn takes, or one would beget another.
const SHARE: Duration = Duration::from_millis(5);
/// Turns at once, however long the last look took.
const MOST: u128 = 20;
/// A request takes as long as so many bytes.
pub const REQUEST: usize = TURN / 16;
/// What those who pause move together between two looks, if each gets no less than [`LEAST`]. One by one, as others have their
/// turns, would cost them a fifth more (docs/performance.md).
const ROUND: usize = 8 * TURN;
/// Less is not worth a turn.
const LEAST: usize = 16 * 1024;

thread_local! {
    static QUEUE: RefCell<Queue> = RefCell::default();
}

/// Those of a worker who wait for their turn, in two lines that go on by turns: a flood of handshakes holds up no connection.
#[derive(Default)]
struct Queue {
    newcomers: VecDeque<Weak<Place>>,
    others: VecDeque<Weak<Place>>,
    /// They have paused since the last look.
    paused: Vec<Weak<Place>>,
    /// So many had paused before it.
    round: usize,
    /// The last that was called was a newcomer.
    newcomer: bool,
    /// A task calls them.
    called: bool,
}

/// A place in the queue; it lapses with whoever has it.
struct Place {
    waker: RefCell<Waker>,
    called: Cell<bool>,
}

/// What one of them has had of its turn. Only for tasks on a worker's runtime.
#[derive(Default)]
pub struct Turns {
    spent: usize,
    newcomer: bool,
    place: Option<Rc<Place>>,
}

/// Awaits a turn for the handshake of a newcomer, which takes all of it.
pub async fn newcomer() {
    let mut turns = Turns { spent: TURN, newcomer: true, place: None };
    poll_fn(|cx| turns.poll(cx)).await;
}

impl Turns {
    /// Takes account of so many bytes, or of what takes as long.
    pub fn spend(&mut self, bytes: usize) {
        self.spent += bytes;
    }

    /// It waits for something else, and others have their turn meanwhile.
    pub fn rest(&mut self) {
        self.spent = 0;
    }

    /// Ready while a turn lasts, and again when so many have come as were spent.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while self.spent >= TURN {
            match &self.place {
                Some(place) if place.called.get() => {
                    self.place = None;
                    self.spent -= TURN;
                }
                Some(place) => {
                    place.waker.borrow_mut().clone_from(cx.waker());
                    return Poll::Pending;
                }
                None => {
                    let newcomer = self.newcomer;
                    self.place = Some(wait(cx.waker().clone(), |queue, place| match newcomer {
                        true => queue.newcomers.push_back(place),
                        false => queue.others.push_back(place),
                    }));
                    return Poll::Pending;
                }
            }
        }
        Poll::Ready(())
    }
}

/// The pauses of one that moves many bytes. Only for tasks on a worker's runtime.
#[derive(Default)]
pub struct Pauses {
    spent: usize,
    place: Option<Rc<Place>>,
}

impl Pauses {
    /// Takes account of so many bytes.
    pub fn spend(&mut self, bytes: usize) {
        self.spent += bytes;
    }

    /// It waits for something else, and others go on meanwhile.
    pub fn rest(&mut self) {
        self.spent = 0;
    }

    /// Ready while its share of a round lasts, and again after the next look at the sockets.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(place) = &self.place {
            if !place.called.get() {
                place.waker.borrow_mut().clone_from(cx.waker());
                return Poll::Pending;
            }
            self.place = None;
            self.spent = 0;
        }
        if self.spent < QUEUE.with_borrow(Queue::share) {
            return Poll::Ready(());
        }
        self.place = Some(wait(cx.waker().clone(), |queue, place| queue.paused.push(place)));
        Poll::Pending
    }
}

/// A place that `line` puts at the end of one.
fn wait(waker: Waker, line: impl FnOnce(&mut Queue, Weak<Place>)) -> Rc<Place> {
    let place = Rc::new(Place { waker: waker.into(), called: Cell::new(false) });
    let called = QUEUE.with_borrow_mut(|queue| {
        line(queue, Rc::downgrade(&place));
        std::mem::replace(&mut queue.called, true)
    });
    if !called {
        tokio::task::spawn_local(call(Calling));
    }
    place
}

/// Calls those who have paused, and the others one after another, until nobody waits.
async fn call(_calling: Calling) {
    let mut looked = Instant::now();
    loop {
        // Unlike a plain wake, this lets the runtime look at the sockets first, and what came there goes first.
        tokio::task::yield_now().await;
        let mut nobody = true;
        let mut call = |place: Rc<Place>| {
            nobody = false;
            place.called.set(true);
            place.waker.borrow().wake_by_ref();
        };
        QUEUE.with_borrow_mut(Queue::end_pauses).into_iter().for_each(&mut call);
        // On a worker with thousands of busy connections that takes long.
        let passed = looked.elapsed();
        looked += passed;
        for _ in 0..=(passed.as_micros() / SHARE.as_micros()).min(MOST) {
            let Some(place) = QUEUE.with_borrow_mut(Queue::next) else { break };
            call(place);
        }
        if nobody {
            return;
        }
    }
}

impl Queue {
    /// Bytes that one of those who pause may move between two looks.
    fn share(&self) -> usize {
        (ROUND / self.round.max(self.paused.len()).max(1)).clamp(LEAST, TURN)
    }

    fn end_pauses(&mut self) -> Vec<Rc<Place>> {
        let paused: Vec<_> = self.paused.drain(..).filter_map(|place| place.upgrade()).collect();
        self.round = paused.len();
        paused
    }

    fn next(&mut self) -> Option<Rc<Place>> {
        let first = |line: &mut VecDeque<Weak<Place>>| {
            std::iter::from_fn(|| line.pop_front()).find_map(|place| place.upgrade())
        };
        self.newcomer = !self.newcomer;
        if self.newcomer {
            first(&mut self.newcomers).or_else(|| first(&mut self.others))
        } else {
            first(&mut self.others).or_else(|| first(&mut self.newcomers))
        }
    }
}

/// There is a task that calls.
struct Calling;

impl Drop for Calling {
    fn drop(&mut self) {
        // At the end of a thread nobody waits any more.
        let _ = QUEUE.try_with(|queue| queue.take());
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use tokio::runtime::{Builder, LocalOptions};
    use tokio::task::{spawn_local, yield_now};

    use super::*;

    fn run(test: impl Future<Output = ()>) {
        let mut builder = Builder::new_current_thread();
        builder.enable_time().start_paused(true).build_local(LocalOptions::default()).unwrap().block_on(test);
    }

    /// All wait; tells how many have had their turn.
    async fn a_hundred_newcomers() -> Rc<Cell<u32>> {
        let had = Rc::new(Cell::new(0));
        for _ in 0..100 {
            let had = had.clone();
            spawn_local(async move {
                newcomer().await;
                had.update(|had| had + 1);
            });
        }
        yield_now().await;
        had
    }

    #[test]
    fn however_many_move_much_one_of_them_goes_on_between_two_looks_at_the_sockets() {
        run(async {
            let had = Rc::new(Cell::new(0));
            for _ in 0..50 {
                let had = had.clone();
                spawn_local(async move {
                    loop {
                        newcomer().await;
                        had.update(|had| had + 1);
                    }
                });
            }
            // All have begun and wait.
            yield_now().await;
            for _ in 0..1000 {
                let before = had.get();
                yield_now().await;
                assert!(had.get() - before <= 1, "{} at once", had.get() - before);
            }
            assert!(had.get() > 900, "{} turns", had.get());
        });
    }

    #[test]
    fn all_have_their_turn_and_whoever_leaves_keeps_nobody() {
        run(async {
            let mut all: Vec<Turns> = std::iter::repeat_with(Turns::default).take(3).collect();
            for turns in &mut all {
                turns.spend(TURN);
                assert!(futures::poll!(poll_fn(|cx| turns.poll(cx))).is_pending());
            }
            drop(all.remove(1));
            for turns in &mut all {
                poll_fn(|cx| turns.poll(cx)).await;
            }
        });
    }

    #[test]
    fn a_turn_lasts_until_it_is_spent_and_begins_anew_after_a_rest() {
        run(async {
            let mut turns = Turns::default();
            for _ in 0..3 {
                turns.spend(TURN - 1);
                assert!(futures::poll!(poll_fn(|cx| turns.poll(cx))).is_ready());
                turns.rest();
            }
            turns.spend(TURN);
            assert!(futures::poll!(poll_fn(|cx| turns.poll(cx))).is_pending());
        });
    }

    #[test]
    fn those_who_wait_have_their_share_of_a_worker_that_others_keep_busy() {
        run(async {
            let had = a_hundred_newcomers().await;
            for _ in 0..3 {
                tokio::time::advance(SHARE * 4).await;
                yield_now().await;
            }
            assert!((12..=20).contains(&had.get()), "{} in the time of twelve", had.get());
        });
    }

    #[test]
    fn who_took_three_turns_at_once_waits_for_three() {
        run(async {
            let mut turns = Turns::default();
            turns.spend(3 * TURN);
            let mut looks = 0;
            poll_fn(|cx| {
                looks += 1;
                turns.poll(cx)
            })
            .await;
            assert_eq!(looks, 4);
        });
    }

    #[test]
    fn a_hundred_newcomers_hold_up_a_connection_for_one_of_them() {
        run(async {
            let had = a_hundred_newcomers().await;
            let mut turns = Turns::default();
            turns.spend(TURN);
            let before = had.get();
            poll_fn(|cx| turns.poll(cx)).await;
            assert!(had.get() - before <= 2, "{} newcomers were first", had.get() - before);
        });
    }

    /// How many bytes each of so many responses, all as fast as can be, has between two looks at the sockets.
    fn share_of(responses: usize) -> usize {
        let mut each = 0;
        run(async {
            let had = Rc::new(Cell::new(0));
            for _ in 0..responses {
                let had = had.clone();
                spawn_local(async move {
                    let mut turns = Pauses::default();
                    loop {
                        poll_fn(|cx| turns.poll(cx)).await;
                        turns.spend(1024);
                        had.update(|had| had + 1024);
                    }
                });
            }
            for _ in 0..10 {
                yield_now().await;
            }
            let before = had.get();
            yield_now().await;
            each = (had.get() - before) / responses;
        });
        each
    }

    #[test]
    fn many_long_responses_share_what_a_few_may_take() {
        assert_eq!([1, 8].map(share_of), [TURN; 2]);
        assert!((ROUND / 40..ROUND / 25).contains(&share_of(32)), "{}", share_of(32));
    }

    #[test]
    fn a_pause_lasts_until_the_look_whatever_wakes_its_task() {
        run(async {
            let mut turns = Pauses::default();
            turns.spend(TURN);
            for _ in 0..10 {
                assert!(futures::poll!(poll_fn(|cx| turns.poll(cx))).is_pending());
            }
            poll_fn(|cx| turns.poll(cx)).await;
            assert!(futures::poll!(poll_fn(|cx| turns.poll(cx))).is_ready());
        });
    }

    #[test]
    fn a_runtime_that_ended_amid_turns_leaves_nothing_to_the_next() {
        for _ in 0..2 {
            run(async {
                newcomer().await;
                let mut turns = Turns::default();
                turns.spend(TURN);
                assert!(futures::poll!(poll_fn(|cx| turns.poll(cx))).is_pending());
            });
        }
    }
}
