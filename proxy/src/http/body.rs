//! Bodies on their way through: counted, bounded in time, and, where a retry may need them again, kept up to a limit.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::time::Instant;

use super::incoming::{Incoming, IncomingError, Meanwhile};
use super::patience::Patience;

/// Bytes of a request that are kept for another try; beyond that it is sent once.
const REPLAY_LIMIT: usize = 64 * 1024;
/// A piece counts for so many at least: keeping it costs that.
const PIECE: usize = 256;

/// What is known of a request's body while it passes.
#[derive(Debug, Default)]
pub struct Meter {
    bytes: Cell<u64>,
    ended: Cell<Option<Instant>>,
    broken: Cell<bool>,
    slow: Cell<bool>,
    waiting: RefCell<Option<Waker>>,
}

/// Why a request's body ended early.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// The downstream broke off, or sent what is no body.
    #[error("the downstream's request body broke off: {0}")]
    Downstream(#[from] IncomingError),
    /// The downstream sent nothing, or too little, for too long.
    #[error("the downstream sent {bytes} bytes of its request body within {waited:.0?}")]
    Slow {
        /// What came.
        bytes: u64,
        /// How long we waited for it.
        waited: Duration,
    },
    /// Another try was asked for after the kept part had overflowed.
    #[error("the request body is no longer there to be sent again")]
    Gone,
}

/// The body of a request towards the upstream.
#[derive(Debug)]
pub enum RequestBody {
    /// None.
    Empty,
    /// Sent once.
    Once(Metered),
    /// Sent, and perhaps sent again.
    Replay(Replay),
}

/// A downstream's body with its meter.
#[derive(Debug)]
pub struct Metered {
    incoming: Incoming,
    meter: Rc<Meter>,
    patience: Patience,
}

/// One reader of a kept body: first what was kept, then what still comes.
#[derive(Debug)]
pub struct Replay {
    shared: Rc<RefCell<Kept>>,
    next: usize,
    turn: u32,
}

#[derive(Debug)]
struct Kept {
    source: Metered,
    frames: VecDeque<KeptFrame>,
    bytes: usize,
    overflowed: bool,
    ended: bool,
    /// Of the reader that may read; one that an earlier try left behind must not take frames from the next.
    turn: u32,
}

#[derive(Debug, Clone)]
enum KeptFrame {
    Data(Bytes),
    Trailers(http::HeaderMap),
}

impl Meter {
    /// Bytes so far.
    pub fn bytes(&self) -> u64 {
        self.bytes.get()
    }

    /// When the whole request had been received; waits until then.
    pub async fn end(&self) -> Instant {
        std::future::poll_fn(|cx| match self.ended.get() {
            Some(at) => Poll::Ready(at),
            None => {
                *self.waiting.borrow_mut() = Some(cx.waker().clone());
                Poll::Pending
            }
        })
        .await
    }

    /// When the whole request had been received; `None`: not yet.
    pub fn ended_at(&self) -> Option<Instant> {
        self.ended.get()
    }

    /// Whether the downstream broke off before the request was whole.
    pub fn is_broken(&self) -> bool {
        self.broken.get()
    }

    /// Whether that was because it was too slow.
    pub fn is_slow(&self) -> bool {
        self.slow.get()
    }

    /// Notes that there is nothing more to come.
    pub fn mark_ended(&self) {
        if self.ended.get().is_none() {
            self.ended.set(Some(Instant::now()));
        }
        if let Some(waker) = self.waiting.borrow_mut().take() {
            waker.wake();
        }
    }
}

impl Meanwhile for RequestBody {
    fn go_on(&mut self, cx: &mut Context<'_>) {
        match self {
            Self::Empty => {}
            Self::Once(body) => body.incoming.go_on(cx),
            Self::Replay(body) => body.shared.borrow_mut().source.incoming.go_on(cx),
        }
    }
}

impl RequestBody {
    /// The body of a downstream request; `patience` bounds how long it is waited for, `again` keeps it for other tries.
    pub fn new(incoming: Incoming, meter: &Rc<Meter>, patience: Patience, again: bool) -> Self {
        if incoming.is_end_stream() {
            meter.mark_ended();
            return Self::Empty;
        }
        let metered = Metered { incoming, meter: meter.clone(), patience };
        if again { Self::Replay(Replay::new(metered)) } else { Self::Once(metered) }
    }

    /// Whether all of it has arrived and is kept: it can be sent once more without waiting.
    pub fn is_whole(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Once(_) => false,
            Self::Replay(replay) => {
                let kept = replay.shared.borrow();
                kept.is_good() && kept.is_over()
            }
        }
    }

    /// The same body for another try, if it is kept; ask [`Self::can_replay`] again when that try comes.
    pub fn again(&self) -> Option<Self> {
        match self {
            Self::Empty => Some(Self::Empty),
            Self::Once(_) => None,
            Self::Replay(replay) => Some(Self::Replay(Replay { shared: replay.shared.clone(), next: 0, turn: 0 })),
        }
    }

    /// Whether a reader that starts now gets the body whole.
    pub fn can_replay(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Once(_) => false,
            Self::Replay(replay) => replay.shared.borrow().is_good(),
        }
    }
}

