//! The loop of the cluster's thread: takes what the watches tell, asks again what is served, and hands over what is
//! known when the time has come.

use super::discovery;
use super::kinds::{Watched, choose, missing};
use super::pace::Pace;
use super::store::Store;
use super::watches::{Notice, Watch, What};
use crate::source::Reload;
use kube::api::ApiResource;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, sleep_until};

/// Notices that may wait; the watches stop reading when there are more.
const WAITING: usize = 256;
/// How long a kind must be missing in what is served before it is believed to be gone: an API server that starts serves
/// its CustomResourceDefinitions a little later than the rest.
const DOUBT: Duration = Duration::from_secs(10);
/// How often the log says what the first world waits for.
const REMINDER: Duration = Duration::from_secs(10);

/// What the API server serves, or why it does not say.
type Answer = Result<Vec<ApiResource>, String>;

/// Reads a cluster.
pub(super) struct Reader<P> {
    client: kube::Client,
    store: Store,
    publish: P,
    watches: HashMap<Arc<str>, Watch>,
    /// Watched kinds that the last looks did not find, and since when.
    doubted: HashMap<Arc<str>, Instant>,
    notices: (mpsc::Sender<Notice>, mpsc::Receiver<Notice>),
    pace: Pace,
    /// A watch failed: what is served may have changed, or nobody answers.
    doubt: Arc<Notify>,
    /// The API server answers again.
    back: Arc<Notify>,
}

impl<P: FnMut(Reload)> Reader<P> {
    pub(super) fn new(client: kube::Client, store: Store, publish: P) -> Self {
        let notices = mpsc::channel(WAITING);
        let (watches, doubted, pace, doubt, back) = Default::default();
        Self { client, store, publish, watches, doubted, notices, pace, doubt, back }
    }

    /// Reads until it is dropped.
    pub(super) async fn run(mut self) {
        let (client, (answer, mut answers)) = (self.client.clone(), mpsc::channel(1));
        let looks = look_again_and_again(client, answer, self.doubt.clone());
        let work = async {
            let mut reminder = interval(REMINDER);
            reminder.set_missed_tick_behavior(MissedTickBehavior::Delay);
            reminder.reset();
            let mut batch = Vec::new();
            loop {
                let due = self.pace.due();
                let time_has_come = async {
                    match due {
                        Some(due) => sleep_until(due).await,
                        None => std::future::pending().await,
                    }
                };
                tokio::select! {
                    biased;
                    () = time_has_come => self.hand_over(),
                    Some(answer) = answers.recv() => self.look(answer),
                    _ = reminder.tick() => self.remind(),
                    _ = self.notices.1.recv_many(&mut batch, WAITING) => self.take(&mut batch),
                }
            }
        };
        tokio::join!(looks, work);
    }

    fn take(&mut self, batch: &mut Vec<Notice>) {
        let mut changed = false;
        for Notice { of, what } in batch.drain(..) {
            if matches!(what, What::Failed(_)) {
                self.doubt.notify_one();
            }
            changed |= self.store.take(&of, what);
        }
        self.note(changed);
    }

    fn note(&mut self, changed: bool) {
        if changed {
            self.pace.changed(Instant::now());
        }
    }

    fn hand_over(&mut self) {
        let started = Instant::now();
        (self.publish)(self.store.reload());
        self.pace.built(started, Instant::now());
    }

    fn remind(&self) {
        let awaited = self.store.awaited();
        if !awaited.is_empty() {
            tracing::warn!(awaited = awaited.join(", "), "not ready: these kinds are not read to their end yet");
        }
    }

    /// Takes over what the API server serves.
    fn look(&mut self, answer: Answer) {
        let changed = match answer {
            Ok(served) => {
                if self.store.is_silent() {
                    self.back.notify_waiters();
                }
                let (chosen, mut problems) = choose(&served);
                problems.extend(missing(chosen.iter()));
                let watched = self.believed(chosen);
                self.set_watches(&watched);
                self.store.set_watched(&watched, problems)
            }
            Err(error) => self.store.set_silent(error),
        };
        self.note(changed);
    }

    /// What is found, and what was not found only now.
    fn believed(&mut self, found: Vec<Watched>) -> Vec<Watched> {
        let mut believed = found;
        self.doubted.retain(|name, _| !believed.iter().any(|watched| watched.name == *name));
        for (name, watch) in &self.watches {
            if believed.iter().any(|watched| watched.name == *name) {
                continue;
            }
            let since = self.doubted.entry(name.clone()).or_insert_with(Instant::now);
            if since.elapsed() < DOUBT {
                believed.push(watch.watched.clone());
            }
        }
        believed
    }

    fn set_watches(&mut self, watched: &[Watched]) {
        self.watches.retain(|_, watch| {
            let stays = watched.contains(&watch.watched);
            if !stays {
                tracing::info!(resource = %watch.watched.name, version = watch.watched.resource.version, "not watched any more");
            }
            stays
        });
        for watched in watched {
            if !self.watches.contains_key(&watched.name) {
                tracing::info!(resource = %watched.name, version = watched.resource.version, "watched");
                let watch = Watch::start(&self.client, watched.clone(), self.notices.0.clone(), self.back.clone());
                self.watches.insert(watched.name.clone(), watch);
            }
        }
    }
}

/// Asks what is served, until nobody wants to hear it: at once when a watch fails, for then either nobody answers or
/// something is not served any more, else now and then.
async fn look_again_and_again(client: kube::Client, answers: mpsc::Sender<Answer>, doubt: Arc<Notify>) {
    let mut started = false;
    loop {
        let answer = match started {
            true => discovery::look(&client).await,
            false => match discovery::started(&client).await {
                Ok(()) => discovery::look(&client).await,
                Err(error) => Err(error),
            },
        };
        started |= answer.is_ok();
        let soonest = Instant::now() + jittered(discovery::AFTER_FAILURE);
        let pause = if answer.is_ok() { discovery::EVERY } else { discovery::AFTER_FAILURE };
        if answers.send(answer).await.is_err() {
            return;
        }
        tokio::select! {
            () = sleep(jittered(pause)) => {}
            () = doubt.notified() => sleep_until(soonest).await,
        }
    }
}

/// 75 % to 125 %, so that replicas do not ask in step.
fn jittered(pause: Duration) -> Duration {
    pause.mul_f64(0.75 + fastrand::f64() / 2.0)
}
