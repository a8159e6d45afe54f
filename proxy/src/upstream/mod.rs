//! The upstream side of a worker: clusters with their endpoints, the choice among them, and pooled connections.
//!
//! Everything here belongs to one worker thread, so nothing is locked.

pub mod balance;
pub mod connect;
pub mod pool;

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use record::Workload;

use crate::handover::Handover;
use crate::model::{Assignment, Cluster, Discovery, Endpoint, Known, Tables};
use crate::upstream::balance::Turn;
use crate::upstream::pool::Pool;

/// Most addresses that are remembered for a cluster that forwards to original destinations.
const MAX_ORIGINAL_DESTINATIONS: usize = 1024;

/// The clusters that a worker has used.
#[derive(Default)]
pub struct Clusters(RefCell<HashMap<Arc<str>, Rc<Upstream>>>);

/// A cluster in use: its configuration, and its endpoints with their connections.
pub struct Upstream {
    /// Configuration.
    pub cluster: Arc<Cluster>,
    assignment: RefCell<Option<Arc<Assignment>>>,
    hosts: RefCell<Vec<Rc<Host>>>,
    turn: Turn,
}

/// An endpoint in use.
pub struct Host {
    /// Configuration.
    pub endpoint: Arc<Endpoint>,
    /// Requests and connections under way; the measure of least-request.
    pub active: Rc<Cell<u32>>,
    /// Connections for reuse.
    pub pool: Pool,
    /// The endpoint's workload with the identity that its certificate proved.
    proven: RefCell<Option<Arc<Workload>>>,
}

/// Why a cluster cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoUpstream {
    /// No such cluster.
    NoCluster,
    /// It has no endpoint that may be used.
    NoHealthyUpstream,
}

impl Clusters {
    /// The cluster of this name in its newest form.
    ///
    /// # Errors
    /// When the snapshot has no such cluster.
    pub fn get(&self, tables: &Tables, name: &Arc<str>) -> Result<Rc<Upstream>, NoUpstream> {
        let cluster = tables.clusters.get(name).and_then(Known::present).ok_or(NoUpstream::NoCluster)?;
        let mut clusters = self.0.borrow_mut();
        if let Some(upstream) = clusters.get(name).filter(|upstream| Arc::ptr_eq(&upstream.cluster, cluster)) {
            upstream.refresh(tables);
            return Ok(upstream.clone());
        }
        let old = clusters.remove(name);
        let upstream = Rc::new(Upstream::new(cluster.clone(), old));
        upstream.refresh(tables);
        clusters.insert(name.clone(), upstream.clone());
        Ok(upstream)
    }

    /// Drops clusters that are gone from the snapshot, and connections that were idle for too long.
    pub fn retain(&self, tables: &Tables) {
        let mut clusters = self.0.borrow_mut();
        clusters.retain(|name, _| matches!(tables.clusters.get(name), Some(Known::Present(_))));
        for upstream in clusters.values() {
            let idle = upstream.cluster.http.idle_timeout;
            upstream.hosts.borrow().iter().for_each(|host| host.pool.prune(idle));
        }
    }
}

impl Upstream {
    /// Connections of the form before are kept where the change does not concern them.
    fn new(cluster: Arc<Cluster>, old: Option<Rc<Upstream>>) -> Self {
        let keep = old.filter(|old| old.cluster.same_connections(&cluster));
        let hosts = keep.map(|old| old.hosts.borrow().clone()).unwrap_or_default();
        Self { cluster, assignment: RefCell::default(), hosts: RefCell::new(hosts), turn: Turn::default() }
    }

