//! All results of one invocation: for the table, and as JSON for later comparison.

use crate::loads::{Load, Sample, Value};
use crate::machine::Machine;
use crate::peers::Peer;
use crate::statistics::Summary;
use serde_json::{Value as Json, json};

/// Everything that was measured.
pub struct Results {
    /// Where.
    pub machine: Machine,
    /// Whom, with their versions.
    pub peers: Vec<(&'static Peer, String)>,
    /// What was sent.
    pub loads: Vec<&'static Load>,
    /// Seconds that each part of a load was measured.
    pub seconds: f64,
    /// How often each was to be run.
    pub wanted: u32,
    /// Every run.
    pub runs: Vec<Run>,
}

/// One load through one peer, once.
pub struct Run {
    /// Which load.
    pub load: &'static str,
    /// Which peer.
    pub peer: &'static str,
    /// From 1.
    pub number: u32,
    /// What it gave.
    pub sample: Sample,
}

/// One figure of one peer over all runs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cell {
    /// Of the value.
    pub summary: Summary,
    /// Medians of user mode and kernel.
    pub split: Option<(f64, f64)>,
}

impl Results {
    /// One figure of one peer; `None` where nothing was measured.
    pub fn cell(&self, peer: &str, figure: &str) -> Option<Cell> {
        let values = || self.values(peer, figure);
        let part = |pick: fn((f64, f64)) -> f64| Summary::of(values().filter_map(move |value| value.split.map(pick)));
        let split = part(|(user, _)| user).zip(part(|(_, system)| system));
        Some(Cell {
            summary: Summary::of(values().map(|value| value.value))?,
            split: split.map(|(user, system)| (user.median, system.median)),
        })
    }

    fn values(&self, peer: &str, figure: &str) -> impl Iterator<Item = Value> {
        let runs = self.runs.iter().filter(move |run| run.peer == peer);
        let values = runs.flat_map(|run| &run.sample.values);
        values.filter(move |(name, _)| *name == figure).map(|(_, value)| *value)
    }

    /// Requests of a load through a peer that failed, over all runs, and what the first died of.
    pub fn failures(&self, peer: &str, load: &str) -> Option<(u64, &str)> {
        let mut runs = self.runs.iter().filter(|run| run.peer == peer && run.load == load && run.sample.failed > 0);
        let first = runs.clone().next()?.sample.first_failure.as_deref().unwrap_or("unknown");
        Some((runs.by_ref().map(|run| run.sample.failed).sum(), first))
    }

    /// Whether any request failed.
    pub fn any_failure(&self) -> bool {
        self.runs.iter().any(|run| run.sample.failed > 0)
    }

    /// All of it.
    pub fn json(&self) -> Json {
        let peers: Vec<Json> =
            self.peers.iter().map(|(peer, version)| json!({"name": peer.name, "version": version})).collect();
        let runs: Vec<Json> = self.runs.iter().map(Run::json).collect();
        json!({"machine": self.machine, "seconds": self.seconds, "peers": peers, "runs": runs})
    }
}

impl Run {
    fn json(&self) -> Json {
        let figure = |(name, value): &(&str, Value)| {
            let split = value.split.unzip();
            (name.to_string(), json!({"value": value.value, "user": split.0, "system": split.1}))
        };
        json!({
            "load": self.load,
            "peer": self.peer,
            "run": self.number,
            "busy": self.sample.busy,
            "failed": self.sample.failed,
            "first_failure": self.sample.first_failure,
            "figures": self.sample.values.iter().map(figure).collect::<serde_json::Map<_, _>>(),
        })
    }
}
