//! One client's stream without the socket: all its kinds of resource, the order in which they are sent, and the
//! calls into the catalog.

use std::{
    collections::{BTreeSet, HashSet},
    sync::Arc,
};

use super::{
    Catalog, Change,
    type_state::{Asked, Batch, TypeState, WILDCARD},
};
use crate::{
    ResourceType,
    core::ControlPlane,
    discovery::{DeltaDiscoveryRequest, DeltaDiscoveryResponse, Resource as WireResource},
    log_limit::LogLimit,
    refusal,
};

/// How many names a client may subscribe to by name, all kinds together.
const MAX_NAMES: usize = 50_000;

/// The longest name that is accepted, in bytes. A DNS name has at most 253.
const MAX_NAME: usize = 1024;

/// How many unknown type URLs are remembered, so that each is logged once.
const MAX_UNKNOWN: usize = 16;

/// What one client has asked for, over all kinds.
pub(crate) struct StreamState<C: Catalog> {
    catalog: Arc<C>,
    client: Arc<C::Client>,
    /// Who the client says it is, for log lines.
    label: String,
    /// Envoy waits for endpoints after each change of their cluster, even if they did not change ("Resource warming").
    warms_clusters: bool,
    kinds: [TypeState; ResourceType::ALL.len()],
    unknown: BTreeSet<String>,
    nonce: u64,
    /// The last change that was looked at.
    seen: u64,
    /// The last change that the client has answered, as far as the catalog was told.
    settled: u64,
}

impl<C: Catalog> StreamState<C> {
    pub fn new(catalog: Arc<C>, client: Arc<C::Client>, label: String, warms_clusters: bool) -> Self {
        let kinds = ResourceType::ALL.map(TypeState::new);
        Self { catalog, client, label, warms_clusters, kinds, unknown: BTreeSet::new(), nonce: 0, seen: 0, settled: 0 }
    }

    /// Takes a request: subscriptions, ACK, NACK. Kinds that we do not speak are ignored, and so are names that are
    /// too many or too long: a client that lost its stream for them would ask for the same again.
    pub fn request(&mut self, request: DeltaDiscoveryRequest) {
        let Some(kind) = ResourceType::from_type_url(&request.type_url) else {
            self.ignore(request.type_url);
            return;
        };
        if !request.response_nonce.is_empty() {
            self.answer(kind, &request);
        }
        let mut asked = asked(request);
        let total = asked.subscribe.len();
        asked.subscribe = self.within_limits(kind, asked.subscribe);
        self.log_refused_names(kind, total - asked.subscribe.len());
        self.subscribe(kind, asked);
    }

    /// The names that may be subscribed: none that is too long, and new ones as long as there is room.
    fn within_limits(&self, kind: ResourceType, names: Vec<Arc<str>>) -> Vec<Arc<str>> {
        if names.is_empty() {
            return names;
        }
        let held = self.kinds.iter().map(TypeState::explicit).sum::<usize>();
        let mut room = MAX_NAMES.saturating_sub(held);
        let state = &self.kinds[kind.index()];
        let mut new = HashSet::new();
        let mut fits = |name: &Arc<str>| {
            if &**name == WILDCARD || state.is_explicit(name) || new.contains(name) {
                return true;
            }
            if name.len() > MAX_NAME || room == 0 {
                return false;
            }
            room -= 1;
            new.insert(name.clone())
        };
        names.into_iter().filter(|name| fits(name)).collect()
    }

    fn log_refused_names(&self, kind: ResourceType, refused: usize) {
        static LIMIT: LogLimit = LogLimit::new();
        if let Some(left_out) = (refused > 0).then(|| LIMIT.allow()).flatten() {
            tracing::warn!(
                client = %self.label, %kind, refused, left_out,
                "ignored names of a subscription: a stream may have {MAX_NAMES} names of at most {MAX_NAME} bytes. The \
                 client should give up what it does not need, or subscribe to `*`"
            );
        }
    }

    fn subscribe(&mut self, kind: ResourceType, asked: Asked) {
        let (catalog, client) = (self.catalog.clone(), self.client.clone());
        let state = self.state(kind);
        if state.is_new() && !asked.held.is_empty() {
            let held: Vec<Arc<str>> = asked.held.iter().map(|(name, _)| name.clone()).collect();
            catalog.held(&client, kind, &held);
        }
        let changed = state.request(asked);
        if !changed.added.is_empty() || !changed.removed.is_empty() {
            catalog.subscribed(&client, kind, &changed.added, &changed.removed);
        }
        if changed.wildcard {
            state.cover(&catalog.wildcard(&client, kind));
        }
    }

