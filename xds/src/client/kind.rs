//! What the client has asked for and holds of one kind of resource.

use std::{
    collections::{BTreeSet, HashMap, HashSet, VecDeque},
    sync::Arc,
};

use super::{Received, inspect::inspect};
use crate::{
    ResourceType,
    discovery::{DeltaDiscoveryRequest, DeltaDiscoveryResponse},
    refusal,
    server::{UNCERTAIN, WILDCARD},
};

/// How many bytes of names and versions go into one request; servers commonly read 4 MiB.
const MAX_REQUEST: usize = 2 << 20;

/// What protobuf adds to the two strings of a map entry, rounded up.
const ENTRY: usize = 16;

/// The client's state of one kind.
#[derive(Debug)]
pub(super) struct KindState {
    kind: ResourceType,
    /// All that is asked for by name; `*` is a name here.
    names: BTreeSet<Arc<str>>,
    held: HashMap<Arc<str>, Arc<str>>,
    /// Whether the first request of this stream, which says what is held, has been made.
    opened: bool,
    subscribe: BTreeSet<Arc<str>>,
    unsubscribe: BTreeSet<Arc<str>>,
    /// Responses that are not answered yet, in the order in which they came.
    pending: VecDeque<Pending>,
}

#[derive(Debug)]
struct Pending {
    id: u64,
    nonce: String,
    /// The stream on which it came, and on which alone it can be answered.
    stream: u64,
    resources: Vec<(Arc<str>, Arc<str>)>,
    removed: Vec<String>,
    /// What was refused before the receiver saw it.
    bad: Vec<(String, String)>,
    verdict: Option<Vec<(String, String)>>,
}

/// What the receiver is to be given of a response.
#[derive(Debug, PartialEq)]
pub(super) struct Delivery {
    pub resources: Vec<Received>,
    pub removed: Vec<String>,
    /// Refused already.
    pub refused: Vec<(String, String)>,
}

impl KindState {
    pub fn new(kind: ResourceType) -> Self {
        Self {
            kind,
            names: BTreeSet::new(),
            held: HashMap::new(),
            opened: false,
            subscribe: BTreeSet::new(),
            unsubscribe: BTreeSet::new(),
            pending: VecDeque::new(),
        }
    }

    pub fn is_wanted(&self) -> bool {
        !self.names.is_empty()
    }

    pub fn subscribe(&mut self, names: Vec<Arc<str>>) {
        for name in names {
            if self.names.insert(name.clone()) {
                self.unsubscribe.remove(&name);
                self.subscribe.insert(name);
            }
        }
    }

    pub fn unsubscribe(&mut self, names: Vec<Arc<str>>) {
        for name in names {
            if self.names.remove(&name) {
                self.subscribe.remove(&name);
                self.unsubscribe.insert(name.clone());
                self.forget(&name);
            }
        }
    }

    /// Drops what nobody asks for any more. What `*` may stand for is kept: the server will say what becomes of it.
    fn forget(&mut self, name: &Arc<str>) {
        if **name == *WILDCARD {
            let names = &self.names;
            self.held.retain(|name, _| names.contains(name));
        } else if !self.names.contains(WILDCARD) {
            self.held.remove(name);
            // What is still with the receiver may come into force if the name is asked for again by then; the
            // receiver may as well have dropped it.
            let resources = self.pending.iter_mut().flat_map(|pending| &mut pending.resources);
            for (_, version) in resources.filter(|(other, _)| other == name) {
                *version = Arc::from(UNCERTAIN);
            }
        }
    }

    fn wants(&self, name: &str) -> bool {
        self.names.contains(name) || self.names.contains(WILDCARD)
    }

    /// A new stream begins: everything has to be asked for again.
    pub fn reopen(&mut self) {
        self.opened = false;
        self.subscribe = self.names.clone();
        self.unsubscribe.clear();
    }

    /// The next request that says what is wanted, if there is something new to say.
    pub fn request(&mut self) -> Option<DeltaDiscoveryRequest> {
        if self.subscribe.is_empty() && self.unsubscribe.is_empty() {
            return None;
        }
        let mut room = MAX_REQUEST;
        let mut request = DeltaDiscoveryRequest { type_url: self.kind.type_url().to_owned(), ..Default::default() };
        if self.opened {
            request.resource_names_unsubscribe = take(&mut self.unsubscribe, &mut room);
        } else {
            // Nothing was asked for on this stream, so that there is nothing to take back.
            self.unsubscribe.clear();
        }
        request.resource_names_subscribe = take(&mut self.subscribe, &mut room);
        if !self.opened {
            request.initial_resource_versions = self.initial_versions(room);
            self.opened = true;
        }
        let empty = request.resource_names_subscribe.is_empty() && request.resource_names_unsubscribe.is_empty();
        (!empty).then_some(request)
    }

