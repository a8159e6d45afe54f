//! What the API server said about tokens a moment ago. A proxy that tries again, and one that shows the same token
//! twice, cost it nothing; a token that is taken back is accepted for at most some seconds more.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::token::{Caller, TokenError};

const ACCEPTED_FOR: Duration = Duration::from_secs(10);
/// Who was refused may be right a moment later: the API server learns of a new pod with some delay.
const REFUSED_FOR: Duration = Duration::from_secs(1);
const MOST_ACCEPTED: usize = 8192;
const MOST_REFUSED: usize = 1024;

/// SHA-256 of a token; the token itself is kept nowhere.
pub(super) type Key = [u8; 32];

/// Why a token was refused by the API server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Refusal {
    Audience,
    Subject(String),
    NotAuthentic(String),
}

impl From<Refusal> for TokenError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Audience => Self::Audience,
            Refusal::Subject(subject) => Self::Subject(subject),
            Refusal::NotAuthentic(reason) => Self::Refused(reason),
        }
    }
}

/// Answers by token, accepted and refused apart: whoever sends garbage pushes out no good ones.
#[derive(Debug, Default)]
pub(super) struct ReviewCache {
    accepted: HashMap<Key, (Instant, Caller)>,
    refused: HashMap<Key, (Instant, Refusal)>,
}

impl ReviewCache {
    pub(super) fn answer(&self, key: &Key, now: Instant) -> Option<Result<Caller, Refusal>> {
        if let Some((until, caller)) = self.accepted.get(key)
            && now < *until
        {
            return Some(Ok(caller.clone()));
        }
        let (until, refusal) = self.refused.get(key)?;
        (now < *until).then(|| Err(refusal.clone()))
    }

    /// `left` is how long the token itself is still good.
    pub(super) fn remember(&mut self, key: Key, answer: &Result<Caller, Refusal>, left: Duration, now: Instant) {
        match answer {
            Ok(caller) => {
                make_room(&mut self.accepted, MOST_ACCEPTED, now);
                self.accepted.insert(key, (now + ACCEPTED_FOR.min(left), caller.clone()));
            }
            Err(refusal) => {
                make_room(&mut self.refused, MOST_REFUSED, now);
                self.refused.insert(key, (now + REFUSED_FOR, refusal.clone()));
            }
        }
    }
}

fn make_room<T>(answers: &mut HashMap<Key, (Instant, T)>, most: usize, now: Instant) {
    if answers.len() >= most {
        answers.retain(|_, (until, _)| now < *until);
    }
    if answers.len() >= most {
        answers.clear();
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn caller() -> Caller {
        Caller { namespace: "shop".to_owned(), service_account: "catalog".to_owned() }
    }

    #[test]
    fn a_good_token_is_remembered_for_seconds_and_never_beyond_its_own_end() {
        let (mut cache, now) = (ReviewCache::default(), Instant::now());
        cache.remember([1; 32], &Ok(caller()), HOUR, now);
        cache.remember([2; 32], &Ok(caller()), Duration::from_secs(3), now);
        assert_eq!(cache.answer(&[1; 32], now + Duration::from_secs(9)), Some(Ok(caller())));
        assert_eq!(cache.answer(&[1; 32], now + Duration::from_secs(10)), None);
        assert_eq!(cache.answer(&[2; 32], now + Duration::from_secs(2)), Some(Ok(caller())));
        assert_eq!(cache.answer(&[2; 32], now + Duration::from_secs(3)), None);
        assert_eq!(cache.answer(&[3; 32], now), None);
    }

    #[test]
    fn a_refusal_is_forgotten_after_a_second_and_gives_way_to_a_good_answer() {
        let (mut cache, now) = (ReviewCache::default(), Instant::now());
        cache.remember([1; 32], &Err(Refusal::Audience), HOUR, now);
        assert_eq!(cache.answer(&[1; 32], now), Some(Err(Refusal::Audience)));
        cache.remember([1; 32], &Ok(caller()), HOUR, now);
        assert_eq!(cache.answer(&[1; 32], now), Some(Ok(caller())));
        cache.remember([2; 32], &Err(Refusal::Audience), HOUR, now);
        assert_eq!(cache.answer(&[2; 32], now + Duration::from_secs(1)), None);
    }

    #[test]
    fn a_flood_of_bad_tokens_is_bounded_and_pushes_out_no_good_one() {
        let (mut cache, now) = (ReviewCache::default(), Instant::now());
        cache.remember([255; 32], &Ok(caller()), HOUR, now);
        for number in 0..10_000_u32 {
            let mut key = [0; 32];
            key[..4].copy_from_slice(&number.to_be_bytes());
            cache.remember(key, &Err(Refusal::Audience), HOUR, now);
        }
        assert!(cache.refused.len() <= 1024);
        assert!(cache.answer(&[255; 32], now).is_some());
    }
}
