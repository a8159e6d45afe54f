//! What one client has asked for, holds and is owed of one kind of resource: delta xDS as a state machine without
//! a socket (envoyproxy.io, "xDS REST and gRPC protocol", incremental variants).

mod answers;
mod sending;

use std::{
    collections::{BTreeSet, HashMap, HashSet, VecDeque},
    sync::Arc,
};

use crate::ResourceType;

pub(crate) use sending::Batch;

/// The name that stands for all that the control plane thinks the client needs.
pub(crate) const WILDCARD: &str = "*";

/// The version of what a client may or may not hold. It is none of ours, so that what is right is sent or removed.
pub(crate) const UNCERTAIN: &str = "";

/// The state of one kind of resource on one stream.
///
/// At most one response is on its way: changes that come meanwhile are looked at when it is answered, so that a
/// slow client gets the latest state and not its history.
#[derive(Debug)]
pub(crate) struct TypeState {
    kind: ResourceType,
    asked: bool,
    wildcard: bool,
    names: HashMap<Arc<str>, Tracked>,
    /// Names whose state has to be compared with the catalog.
    dirty: BTreeSet<Arc<str>>,
    /// Names that are gone and whose removal waits until nothing refers to them any more.
    leaving: BTreeSet<Arc<str>>,
    /// Names to be sent one by one, because a refusal of several did not say for sure whom it meant.
    alone: VecDeque<Arc<str>>,
    /// Names that the first request will have to get even if the client says that it holds them.
    owed: HashSet<Arc<str>>,
    /// What the client may hold without asking for it: brought along from an earlier stream, or left over from a `*`
    /// that it gave up. To be settled when it asks for `*` again.
    brought: Vec<Arc<str>>,
    in_flight: Option<InFlight>,
    tracked: u64,
}

/// What is known of one name.
#[derive(Debug)]
struct Tracked {
    /// Tells an entry from a later one of the same name.
    generation: u64,
    explicit: bool,
    covered: bool,
    held: Held,
    /// The version that the client refused.
    refused: Option<Arc<str>>,
    /// Answer even if nothing changed.
    force: bool,
    /// The client says that it holds this; nobody has heard an ACK for it.
    claimed: bool,
}

#[derive(Debug, PartialEq)]
enum Held {
    Unknown,
    Version(Arc<str>),
    Absent,
}

#[derive(Debug)]
struct InFlight {
    nonce: String,
    sent: Vec<Sent>,
}

#[derive(Debug)]
struct Sent {
    name: Arc<str>,
    generation: u64,
    /// `None` for a removal.
    version: Option<Arc<str>>,
}

/// What a request says, with the names in shared form.
#[derive(Debug, Default)]
pub(crate) struct Asked {
    /// The request names nothing, neither to subscribe nor to unsubscribe.
    pub nameless: bool,
    pub subscribe: Vec<Arc<str>>,
    pub unsubscribe: Vec<Arc<str>>,
    /// `initial_resource_versions`; counts in the first request only.
    pub held: Vec<(Arc<str>, Arc<str>)>,
}

/// What changed by a request.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Subscribed {
    pub added: Vec<Arc<str>>,
    pub removed: Vec<Arc<str>>,
    /// `*` came new: [`TypeState::cover`] must be told what it stands for.
    pub wildcard: bool,
}

impl TypeState {
    pub fn new(kind: ResourceType) -> Self {
        Self {
            kind,
            asked: false,
            wildcard: false,
            names: HashMap::new(),
            dirty: BTreeSet::new(),
            leaving: BTreeSet::new(),
            alone: VecDeque::new(),
            owed: HashSet::new(),
            brought: Vec::new(),
            in_flight: None,
            tracked: 0,
        }
    }

    pub fn wildcard(&self) -> bool {
        self.wildcard
    }

    /// Whether no request of this kind has come yet.
    pub fn is_new(&self) -> bool {
        !self.asked
    }

    /// How many names the client subscribes to by name.
    pub fn explicit(&self) -> usize {
        self.names.values().filter(|tracked| tracked.explicit).count()
    }

    /// Whether the client subscribes to this by name.
    pub fn is_explicit(&self, name: &str) -> bool {
        self.names.get(name).is_some_and(|tracked| tracked.explicit)
    }

    /// Whether something is to be sent that could not be sent yet.
    pub fn waiting(&self) -> bool {
        !self.dirty.is_empty() || !self.alone.is_empty()
    }

    /// Whether everything is sent and answered.
    pub fn is_settled(&self) -> bool {
        !self.waiting() && self.in_flight.is_none()
    }

    /// Takes the subscriptions of a request. They count whatever nonce the request carries.
    pub fn request(&mut self, asked: Asked) -> Subscribed {
        let first = !std::mem::replace(&mut self.asked, true);
        let mut changed = Subscribed::default();
        // The older way to say `*`: a first request without any name.
        let legacy = first && asked.nameless;
        if legacy || asked.subscribe.iter().any(|name| &**name == WILDCARD) {
            changed.wildcard = !std::mem::replace(&mut self.wildcard, true);
        }
        if first {
            self.remember(&asked);
        } else if changed.wildcard {
            for name in std::mem::take(&mut self.brought) {
                self.stray(&name);
            }
        }
        for name in asked.subscribe.into_iter().filter(|name| &**name != WILDCARD) {
            self.subscribe(name, first, &mut changed);
        }
        for name in asked.unsubscribe {
            if &*name == WILDCARD {
                self.drop_wildcard();
            } else {
                self.unsubscribe(name, &mut changed);
            }
        }
        if first {
            self.owed = HashSet::new();
        }
        changed
    }

