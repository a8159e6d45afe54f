//! What the client makes of a response: ACK, or NACK with the resources that it is about.

use std::{collections::HashMap, sync::Arc};

use super::{Held, Sent, Tracked, TypeState, UNCERTAIN};
use crate::refusal::Blame;

/// What an answer of the client means.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Verdict {
    pub accepted: Vec<Arc<str>>,
    pub rejected: Vec<Arc<str>>,
    /// The reasons of the rejected ones, where the client gave one for each; else empty.
    pub reasons: Vec<String>,
    /// How many will be sent again one by one, to find out who is meant.
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
            Some(Blame::Text(suspects)) => self.refused_by_text(in_flight.sent, &suspects),
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

    /// Only the refusal of a single resource says for sure which one is meant: texts quote what they like. Suspects go
    /// again one by one, and so does everything if there is no suspect. The others go again together, for a client
    /// may drop the rest of a response after the first fault (Envoy does so with endpoints and routes).
    fn refused_by_text(&mut self, sent: Vec<Sent>, suspects: &[Arc<str>]) -> Verdict {
        if sent.len() == 1 {
            return Verdict { rejected: self.refuse(sent), ..Verdict::default() };
        }
        let mut unclear = 0;
        for sent in sent {
            let suspect = suspects.is_empty() || suspects.contains(&sent.name);
            self.again(&sent);
            if suspect && sent.version.is_some() && self.of(&sent).is_some() {
                unclear += 1;
                self.dirty.remove(&sent.name);
                self.alone.push_back(sent.name);
            }
        }
        Verdict { unclear, ..Verdict::default() }
    }

    /// Whether the client took this is not known.
    fn again(&mut self, sent: &Sent) {
        if let Some(tracked) = self.of(sent) {
            tracked.held = Held::Version(Arc::from(UNCERTAIN));
            self.dirty.insert(sent.name.clone());
        } else if self.wildcard {
            self.stray(&sent.name);
        }
    }

    fn of(&mut self, sent: &Sent) -> Option<&mut Tracked> {
        self.names.get_mut(&sent.name).filter(|tracked| tracked.generation == sent.generation)
    }
}
