//! The catalog: what Pilot has for each proxy. Admission, generated resources and what a change touches, what
//! workloads need, and what data planes refuse.

mod cache;
mod client;
mod distribution;
mod index;
mod metrics;
mod needs;
mod pool;
mod refusals;
mod shares;
mod state;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use record::{LogLimit, Metrics};
use tokio::sync::{broadcast, watch};
use xds::node::NodeInfo;
use xds::server::{Catalog, Change, Refusal};
use xds::{Resource, ResourceType};

use crate::diff::Changed;
use crate::generate;
use crate::model::ObjectRef;
use crate::world::World;
use cache::Cache;
pub use client::Client;
use distribution::Distribution;
use metrics::CatalogMetrics;
use needs::{Name, Needs};
use refusals::Refusals;
pub use refusals::RefusedResource;
pub use shares::WantedShare;
use state::State;

/// Changes that a slow stream may be behind before it compares everything.
const CHANGES: usize = 1024;

static REFUSED_CLIENT: LogLimit = LogLimit::new(Duration::from_secs(5));
static REFUSED_RESOURCE: LogLimit = LogLimit::new(Duration::from_secs(1));

/// What Pilot has for each proxy; serves [`xds::server::AdsServer`].
pub struct MeshCatalog {
    state: Mutex<State>,
    needs: Needs,
    refusals: Refusals,
    distribution: Distribution,
    metrics: CatalogMetrics,
    changes: broadcast::Sender<Arc<Change>>,
    next_client: AtomicU64,
}

impl MeshCatalog {
    /// A catalog of one world; [`MeshCatalog::update`] replaces it.
    pub fn new(world: Arc<World>, metrics: &Metrics) -> Self {
        let state = State { cache: Cache::new(world), visible: HashMap::new(), connected: HashMap::new() };
        Self {
            state: Mutex::new(state),
            needs: Needs::default(),
            refusals: Refusals::default(),
            distribution: Distribution::default(),
            metrics: CatalogMetrics::new(metrics),
            changes: broadcast::Sender::new(CHANGES),
            next_client: AtomicU64::new(0),
        }
    }

    /// Takes a new world. What read something that changed is made again, and the streams are told of those resources
    /// whose content is really another one.
    pub fn update(&self, world: Arc<World>, changed: &Changed) {
        let mut state = self.state.lock();
        let before = state.cache.world().clone();
        let mut effect = state.cache.update(world, changed);
        state.look_at_clients(&before, changed, &mut effect);
        let wildcard = state.names_change(changed);
        if wildcard {
            state.visible.clear();
        }
        drop(state);
        for kind in effect.generated {
            self.metrics.generated(kind);
        }
        self.needs.expire(Instant::now());
        if wildcard || effect.everything || !effect.touched.is_empty() {
            // Without a stream there is nobody to tell.
            let _ = self.changes.send(Arc::new(Change {
                touched: effect.touched,
                everything: effect.everything,
                wildcard,
                number: self.distribution.next(),
            }));
        }
    }

    /// The world that is served.
    pub fn world(&self) -> Arc<World> {
        self.state.lock().cache.world().clone()
    }

    /// What data planes refuse at present, in no order.
    pub fn refused(&self) -> Vec<RefusedResource> {
        self.refusals.all()
    }

    /// Tells whenever [`MeshCatalog::refused`] changes.
    pub fn refused_changes(&self) -> watch::Receiver<u64> {
        self.refusals.changes()
    }

    /// The canary shares that the configuration asks for.
    pub fn shares(&self) -> Vec<WantedShare> {
        shares::wanted(&self.world())
    }

    /// What every proxy of its kind gets, what its workload is known to need, and what `*` brought it before.
    fn needed(&self, client: &Client, kind: ResourceType) -> Vec<Arc<str>> {
        let mut covered = client.covered.lock();
        let learned = self.needs.of(&client.group, kind, Instant::now());
        let before: Vec<Arc<str>> =
            covered.iter().filter(|(other, _)| *other == kind).map(|(_, name)| name.clone()).collect();
        let mut state = self.state.lock();
        if client.viewer_in(state.cache.world()).is_none() {
            return Vec::new();
        }
        let base = generate::base_names(state.cache.world(), client.address(), kind);
        let mut names: HashSet<Arc<str>> = base.into_iter().map(Arc::from).collect();
        for name in learned.into_iter().chain(before) {
            if self.look_up(&mut state, client, kind, &name).is_some() {
                covered.insert((kind, name.clone()));
                names.insert(name);
            } else {
                covered.remove(&(kind, name));
            }
        }
        names.into_iter().collect()
    }

    fn look_up(&self, state: &mut State, client: &Client, kind: ResourceType, name: &str) -> Option<Arc<Resource>> {
        let world = state.cache.world().clone();
        let viewer = client.viewer_in(&world)?;
        let (resource, made) = state.cache.get(&viewer, kind, name);
        if made {
            self.metrics.generated(kind);
        }
        resource
    }

