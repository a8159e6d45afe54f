//! The watches: a task for each kind that lists it, follows it, and begins again with growing pauses when the API server
//! is away.

use super::kinds::Watched;
use super::observed::Observed;
use citadel::kubernetes::WATCH_SECONDS;
use futures::StreamExt;
use kube::Api;
use kube::runtime::watcher::{self, Event, watcher};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, mpsc};
use tokio::task::AbortHandle;

/// Objects of one page of a list. Bounds the memory that reading takes.
const PAGE: u32 = 250;
/// A failed watch that has not failed again for this long works.
const CALM: Duration = Duration::from_secs(10);
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// What a watch has to tell, with the name of its kind.
pub(super) struct Notice {
    pub(super) of: Arc<str>,
    pub(super) what: What,
}

/// What happened on a watch.
pub(super) enum What {
    /// Something was listed, came, changed or went.
    Event(Event<Observed>),
    /// The list or the watch failed.
    Failed(watcher::Error),
    /// It works again.
    Recovered,
}

/// A running watch; ends when it is dropped.
pub(super) struct Watch {
    /// What it follows.
    pub(super) watched: Watched,
    task: AbortHandle,
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Watch {
    /// Starts to list and to follow a kind. `back` wakes those that wait because the API server was away.
    pub(super) fn start(
        client: &kube::Client,
        watched: Watched,
        notices: mpsc::Sender<Notice>,
        back: Arc<Notify>,
    ) -> Self {
        let (client, name, resource) = (client.clone(), watched.name.clone(), &watched.resource);
        let task = if watched.metadata_only() {
            tokio::spawn(follow(Api::<Observed<true>>::all_with(client, resource), name, notices, back))
        } else {
            tokio::spawn(follow(Api::<Observed>::all_with(client, resource), name, notices, back))
        };
        Self { watched, task: task.abort_handle() }
    }
}

async fn follow<const METADATA_ONLY: bool>(
    api: Api<Observed<METADATA_ONLY>>,
    of: Arc<str>,
    notices: mpsc::Sender<Notice>,
    back: Arc<Notify>,
) where
    Observed: From<Observed<METADATA_ONLY>>,
{
    // The list is of the newest, not of what some cache has: a world must not begin in the past.
    let config = watcher::Config::default().timeout(WATCH_SECONDS).page_size(PAGE);
    let mut events = pin!(watcher(api, config));
    let tell = |what| notices.send(Notice { of: of.clone(), what });
    let mut failures = 0;
    loop {
        // A watch that goes on where it broke says nothing: silence is what tells that it works.
        let limit = if failures == 0 { Duration::MAX } else { CALM };
        let next = tokio::time::timeout(limit, events.next()).await;
        let told = match next {
            Ok(Some(Ok(event))) => {
                // The beginning of a list is told before anything is asked.
                failures = if matches!(event, Event::Init) { failures } else { 0 };
                tell(What::Event(whole(event))).await
            }
            Ok(Some(Err(error))) => {
                let told = tell(What::Failed(error)).await;
                failures = tokio::select! {
                    () = tokio::time::sleep(pause(failures)) => failures + 1,
                    () = back.notified() => 1,
                };
                told
            }
            Err(_calm) => {
                failures = 0;
                tell(What::Recovered).await
            }
            Ok(None) => return,
        };
        if told.is_err() {
            return;
        }
    }
}

fn whole<const METADATA_ONLY: bool>(event: Event<Observed<METADATA_ONLY>>) -> Event<Observed>
where
    Observed: From<Observed<METADATA_ONLY>>,
{
    match event {
        Event::Apply(object) => Event::Apply(object.into()),
        Event::Delete(object) => Event::Delete(object.into()),
        Event::InitApply(object) => Event::InitApply(object.into()),
        Event::Init => Event::Init,
        Event::InitDone => Event::InitDone,
    }
}

/// The pause after so many failures in a row, 50 % to 100 % of it, so that control planes do not ask in step.
fn pause(failures: u32) -> Duration {
    let step = FIRST_PAUSE.saturating_mul(1 << failures.min(10)).min(LONGEST_PAUSE);
    step.mul_f64(0.5 + fastrand::f64() / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_five_seconds() {
        assert!(pause(0) >= FIRST_PAUSE / 2 && pause(0) <= FIRST_PAUSE);
        for failures in [5, 10, 1_000_000] {
            assert!(pause(failures) >= LONGEST_PAUSE / 2 && pause(failures) <= LONGEST_PAUSE, "{failures}");
        }
    }
}
