//! How long the body of a request may keep us waiting. What waits for the upstream is not held against the downstream.

use std::task::{Context, Poll, ready};
use std::time::Duration;

use http::Version;
use http_body::Body as _;
use tokio::time::Instant;

use super::incoming::Incoming;
use crate::http1::clock::Clock;
use crate::http1::server::taking;
use crate::model::HttpSettings;

/// A body of declared length gets so long, and a second more for each [`LEAST_A_SECOND`] bytes that have come.
const GRACE: Duration = Duration::from_secs(60);
/// Over HTTP/2 it gets as long as silence is borne at all: it may wait for the window of its connection, which other streams
/// have filled.
const GRACE_OF_STREAMS: Duration = Duration::from_secs(300);
/// Apache's default, too.
const LEAST_A_SECOND: u64 = 500;

/// With one body.
#[derive(Debug)]
pub struct Patience {
    /// Without a byte; `None`: for ever.
    silence: Option<Duration>,
    /// At that pace; `None`: its length was not declared, and it may be a stream that goes on for as long as it likes.
    grace: Option<Duration>,
    waited: Duration,
    since: Option<Instant>,
    clock: Clock,
}

impl Patience {
    /// With the body of a request that has just begun. Over HTTP/2 one of undeclared length may be half of a conversation, in
    /// which a client has nothing to say for long.
    pub fn with(version: Version, body: &Incoming, settings: &HttpSettings) -> Self {
        match (version, body.size_hint().exact()) {
            (Version::HTTP_2, None) => Self::new(settings.stream_idle_timeout, None),
            (Version::HTTP_2, Some(_)) => Self::new(taking(settings), Some(GRACE_OF_STREAMS)),
            (_, length) => Self::new(taking(settings), length.map(|_| GRACE)),
        }
    }

    fn new(silence: Option<Duration>, grace: Option<Duration>) -> Self {
        Self { silence, grace, waited: Duration::ZERO, since: None, clock: Clock::default() }
    }

    /// A piece has come.
    pub fn renew(&mut self) {
        if let Some(since) = self.since.take() {
            self.waited += since.elapsed();
        }
    }

    /// Nothing is there, and so many `bytes` came before. When patience is over: how long it lasted.
    pub fn poll(&mut self, bytes: u64, cx: &mut Context<'_>) -> Poll<Duration> {
        let since = *self.since.get_or_insert_with(Instant::now);
        let came = Duration::from_secs(bytes / LEAST_A_SECOND);
        let late = self.grace.map(|grace| since + (grace + came).saturating_sub(self.waited));
        let silent = self.silence.map(|limit| since + limit);
        ready!(self.clock.poll(silent.into_iter().chain(late).min(), cx));
        Poll::Ready(self.waited + since.elapsed())
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::time::{sleep, timeout};

    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    /// Pieces of so many bytes, each after a pause, until all have come or patience is over; says how long that took.
    async fn drip(grace: Option<Duration>, pieces: u64, bytes: u64, pause: Duration) -> (bool, Duration) {
        let (mut patience, started) = (Patience::new(Some(HOUR), grace), Instant::now());
        for piece in 0..pieces {
            if timeout(pause, poll_fn(|cx| patience.poll(piece * bytes, cx))).await.is_ok() {
                return (false, started.elapsed());
            }
            patience.renew();
        }
        (true, started.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_of_declared_length_that_drips_is_given_up_after_a_minute_and_one_that_flows_slowly_is_not() {
        let second = Duration::from_secs(1);
        let (came, took) = drip(Some(GRACE), 1000, 1, second).await;
        assert!(!came && took.abs_diff(GRACE) <= second * 2, "{took:?}");
        assert_eq!(drip(Some(GRACE), 1000, LEAST_A_SECOND, second).await, (true, second * 1000));
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_may_be_silent_for_longer_than_that() {
        let pause = Duration::from_secs(3000);
        assert_eq!(drip(None, 20, 1, pause).await, (true, pause * 20));
        assert_eq!(drip(None, 2, 1, HOUR * 2).await, (false, HOUR));
    }

    #[tokio::test(start_paused = true)]
    async fn what_waits_for_the_upstream_is_not_held_against_the_downstream() {
        let mut patience = Patience::new(None, Some(GRACE));
        for piece in 0..100 {
            assert!(timeout(GRACE / 200, poll_fn(|cx| patience.poll(piece, cx))).await.is_err());
            patience.renew();
            sleep(HOUR).await;
        }
    }
}
