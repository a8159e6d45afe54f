//! What keeps a kind from being watched, in words for those who run the cluster.

use super::kinds::Watched;
use crate::place::Place;
use crate::source::SourceProblem;
use kube::core::Status;
use kube::runtime::watcher::Error;

/// Failures in a row, over a second or more, after which anybody is told and nobody waits for a kind. Watches end now and
/// then, and an API server that starts refuses for a moment what it will allow.
const LASTING: u32 = 4;

/// Why a kind cannot be watched at present.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Trouble {
    pub(super) cause: Cause,
    error: String,
    /// Failures in a row.
    times: u32,
}

/// What a failure means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// The control plane may not: only a person can change that.
    Forbidden,
    /// The kind is not served any more.
    Gone,
    /// Anything else: it is tried again.
    Other,
}

impl Trouble {
    /// What a failure says; None for one that is part of watching: the API server forgot the version that the watch
    /// wanted to go on from, and everything is listed anew.
    pub(super) fn of(error: &Error, before: Option<&Self>) -> Option<Self> {
        let status = status(error);
        let cause = match status.map(|status| status.code) {
            Some(410) => return None,
            Some(403) => Cause::Forbidden,
            Some(404) => Cause::Gone,
            _ => Cause::Other,
        };
        let error = match status {
            Some(status) => status.message.clone(),
            None => in_full(error),
        };
        let times = before.filter(|before| before.cause == cause).map_or(0, |before| before.times) + 1;
        Some(Self { cause, error, times })
    }

    /// Whether it has been so for a while.
    pub(super) fn is_lasting(&self) -> bool {
        self.times >= LASTING
    }

    /// What people are told; None while it may pass. `known`: whether objects of this kind were read before.
    pub(super) fn problem(&self, watched: &Watched, known: bool) -> Option<SourceProblem> {
        // What is not served any more is taken off the list of what is watched; until then there is nothing to do.
        let patience = if self.cause == Cause::Gone { 2 * LASTING } else { LASTING };
        if self.times < patience {
            return None;
        }
        let meanwhile = match known {
            true => "what was known of them stays in force",
            false => "none of these objects is in force",
        };
        let message = match self.cause {
            Cause::Forbidden => format!(
                "may not be listed and watched: {}; grant the verbs list and watch on it to the control plane's service \
                 account (its ClusterRole); {meanwhile}",
                self.error
            ),
            Cause::Gone | Cause::Other => {
                format!("cannot be watched: {}; {meanwhile}, and it is tried again every few seconds", self.error)
            }
        };
        Some(SourceProblem { place: Place::Api(watched.name.clone()), message })
    }
}

/// What people are told when the API server does not even say what it serves. `known`: whether the cluster was read
/// before.
pub(super) fn unanswered(error: &str, known: bool) -> SourceProblem {
    let meanwhile = match known {
        true => "what was known of the cluster stays in force",
        false => "nothing is in force",
    };
    let message = format!("does not say what it serves: {error}; {meanwhile}, and it is asked again every few seconds");
    SourceProblem { place: Place::Api("API server".into()), message }
}

fn status(error: &Error) -> Option<&Status> {
    match error {
        Error::WatchError(status) => Some(status),
        Error::InitialListFailed(kube::Error::Api(status))
        | Error::WatchStartFailed(kube::Error::Api(status))
        | Error::WatchFailed(kube::Error::Api(status)) => Some(status),
        _ => None,
    }
}

/// What the API server said, or why it could not be asked.
pub(super) fn reason(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => status.message.clone(),
        other => in_full(other),
    }
}

/// An error with its causes: the outer ones alone say only that something failed.
fn in_full(error: &dyn std::error::Error) -> String {
    let mut parts = vec![error.to_string()];
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        if !parts.iter().any(|part| part.contains(&text)) {
            parts.push(text);
        }
        cause = error.source();
    }
    parts.join(": ")
}
