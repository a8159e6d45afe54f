//! The body of a response on its way to the downstream; when it ends, the exchange is recorded and the endpoint
//! is no longer busy with it.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::time::Sleep;

use super::exchange::{Ended, Exchange, ResponseHead};
use super::incoming::{Incoming, IncomingError, Meanwhile};
use crate::http1::spelling::Spelling;
use crate::http1::wire::Wire;
use crate::upstream::Busy;
use crate::upstream::pool::Stream;

/// A response's body with what must happen at its end.
pub struct ResponseBody {
    source: Source,
    spelling: Option<Spelling>,
    end: Option<Box<End>>,
}

enum Source {
    Own(Bytes),
    Upstream(Incoming),
    Switching(Option<Wire>),
}

struct End {
    exchange: Exchange,
    head: ResponseHead,
    bytes: u64,
    deadline: Option<Pin<Box<Sleep>>>,
    #[expect(dead_code, reason = "held for its drop")]
    held: Option<Held>,
}

/// What the response occupies of the upstream.
pub struct Held {
    /// A stream of the connection, where it has several.
    pub stream: Option<Stream>,
    /// The endpoint's share of active requests.
    pub busy: Busy,
}

/// Why a response's body ended early.
#[derive(Debug, thiserror::Error)]
pub enum ResponseBodyError {
    /// The upstream broke off.
    #[error("the upstream's response broke off: {0}")]
    Upstream(#[from] IncomingError),
    /// The route's timeout fired.
    #[error("the route's timeout is over")]
    Timeout,
}

impl ResponseBody {
    /// An answer of the proxy's own.
    pub fn own(body: Bytes, exchange: Exchange, head: ResponseHead) -> Self {
        let end = End { exchange, head, bytes: 0, deadline: None, held: None };
        Self { source: Source::Own(body), spelling: None, end: Some(Box::new(end)) }
    }

    /// An upstream's body; `deadline` cuts it.
    pub fn upstream(
        body: Incoming,
        spelling: Option<Spelling>,
        exchange: Exchange,
        head: ResponseHead,
        held: Held,
        deadline: Option<Pin<Box<Sleep>>>,
    ) -> Self {
        let end = End { exchange, head, bytes: 0, deadline, held: Some(held) };
        Self { source: Source::Upstream(body), spelling, end: Some(Box::new(end)) }
    }

    /// No body: what follows on the upstream's connection is no HTTP.
    pub fn switching(body: Incoming, exchange: Exchange, head: ResponseHead) -> Self {
        let end = End { exchange, head, bytes: 0, deadline: None, held: None };
        Self { source: Source::Switching(body.into_switched()), spelling: None, end: Some(Box::new(end)) }
    }

    /// How the header names were spelt, if that is known.
    pub fn spelling(&mut self) -> Option<Spelling> {
        self.spelling.take()
    }

    /// The upstream's connection, of a response `101 Switching Protocols`.
    pub fn switched(&mut self) -> Option<Wire> {
        if let Source::Switching(wire) = &mut self.source { wire.take() } else { None }
    }

    fn finish(&mut self, trailers: Option<&http::HeaderMap>, ended: Ended) {
        let Some(end) = self.end.take() else { return };
        end.exchange.finish(&end.head, end.bytes, trailers, ended);
    }

    fn poll_upstream(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, ResponseBodyError>>> {
        let Source::Upstream(body) = &mut self.source else { return Poll::Ready(None) };
        let polled = Pin::new(body).poll_frame(cx);
        if polled.is_pending()
            && let Some(deadline) = self.end.as_mut().and_then(|end| end.deadline.as_mut())
        {
            ready!(deadline.as_mut().poll(cx));
            self.finish(None, Ended::TimedOut);
            return Poll::Ready(Some(Err(ResponseBodyError::Timeout)));
        }
        match ready!(polled) {
            Some(Ok(frame)) => {
                if let (Some(end), Some(data)) = (&mut self.end, frame.data_ref()) {
                    end.bytes += data.len() as u64;
                }
                if let Some(trailers) = frame.trailers_ref() {
                    self.finish(Some(trailers), Ended::Complete);
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Some(Err(error)) => {
                self.finish(None, Ended::UpstreamBroke);
                Poll::Ready(Some(Err(error.into())))
            }
            None => {
                self.finish(None, Ended::Complete);
                Poll::Ready(None)
            }
        }
    }
}

impl Meanwhile for ResponseBody {
    fn go_on(&mut self, cx: &mut Context<'_>) {
        if let Source::Upstream(body) = &mut self.source {
            body.go_on(cx);
        }
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = ResponseBodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ResponseBodyError>>> {
        let this = &mut *self;
        let Source::Own(bytes) = &mut this.source else { return this.poll_upstream(cx) };
        let bytes = std::mem::take(bytes);
        if let Some(end) = &mut this.end {
            end.bytes += bytes.len() as u64;
        }
        this.finish(None, Ended::Complete);
        Poll::Ready((!bytes.is_empty()).then(|| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            Source::Own(bytes) => bytes.is_empty(),
            Source::Upstream(body) => body.is_end_stream(),
            Source::Switching(_) => true,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Own(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Source::Upstream(body) => body.size_hint(),
            Source::Switching(_) => SizeHint::with_exact(0),
        }
    }
}

impl Drop for ResponseBody {
    /// Who sends a body drops it at its end without polling it once more; any other drop is a downstream that left.
    fn drop(&mut self) {
        let whole = matches!(self.source, Source::Own(_)) || self.is_end_stream();
        let ended = if whole { Ended::Complete } else { Ended::DownstreamGone };
        self.finish(None, ended);
    }
}
