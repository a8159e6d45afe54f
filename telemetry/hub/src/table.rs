//! The edges in memory, and what bounds them: edges in all and per reporter, versions per edge, and time.

use std::collections::HashMap;

use record::Reporter;

use crate::history::{History, KEPT, Second};
use crate::identity::Account;
use crate::ingest::{Batch, Observation, Serial};
use crate::labels::EdgeKey;

/// An edge without traffic is forgotten after this many seconds, its total with it.
const IDLE_SECONDS: u64 = 3600;
/// Where versions go for which an edge has no room.
const OTHER_VERSIONS: &str = "other";

/// How much the hub keeps. An edge busy every second, on both sides, takes about 90 KB.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub edges: usize,
    /// So that one reporter cannot take the room of all.
    pub edges_per_account: usize,
    pub versions_per_edge: usize,
    pub accounts: usize,
    /// Processes whose reports are told apart, per account.
    pub instances_per_account: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            edges: 2000,
            edges_per_account: 500,
            versions_per_edge: 16,
            accounts: 10_000,
            instances_per_account: 1000,
        }
    }
}

/// What happened between two services.
#[derive(Debug)]
pub(crate) struct EdgeState {
    pub by_source: History,
    pub by_destination: History,
    /// Names of the versions by their index in the histories.
    pub versions: Vec<String>,
    /// Host name under which the destination was asked for last.
    pub host: String,
    owner: Account,
    last: Second,
}

#[derive(Debug, Default)]
struct Reports {
    /// Last report taken of each process, and when.
    instances: HashMap<String, (i64, Second)>,
    edges: usize,
    /// Whether it ever reported as a source.
    spoke_as_source: bool,
    last: Second,
}

/// What became of a batch.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Applied {
    pub taken: u64,
    /// Points of a report that had been taken before.
    pub repeated: u64,
    pub no_room: u64,
}

#[derive(Debug)]
pub(crate) struct Table {
    edges: HashMap<EdgeKey, EdgeState>,
    accounts: HashMap<Account, Reports>,
    limits: Limits,
    swept: Second,
}

impl Table {
    pub fn new(limits: Limits) -> Self {
        Self { edges: HashMap::new(), accounts: HashMap::new(), limits, swept: 0 }
    }

    pub fn edges(&self) -> impl Iterator<Item = (&EdgeKey, &EdgeState)> {
        self.edges.iter()
    }

    pub fn edge_count(&self) -> usize {
        self.edges.len()
    }

    /// How many accounts reported within the last [`KEPT`].
    pub fn reporters(&self, now: Second) -> usize {
        self.accounts.values().filter(|reports| reports.last + KEPT.as_secs() >= now).count()
    }

    /// When the last report came.
    pub fn last_report(&self) -> Option<Second> {
        self.accounts.values().map(|reports| reports.last).max()
    }

    /// Whether this account's sidecars report what they send, so that what a destination says about a
    /// source of which it knows only the account has been counted already.
    pub fn reports_as_source(&self, account: &Account) -> bool {
        self.accounts.get(account).is_some_and(|reports| reports.spoke_as_source)
    }

    /// Counts a batch that `account` reported, unless it did so before.
    pub fn apply(&mut self, account: &Account, batch: Batch, now: Second) -> Applied {
        self.sweep(now, IDLE_SECONDS);
        let points = batch.observations.len() as u64;
        let Some(reports) = self.reports_of(account, now) else {
            return Applied { no_room: points, ..Applied::default() };
        };
        if batch.serial.is_some_and(|serial| reports.repeats(serial, now)) {
            return Applied { repeated: points, ..Applied::default() };
        }
        let mut applied = Applied::default();
        for observation in batch.observations {
            if self.observe(account, observation, now) {
                applied.taken += 1;
            } else {
                applied.no_room += 1;
            }
        }
        applied
    }

    fn reports_of(&mut self, account: &Account, now: Second) -> Option<&mut Reports> {
        if !self.accounts.contains_key(account) && self.accounts.len() >= self.limits.accounts {
            return None;
        }
        let limit = self.limits.instances_per_account;
        let reports = self.accounts.entry(account.clone()).or_default();
        reports.last = now;
        if reports.instances.len() >= limit {
            reports.forget_oldest_instance();
        }
        Some(reports)
    }

    fn observe(&mut self, account: &Account, observation: Observation, now: Second) -> bool {
        if !self.edges.contains_key(&observation.edge) && !self.make_edge(account, &observation, now) {
            return false;
        }
        let limit = self.limits.versions_per_edge;
        let Some(edge) = self.edges.get_mut(&observation.edge) else {
            return false;
        };
        edge.last = now;
        let version = observation.version.as_deref().map(|version| edge.version(version, limit));
        match observation.side {
            Reporter::Source => edge.by_source.add(now, &observation.counts, version),
            Reporter::Destination => edge.by_destination.add(now, &observation.counts, version),
        }
        // The source knows the name it asked for; the destination may know only one of several.
        if edge.host.is_empty() || observation.side == Reporter::Source {
            edge.host = observation.host;
        }
        if observation.side == Reporter::Source
            && let Some(reports) = self.accounts.get_mut(account)
        {
            reports.spoke_as_source = true;
        }
        true
    }

