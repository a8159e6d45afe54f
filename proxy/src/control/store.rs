//! What the control plane said, and what it still has to say before a change may take effect.
//!
//! A listener or route is put in force only when everything that it names is known; until then the one before it
//! serves. [`Store`] is a value without I/O: the control loop feeds it and carries out what it asks for.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use xds::ResourceType;

use crate::http::route_table::RouteTable;
use crate::model::{
    Assignment, Cluster, Destination, Discovery, Known, Listener, NetworkFilter, RouteSource, Tables, destination,
};
use crate::snapshot::Compiled;

/// A change that waits for longer than this is put in force as it is.
const PATIENCE_SECONDS: u64 = 15;

/// Destinations that are kept subscribed; then the one unused for longest goes. A workload that scans ports must not
/// take the subscriptions, which the control plane limits, from the destinations that it really uses.
const MAX_DEMANDED: usize = 10_000;
/// Peers of which it is known who they are; clients from outside the mesh may be many.
const MAX_WORKLOADS: usize = 5_000;

/// A resource by kind and name.
pub type Name = (ResourceType, Arc<str>);

/// What waits for its dependencies, and since when.
struct Staged<T> {
    value: Arc<T>,
    since: u64,
}

/// All configuration of the proxy, in force and waiting.
#[derive(Default)]
pub struct Store {
    tables: Tables,
    listeners: HashMap<Arc<str>, Known<Listener>>,
    staged_listeners: HashMap<Arc<str>, Staged<Listener>>,
    staged_routes: HashMap<Arc<str>, Staged<RouteTable>>,
    staged_clusters: HashMap<Arc<str>, Staged<Cluster>>,
    /// Destinations that connections asked for, and when.
    demanded: HashMap<SocketAddr, u64>,
    asked_workloads: HashMap<IpAddr, u64>,
    subscribed: HashSet<Name>,
    outbound_port: u16,
    inbound_port: u16,
    dirty: bool,
    replaced: Vec<(Arc<Listener>, Option<Arc<Listener>>)>,
}

/// Subscriptions to change.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Wishes {
    /// To subscribe.
    pub add: Vec<Name>,
    /// To let go.
    pub drop: Vec<Name>,
}

impl Store {
    /// Empty; the ports tell which listeners are those of capture.
    pub fn new(outbound_port: u16, inbound_port: u16) -> Self {
        Self { outbound_port, inbound_port, ..Self::default() }
    }

    /// What is in force.
    pub fn tables(&self) -> &Tables {
        &self.tables
    }

    /// Every listener, for the configuration dump.
    pub fn listeners(&self) -> &HashMap<Arc<str>, Known<Listener>> {
        &self.listeners
    }

    /// Names that wait for something they need.
    pub fn waiting(&self) -> Vec<String> {
        let names = self.staged_listeners.keys().chain(self.staged_routes.keys()).chain(self.staged_clusters.keys());
        names.map(ToString::to_string).collect()
    }

    /// Takes in an accepted resource. `now` in seconds of the proxy's clock.
    pub fn accept(&mut self, name: &str, value: Compiled, now: u64) {
        let name: Arc<str> = name.into();
        let by_name = match &value {
            Compiled::Routes(_) => Some(ResourceType::Route),
            Compiled::Endpoints(_) => Some(ResourceType::Endpoint),
            Compiled::Workload(_) => Some(ResourceType::Address),
            Compiled::Listener(_) | Compiled::Cluster(_) => None,
        };
        // It was given up while it was on its way.
        if by_name.is_some_and(|kind| !self.subscribed.contains(&(kind, name.clone()))) {
            return;
        }
        match value {
            Compiled::Listener(value) => self.stage_listener(name, value, now),
            Compiled::Routes(value) => drop(self.staged_routes.insert(name, Staged { value, since: now })),
            Compiled::Cluster(value) => drop(self.staged_clusters.insert(name, Staged { value, since: now })),
            Compiled::Endpoints(value) => self.set_endpoints(name, Known::Present(value)),
            Compiled::Workload(value) => {
                if let Some(ip) = workload_address(&name) {
                    self.tables.workloads.insert(ip, Known::Present(value));
                    self.dirty = true;
                }
            }
        }
    }

