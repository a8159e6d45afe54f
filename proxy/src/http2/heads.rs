//! How long a client may take over a block of headers that it has begun: as long as over a head of HTTP/1.

use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::Instant;

use super::frames::{END_HEADERS, Frame, kind};
use crate::http1::clock::Clock;

/// The block under way, if there is one.
#[derive(Debug)]
pub struct Heads {
    /// `None`: for ever.
    limit: Option<Duration>,
    last: Option<Frame>,
    since: Option<Instant>,
    clock: Clock,
}

impl Heads {
    /// Of a client that may take so long over each.
    pub fn new(limit: Option<Duration>) -> Self {
        Self { limit, last: None, since: None, clock: Clock::default() }
    }

    /// A frame has begun. Only a CONTINUATION goes on with the block before it.
    #[inline]
    pub fn began(&mut self, frame: Frame) {
        if frame.kind != kind::CONTINUATION {
            self.since = None;
        }
        self.last = Some(frame);
    }

    /// A read is over, perhaps inside the last frame.
    #[inline]
    pub fn read(&mut self, inside: bool) {
        let of_block = |frame: Frame| {
            let head = matches!(frame.kind, kind::HEADERS | kind::CONTINUATION);
            head && (inside || !frame.has(END_HEADERS))
        };
        match self.last.is_some_and(of_block) {
            true => self.since = self.since.or_else(|| Some(Instant::now())),
            false => self.since = None,
        }
    }

    /// Nothing is there. Ready when the block has taken too long.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.clock.poll(self.since.zip(self.limit).map(|(since, limit)| since + limit), cx)
    }
}
