//! A body as it comes off a connection, whichever version of HTTP and whichever side; without trailers that only a head may
//! say.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::forwarded::strip_trailers;
use crate::http1;
use crate::http1::body::BodyBroken;
use crate::http1::spelling::Spelling;
use crate::http1::wire::Wire;
use crate::http2;

/// Bytes that are still arriving.
pub enum Incoming {
    /// Nothing.
    Empty,
    /// A request over HTTP/1.
    Request(http1::body::RequestBody),
    /// A response over HTTP/1.
    Response(Box<http1::client::ResponseBody>),
    /// Either, over HTTP/2.
    Http2(Box<http2::body::Body>),
}

/// Why a body did not arrive whole.
#[derive(Debug, thiserror::Error)]
pub enum IncomingError {
    /// Over HTTP/1.
    #[error(transparent)]
    Http1(#[from] BodyBroken),
    /// Over HTTP/2.
    #[error(transparent)]
    Http2(#[from] h2::Error),
}

/// A body that has something to do also while nobody takes it: a response goes on sending its request's, and small frames
/// of HTTP/2 are gathered.
pub trait Meanwhile {
    /// Does it.
    fn go_on(&mut self, cx: &mut Context<'_>);
}

impl Meanwhile for Incoming {
    fn go_on(&mut self, cx: &mut Context<'_>) {
        match self {
            Self::Response(body) => body.go_on(cx),
            Self::Http2(body) => body.go_on(cx),
            Self::Empty | Self::Request(_) => {}
        }
    }
}

impl Incoming {
    /// How the header names of a response were spelt, if that is known.
    pub fn spelling(&mut self) -> Option<Spelling> {
        match self {
            Self::Response(body) => body.spelling(),
            Self::Http2(body) => body.spelling(),
            Self::Empty | Self::Request(_) => None,
        }
    }

    /// The connection of a response `101 Switching Protocols`.
    pub fn into_switched(self) -> Option<Wire> {
        if let Self::Response(body) = self { body.into_switched() } else { None }
    }
}

impl std::fmt::Debug for Incoming {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Incoming").field("size", &self.size_hint()).finish()
    }
}

impl Body for Incoming {
    type Data = Bytes;
    type Error = IncomingError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, IncomingError>>> {
        let mut polled = match self.get_mut() {
            Self::Empty => Poll::Ready(None),
            Self::Request(body) => body.poll_frame(cx).map_err(Into::into),
            Self::Response(body) => body.poll_frame(cx).map_err(Into::into),
            Self::Http2(body) => body.poll_frame(cx).map_err(Into::into),
        };
        if let Poll::Ready(Some(Ok(frame))) = &mut polled
            && let Some(trailers) = frame.trailers_mut()
        {
            strip_trailers(trailers);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Request(body) => body.is_end_stream(),
            Self::Response(body) => body.is_end_stream(),
            Self::Http2(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Request(body) => body.size_hint(),
            Self::Response(body) => body.size_hint(),
            Self::Http2(body) => body.size_hint(),
        }
    }
}