    fn stage_listener(&mut self, name: Arc<str>, mut value: Arc<Listener>, since: u64) {
        if let (Some(new), Some(Known::Present(old))) = (Arc::get_mut(&mut value), self.listeners.get(&name)) {
            new.keep_chains_of(old);
        }
        self.staged_listeners.insert(name, Staged { value, since });
    }

    /// Endpoints found by EDS or by DNS.
    pub fn set_endpoints(&mut self, name: Arc<str>, endpoints: Known<Assignment>) {
        self.tables.endpoints.insert(name, endpoints);
        self.dirty = true;
    }

    /// The control plane says that there is no such resource, or no longer. Of one that is not asked for by name this is no
    /// lasting word: `*` may just no longer stand for it. Whoever needs it asks.
    pub fn remove(&mut self, kind: ResourceType, name: &str) {
        let key = (kind, name.into());
        if self.subscribed.contains(&key) {
            self.settle_as(kind, name, Gone::Absent);
        } else {
            self.forget(kind, &key.1);
        }
    }

    /// This proxy refused a resource: the version before it stays; without one the name is known as refused.
    pub fn refuse(&mut self, kind: ResourceType, name: &str, reason: &str) {
        self.settle_as(kind, name, Gone::Refused(reason.into()));
    }

    fn settle_as(&mut self, kind: ResourceType, name: &str, gone: Gone) {
        self.dirty = true;
        let name: Arc<str> = name.into();
        match kind {
            ResourceType::Listener => {
                self.staged_listeners.remove(&name);
                if gone.replaces(self.listeners.get(&name)) {
                    self.put_listener(name.clone(), gone.known());
                    self.want_any_instead(&name);
                }
            }
            ResourceType::Route => gone.apply(&mut self.tables.routes, &mut self.staged_routes, name),
            ResourceType::Cluster => gone.apply(&mut self.tables.clusters, &mut self.staged_clusters, name),
            ResourceType::Endpoint => gone.apply(&mut self.tables.endpoints, &mut HashMap::<_, ()>::new(), name),
            ResourceType::Address => {
                if let Some(ip) = workload_address(&name) {
                    self.tables.workloads.insert(ip, gone.known());
                }
            }
            ResourceType::Secret => {}
        }
    }

    /// Somebody wants to connect there.
    pub fn demand(&mut self, address: SocketAddr, now: u64) {
        if self.demanded.len() >= MAX_DEMANDED {
            self.let_go_of_the_oldest(now);
        }
        self.demanded.insert(address, now);
        self.want_any_instead(&listener_name(address).into());
    }

    /// Hosts without an address share a listener for each port, which may be large: it is asked for only when an address
    /// turns out to have no listener of its own.
    fn want_any_instead(&mut self, name: &Arc<str>) {
        if let (Some(Known::Absent), Some(address)) = (self.listeners.get(name), parse_listener_name(name))
            && let Some(at) = self.demanded.get(&address).copied()
        {
            let any = self.demanded.entry(any_address(address)).or_insert(at);
            *any = at.max(*any);
        }
    }

    /// When a destination was last asked for or used.
    fn last_wanted(&self, address: &SocketAddr, demanded: u64, now: u64) -> u64 {
        self.tables.destinations.get(address).map_or(demanded, |destination| destination.usage.last(now).max(demanded))
    }

    /// Lets go of the tenth that was unused for longest.
    fn let_go_of_the_oldest(&mut self, now: u64) {
        let mut by_age: Vec<(u64, SocketAddr)> =
            self.demanded.iter().map(|(address, at)| (self.last_wanted(address, *at, now), *address)).collect();
        by_age.sort_unstable();
        for (_, address) in by_age.into_iter().take(MAX_DEMANDED / 10) {
            self.demanded.remove(&address);
        }
    }

