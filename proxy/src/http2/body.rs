//! A body that arrives over HTTP/2: a request's on our server side, a response's on our client side.

use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::RecvStream;
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
        self.go_on(cx);
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
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => self.data_ended = true,
            }
        }
        let trailers = ready!(self.stream.poll_trailers(cx));
        Poll::Ready(trailers.map(|trailers| trailers.map(Frame::trailers)).transpose())
    }

    /// Goes on with the upload.
    pub fn go_on(&mut self, cx: &mut Context<'_>) {
        if let Some(upload) = &mut self.upload
            && let Poll::Ready(sent) = upload.poll(cx)
        {
            if sent.is_err() {
                upload.reset();
            }
            self.upload = None;
        }
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::future::poll_fn;

    use bytes::Bytes;
    use h2::Reason;
    use http::{HeaderMap, Request, Response};

    use super::Body;

    /// What comes of a response of which "half" has come when its stream is reset.
    async fn after_reset(reason: Reason) -> (Bytes, Option<Reason>) {
        let (near, far) = tokio::io::duplex(1 << 16);
        tokio::spawn(async move {
            let mut connection = h2::server::handshake(far).await.unwrap();
            let (_, mut respond) = connection.accept().await.unwrap().unwrap();
            let mut stream = respond.send_response(Response::new(()), false).unwrap();
            stream.send_data(Bytes::from_static(b"half"), false).unwrap();
            // What was queued leaves before the reset.
            for _ in 0..10 {
                let _ = futures::poll!(std::pin::pin!(poll_fn(|cx| connection.poll_closed(cx))));
                tokio::task::yield_now().await;
            }
            stream.send_reset(reason);
            let _ = poll_fn(|cx| connection.poll_closed(cx)).await;
        });
        let (sender, connection) = h2::client::handshake(near).await.unwrap();
        tokio::spawn(connection);
        let (response, _) = sender.ready().await.unwrap().send_request(Request::new(()), true).unwrap();
        let mut body = Body::new(response.await.unwrap().into_body(), &HeaderMap::new(), None);
        let first = poll_fn(|cx| body.poll_frame(cx)).await.unwrap().unwrap().into_data().unwrap();
        let end = poll_fn(|cx| body.poll_frame(cx)).await;
        (first, end.and_then(Result::err).and_then(|error| error.reason()))
    }

    #[tokio::test]
    async fn a_body_that_is_reset_is_not_whole_whatever_the_reason() {
        for reason in [Reason::NO_ERROR, Reason::CANCEL, Reason::INTERNAL_ERROR] {
            assert_eq!(after_reset(reason).await, (Bytes::from_static(b"half"), Some(reason)));
        }
    }
}
