//! What is still to be written. It is found by comparing what should be said with what is known to have been said, so that nothing is
//! lost however long the API server is away.

use super::api_server::Current;
use super::wanted::Wanted;
use super::written_kinds::WrittenKind;
use crate::model::ObjectRef;
use crate::status::ObjectStatus;
use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// How long an object that the API server refused is left alone at first, and at most.
const FIRST_PAUSE: Duration = Duration::from_secs(2);
const LONGEST_PAUSE: Duration = Duration::from_secs(120);

/// One object whose status is to be looked at, and written if it does not say what it should.
#[derive(Debug)]
pub(super) struct Task {
    pub(super) object: Arc<ObjectRef>,
    pub(super) uid: Option<Arc<str>>,
    pub(super) kind: &'static WrittenKind,
    pub(super) wanted: Wanted,
    /// The object as it was read with all others.
    pub(super) current: Option<Current>,
    digest: u64,
}

/// What is known of one object's status.
#[derive(Debug)]
struct Known {
    digest: u64,
    state: State,
}

#[derive(Debug)]
enum State {
    Settled,
    Failed { times: u32, again: Instant },
}

/// What was said of which object.
#[derive(Debug, Default)]
pub(super) struct Agenda {
    known: HashMap<Arc<ObjectRef>, Known>,
    /// What was read of objects that are not settled.
    read: HashMap<Arc<ObjectRef>, Current>,
}

impl Agenda {
    /// What is to be done now, what is urgent first. Forgets objects that are gone.
    pub(super) fn due(&mut self, statuses: &[ObjectStatus], now: Instant) -> Vec<Task> {
        let there: HashSet<_> = statuses.iter().map(|status| &status.object).collect();
        self.known.retain(|object, _| there.contains(object));
        self.read.retain(|object, _| there.contains(object));
        let tasks = statuses.iter().filter_map(|status| self.task(status));
        let mut tasks: Vec<_> = tasks.filter(|task| self.is_due(task, now)).collect();
        tasks.sort_by_key(|task| task.wanted.news());
        tasks
    }

    /// What was read of an object with all others, once.
    pub(super) fn take_read(&mut self, task: &mut Task) {
        task.current = self.read.remove(&task.object);
    }

    fn task(&self, status: &ObjectStatus) -> Option<Task> {
        let kind = WrittenKind::of(&status.object)?;
        let wanted = Wanted::of(status, kind);
        let mut hasher = DefaultHasher::new();
        (&wanted, &status.uid).hash(&mut hasher);
        let (object, uid, digest) = (status.object.clone(), status.uid.clone(), hasher.finish());
        Some(Task { object, uid, kind, wanted, current: None, digest })
    }

    fn is_due(&self, task: &Task, now: Instant) -> bool {
        match self.known.get(&task.object) {
            Some(known) if known.digest == task.digest => match known.state {
                State::Settled => false,
                State::Failed { again, .. } => again <= now,
            },
            _ => true,
        }
    }

    /// Forgets everything that was said, and takes what all objects say now.
    pub(super) fn start_over(&mut self, statuses: &[ObjectStatus], read: HashMap<ObjectRef, Current>, now: &str) {
        *self = Self::default();
        let mut read = read;
        for status in statuses {
            let Some(current) = read.remove(&*status.object) else { continue };
            let Some(task) = self.task(status) else { continue };
            if task.wanted.patch(&current.status, now).is_none() {
                self.settled(&task);
            } else {
                self.read.insert(status.object.clone(), current);
            }
        }
    }

    /// It says what it should.
    pub(super) fn settled(&mut self, task: &Task) {
        self.known.insert(task.object.clone(), Known { digest: task.digest, state: State::Settled });
    }

    /// It could not be written; it is left alone for longer each time.
    pub(super) fn failed(&mut self, task: &Task, now: Instant) {
        let times = match self.known.get(&task.object) {
            Some(Known { state: State::Failed { times, .. }, .. }) => times.saturating_add(1),
            _ => 0,
        };
        let pause = FIRST_PAUSE.saturating_mul(1 << times.min(10)).min(LONGEST_PAUSE);
        let state = State::Failed { times, again: now + pause.mul_f64(fastrand::f64() * 0.5 + 0.75) };
        self.known.insert(task.object.clone(), Known { digest: task.digest, state });
    }

    /// When the first of those that failed is to be tried again.
    pub(super) fn next_try(&self) -> Option<Instant> {
        let again = self.known.values().filter_map(|known| match known.state {
            State::Failed { again, .. } => Some(again),
            State::Settled => None,
        });
        again.min()
    }
}
