//! A body that arrives over HTTP/2: a request's on our server side, a response's on our client side.

use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::{Reason, RecvStream};
use http::HeaderMap;
use http::header::CONTENT_LENGTH;
use http_body::{Frame, SizeHint};

use super::sending::Sending;
use crate::http::body::RequestBody;
use crate::http1::spelling::Spelling;

/// The frames of one stream; a response goes on sending its request's body, if it came before that one's end.
pub struct Body {
    stream: RecvStream,
    length: Option<u64>,
    data_ended: bool,
    upload: Option<Sending<RequestBody>>,
    spelling: Option<Spelling>,
}

impl Body {
    /// Of a message with these headers.
    pub fn new(stream: RecvStream, headers: &HeaderMap, upload: Option<Sending<RequestBody>>) -> Self {
        let length = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
        Self { stream, length, data_ended: false, upload, spelling: None }
    }

    /// With what is known of how the names of its head were spelt.
    pub fn spelt(mut self, spelling: Option<Spelling>) -> Self {
        self.spelling = spelling;
        self
    }

    /// How the names of the head were spelt.
    pub fn spelling(&mut self) -> Option<Spelling> {
        self.spelling.take()
    }

    /// The next piece.
    pub fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, h2::Error>>> {
        if let Some(upload) = &mut self.upload
            && let Poll::Ready(sent) = upload.poll(cx)
        {
            if sent.is_err() {
                upload.reset();
            }
            self.upload = None;
        }
        if !self.data_ended {
            match ready!(self.stream.poll_data(cx)) {
                Some(Ok(data)) => {
                    // It fails only for more than was received.
                    let _ = self.stream.flow_control().release_capacity(data.len());
                    if let Some(length) = &mut self.length {
                        *length = length.saturating_sub(data.len() as u64);
                    }
                    return Poll::Ready(Some(Ok(Frame::data(data))));
                }
                Some(Err(error)) => return Poll::Ready(failed(error)),
                None => self.data_ended = true,
            }
        }
        Poll::Ready(match ready!(self.stream.poll_trailers(cx)) {
            Ok(trailers) => trailers.map(|trailers| Ok(Frame::trailers(trailers))),
            Err(error) => failed(error),
        })
    }

    /// Whether there is nothing more.
    pub fn is_end_stream(&self) -> bool {
        self.stream.is_end_stream()
    }

    /// What is known of the length of what is still to come.
    pub fn size_hint(&self) -> SizeHint {
        match self.length {
            _ if self.is_end_stream() => SizeHint::with_exact(0),
            Some(length) => SizeHint::with_exact(length),
            None => SizeHint::default(),
        }
    }
}

/// A peer that has said all may ask us not to go on (RFC 9113, section 8.1): that is no failure.
fn failed(error: h2::Error) -> Option<Result<Frame<Bytes>, h2::Error>> {
    if error.is_reset() && error.reason() == Some(Reason::NO_ERROR) { None } else { Some(Err(error)) }
}
