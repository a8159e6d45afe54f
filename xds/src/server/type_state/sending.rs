//! What is sent next: each name's state compared with the catalog.

use std::sync::Arc;

use super::{Held, InFlight, Sent, TypeState};
use crate::{Resource, ResourceType};

/// About how many bytes of resources go into one response; a resource that is larger goes alone.
const MAX_RESPONSE: usize = 2 << 20;

/// What to send.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    pub resources: Vec<Arc<Resource>>,
    pub removed: Vec<Arc<str>>,
}

/// What is to be done about one name.
enum Step {
    Send(Arc<Resource>),
    Remove { urgent: bool },
    Nothing { confirmed: bool },
}

impl TypeState {
    /// Collects what to send now: nothing while a response is unanswered. With `break_now` also the removals that
    /// had to wait. The names in `confirmed` are those that the client said it holds and rightly so.
    pub fn next(
        &mut self,
        break_now: bool,
        find: &mut dyn FnMut(&str) -> Option<Arc<Resource>>,
        confirmed: &mut Vec<Arc<str>>,
    ) -> Option<Batch> {
        if self.in_flight.is_some() {
            return None;
        }
        let mut batch = Batch::default();
        if !self.next_alone(find, &mut batch) {
            self.collect(break_now, find, confirmed, &mut batch);
        }
        (!batch.resources.is_empty() || !batch.removed.is_empty()).then_some(batch)
    }

    fn collect(
        &mut self,
        break_now: bool,
        find: &mut dyn FnMut(&str) -> Option<Arc<Resource>>,
        confirmed: &mut Vec<Arc<str>>,
        batch: &mut Batch,
    ) {
        if break_now {
            self.dirty.append(&mut self.leaving);
        }
        let mut size = 0;
        while let Some(name) = self.dirty.pop_first() {
            match self.step(&name, find) {
                Step::Send(resource) => {
                    let bytes = resource.any.value.len() + resource.name.len();
                    if size > 0 && size + bytes > MAX_RESPONSE {
                        self.dirty.insert(name);
                        return;
                    }
                    size += bytes;
                    batch.resources.push(resource);
                }
                Step::Remove { urgent } if urgent || break_now || !self.removal_waits() => batch.removed.push(name),
                Step::Remove { .. } => drop(self.leaving.insert(name)),
                Step::Nothing { confirmed: true } => confirmed.push(name),
                Step::Nothing { confirmed: false } => {}
            }
        }
    }

    /// Clusters and their endpoints go last: routes and listeners that refer to them must be gone first.
    fn removal_waits(&self) -> bool {
        matches!(self.kind, ResourceType::Cluster | ResourceType::Endpoint)
    }

    /// Sends the next resource that has to go alone; `false` if there is none.
    fn next_alone(&mut self, find: &mut dyn FnMut(&str) -> Option<Arc<Resource>>, batch: &mut Batch) -> bool {
        while let Some(name) = self.alone.pop_front() {
            if let Step::Send(resource) = self.step(&name, find) {
                self.dirty.remove(&name);
                batch.resources.push(resource);
                return true;
            }
            // Gone or changed back meanwhile: the ordinary way knows what to do.
            self.touch(&name);
        }
        false
    }

    fn step(&mut self, name: &Arc<str>, find: &mut dyn FnMut(&str) -> Option<Arc<Resource>>) -> Step {
        let nothing = Step::Nothing { confirmed: false };
        let Some(tracked) = self.names.get_mut(name) else { return nothing };
        let told = matches!(tracked.held, Held::Version(_)) || tracked.refused.is_some();
        let urgent = tracked.force || !matches!(tracked.held, Held::Version(_));
        if !tracked.explicit && !tracked.covered {
            return if self.wildcard && (tracked.force || told) { Step::Remove { urgent } } else { nothing };
        }
        let Some(resource) = find(name) else {
            let owed = if tracked.explicit { tracked.force || tracked.held != Held::Absent } else { told };
            return if owed { Step::Remove { urgent } } else { nothing };
        };
        let same = matches!(&tracked.held, Held::Version(version) if *version == resource.version);
        if same && !tracked.force {
            tracked.refused = None;
            return Step::Nothing { confirmed: std::mem::take(&mut tracked.claimed) };
        }
        if tracked.force || tracked.refused.as_ref() != Some(&resource.version) {
            Step::Send(resource)
        } else {
            nothing
        }
    }

    /// Notes that a batch was sent under a nonce.
    pub fn sent(&mut self, nonce: String, batch: &Batch) {
        let resources = batch.resources.iter().map(|resource| (&resource.name, Some(resource.version.clone())));
        let removed = batch.removed.iter().map(|name| (name, None));
        let mut sent = Vec::with_capacity(batch.resources.len() + batch.removed.len());
        for (name, version) in resources.chain(removed) {
            let Some(tracked) = self.names.get_mut(name) else { continue };
            tracked.force = false;
            tracked.claimed = false;
            sent.push(Sent { name: name.clone(), generation: tracked.generation, version });
        }
        for name in &batch.removed {
            if self.names.get(name).is_some_and(|tracked| !tracked.explicit && !tracked.covered) {
                self.forget(name);
            }
        }
        self.in_flight = Some(InFlight { nonce, sent });
    }
}
