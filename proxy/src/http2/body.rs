//! A body that arrives over HTTP/2: a request's on our server side, a response's on our client side.

use std::collections::VecDeque;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use h2::RecvStream;
use http::HeaderMap;
use http::header::CONTENT_LENGTH;
use http_body::{Frame, SizeHint};

use super::sending::Sending;
use crate::http::body::RequestBody;
use crate::http1::spelling::Spelling;

/// A frame of fewer bytes is gathered with others while nobody takes it: h2 holds some hundred bytes besides for each, ends a
/// connection that has thousands of them unread, and each keeps the buffer alive that it was read into.
const SMALL: usize = 4096;
/// Bytes that are gathered into one: those of a frame.
const PIECE: usize = 16 * 1024;
/// What small frames may count for while a message waits for the other side and none is gathered: 16,000 frames of one byte,
/// of which h2 counts each as 256.
pub const UNREAD_BUDGET: usize = 16_000 * 256;

/// The frames of one stream; a response goes on sending its request's body, if it came before that one's end.
pub struct Body {
    stream: RecvStream,
    length: Option<u64>,
    data_ended: bool,
    /// Bytes taken from h2 before anybody asked. The windows bound them.
    held: usize,
    /// The first piece of them; without it there is none.
    next: Option<Result<Bytes, h2::Error>>,
    /// Those behind it.
    ahead: VecDeque<Result<Bytes, h2::Error>>,
    /// The last one, while small frames come.
    gathered: BytesMut,
    upload: Option<Sending<RequestBody>>,
    spelling: Option<Spelling>,
}

impl Body {
    /// Of a message with these headers.
    pub fn new(stream: RecvStream, headers: &HeaderMap, upload: Option<Sending<RequestBody>>) -> Self {
        let length = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
        let (ahead, gathered) = (VecDeque::new(), BytesMut::new());
        Self { stream, length, data_ended: false, held: 0, next: None, ahead, gathered, upload, spelling: None }
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
        self.send_upload(cx);
        match ready!(self.poll_data(cx)) {
            Some(Ok(data)) => {
                // It fails only for more than was received.
                let _ = self.stream.flow_control().release_capacity(data.len());
                if let Some(length) = &mut self.length {
                    *length = length.saturating_sub(data.len() as u64);
                }
                Poll::Ready(Some(Ok(Frame::data(data))))
            }
            Some(Err(error)) => Poll::Ready(Some(Err(error))),
            None => {
                let trailers = ready!(self.stream.poll_trailers(cx));
                Poll::Ready(trailers.map(|trailers| trailers.map(Frame::trailers)).transpose())
            }
        }
    }

    /// Goes on with the upload, and takes over what h2 holds, gathering what is small. It is not released to the peer's windows.
    pub fn go_on(&mut self, cx: &mut Context<'_>) {
        self.send_upload(cx);
        while let Poll::Ready(Some(taken)) = self.poll_stream(cx) {
            let bytes = taken.as_ref().map_or(0, Bytes::len);
            self.held += bytes;
            if self.gathered.len() + bytes > PIECE || bytes >= SMALL || taken.is_err() {
                let piece = self.end_piece();
                self.ahead.extend(piece);
            }
            match taken {
                // Most often nothing comes behind it.
                taken if self.next.is_none() => self.next = Some(taken),
                Ok(data) if bytes < SMALL => self.gathered.extend_from_slice(&data),
                taken => self.ahead.push_back(taken),
            }
        }
    }

    fn end_piece(&mut self) -> Option<Result<Bytes, h2::Error>> {
        (!self.gathered.is_empty()).then(|| Ok(std::mem::take(&mut self.gathered).freeze()))
    }

    fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, h2::Error>>> {
        let Some(taken) = self.next.take() else { return self.poll_stream(cx) };
        self.next = self.ahead.pop_front().or_else(|| self.end_piece());
        self.held -= taken.as_ref().map_or(0, Bytes::len);
        Poll::Ready(Some(taken))
    }

    fn poll_stream(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, h2::Error>>> {
        if self.data_ended {
            return Poll::Ready(None);
        }
        let polled = ready!(self.stream.poll_data(cx));
        self.data_ended = polled.as_ref().is_none_or(Result::is_err);
        Poll::Ready(polled)
    }

    fn send_upload(&mut self, cx: &mut Context<'_>) {
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
        self.next.is_none() && self.stream.is_end_stream()
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

impl Drop for Body {
    fn drop(&mut self) {
        // h2 would give the connection's window back only when the other direction ends, too.
        let _ = self.stream.flow_control().release_capacity(self.held);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::future::poll_fn;

    use h2::Reason;
    use http::{Request, Response};

    use super::*;

    /// Ends with trailers.
    async fn answer(frames: Vec<&'static [u8]>) -> Body {
        let (near, far) = tokio::io::duplex(1 << 20);
        tokio::spawn(async move {
            let mut connection = h2::server::handshake(far).await.unwrap();
            let (_, mut respond) = connection.accept().await.unwrap().unwrap();
            let mut stream = respond.send_response(Response::new(()), false).unwrap();
            for frame in frames {
                stream.send_data(Bytes::from_static(frame), false).unwrap();
            }
            stream.send_trailers(HeaderMap::new()).unwrap();
            let _ = poll_fn(|cx| connection.poll_closed(cx)).await;
        });
        let handshake = h2::client::Builder::new().data_frame_budget(UNREAD_BUDGET).handshake::<_, Bytes>(near);
        let (sender, connection) = handshake.await.unwrap();
        tokio::spawn(connection);
        let (response, _) = sender.ready().await.unwrap().send_request(Request::new(()), true).unwrap();
        Body::new(response.await.unwrap().into_body(), &HeaderMap::new(), None)
    }

    /// All that comes, while nobody takes it.
    async fn take_over(body: &mut Body) {
        while !body.data_ended {
            poll_fn(|cx| {
                body.go_on(cx);
                Poll::Ready(())
            })
            .await;
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn frames_that_nobody_takes_are_gathered_where_they_are_small_and_nothing_changes_its_place() {
        const LARGE: &[u8] = &[b'x'; SMALL];
        let small = || vec![b"small".as_slice(); 4000];
        let mut body = answer([small(), vec![LARGE], small(), vec![b"last"]].concat()).await;
        take_over(&mut body).await;
        let mut pieces = Vec::new();
        loop {
            assert!(!body.is_end_stream());
            match poll_fn(|cx| body.poll_frame(cx)).await.unwrap().unwrap().into_data() {
                Ok(data) => pieces.push(data),
                Err(trailers) => break assert!(trailers.is_trailers()),
            }
        }
        let small = b"small".repeat(4000);
        assert_eq!(pieces.concat(), [&small, LARGE, &small, b"last"].concat());
        assert!(pieces.len() == 6 && pieces.iter().all(|piece| piece.len() <= PIECE), "{} pieces", pieces.len());
    }

    #[tokio::test]
    async fn what_was_gathered_and_is_not_wanted_gives_its_window_back() {
        let mut body = answer(vec![b"small"; 1000]).await;
        take_over(&mut body).await;
        let flow_control = body.stream.flow_control().clone();
        assert_eq!(flow_control.used_capacity(), 5000);
        drop(body);
        assert_eq!(flow_control.used_capacity(), 0);
    }

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