    /// The objects that shaped a resource which a proxy has.
    fn sources(&self, client: &Client, kind: ResourceType, name: &str) -> Vec<Arc<ObjectRef>> {
        let state = self.state.lock();
        let viewer = client.viewer_in(state.cache.world());
        viewer.map(|viewer| state.cache.sources(&viewer, kind, name)).unwrap_or_default()
    }
}

/// Whether a workload's replicas share what they need of a kind. Who an address is, is asked for metrics only.
fn is_shared(kind: ResourceType) -> bool {
    !matches!(kind, ResourceType::Address | ResourceType::Secret)
}

impl Catalog for MeshCatalog {
    type Client = Client;

    fn admit(&self, node: &NodeInfo, peer: Option<&str>) -> Result<Arc<Client>, Refusal> {
        let id = self.next_client.fetch_add(1, Ordering::Relaxed);
        let client = Client::admit(&self.world(), id, node, peer).inspect_err(|refusal| {
            self.metrics.refused_client();
            if let Some(suppressed) = REFUSED_CLIENT.admit() {
                tracing::warn!(suppressed, "a proxy was not let in: {refusal}");
            }
        })?;
        client.settled.store(self.distribution.last(), Ordering::Relaxed);
        let client = Arc::new(client);
        self.state.lock().connected.entry(client.address()).or_default().push(client.clone());
        self.metrics.connected.inc();
        tracing::debug!(
            proxy = %client,
            address = %client.address(),
            on_demand = client.on_demand,
            user_agent = %node.user_agent,
            "a proxy connected"
        );
        Ok(client)
    }

    fn wildcard(&self, client: &Client, kind: ResourceType) -> Vec<Arc<str>> {
        if client.on_demand {
            return self.needed(client, kind);
        }
        let mut state = self.state.lock();
        let world = state.cache.world().clone();
        let Some(viewer) = client.viewer_in(&world) else { return Vec::new() };
        let base = generate::base_names(&world, viewer.address, kind);
        let visible = state.visible(&viewer.namespace, kind);
        base.into_iter().map(Arc::from).chain(visible.iter().cloned()).collect()
    }

    fn resource(&self, client: &Client, kind: ResourceType, name: &str) -> Option<Arc<Resource>> {
        self.look_up(&mut self.state.lock(), client, kind, name)
    }

    fn changes(&self) -> broadcast::Receiver<Arc<Change>> {
        self.changes.subscribe()
    }

    fn held(&self, client: &Client, kind: ResourceType, names: &[Arc<str>]) {
        if client.on_demand && is_shared(kind) {
            client.covered.lock().extend(names.iter().map(|name| (kind, name.clone())));
        }
    }

    fn subscribed(&self, client: &Client, kind: ResourceType, added: &[Arc<str>], removed: &[Arc<str>]) {
        if !client.on_demand || !is_shared(kind) {
            return;
        }
        let now = Instant::now();
        self.needs.expire(now);
        // Clients choose what they ask for; only what exists is learned.
        let exists = |name: &&Arc<str>| self.look_up(&mut self.state.lock(), client, kind, name).is_some();
        let real: Vec<Name> = added.iter().filter(exists).map(|name| (kind, name.clone())).collect();
        let mut asked = client.asked.lock();
        for name in real {
            if !asked.contains(&name) && self.needs.add(&client.group, name.clone()) {
                asked.insert(name);
            }
        }
        let mut covered = client.covered.lock();
        for name in removed.iter().map(|name| (kind, name.clone())) {
            covered.remove(&name);
            if asked.remove(&name) {
                self.needs.release(&client.group, &name, now);
            }
        }
    }

    fn acknowledged(&self, client: &Client, kind: ResourceType, names: &[Arc<str>]) {
        self.metrics.pushed(kind, names.len());
        self.refusals.settle(client, kind, names);
    }

    fn rejected(&self, client: &Client, kind: ResourceType, names: &[Arc<str>], error: &str) {
        self.metrics.pushed(kind, names.len());
        self.metrics.rejected(kind, names.len());
        for name in names {
            let sources = self.sources(client, kind, name);
            if let Some(suppressed) = REFUSED_RESOURCE.admit() {
                let from = sources.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
                tracing::warn!(
                    proxy = %client, r#type = %kind, %name, %from, suppressed,
                    "a proxy refused a resource and keeps what it had: {error}"
                );
            }
            self.refusals.add(client, kind, name, error, sources);
        }
    }

    fn settled(&self, client: &Client, change: u64) {
        client.settled.store(change, Ordering::Relaxed);
        self.distribution.settled();
    }

    fn disconnected(&self, client: &Client) {
        let now = Instant::now();
        for name in client.asked.lock().drain() {
            let name: Name = name;
            self.needs.release(&client.group, &name, now);
        }
        self.needs.expire(now);
        self.refusals.forget(client);
        let mut state = self.state.lock();
        if let Some(clients) = state.connected.get_mut(&client.address()) {
            clients.retain(|other| other.id != client.id);
            if clients.is_empty() {
                state.connected.remove(&client.address());
            }
        }
        drop(state);
        self.distribution.settled();
        self.metrics.connected.dec();
        tracing::debug!(proxy = %client, "a proxy disconnected");
    }
}