    /// Follows the newest endpoints.
    fn refresh(&self, tables: &Tables) {
        let newest = match &self.cluster.discovery {
            Discovery::Static(assignment) => Some(assignment),
            Discovery::Eds(name) => tables.endpoints.get(name).and_then(Known::present),
            Discovery::Dns { .. } => tables.endpoints.get(&self.cluster.name).and_then(Known::present),
            Discovery::OriginalDst => return,
        };
        let mut assignment = self.assignment.borrow_mut();
        let same = match (&*assignment, newest) {
            (Some(old), Some(new)) => Arc::ptr_eq(old, new),
            (None, None) => self.hosts.borrow().is_empty(),
            _ => false,
        };
        if same {
            return;
        }
        *assignment = newest.cloned();
        let mut hosts = self.hosts.borrow_mut();
        let mut old: HashMap<SocketAddr, Rc<Host>> =
            hosts.drain(..).map(|host| (host.endpoint.address, host)).collect();
        *hosts = newest
            .iter()
            .flat_map(|assignment| &assignment.endpoints)
            .map(|endpoint| match old.remove(&endpoint.address) {
                Some(host) => host.renewed(endpoint),
                None => Host::new(endpoint.clone()),
            })
            .collect();
    }

    /// An endpoint for one try, not one of `avoid` if there is another.
    ///
    /// # Errors
    /// When there is none.
    pub fn pick(&self, original: SocketAddr, avoid: &[SocketAddr]) -> Result<Rc<Host>, NoUpstream> {
        if matches!(self.cluster.discovery, Discovery::OriginalDst) {
            return Ok(self.original_destination(original));
        }
        balance::pick(self.cluster.lb, &self.hosts.borrow(), avoid, &self.turn).ok_or(NoUpstream::NoHealthyUpstream)
    }

    /// The host that stands for an original destination.
    fn original_destination(&self, address: SocketAddr) -> Rc<Host> {
        let mut hosts = self.hosts.borrow_mut();
        if let Some(host) = hosts.iter().find(|host| host.endpoint.address == address) {
            return host.clone();
        }
        if hosts.len() >= MAX_ORIGINAL_DESTINATIONS {
            hosts.remove(0);
        }
        let host = Host::new(Arc::new(Endpoint {
            address,
            other: None,
            weight: 1,
            workload: Arc::new(Workload::default()),
            transport_match: Vec::new(),
        }));
        hosts.push(host.clone());
        host
    }
}

impl Host {
    fn new(endpoint: Arc<Endpoint>) -> Rc<Self> {
        Rc::new(Self { endpoint, active: Rc::default(), pool: Pool::default(), proven: RefCell::default() })
    }

    /// The same host under a newer description; its connections stay when they would be made alike today.
    fn renewed(self: Rc<Self>, endpoint: &Arc<Endpoint>) -> Rc<Self> {
        if self.endpoint.weight == endpoint.weight
            && self.endpoint.other == endpoint.other
            && self.endpoint.workload == endpoint.workload
            && self.endpoint.transport_match == endpoint.transport_match
        {
            return self;
        }
        let keep = self.endpoint.transport_match == endpoint.transport_match;
        Rc::new(Self {
            endpoint: endpoint.clone(),
            active: self.active.clone(),
            pool: if keep { self.pool.take() } else { Pool::default() },
            proven: RefCell::default(),
        })
    }

    /// The workload as metrics name it, with the identity that the connection proved.
    pub fn workload(&self, principal: Option<&str>) -> Arc<Workload> {
        let Some(principal) = principal else { return self.endpoint.workload.clone() };
        let mut proven = self.proven.borrow_mut();
        match &*proven {
            Some(workload) if workload.principal == principal => workload.clone(),
            _ => {
                let workload = Workload { principal: principal.to_owned(), ..(*self.endpoint.workload).clone() };
                let workload = Arc::new(workload);
                *proven = Some(workload.clone());
                workload
            }
        }
    }

    /// Counts a request or connection for as long as the guard lives.
    pub fn busy(self: &Rc<Self>) -> Busy {
        self.active.set(self.active.get() + 1);
        Busy(self.active.clone())
    }
}

/// One request or connection under way.
pub struct Busy(Rc<Cell<u32>>);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.set(self.0.get().saturating_sub(1));
    }
}

/// How long a worker keeps what it learned between two looks at the snapshot.
pub fn forget_old(clusters: &Clusters, handover: &Handover) {
    clusters.retain(&handover.tables.load());
}
