//! What the client makes of a response: ACK, or NACK with the resources that it is about.

use std::{collections::HashMap, sync::Arc};

use super::{Held, Sent, Tracked, TypeState};
use crate::refusal::Blame;

/// What an answer of the client means.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Verdict {
    pub accepted: Vec<Arc<str>>,
    pub rejected: Vec<Arc<str>>,
    /// The reasons of the rejected ones, where the client gave one for each; else empty.
    pub reasons: Vec<String>,
    /// Names that will be sent again one by one, to find out who is meant.
    pub unclear: usize,
}

impl TypeState {
    /// The names of the unanswered response, if `nonce` is its nonce.
    pub fn names_in_flight(&self, nonce: &str) -> Option<Vec<Arc<str>>> {
        let in_flight = self.in_flight.as_ref().filter(|in_flight| in_flight.nonce == nonce)?;
        Some(in_flight.sent.iter().map(|sent| sent.name.clone()).collect())
    }

    /// Takes an answer: `None` is an ACK. Nothing happens if the nonce is not that of the unanswered response.
    pub fn answered(&mut self, nonce: &str, refusal: Option<Blame>) -> Option<Verdict> {
        let in_flight = self.in_flight.take_if(|in_flight| in_flight.nonce == nonce)?;
        Some(match refusal {
            None => self.accepted(in_flight.sent),
            Some(Blame::Exact(refused)) => self.refused_exactly(in_flight.sent, refused),
            Some(Blame::Named(names)) => self.refused_by_text(in_flight.sent, &names),
            Some(Blame::Nobody) => self.refused_somehow(in_flight.sent),
        })
    }

    fn accepted(&mut self, sent: Vec<Sent>) -> Verdict {
        let mut verdict = Verdict::default();
        for sent in sent {
            let present = sent.version.is_some();
            if let Some(tracked) = self.of(&sent) {
                tracked.held = sent.version.map_or(Held::Absent, Held::Version);
                tracked.refused = None;
            } else if present && self.wildcard {
                self.stray(&sent.name);
            }
            if present {
                verdict.accepted.push(sent.name);
            }
        }
        verdict
    }

    fn refuse(&mut self, sent: Vec<Sent>) -> Vec<Arc<str>> {
        for sent in &sent {
            let version = sent.version.clone();
            if let Some(tracked) = self.of(sent) {
                tracked.refused = version;
            }
        }
        sent.into_iter().map(|sent| sent.name).collect()
    }

    fn refused_exactly(&mut self, sent: Vec<Sent>, refused: Vec<(Arc<str>, String)>) -> Verdict {
        let mut reasons: HashMap<Arc<str>, String> = refused.into_iter().collect();
        let (bad, good): (Vec<_>, Vec<_>) = sent.into_iter().partition(|sent| reasons.contains_key(&sent.name));
        let mut verdict = self.accepted(good);
        verdict.rejected = self.refuse(bad);
        verdict.reasons = verdict.rejected.iter().map(|name| reasons.remove(name).unwrap_or_default()).collect();
        verdict
    }

    /// A client may drop the rest of a response after the first fault (Envoy does so with endpoints and routes), so
    /// the others are sent again.
    fn refused_by_text(&mut self, sent: Vec<Sent>, names: &[Arc<str>]) -> Verdict {
        let (bad, good): (Vec<_>, Vec<_>) = sent.into_iter().partition(|sent| names.contains(&sent.name));
        for sent in good {
            self.again(&sent);
        }
        Verdict { rejected: self.refuse(bad), ..Verdict::default() }
    }

    fn refused_somehow(&mut self, sent: Vec<Sent>) -> Verdict {
        if sent.len() == 1 {
            return Verdict { rejected: self.refuse(sent), ..Verdict::default() };
        }
        let unclear = sent.len();
        for sent in sent {
            if sent.version.is_some() && self.of(&sent).is_some() {
                self.alone.push_back(sent.name);
            } else {
                self.again(&sent);
            }
        }
        Verdict { unclear, ..Verdict::default() }
    }

    fn again(&mut self, sent: &Sent) {
        if self.of(sent).is_some() {
            self.dirty.insert(sent.name.clone());
        }
    }

    fn of(&mut self, sent: &Sent) -> Option<&mut Tracked> {
        self.names.get_mut(&sent.name).filter(|tracked| tracked.generation == sent.generation)
    }
}