    /// Somebody wants to know who is there.
    pub fn ask_workload(&mut self, ip: IpAddr, now: u64) {
        if self.asked_workloads.len() >= MAX_WORKLOADS
            && let Some(oldest) = self.asked_workloads.iter().min_by_key(|(_, asked)| **asked).map(|(ip, _)| *ip)
        {
            self.asked_workloads.remove(&oldest);
        }
        self.asked_workloads.insert(ip, now);
    }

    /// Whether a connection to this address can be decided: its listener and all that it names are known.
    pub fn is_settled(&self, address: SocketAddr) -> bool {
        let known = |address| {
            let name = listener_name(address);
            self.listeners.get(name.as_str()).filter(|_| !self.staged_listeners.contains_key(name.as_str()))
        };
        match known(address) {
            None => false,
            Some(Known::Absent) => known(any_address(address)).is_some(),
            Some(_) => true,
        }
    }

    /// Puts in force what waits for nothing more. Returns whether anything changed.
    pub fn settle(&mut self, now: u64) -> bool {
        let due = |since: u64| now.saturating_sub(since) >= PATIENCE_SECONDS;
        let clusters = take(&mut self.staged_clusters, |s| due(s.since) || self.tables.knows_endpoints(&s.value));
        for (name, cluster) in clusters {
            self.tables.clusters.insert(name, Known::Present(cluster));
            self.dirty = true;
        }
        let routes =
            take(&mut self.staged_routes, |s| due(s.since) || s.value.clusters().all(|c| self.tables.knows_cluster(c)));
        for (name, table) in routes {
            self.tables.routes.insert(name, Known::Present(table));
            self.dirty = true;
        }
        let listeners = take(&mut self.staged_listeners, |s| due(s.since) || self.tables.knows_all_of(&s.value));
        for (name, listener) in listeners {
            self.put_listener(name, Known::Present(listener));
            self.dirty = true;
        }
        if self.dirty {
            self.tables.version += 1;
        }
        std::mem::take(&mut self.dirty)
    }

    /// Listeners that were replaced, and by what; for the caller to tell their connections once the tables are published.
    pub fn take_replaced(&mut self) -> Vec<(Arc<Listener>, Option<Arc<Listener>>)> {
        std::mem::take(&mut self.replaced)
    }

    /// Puts what is known of a listener in its place.
    fn put_listener(&mut self, name: Arc<str>, known: Known<Listener>) {
        let new = known.present().cloned();
        let old = self.listeners.insert(name.clone(), known);
        if let Some(Known::Present(old)) = &old {
            self.drop_others(old);
        }
        self.index_listener(&name);
        if let Some(Known::Present(old)) = old {
            self.replaced.push((old, new));
        }
    }

    fn index_listener(&mut self, name: &Arc<str>) {
        let known = self.listeners.get(name).cloned().unwrap_or(Known::Absent);
        if let Some(listener) = known.present().filter(|listener| listener.bind) {
            let slot = match listener.address.port() {
                port if port == self.outbound_port => &mut self.tables.outbound,
                port if port == self.inbound_port => &mut self.tables.inbound,
                _ => return,
            };
            *slot = Some(listener.clone());
            return;
        }
        let address = known.present().map(|listener| listener.address).or_else(|| parse_listener_name(name));
        let others = known.present().map(|listener| listener.others.clone()).unwrap_or_default();
        for address in address.into_iter().chain(others) {
            let usage = self.tables.destinations.get(&address).map(|old| old.usage.clone()).unwrap_or_default();
            let destination = Destination { listener: known.clone(), usage };
            self.tables.destinations.insert(address, Arc::new(destination));
        }
    }

    /// What a listener stood for beside its own address.
    fn drop_others(&mut self, old: &Arc<Listener>) {
        for other in &old.others {
            let held = self.tables.destinations.get(other).and_then(|destination| destination.listener.present());
            if held.is_some_and(|listener| Arc::ptr_eq(listener, old)) {
                self.tables.destinations.remove(other);
            }
        }
    }

