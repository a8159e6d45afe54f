//! A body on its way out over HTTP/2, driven by the task of its request: a piece is asked for when there is a window for it.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use h2::{Reason, SendStream};
use http_body::Body;

use crate::http::incoming::Meanwhile;

/// A body and its stream.
pub struct Sending<B> {
    body: B,
    stream: SendStream<Bytes>,
    blocked: bool,
}

impl<B: Body<Data = Bytes> + Meanwhile + Unpin> Sending<B> {
    /// Of a stream whose head has gone without END_STREAM.
    pub fn new(body: B, stream: SendStream<Bytes>) -> Self {
        Self { body, stream, blocked: false }
    }

    /// Whether the peer gives no window for what there may be to send.
    pub fn is_blocked(&self) -> bool {
        self.blocked
    }

    /// Sends to the end. A peer that wants no more is no error here: its reset is met by whoever awaits its answer.
    ///
    /// # Errors
    /// Those of the body; the stream is to be [reset](Self::reset) then.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), B::Error>> {
        loop {
            self.stream.reserve_capacity(1);
            while self.stream.capacity() == 0 {
                self.blocked = true;
                match self.stream.poll_capacity(cx) {
                    Poll::Pending => {
                        self.body.go_on(cx);
                        return Poll::Pending;
                    }
                    Poll::Ready(Some(Ok(_))) => {}
                    Poll::Ready(Some(Err(_)) | None) => return Poll::Ready(Ok(())),
                }
            }
            self.blocked = false;
            let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) else {
                return self.stream.poll_reset(cx).map(|_| Ok(()));
            };
            match frame {
                Some(Ok(frame)) => {
                    if self.send(frame) {
                        return Poll::Ready(Ok(()));
                    }
                }
                Some(Err(error)) => return Poll::Ready(Err(error)),
                None => {
                    let _ = self.stream.send_data(Bytes::new(), true);
                    return Poll::Ready(Ok(()));
                }
            }
        }
    }

    /// Tells the peer that the body is not whole. What of it has not been written yet is not sent either.
    pub fn reset(&mut self) {
        self.stream.send_reset(Reason::INTERNAL_ERROR);
    }

    /// Whether that was all. What a stream that is gone refuses is nobody's.
    fn send(&mut self, frame: http_body::Frame<Bytes>) -> bool {
        match frame.into_data() {
            Ok(data) => {
                let last = self.body.is_end_stream();
                self.stream.send_data(data, last).is_err() || last
            }
            Err(frame) => {
                if let Ok(trailers) = frame.into_trailers() {
                    let _ = self.stream.send_trailers(trailers);
                }
                true
            }
        }
    }
}