    fn answer(&mut self, kind: ResourceType, request: &DeltaDiscoveryRequest) {
        let (catalog, client, label) = (self.catalog.clone(), self.client.clone(), self.label.clone());
        let state = self.state(kind);
        let nonce = &request.response_nonce;
        let Some(names) = state.names_in_flight(nonce) else { return };
        let error = request.error_detail.as_ref();
        let Some(verdict) = state.answered(nonce, error.map(|status| refusal::blame(status, &names))) else { return };
        if !verdict.accepted.is_empty() {
            catalog.acknowledged(&client, kind, &verdict.accepted);
        }
        let text = error.map(|status| status.message.as_str()).unwrap_or_default();
        if verdict.reasons.len() == verdict.rejected.len() {
            for (name, reason) in verdict.rejected.iter().zip(&verdict.reasons) {
                catalog.rejected(&client, kind, std::slice::from_ref(name), reason);
            }
        } else {
            catalog.rejected(&client, kind, &verdict.rejected, text);
        }
        if verdict.unclear > 0 {
            let count = verdict.unclear;
            tracing::debug!(client = %label, %kind, count, "refused together, sending one by one: {text}");
        }
    }

    fn ignore(&mut self, type_url: String) {
        static LIMIT: LogLimit = LogLimit::new();
        let new = self.unknown.len() < MAX_UNKNOWN && self.unknown.insert(type_url.clone());
        if let Some(left_out) = new.then(|| LIMIT.allow()).flatten() {
            let why = "this control plane has no resources of that type";
            tracing::warn!(client = %self.label, left_out, "ignored a request for `{type_url}`: {why}");
        }
    }

    /// Takes note of a change. Costs nothing for resources that the client does not know.
    pub fn changed(&mut self, change: &Change) {
        self.seen = self.seen.max(change.number);
        for (kind, state) in ResourceType::ALL.into_iter().zip(&mut self.kinds) {
            if change.everything {
                state.touch_all();
            }
            if (change.wildcard || change.everything) && state.wildcard() {
                state.cover(&self.catalog.wildcard(&self.client, kind));
            }
        }
        for (kind, name) in &change.touched {
            self.state(*kind).touch(name);
        }
    }

    /// All that can be sent now, make before break: what routes refer to before the routes, and what is gone after.
    pub fn responses(&mut self) -> Vec<DeltaDiscoveryResponse> {
        use ResourceType::{Cluster, Endpoint, Listener, Route};
        let mut responses = Vec::new();
        for kind in ResourceType::ALL {
            let early = matches!(kind, Listener | Route) && (self.waiting(Cluster) || self.waiting(Endpoint));
            if !early {
                responses.extend(self.next(kind, false));
            }
        }
        if !self.waiting(Listener) && !self.waiting(Route) {
            responses.extend(self.next(Cluster, true));
            responses.extend(self.next(Endpoint, true));
        }
        self.tell_settled();
        responses
    }

    /// Tells the catalog up to which change the client has answered everything.
    fn tell_settled(&mut self) {
        if self.seen > self.settled && self.kinds.iter().all(TypeState::is_settled) {
            self.settled = self.seen;
            self.catalog.settled(&self.client, self.settled);
        }
    }

    fn waiting(&self, kind: ResourceType) -> bool {
        self.kinds[kind.index()].waiting()
    }

    fn next(&mut self, kind: ResourceType, break_now: bool) -> Option<DeltaDiscoveryResponse> {
        let (catalog, client) = (self.catalog.clone(), self.client.clone());
        let nonce = (self.nonce + 1).to_string();
        let state = self.state(kind);
        let mut confirmed = Vec::new();
        let batch = state.next(break_now, &mut |name| catalog.resource(&client, kind, name), &mut confirmed);
        if let Some(batch) = &batch {
            state.sent(nonce.clone(), batch);
        }
        if !confirmed.is_empty() {
            catalog.acknowledged(&client, kind, &confirmed);
        }
        let batch = batch?;
        self.nonce += 1;
        if kind == ResourceType::Cluster && self.warms_clusters {
            // A cluster's endpoints go by the cluster's name.
            for cluster in &batch.resources {
                self.state(ResourceType::Endpoint).owe(&cluster.name);
            }
        }
        Some(response(kind, nonce, batch))
    }

    fn state(&mut self, kind: ResourceType) -> &mut TypeState {
        &mut self.kinds[kind.index()]
    }
}

/// The subscriptions of a request.
fn asked(request: DeltaDiscoveryRequest) -> Asked {
    Asked {
        nameless: request.resource_names_subscribe.is_empty() && request.resource_names_unsubscribe.is_empty(),
        subscribe: request.resource_names_subscribe.into_iter().map(Into::into).collect(),
        unsubscribe: request.resource_names_unsubscribe.into_iter().map(Into::into).collect(),
        held: request
            .initial_resource_versions
            .into_iter()
            .filter(|(name, _)| name != WILDCARD)
            .map(|(name, version)| (name.into(), version.into()))
            .collect(),
    }
}

fn response(kind: ResourceType, nonce: String, batch: Batch) -> DeltaDiscoveryResponse {
    let resources = batch.resources.iter().map(|resource| WireResource {
        name: resource.name.to_string(),
        version: resource.version.to_string(),
        resource: Some(resource.any.clone()),
        ..WireResource::default()
    });
    DeltaDiscoveryResponse {
        type_url: kind.type_url().to_owned(),
        resources: resources.collect(),
        removed_resources: batch.removed.iter().map(|name| name.to_string()).collect(),
        nonce,
        control_plane: Some(ControlPlane { identifier: "meltemi".to_owned() }),
        ..DeltaDiscoveryResponse::default()
    }
}
