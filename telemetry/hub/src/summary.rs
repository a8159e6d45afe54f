//! From the table to one figure per edge: which side is believed, what is counted once, and how the
//! wanted shares stand beside the observed.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::history::{Second, Tally};
use crate::hub::WantedShare;
use crate::labels::{Party, Protocol};
use crate::quantile::quantile;
use crate::report::{Edge, Share};
use crate::table::{EdgeState, Table};

type RowKey = (Party, Party, Protocol);

/// What is known of an edge in a window.
#[derive(Debug, Default)]
pub(crate) struct Row {
    by_source: Side,
    by_destination: Side,
    host: String,
}

#[derive(Debug, Default)]
struct Side {
    tally: Tally,
    /// Requests by version.
    versions: BTreeMap<String, u64>,
}

/// The rows from second `from` on (`None`: since the start), with nothing counted twice.
pub(crate) fn rows(table: &Table, from: Option<Second>) -> BTreeMap<RowKey, Row> {
    let mut rows: BTreeMap<RowKey, Row> = BTreeMap::new();
    for (key, state) in table.edges() {
        let counted_by_source = key.known_as.as_ref().is_some_and(|account| table.reports_as_source(account));
        if !counted_by_source {
            let key = (key.source.clone(), key.destination.clone(), key.protocol);
            rows.entry(key).or_default().add(state, from);
        }
    }
    rows.retain(|_, row| !row.believed().tally.is_empty());
    rows
}

impl Row {
    fn add(&mut self, state: &EdgeState, from: Option<Second>) {
        self.by_source.add(&state.by_source.sum(from), &state.versions);
        self.by_destination.add(&state.by_destination.sum(from), &state.versions);
        if self.host.is_empty() {
            self.host.clone_from(&state.host);
        }
    }

    /// Both sides count the same requests. The source is believed, for it also sees those that never
    /// arrived; the destination where the source has no sidecar.
    fn believed(&self) -> &Side {
        if self.by_source.tally.is_empty() { &self.by_destination } else { &self.by_source }
    }
}

impl Side {
    fn add(&mut self, tally: &Tally, versions: &[String]) {
        self.tally.merge(tally);
        for (version, requests) in versions.iter().zip(&tally.versions) {
            *self.versions.entry(version.clone()).or_default() += requests;
        }
    }
}

/// The edges as they are shown.
pub(crate) fn edges(rows: &BTreeMap<RowKey, Row>, wanted: &[WantedShare]) -> Vec<Edge> {
    let names = Names::of(rows);
    let mut edges: Vec<Edge> = rows.iter().map(|(key, row)| edge(key, row, &names, wanted)).collect();
    edges.sort_by(|left, right| {
        let key = |edge: &Edge| (edge.source.clone(), edge.destination.clone(), edge.protocol.clone());
        key(left).cmp(&key(right))
    });
    edges
}

fn edge((source, destination, protocol): &RowKey, row: &Row, names: &Names<'_>, wanted: &[WantedShare]) -> Edge {
    let side = row.believed();
    let arrived = &row.by_destination.tally;
    Edge {
        source: names.show(source),
        destination: names.show(destination),
        protocol: protocol.as_str().to_owned(),
        requests: side.tally.requests,
        success_rate: ratio(side.tally.good, side.tally.ended).unwrap_or(1.0),
        p50_ms: quantile(0.5, &side.tally.durations),
        p99_ms: quantile(0.99, &side.tally.durations),
        mtls: (arrived.requests > 0).then_some(arrived.mutual_tls >= arrived.requests),
        shares: shares(&side.versions, wanted.iter().filter(|share| share.service == row.host)),
    }
}

fn ratio(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| (part as f64 / whole as f64).min(1.0))
}

fn shares<'a>(observed: &BTreeMap<String, u64>, wanted: impl Iterator<Item = &'a WantedShare>) -> Vec<Share> {
    let mut wanted_by_version: BTreeMap<&str, f64> = BTreeMap::new();
    for share in wanted {
        *wanted_by_version.entry(&share.version).or_default() += share.weight;
    }
    let seen = observed.iter().filter(|(_, requests)| **requests > 0).map(|(version, _)| version.as_str());
    let versions: BTreeSet<&str> = seen.chain(wanted_by_version.keys().copied()).collect();
    if versions.len() < 2 {
        return Vec::new();
    }
    let total = observed.values().sum();
    let share = |version: &str| Share {
        version: version.to_owned(),
        wanted: (!wanted_by_version.is_empty()).then(|| wanted_by_version.get(version).copied().unwrap_or(0.0)),
        observed: ratio(observed.get(version).copied().unwrap_or(0), total).unwrap_or(0.0),
    };
    versions.into_iter().map(share).collect()
}

/// How services are shown: by their bare name, unless that stands for several.
struct Names<'a> {
    namespaces: HashMap<&'a str, BTreeSet<&'a str>>,
}

impl<'a> Names<'a> {
    fn of(rows: &'a BTreeMap<RowKey, Row>) -> Self {
        let mut namespaces: HashMap<&str, BTreeSet<&str>> = HashMap::new();
        for party in rows.keys().flat_map(|(source, destination, _)| [source, destination]) {
            namespaces.entry(&party.service).or_default().insert(&party.namespace);
        }
        Self { namespaces }
    }

    fn show(&self, party: &Party) -> String {
        let several = self.namespaces.get(party.service.as_str()).is_some_and(|namespaces| namespaces.len() > 1);
        if several { format!("{}.{}", party.service, party.namespace) } else { party.service.clone() }
    }
}
