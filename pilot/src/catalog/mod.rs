//! The catalog: what Pilot has for each proxy. Admission, generated resources and what a change touches, what
//! workloads need, and what data planes refuse.

mod cache;
mod client;
mod index;
mod metrics;
mod needs;
mod pool;
mod refusals;
mod shares;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use record::{LogLimit, Metrics};
use tokio::sync::{broadcast, watch};
use xds::node::NodeInfo;
use xds::server::{Catalog, Change, Refusal};
use xds::{Resource, ResourceType};

use crate::diff::{Changed, Key};
use crate::generate;
use crate::world::World;
use cache::Cache;
pub use client::Client;
use metrics::CatalogMetrics;
use needs::{Name, Needs};
use refusals::Refusals;
pub use refusals::RefusedResource;
pub use shares::WantedShare;

/// Changes that a slow stream may be behind before it compares everything.
const CHANGES: usize = 1024;

static REFUSED_CLIENT: LogLimit = LogLimit::new(Duration::from_secs(5));
static REFUSED_RESOURCE: LogLimit = LogLimit::new(Duration::from_secs(1));

/// What Pilot has for each proxy; serves [`xds::server::AdsServer`].
pub struct MeshCatalog {
    state: Mutex<State>,
    needs: Needs,
    refusals: Refusals,
    metrics: CatalogMetrics,
    changes: broadcast::Sender<Arc<Change>>,
    next_client: AtomicU64,
}

/// Names that many streams look at.
type NameList = Arc<[Arc<str>]>;

struct State {
    cache: Cache,
    /// What the services of a namespace are called, by kind; made on first use.
    visible: HashMap<(Arc<str>, ResourceType), NameList>,
    /// How many proxies are connected from an address.
    connected: HashMap<IpAddr, usize>,
}

impl MeshCatalog {
    /// A catalog of one world; [`MeshCatalog::update`] replaces it.
    pub fn new(world: Arc<World>, metrics: &Metrics) -> Self {
        let state = State { cache: Cache::new(world), visible: HashMap::new(), connected: HashMap::new() };
        Self {
            state: Mutex::new(state),
            needs: Needs::default(),
            refusals: Refusals::default(),
            metrics: CatalogMetrics::new(metrics),
            changes: broadcast::Sender::new(CHANGES),
            next_client: AtomicU64::new(0),
        }
    }

    /// Takes a new world. What read something that changed is made again, and the streams are told of those resources
    /// whose content is really another one.
    pub fn update(&self, world: Arc<World>, changed: &Changed) {
        let mut state = self.state.lock();
        let effect = state.cache.update(world, changed);
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
        let base = generate::base_names(state.cache.world(), client.viewer.address, kind);
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
        let (resource, made) = state.cache.get(&client.viewer, kind, name);
        if made {
            self.metrics.generated(kind);
        }
        resource
    }
}

impl State {
    /// Whether what `*` stands for may be another set: names came or went, subsets, the ports of a connected proxy's
    /// own workload, or the endpoints that clients of a headless service dial.
    fn names_change(&self, changed: &Changed) -> bool {
        changed.iter().any(|key| match key {
            Key::Names | Key::HostOnly(_) | Key::DestinationRule(_) => true,
            Key::Workload(address) => self.connected.contains_key(address),
            Key::Endpoints(host) => self.cache.world().services_of(host).iter().any(|service| service.headless),
            Key::Service(_)
            | Key::VirtualService(_)
            | Key::PeerAuthentication(_)
            | Key::MeshAuthentication
            | Key::Address(_) => false,
        })
    }

    fn visible(&mut self, namespace: &Arc<str>, kind: ResourceType) -> NameList {
        let world = self.cache.world();
        let names = self
            .visible
            .entry((namespace.clone(), kind))
            .or_insert_with(|| generate::visible_names(world, namespace, kind).into_iter().map(Arc::from).collect());
        names.clone()
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
        *self.state.lock().connected.entry(client.viewer.address).or_default() += 1;
        self.metrics.connected.inc();
        tracing::debug!(
            proxy = %client,
            address = %client.viewer.address,
            on_demand = client.on_demand,
            user_agent = %node.user_agent,
            "a proxy connected"
        );
        Ok(Arc::new(client))
    }

    fn wildcard(&self, client: &Client, kind: ResourceType) -> Vec<Arc<str>> {
        if client.on_demand {
            return self.needed(client, kind);
        }
        let mut state = self.state.lock();
        let base = generate::base_names(state.cache.world(), client.viewer.address, kind);
        let visible = state.visible(&client.viewer.namespace, kind);
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
        let mut asked = client.asked.lock();
        for name in added.iter().map(|name| (kind, name.clone())) {
            if asked.insert(name.clone()) {
                self.needs.add(&client.group, name);
            }
        }
        let now = Instant::now();
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
            let sources = self.state.lock().cache.sources(&client.viewer, kind, name);
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

    fn disconnected(&self, client: &Client) {
        let now = Instant::now();
        for name in client.asked.lock().drain() {
            let name: Name = name;
            self.needs.release(&client.group, &name, now);
        }
        self.refusals.forget(client);
        let mut state = self.state.lock();
        if let Some(count) = state.connected.get_mut(&client.viewer.address) {
            *count -= 1;
            if *count == 0 {
                state.connected.remove(&client.viewer.address);
            }
        }
        drop(state);
        self.metrics.connected.dec();
        tracing::debug!(proxy = %client, "a proxy disconnected");
    }
}
