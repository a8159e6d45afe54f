//! The client as a state machine without a socket: subscriptions and answers in, requests out, over all kinds.

use std::{
    collections::{BTreeSet, VecDeque},
    sync::Arc,
};

use super::kind::{Delivery, KindState};
use crate::{
    ResourceType,
    core::Node,
    discovery::{DeltaDiscoveryRequest, DeltaDiscoveryResponse},
};

/// How many unknown type URLs are remembered, so that each is logged once.
const MAX_UNKNOWN: usize = 16;

/// Everything that outlives one connection, and where the current one stands.
#[derive(Debug)]
pub(super) struct ClientState {
    node: Node,
    kinds: [KindState; ResourceType::ALL.len()],
    /// Counts streams; 0 before the first.
    stream: u64,
    connected: bool,
    /// Whether this stream's first request, which alone carries the node, has been made.
    introduced: bool,
    deliveries: u64,
    unknown: BTreeSet<String>,
    answers: VecDeque<DeltaDiscoveryRequest>,
}

impl ClientState {
    pub fn new(node: Node) -> Self {
        Self {
            node,
            kinds: ResourceType::ALL.map(KindState::new),
            stream: 0,
            connected: false,
            introduced: false,
            deliveries: 0,
            unknown: BTreeSet::new(),
            answers: VecDeque::new(),
        }
    }

    /// Whether there is nothing to connect for.
    pub fn is_idle(&self) -> bool {
        !self.kinds.iter().any(KindState::is_wanted)
    }

    pub fn subscribe(&mut self, kind: ResourceType, names: Vec<Arc<str>>) {
        self.kind(kind).subscribe(names);
    }

    pub fn unsubscribe(&mut self, kind: ResourceType, names: Vec<Arc<str>>) {
        self.kind(kind).unsubscribe(names);
    }

    /// A new stream begins.
    pub fn connected(&mut self) {
        self.stream += 1;
        self.connected = true;
        self.introduced = false;
        self.answers.clear();
        for state in &mut self.kinds {
            state.reopen();
        }
    }

    /// The stream is gone. What is held and what is wanted stays.
    pub fn disconnected(&mut self) {
        self.connected = false;
        self.answers.clear();
    }

    /// The next request to send, if there is one: answers first, then subscriptions.
    pub fn request(&mut self) -> Option<DeltaDiscoveryRequest> {
        if !self.connected {
            return None;
        }
        let mut request = match self.answers.pop_front() {
            Some(answer) => answer,
            None => self.kinds.iter_mut().find_map(KindState::request)?,
        };
        if !std::mem::replace(&mut self.introduced, true) {
            request.node = Some(self.node.clone());
        }
        Some(request)
    }

    /// Takes a response. What the receiver is to be given comes with the number under which it is to be answered.
    pub fn received(&mut self, response: DeltaDiscoveryResponse) -> Option<(ResourceType, u64, Delivery)> {
        let Some(kind) = ResourceType::from_type_url(&response.type_url) else {
            self.ignore(response.type_url);
            return None;
        };
        self.deliveries += 1;
        let (id, stream) = (self.deliveries, self.stream);
        let delivery = self.kind(kind).received(response, id, stream);
        self.settle(kind);
        delivery.map(|delivery| (kind, id, delivery))
    }

    /// Takes the receiver's answer: nothing refused means that all of it is in force.
    pub fn answered(&mut self, kind: ResourceType, id: u64, refused: Vec<(String, String)>) {
        self.kind(kind).answered(id, refused);
        self.settle(kind);
    }

    fn settle(&mut self, kind: ResourceType) {
        let stream = if self.connected { self.stream } else { 0 };
        while let Some(answer) = self.kind(kind).settle(stream) {
            self.answers.push_back(answer);
        }
    }

    fn ignore(&mut self, type_url: String) {
        if self.unknown.len() < MAX_UNKNOWN && self.unknown.insert(type_url.clone()) {
            tracing::warn!("ignored a response of type `{type_url}` that was not asked for");
        }
    }

    fn kind(&mut self, kind: ResourceType) -> &mut KindState {
        &mut self.kinds[kind.index()]
    }

    /// The version that is held of a resource.
    #[cfg(test)]
    pub fn held(&self, kind: ResourceType, name: &str) -> Option<&str> {
        self.kinds[kind.index()].held(name)
    }
}