    /// Notes what the client brought along from an earlier stream, as far as it still wants it.
    fn remember(&mut self, asked: &Asked) {
        let named: HashSet<&str> = asked.subscribe.iter().map(|name| &**name).collect();
        for (name, version) in &asked.held {
            if self.wildcard || named.contains(&**name) {
                let tracked = self.track(name);
                tracked.held = Held::Version(version.clone());
                tracked.claimed = true;
                self.dirty.insert(name.clone());
            } else {
                self.brought.push(name.clone());
            }
        }
    }

    /// A name that is asked for again is answered again, for the client may have forgotten it. Not so in the first
    /// request of a stream, where it names all that it wants.
    fn subscribe(&mut self, name: Arc<str>, first: bool, changed: &mut Subscribed) {
        let owed = self.owed.contains(&name);
        let tracked = self.track(&name);
        let known = std::mem::replace(&mut tracked.explicit, true);
        tracked.force |= owed || !(first && matches!(tracked.held, Held::Version(_)));
        self.dirty.insert(name.clone());
        if !known {
            changed.added.push(name);
        }
    }

    /// A name that `*` may also stand for must be answered: the client does not know whether to keep it.
    fn unsubscribe(&mut self, name: Arc<str>, changed: &mut Subscribed) {
        let Some(tracked) = self.names.get_mut(&name).filter(|tracked| tracked.explicit) else { return };
        tracked.explicit = false;
        if self.wildcard {
            tracked.force = true;
            self.dirty.insert(name.clone());
        } else {
            if tracked.claimed || self.removals_in_flight().any(|other| *other == name) {
                self.brought.push(name.clone());
            }
            self.forget(&name);
        }
        changed.removed.push(name);
    }

    fn drop_wildcard(&mut self) {
        self.wildcard = false;
        let removals: Vec<Arc<str>> =
            self.removals_in_flight().filter(|name| !self.names.contains_key(*name)).cloned().collect();
        self.brought.extend(removals);
        let orphans: Vec<Arc<str>> =
            self.names.iter().filter(|(_, tracked)| !tracked.explicit).map(|(name, _)| name.clone()).collect();
        for name in orphans {
            self.forget(&name);
            self.brought.push(name);
        }
        for tracked in self.names.values_mut() {
            tracked.covered = false;
        }
    }

    /// What a client that gives it up before it reads the response will not be told: it ignores the removal.
    fn removals_in_flight(&self) -> impl Iterator<Item = &Arc<str>> {
        let sent = self.in_flight.iter().flat_map(|in_flight| &in_flight.sent);
        sent.filter(|sent| sent.version.is_none()).map(|sent| &sent.name)
    }

    /// The client took, for an answer to its `*`, what was on its way from before it asked. It holds some version;
    /// what is right is still to be told.
    fn stray(&mut self, name: &Arc<str>) {
        self.track(name).held = Held::Version(Arc::from(UNCERTAIN));
        self.dirty.insert(name.clone());
    }

    fn forget(&mut self, name: &Arc<str>) {
        self.names.remove(name);
        self.dirty.remove(name);
        self.leaving.remove(name);
    }

    fn track(&mut self, name: &Arc<str>) -> &mut Tracked {
        self.tracked += 1;
        let generation = self.tracked;
        self.names.entry(name.clone()).or_insert_with(|| Tracked {
            generation,
            explicit: false,
            covered: false,
            held: Held::Unknown,
            refused: None,
            force: false,
            claimed: false,
        })
    }

    /// Tells what `*` stands for now.
    pub fn cover(&mut self, covered: &[Arc<str>]) {
        let covered: HashSet<&Arc<str>> = covered.iter().collect();
        for (name, tracked) in &mut self.names {
            let now = covered.contains(name);
            // A name that neither `*` nor the client stands for any more is to be removed.
            if tracked.covered != now || !(now || tracked.explicit) {
                tracked.covered = now;
                self.dirty.insert(name.clone());
            }
        }
        for name in covered {
            if !self.names.contains_key(name) {
                self.track(name).covered = true;
                self.dirty.insert(name.clone());
            }
        }
    }

    /// Notes that a resource may have changed.
    pub fn touch(&mut self, name: &Arc<str>) {
        if self.names.contains_key(name) {
            self.leaving.remove(name);
            self.dirty.insert(name.clone());
        }
    }

    /// Notes that everything may have changed.
    pub fn touch_all(&mut self) {
        self.leaving.clear();
        self.dirty.extend(self.names.keys().cloned());
    }

    /// Sends a resource again although it did not change. One that is not asked for yet is sent when it is.
    pub fn owe(&mut self, name: &Arc<str>) {
        match self.names.get_mut(name) {
            Some(tracked) => {
                tracked.force = true;
                self.dirty.insert(name.clone());
            }
            None if !self.asked => drop(self.owed.insert(name.clone())),
            None => {}
        }
    }
}