impl Replay {
    fn new(source: Metered) -> Self {
        let kept = Kept { source, frames: VecDeque::new(), bytes: 0, overflowed: false, ended: false, turn: 0 };
        Self { shared: Rc::new(RefCell::new(kept)), next: 0, turn: 0 }
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let mut kept = self.shared.borrow_mut();
        if self.turn == 0 {
            kept.turn += 1;
            self.turn = kept.turn;
        }
        // At the end there is nothing left that another reader could take.
        if self.next > 0 && self.next >= kept.frames.len() && !kept.overflowed && kept.is_over() {
            return Poll::Ready(None);
        }
        let too_late = self.next == 0 && !kept.is_good();
        if too_late || self.turn != kept.turn || kept.source.meter.is_broken() {
            return Poll::Ready(Some(Err(BodyError::Gone)));
        }
        if let Some(frame) = kept.frames.get(self.next).filter(|_| !kept.overflowed) {
            self.next += 1;
            return Poll::Ready(Some(Ok(frame.clone().into())));
        }
        if kept.ended {
            return Poll::Ready(None);
        }
        let polled = ready!(Pin::new(&mut kept.source).poll_frame(cx));
        if let Some(Ok(frame)) = &polled {
            kept.keep(frame);
            self.next += 1;
        }
        kept.ended |= polled.is_none();
        Poll::Ready(polled)
    }
}

impl Kept {
    fn is_over(&self) -> bool {
        !self.source.meter.is_broken() && (self.ended || self.source.is_end_stream())
    }

    fn is_good(&self) -> bool {
        !self.overflowed && !self.source.meter.is_broken()
    }

    /// Past the limit everything is let go: the try under way goes on streaming, another is not possible.
    fn keep(&mut self, frame: &Frame<Bytes>) {
        if self.overflowed {
            return;
        }
        match (frame.data_ref(), frame.trailers_ref()) {
            (Some(data), _) => {
                self.bytes += data.len().max(PIECE);
                self.frames.push_back(KeptFrame::Data(data.clone()));
            }
            (_, Some(trailers)) => self.frames.push_back(KeptFrame::Trailers(trailers.clone())),
            _ => {}
        }
        if self.bytes > REPLAY_LIMIT {
            self.overflowed = true;
            self.frames = VecDeque::new();
        }
    }
}

impl From<KeptFrame> for Frame<Bytes> {
    fn from(frame: KeptFrame) -> Self {
        match frame {
            KeptFrame::Data(data) => Frame::data(data),
            KeptFrame::Trailers(trailers) => Frame::trailers(trailers),
        }
    }
}

impl Body for Metered {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        match Pin::new(&mut this.incoming).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                let bytes = frame.data_ref().map_or(0, |data| data.len() as u64);
                this.meter.bytes.set(this.meter.bytes.get() + bytes);
                this.patience.renew();
                // Whoever reads may stop here, without asking for the end.
                if this.incoming.is_end_stream() {
                    this.meter.mark_ended();
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => {
                this.meter.broken.set(true);
                Poll::Ready(Some(Err(error.into())))
            }
            Poll::Ready(None) => {
                this.meter.mark_ended();
                Poll::Ready(None)
            }
            Poll::Pending => {
                let bytes = this.meter.bytes();
                let waited = ready!(this.patience.poll(bytes, cx));
                this.meter.broken.set(true);
                this.meter.slow.set(true);
                Poll::Ready(Some(Err(BodyError::Slow { bytes, waited })))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self.get_mut() {
            Self::Empty => Poll::Ready(None),
            Self::Once(body) => Pin::new(body).poll_frame(cx),
            Self::Replay(body) => body.poll_next(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Once(body) => body.is_end_stream(),
            Self::Replay(body) => {
                let kept = body.shared.borrow();
                let none_kept = if kept.overflowed { body.next > 0 } else { body.next >= kept.frames.len() };
                none_kept && kept.is_over()
            }
        }
    }

    /// A replay from its start has the length that the source had at its start: what was kept and what is to come.
    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Once(body) => body.size_hint(),
            Self::Replay(body) => {
                let kept = body.shared.borrow();
                let rest = kept.source.size_hint().exact();
                let again: usize = kept.frames.iter().skip(body.next).map(KeptFrame::len).sum();
                rest.map_or_else(SizeHint::default, |rest| SizeHint::with_exact(rest + again as u64))
            }
        }
    }
}

impl KeptFrame {
    fn len(&self) -> usize {
        match self {
            Self::Data(data) => data.len(),
            Self::Trailers(_) => 0,
        }
    }
}