    fn make_edge(&mut self, account: &Account, observation: &Observation, now: Second) -> bool {
        if self.edges.len() >= self.limits.edges && self.swept < now {
            self.swept = 0;
            self.sweep(now, KEPT.as_secs());
        }
        let Some(reports) = self.accounts.get_mut(account) else {
            return false;
        };
        if self.edges.len() >= self.limits.edges || reports.edges >= self.limits.edges_per_account {
            return false;
        }
        reports.edges += 1;
        let state = EdgeState {
            by_source: History::default(),
            by_destination: History::default(),
            versions: Vec::new(),
            host: String::new(),
            owner: account.clone(),
            last: now,
        };
        self.edges.insert(observation.edge.clone(), state);
        true
    }

    /// Forgets edges that were idle for `idle` seconds, and reporters that were so for longest. Looks
    /// through the table at most once in ten seconds.
    fn sweep(&mut self, now: Second, idle: u64) {
        if now < self.swept + 10 {
            return;
        }
        self.swept = now;
        let accounts = &mut self.accounts;
        self.edges.retain(|_, edge| {
            edge.by_source.forget_before(now);
            edge.by_destination.forget_before(now);
            let keep = edge.last + idle >= now;
            if !keep && let Some(reports) = accounts.get_mut(&edge.owner) {
                reports.edges = reports.edges.saturating_sub(1);
            }
            keep
        });
        accounts.retain(|_, reports| reports.edges > 0 || reports.last + IDLE_SECONDS >= now);
    }
}

impl Reports {
    /// Notes that this report came, and says whether it had come before.
    fn repeats(&mut self, serial: Serial, now: Second) -> bool {
        let last = self.instances.entry(serial.instance).or_insert((i64::MIN, now));
        let repeats = serial.sequence <= last.0;
        *last = (last.0.max(serial.sequence), now);
        repeats
    }

    fn forget_oldest_instance(&mut self) {
        let oldest = self.instances.iter().min_by_key(|(_, (_, last))| *last);
        if let Some(instance) = oldest.map(|(instance, _)| instance.clone()) {
            self.instances.remove(&instance);
        }
    }
}

impl EdgeState {
    /// The index of a version, a new one while there is room.
    fn version(&mut self, name: &str, limit: usize) -> usize {
        let find = |versions: &[String], name: &str| versions.iter().position(|known| known == name);
        if let Some(index) = find(&self.versions, name) {
            return index;
        }
        let name = if self.versions.len() + 1 < limit { name } else { OTHER_VERSIONS };
        find(&self.versions, name).unwrap_or_else(|| {
            self.versions.push(name.to_owned());
            self.versions.len() - 1
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::Counts;
    use crate::labels::{Party, Protocol};

    fn account(name: &str) -> Account {
        Account { namespace: "shop".into(), service_account: name.into() }
    }

    fn batch(destination: &str, serial: Option<(&str, i64)>) -> Batch {
        let party = |service: &str| Party { service: service.into(), namespace: "shop".into() };
        let edge = EdgeKey {
            source: party("frontend"),
            destination: party(destination),
            protocol: Protocol::Http,
            known_as: None,
        };
        let counts = Counts { requests: 1, ..Counts::default() };
        let (host, version) = (destination.to_owned(), None);
        let serial = serial.map(|(instance, sequence)| Serial { instance: instance.into(), sequence });
        Batch { serial, observations: vec![Observation { edge, side: Reporter::Source, host, version, counts }] }
    }

    const TAKEN: Applied = Applied { taken: 1, repeated: 0, no_room: 0 };
    const NO_ROOM: Applied = Applied { taken: 0, repeated: 0, no_room: 1 };

    #[test]
    fn an_idle_edge_gives_its_room_back() {
        let mut table = Table::new(Limits { edges_per_account: 1, ..Limits::default() });
        let frontend = account("frontend");
        assert_eq!(table.apply(&frontend, batch("a", None), 0), TAKEN);
        assert_eq!(table.apply(&frontend, batch("b", None), 3_600), NO_ROOM);
        assert_eq!(table.apply(&frontend, batch("b", None), 3_611), TAKEN);
        assert_eq!(table.edge_count(), 1);
    }

    #[test]
    fn a_full_table_lets_go_of_edges_that_no_window_reaches() {
        let mut table = Table::new(Limits { edges: 1, ..Limits::default() });
        assert_eq!(table.apply(&account("frontend"), batch("a", None), 0), TAKEN);
        assert_eq!(table.apply(&account("other"), batch("b", None), 300), NO_ROOM);
        assert_eq!(table.apply(&account("other"), batch("b", None), 301), TAKEN);
    }

    #[test]
    fn reporters_and_their_processes_are_bounded() {
        let limits = Limits { accounts: 1, instances_per_account: 2, ..Limits::default() };
        let mut table = Table::new(limits);
        let frontend = account("frontend");
        for (second, instance) in ["one", "two", "three", "four"].into_iter().enumerate() {
            assert_eq!(table.apply(&frontend, batch("a", Some((instance, 1))), second as u64), TAKEN);
        }
        assert!(table.accounts[&frontend].instances.len() <= 2);
        let repeated = Applied { taken: 0, repeated: 1, no_room: 0 };
        assert_eq!(table.apply(&frontend, batch("a", Some(("four", 1))), 5), repeated);
        assert_eq!(table.apply(&account("other"), batch("a", None), 5), NO_ROOM);
    }
}