    /// What has to be subscribed or let go for the present state; the caller carries it out.
    pub fn wishes(&mut self) -> Wishes {
        let wanted = self.wanted();
        let add: Vec<Name> = wanted.difference(&self.subscribed).cloned().collect();
        let drop: Vec<Name> = self.subscribed.difference(&wanted).cloned().collect();
        for (kind, name) in &drop {
            self.forget(*kind, name);
        }
        self.subscribed = wanted;
        Wishes { add, drop }
    }

    fn forget(&mut self, kind: ResourceType, name: &Arc<str>) {
        self.dirty = true;
        match kind {
            ResourceType::Listener => {
                if let Some(Known::Present(old)) = self.listeners.remove(name) {
                    self.drop_others(&old);
                    self.replaced.push((old, None));
                }
                self.staged_listeners.remove(name);
                if let Some(address) = parse_listener_name(name) {
                    self.tables.destinations.remove(&address);
                }
            }
            ResourceType::Route => forget(&mut self.tables.routes, &mut self.staged_routes, name),
            ResourceType::Cluster => forget(&mut self.tables.clusters, &mut self.staged_clusters, name),
            ResourceType::Endpoint => drop(self.tables.endpoints.remove(name)),
            ResourceType::Address => {
                if let Some(ip) = workload_address(name) {
                    self.tables.workloads.remove(&ip);
                }
            }
            ResourceType::Secret => {}
        }
    }

    /// Names that connections, listeners, routes and clusters need.
    fn wanted(&self) -> HashSet<Name> {
        let mut wanted: HashSet<Name> =
            self.demanded.keys().map(|address| (ResourceType::Listener, listener_name(*address).into())).collect();
        wanted.extend(self.asked_workloads.keys().map(|ip| (ResourceType::Address, format!("/{ip}").into())));
        let listeners = self.listeners.values().filter_map(Known::present);
        let mut clusters: HashSet<Arc<str>> = HashSet::new();
        for listener in listeners.chain(self.staged_listeners.values().map(|staged| &staged.value)) {
            for filter in listener.filters() {
                name_needs(filter, &mut wanted, &mut clusters);
            }
        }
        let routes = self.tables.routes.values().filter_map(Known::present);
        for table in routes.chain(self.staged_routes.values().map(|staged| &staged.value)) {
            clusters.extend(table.clusters().cloned());
        }
        wanted.extend(
            clusters.into_iter().filter(|name| self.needs_asking(name)).map(|name| (ResourceType::Cluster, name)),
        );
        let known = self.tables.clusters.values().filter_map(Known::present);
        for cluster in known.chain(self.staged_clusters.values().map(|staged| &staged.value)) {
            if let Discovery::Eds(name) = &cluster.discovery {
                wanted.insert((ResourceType::Endpoint, name.clone()));
            }
        }
        wanted
    }

    /// A cluster that `*` already brought need not be asked for by name.
    fn needs_asking(&self, name: &Arc<str>) -> bool {
        let key = (ResourceType::Cluster, name.clone());
        self.subscribed.contains(&key)
            || !(self.staged_clusters.contains_key(name)
                || matches!(self.tables.clusters.get(name), Some(Known::Present(_))))
    }

    /// Clusters whose endpoints come from DNS.
    pub fn dns_clusters(&self) -> impl Iterator<Item = &Arc<Cluster>> {
        let known = self.tables.clusters.values().filter_map(Known::present);
        known
            .chain(self.staged_clusters.values().map(|staged| &staged.value))
            .filter(|cluster| matches!(cluster.discovery, Discovery::Dns { .. }))
    }

