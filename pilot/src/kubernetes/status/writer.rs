//! Brings the statuses in the cluster to what they should say, a bounded number of objects at a time.

use super::agenda::{Agenda, Task};
use super::api_server::{Current, Failure, list};
use super::condition::now;
use super::pace::Pace;
use super::write::{Done, write};
use super::written_kinds::{self, WrittenKind};
use crate::model::ObjectRef;
use crate::status::ObjectStatus;
use futures::StreamExt;
use futures::stream;
use kube::Client;
use record::{CounterVec, Gauge, LogLimit, Metrics};
use std::collections::HashMap;
use std::time::Duration;
use tokio::time::Instant;

/// Requests under way at the same time.
const AT_ONCE: usize = 10;
/// Objects that are done before it is looked whether there is worse news.
const ROUND: usize = 500;

static FAILED: LogLimit = LogLimit::new(Duration::from_secs(5));

/// Writes statuses; knows what it has written.
pub(super) struct Writer {
    client: Client,
    pace: Pace,
    agenda: Agenda,
    fresh: bool,
    metrics: StatusMetrics,
}

/// What is left after a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Left {
    /// Nothing, until something changes.
    Nothing,
    /// More of the same.
    More,
    /// Objects that are to be tried again, the first at this time.
    Until(Instant),
    /// Everything that was not done: the API server is away.
    Away,
}

#[derive(Clone)]
pub(super) struct StatusMetrics {
    writes: CounterVec,
    waiting: Gauge,
}

impl StatusMetrics {
    pub(super) fn new(metrics: &Metrics) -> Self {
        let writes = "Looks at the status of an object, by what became of them: written, nothing to do, failed.";
        Self {
            writes: metrics.counter_vec("pilot_status_writes", writes, &["result"]),
            waiting: metrics.gauge("pilot_status_waiting", "Objects whose status in the cluster may be out of date."),
        }
    }
}

impl Writer {
    pub(super) fn new(client: Client, metrics: StatusMetrics) -> Self {
        Self { client, pace: Pace::new(), agenda: Agenda::default(), fresh: true, metrics }
    }

    /// Reads all statuses anew in the next round: others may have written.
    pub(super) fn start_over(&mut self) {
        self.fresh = true;
    }

    /// Does what is most urgent.
    pub(super) async fn round(&mut self, statuses: &[ObjectStatus]) -> Left {
        if self.fresh {
            match self.read_all(statuses).await {
                Ok(read) => self.agenda.start_over(statuses, read, &now()),
                Err(failure) => {
                    say(&failure, "the statuses of all objects", "");
                    return Left::Away;
                }
            }
            self.fresh = false;
        }
        let mut due = self.agenda.due(statuses, Instant::now());
        let more = due.len() > ROUND;
        self.metrics.waiting.set(due.len() as f64);
        due.truncate(ROUND);
        due.iter_mut().for_each(|task| self.agenda.take_read(task));
        if self.all(due).await.is_err() {
            return Left::Away;
        }
        match (more, self.agenda.next_try()) {
            (true, _) => Left::More,
            (false, Some(again)) => Left::Until(again),
            (false, None) => Left::Nothing,
        }
    }

    /// Does tasks in their order, several at a time; an error when the API server is away.
    async fn all(&mut self, tasks: Vec<Task>) -> Result<(), ()> {
        let (client, pace) = (&self.client, &self.pace);
        let work = tasks.into_iter().map(|mut task| async move {
            let outcome = write(client, pace, &mut task).await;
            (task, outcome)
        });
        let mut work = stream::iter(work).buffer_unordered(AT_ONCE);
        while let Some((task, outcome)) = work.next().await {
            self.metrics.writes.with(&[word(&outcome)]).inc();
            match outcome {
                Ok(_) => {
                    self.agenda.settled(&task);
                    self.metrics.waiting.dec();
                }
                Err(failure) => {
                    say(&failure, &task.object.to_string(), &remedy(&failure, task.kind));
                    if matches!(failure, Failure::Away(_)) {
                        return Err(());
                    }
                    self.agenda.failed(&task, Instant::now());
                }
            }
        }
        Ok(())
    }

    /// What the objects of all kinds that there are statuses of say at present.
    async fn read_all(&self, statuses: &[ObjectStatus]) -> Result<HashMap<ObjectRef, Current>, Failure> {
        let mut read = HashMap::new();
        for kind in &written_kinds::ALL {
            if !statuses.iter().any(|status| WrittenKind::of(&status.object).is_some_and(|of| std::ptr::eq(of, kind))) {
                continue;
            }
            let see = |current: Current| {
                let Current { metadata, .. } = &current;
                read.insert(ObjectRef::new(kind.group, kind.kind, &metadata.namespace, &metadata.name), current);
            };
            match list(&self.client, kind, see).await {
                Ok(()) | Err(Failure::Gone) => {}
                // Each object will say for itself what is wrong.
                Err(failure @ (Failure::Refused(_) | Failure::Conflict)) => {
                    say(&failure, &format!("the statuses of all {}", kind.resource()), &remedy(&failure, kind));
                }
                Err(away) => return Err(away),
            }
        }
        Ok(read)
    }
}

fn word(outcome: &Result<Done, Failure>) -> &'static str {
    match outcome {
        Ok(Done::Written) => "written",
        Ok(Done::Nothing) => "nothing",
        Err(_) => "failed",
    }
}

fn remedy(failure: &Failure, kind: &WrittenKind) -> String {
    match failure {
        Failure::Refused(_) => {
            format!("; the control plane needs the rights to get and list {0} and to patch {0}/status", kind.resource())
        }
        _ => String::new(),
    }
}

fn say(failure: &Failure, what: &str, remedy: &str) {
    if let Some(suppressed) = FAILED.admit() {
        tracing::warn!(suppressed, "cannot tell {what} in the cluster: {failure}{remedy}; it is tried again");
    }
}
