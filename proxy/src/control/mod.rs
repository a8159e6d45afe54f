//! The control thread: talks to the control plane, compiles what it says, and hands finished snapshots to the workers.

pub mod dns;
pub mod store;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use record::LogLimit;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::MissedTickBehavior;
use xds::ResourceType;
use xds::client::{Event, Handle, Update};

use crate::admin::{DumpRequest, dump};
use crate::control::dns::DnsClusters;
use crate::control::store::{Name, Store};
use crate::handover::{Demand, Handover, Phase};
use crate::snapshot;

static REFUSED: LogLimit = LogLimit::new(Duration::from_secs(1));

/// Everything of the control thread that a task would need a lock for.
pub struct Control {
    store: Store,
    handover: Arc<Handover>,
    xds: Handle,
    waiting: Vec<(SocketAddr, oneshot::Sender<()>)>,
    dns: DnsClusters,
    ready: watch::Sender<Phase>,
    dumps: mpsc::Receiver<DumpRequest>,
}

impl Control {
    /// Subscribes to what every proxy needs.
    pub fn new(
        handover: Arc<Handover>,
        xds: Handle,
        ready: watch::Sender<Phase>,
        dumps: mpsc::Receiver<DumpRequest>,
    ) -> Self {
        let options = &handover.options;
        let store = Store::new(options.outbound_port, options.inbound_port);
        xds.subscribe_all(ResourceType::Cluster);
        xds.subscribe_all(ResourceType::Listener);
        Self { store, handover, xds, waiting: Vec::new(), dns: DnsClusters::default(), ready, dumps }
    }

    /// Runs until the event stream ends, which is when the process stops.
    pub async fn run(mut self, mut events: mpsc::Receiver<Event>, mut demands: mpsc::Receiver<Demand>) {
        let mut tick = tokio::time::interval(Duration::from_secs(1));
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                event = events.recv() => match event {
                    Some(event) => self.on_event(event),
                    None => return,
                },
                Some(demand) = demands.recv() => self.on_demand(demand),
                Some(answer) = self.dumps.recv() => {
                    // Whoever asked may have gone.
                    let _ = answer.send(dump::configuration(&self.store));
                }
                (name, endpoints) = self.dns.next() => self.store.set_endpoints(name, endpoints),
                _ = tick.tick() => self.store.lapse(self.handover.seconds(), self.handover.options.discovery_idle.as_secs()),
            }
            self.put_in_force();
        }
    }

    fn on_event(&mut self, event: Event) {
        match event {
            Event::Connected => {
                tracing::info!(control_plane = %self.handover.options.control_plane, "connected to the control plane");
                self.handover.stats.connected.set(1.0);
            }
            Event::Disconnected { error } => {
                tracing::warn!(
                    control_plane = %self.handover.options.control_plane,
                    %error,
                    "no connection to the control plane; known destinations keep working, trying again"
                );
                self.handover.stats.connected.set(0.0);
            }
            Event::Update(update) => self.on_update(update),
        }
    }

    fn on_update(&mut self, update: Update) {
        let Update { kind, resources, removed, refused: malformed, reply } = update;
        let now = self.handover.seconds();
        self.handover.stats.updates.with(&[kind.short_name()]).inc();
        let mut refused = Vec::new();
        for resource in resources {
            match snapshot::compile(kind, &resource.name, &resource.value) {
                Ok(compiled) => self.store.accept(&resource.name, compiled, now),
                Err(reason) => refused.push((resource.name.to_string(), reason)),
            }
        }
        for (name, reason) in malformed.iter().chain(&refused) {
            self.refuse(kind, name, reason);
        }
        for name in removed {
            self.store.remove(kind, &name);
        }
        if refused.is_empty() {
            reply.accept();
        } else {
            reply.reject(refused);
        }
    }

    fn refuse(&mut self, kind: ResourceType, name: &str, reason: &str) {
        if let Some(suppressed) = REFUSED.admit() {
            tracing::warn!(r#type = %kind, name, reason, suppressed, "refused a resource; the last good one stays in force");
        }
        self.handover.stats.rejected_resources.with(&[kind.short_name()]).inc();
        self.store.refuse(kind, name, reason);
    }

    fn on_demand(&mut self, demand: Demand) {
        match demand {
            Demand::Destination(address, answer) => {
                self.store.demand(address, self.handover.seconds());
                self.waiting.push((address, answer));
            }
            Demand::Workload(ip) => self.store.ask_workload(ip, self.handover.seconds()),
        }
    }

    /// Asks for what is missing, promotes what is whole, publishes, and answers those who wait.
    fn put_in_force(&mut self) {
        let mut changed = self.store.settle(self.handover.seconds());
        let wishes = self.store.wishes();
        for (kind, names) in by_kind(wishes.add) {
            self.xds.subscribe(kind, names);
        }
        for (kind, names) in by_kind(wishes.drop) {
            self.xds.unsubscribe(kind, names);
        }
        changed |= self.store.settle(self.handover.seconds());
        self.dns.follow(self.store.dns_clusters());
        if changed {
            let tables = self.store.tables();
            self.handover.stats.snapshot_version.set(tables.version as f64);
            self.handover.tables.store(Arc::new(tables.clone()));
            if tables.outbound.is_some() && tables.inbound.is_some() {
                self.become_ready();
            }
            for (old, new) in self.store.take_replaced() {
                old.retire_for(new.as_deref());
            }
        }
        let store = &self.store;
        self.waiting.retain(|(_, answer)| !answer.is_closed());
        for (_, answer) in self.waiting.extract_if(.., |(address, _)| store.is_settled(*address)) {
            // The connection gave up waiting: nobody to tell.
            let _ = answer.send(());
        }
    }

    fn become_ready(&self) {
        self.ready.send_if_modified(|phase| {
            let first = *phase == Phase::Starting;
            if first {
                tracing::info!("ready: certificate and configuration are in force");
                *phase = Phase::Ready;
            }
            first
        });
    }
}

/// One request for each kind, and so few answers for many names: each answer costs as much as all that is known.
fn by_kind(names: Vec<Name>) -> HashMap<ResourceType, Vec<Arc<str>>> {
    let mut kinds: HashMap<ResourceType, Vec<Arc<str>>> = HashMap::new();
    for (kind, name) in names {
        kinds.entry(kind).or_default().push(name);
    }
    kinds
}
