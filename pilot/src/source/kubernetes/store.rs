//! What the watches have told so far: the newest version of each object, and what keeps kinds from being read. Events
//! go in, candidates come out; nothing here talks to anybody.

use super::kinds::{Watched, missing};
use super::metrics::WatchMetrics;
use super::table::{Changes, Table};
use super::trouble::{Trouble, unanswered};
use super::watches::What;
use crate::source::{Candidates, Reload, SourceProblem};
use crate::validate::Settings;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Everything that is known of the cluster.
pub(super) struct Store {
    settings: Settings,
    metrics: WatchMetrics,
    tables: BTreeMap<Arc<str>, Table>,
    candidates: Candidates,
    /// What is wrong with what the cluster serves.
    served: Vec<SourceProblem>,
    /// Why the API server does not say what it serves.
    silent: Option<String>,
    /// Every kind was there once: from then on the world is told, whatever becomes of single kinds.
    complete: bool,
}

impl Store {
    /// Knows nothing yet.
    pub(super) fn new(settings: Settings, metrics: WatchMetrics) -> Self {
        let (tables, candidates, served, silent) = Default::default();
        Self { settings, metrics, tables, candidates, served, silent, complete: false }
    }

    /// Takes over which kinds are watched; objects of kinds that are not any more are gone. Whether that made a
    /// difference.
    pub(super) fn set_watched(&mut self, watched: &[Watched], problems: Vec<SourceProblem>) -> bool {
        let mut changed = self.served != problems;
        self.served = problems;
        if self.silent.take().is_some() {
            // What failed because nobody answered says nothing any more.
            self.tables.values_mut().for_each(Table::forget_failures);
            changed = true;
        }
        let gone: Vec<_> =
            self.tables.keys().filter(|name| !watched.iter().any(|w| w.name == **name)).cloned().collect();
        for name in gone {
            changed = true;
            if let Some(table) = self.tables.remove(&name) {
                let kind = table.watched.kind();
                table.objects().for_each(|object| self.candidates.remove(kind, object));
            }
        }
        for watched in watched {
            match self.tables.get_mut(&watched.name) {
                // Another version of the same kind: what is known stays until the new list is there.
                Some(table) => table.watched = watched.clone(),
                None => _ = self.tables.insert(watched.name.clone(), Table::new(watched.clone())),
            }
        }
        self.settle() || changed
    }

    /// The API server does not say what it serves; what is known stays. Whether that is news.
    pub(super) fn set_silent(&mut self, error: String) -> bool {
        self.silent.replace(error.clone()) != Some(error)
    }

    /// Whether the API server did not say what it serves when it was asked last.
    pub(super) fn is_silent(&self) -> bool {
        self.silent.is_some()
    }

    /// Takes over what a watch tells. Whether that made a difference to the mesh, or to what there is to be said.
    pub(super) fn take(&mut self, name: &str, what: What) -> bool {
        let Some(table) = self.tables.get_mut(name) else { return false };
        let listed = table.is_listed();
        let mut changes =
            Changes { settings: &self.settings, metrics: &self.metrics, candidates: &mut self.candidates };
        let changed = match what {
            What::Event(event) => table.event(event, &mut changes),
            What::Failed(error) => {
                self.metrics.error(&table.watched);
                table.failed(Trouble::of(&error, table.trouble.as_ref()))
            }
            What::Recovered => table.trouble.take().is_some(),
        };
        if !listed && table.is_listed() && !self.complete {
            // An API server that starts refuses everything at first: what it said before it allowed this one is no word.
            self.tables.values_mut().for_each(Table::forget_refusals);
        }
        self.settle() || changed
    }

    /// What is known. Nothing of it until everything has been there once: a world with half the endpoints is worse
    /// than none.
    pub(super) fn reload(&self) -> Reload {
        let mut problems = self.served.clone();
        // That nothing can be watched is then said once, not for each kind.
        let single = self.tables.values().filter(|table| self.silent.is_none() || table.is_forbidden());
        problems.extend(single.filter_map(Table::problem));
        problems.extend(self.silent.as_deref().map(|error| unanswered(error, self.complete)));
        let candidates = if self.complete { self.candidates.clone() } else { Candidates::default() };
        Reload { candidates, problems, complete: self.complete }
    }

    /// The kinds that keep the first world waiting.
    pub(super) fn awaited(&self) -> Vec<&str> {
        let waiting = self.tables.values().filter(|table| !self.complete && !table.is_settled());
        waiting.map(|table| &*table.watched.name).collect()
    }

    /// Notes when everything is there for the first time. Whether that is now.
    fn settle(&mut self) -> bool {
        let now = !self.complete
            && missing(self.tables.values().map(|table| &table.watched)).next().is_none()
            && self.tables.values().all(Table::is_settled);
        self.complete |= now;
        now
    }
}