    /// What is held, as far as there is room; the rest will come again. What the receiver has not answered yet may or
    /// may not come into force: it is said to be held in no version, so that the server says what is right.
    fn initial_versions(&self, mut room: usize) -> HashMap<String, String> {
        let unsettled: HashSet<&str> = self
            .pending
            .iter()
            .flat_map(|pending| {
                let resources = pending.resources.iter().map(|(name, _)| &**name);
                resources.chain(pending.removed.iter().map(String::as_str))
            })
            .collect();
        let settled = self.held.iter().map(|(name, version)| (&**name, &**version));
        let settled = settled.filter(|(name, _)| !unsettled.contains(name));
        unsettled
            .iter()
            .map(|name| (*name, UNCERTAIN))
            .chain(settled)
            .take_while(|(name, version)| {
                let size = name.len() + version.len() + ENTRY;
                let fits = size <= room;
                room = room.saturating_sub(size);
                fits
            })
            .map(|(name, version)| (name.to_owned(), version.to_owned()))
            .collect()
    }

    /// Takes a response and says what of it the receiver is to be given; `None` if nothing.
    pub fn received(&mut self, response: DeltaDiscoveryResponse, id: u64, stream: u64) -> Option<Delivery> {
        let held = &self.held;
        let heartbeat = |name: &str, version: &str| held.get(name).is_some_and(|held| **held == *version);
        let mut inspected = inspect(self.kind, response.resources, heartbeat);
        // What was not asked for is ignored: it may have been given up a moment ago.
        inspected.good.retain(|received| self.wants(&received.name));
        inspected.bad.retain(|(name, _)| self.wants(name));
        let mut removed = response.removed_resources;
        removed.retain(|name| self.wants(name));
        let nothing = inspected.good.is_empty() && inspected.bad.is_empty() && removed.is_empty();
        self.pending.push_back(Pending {
            id,
            nonce: response.nonce,
            stream,
            resources: inspected
                .good
                .iter()
                .map(|received| (received.name.clone(), received.version.clone()))
                .collect(),
            removed: removed.clone(),
            bad: inspected.bad.clone(),
            verdict: nothing.then(Vec::new),
        });
        (!nothing).then_some(Delivery { resources: inspected.good, removed, refused: inspected.bad })
    }

    /// Takes the receiver's answer to a delivery.
    pub fn answered(&mut self, id: u64, refused: Vec<(String, String)>) {
        if let Some(pending) = self.pending.iter_mut().find(|pending| pending.id == id) {
            pending.verdict.get_or_insert(refused);
        }
    }

    /// The next ACK or NACK that can be sent. Responses are settled in the order in which they came.
    pub fn settle(&mut self, stream: u64) -> Option<DeltaDiscoveryRequest> {
        loop {
            let verdict = self.pending.front_mut()?.verdict.take()?;
            let pending = self.pending.pop_front()?;
            let refused: Vec<(String, String)> = pending.bad.into_iter().chain(verdict).collect();
            let kept: HashSet<&str> = refused.iter().map(|(name, _)| name.as_str()).collect();
            for (name, version) in pending.resources {
                if self.wants(&name) && !kept.contains(&*name) {
                    self.held.insert(name, version);
                }
            }
            for name in pending.removed.iter().filter(|name| !kept.contains(name.as_str())) {
                self.held.remove(name.as_str());
            }
            if pending.stream == stream {
                return Some(DeltaDiscoveryRequest {
                    type_url: self.kind.type_url().to_owned(),
                    response_nonce: pending.nonce,
                    error_detail: (!refused.is_empty()).then(|| refusal::to_status(&refused)),
                    ..Default::default()
                });
            }
        }
    }

    /// The version that is held of a resource.
    #[cfg(test)]
    pub fn held(&self, name: &str) -> Option<&str> {
        self.held.get(name).map(|version| &**version)
    }
}

/// Takes names out of a set as long as there is room.
fn take(names: &mut BTreeSet<Arc<str>>, room: &mut usize) -> Vec<String> {
    let mut taken = Vec::new();
    while let Some(name) = names.pop_first() {
        if name.len() + ENTRY > *room && !taken.is_empty() {
            names.insert(name);
            break;
        }
        *room = room.saturating_sub(name.len() + ENTRY);
        taken.push(name.to_string());
    }
    taken
}