    /// Lets go of destinations that nothing has gone to for `idle` seconds.
    pub fn lapse(&mut self, now: u64, idle: u64) {
        let over: Vec<SocketAddr> = self
            .demanded
            .iter()
            .filter(|(address, at)| now.saturating_sub(self.last_wanted(address, **at, now)) >= idle)
            .map(|(address, _)| *address)
            .collect();
        for address in over {
            self.demanded.remove(&address);
        }
        self.asked_workloads.retain(|_, asked| now.saturating_sub(*asked) < idle);
    }
}

/// How a name ceases to be.
enum Gone {
    Absent,
    Refused(Arc<str>),
}

impl Gone {
    fn known<T>(&self) -> Known<T> {
        match self {
            Self::Absent => Known::Absent,
            Self::Refused(reason) => Known::Refused(reason.clone()),
        }
    }

    /// A refusal never replaces what is in force.
    fn replaces<T>(&self, old: Option<&Known<T>>) -> bool {
        matches!(self, Self::Absent) || !matches!(old, Some(Known::Present(_)))
    }

    fn apply<T, S>(&self, live: &mut HashMap<Arc<str>, Known<T>>, staged: &mut HashMap<Arc<str>, S>, name: Arc<str>) {
        staged.remove(&name);
        if self.replaces(live.get(&name)) {
            live.insert(name, self.known());
        }
    }
}

fn forget<T, S>(live: &mut HashMap<Arc<str>, T>, staged: &mut HashMap<Arc<str>, S>, name: &Arc<str>) {
    live.remove(name);
    staged.remove(name);
}

/// Takes out what fits.
fn take<T>(staged: &mut HashMap<Arc<str>, Staged<T>>, fits: impl Fn(&Staged<T>) -> bool) -> Vec<(Arc<str>, Arc<T>)> {
    staged.extract_if(|_, value| fits(value)).map(|(name, value)| (name, value.value)).collect()
}

fn name_needs(filter: &NetworkFilter, wanted: &mut HashSet<Name>, clusters: &mut HashSet<Arc<str>>) {
    match filter {
        NetworkFilter::Tcp(tcp) => clusters.extend(tcp.targets.clusters().cloned()),
        NetworkFilter::Http(http) => match &http.routes {
            RouteSource::Named(name) => {
                wanted.insert((ResourceType::Route, name.clone()));
            }
            RouteSource::Inline(table) => clusters.extend(table.clusters().cloned()),
        },
    }
}

impl Tables {
    /// The endpoints of a cluster, or that it has none, are known.
    fn knows_endpoints(&self, cluster: &Cluster) -> bool {
        match &cluster.discovery {
            Discovery::Eds(name) => self.endpoints.contains_key(name),
            Discovery::Dns { .. } => self.endpoints.contains_key(&cluster.name),
            Discovery::Static(_) | Discovery::OriginalDst => true,
        }
    }

    fn knows_cluster(&self, name: &Arc<str>) -> bool {
        self.clusters.contains_key(name)
    }

    fn knows_all_of(&self, listener: &Listener) -> bool {
        listener.filters().all(|filter| match filter {
            NetworkFilter::Tcp(tcp) => tcp.targets.clusters().all(|name| self.knows_cluster(name)),
            NetworkFilter::Http(http) => match &http.routes {
                RouteSource::Named(name) => self.routes.contains_key(name),
                RouteSource::Inline(table) => table.clusters().all(|name| self.knows_cluster(name)),
            },
        })
    }
}

/// The name of the listener that stands for an address.
pub fn listener_name(address: SocketAddr) -> String {
    format!("{}_{}", address.ip(), address.port())
}

fn parse_listener_name(name: &str) -> Option<SocketAddr> {
    let (ip, port) = name.rsplit_once('_')?;
    Some(destination(SocketAddr::new(ip.parse().ok()?, port.parse().ok()?)))
}

/// `0.0.0.0:port`, the listener for hosts that have no address of their own.
pub fn any_address(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(IpAddr::from([0, 0, 0, 0]), address.port())
}

fn workload_address(name: &str) -> Option<IpAddr> {
    name.rsplit_once('/')?.1.parse().ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests;
