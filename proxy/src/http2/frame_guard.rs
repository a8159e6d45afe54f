//! The stream beneath an HTTP/2 server connection: sees each frame as it passes, ends a client that floods, or dribbles out a
//! head, with GOAWAY `ENHANCE_YOUR_CALM`, and tells whether the client still takes what it is sent.

use std::cell::Cell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::flood::{Flood, passed_limit};
use super::frames::{Frames, HEADER, PREFACE, kind};
use super::heads::Heads;
use super::stalls::Stalls;
use crate::turns::{REQUEST, Turns};

/// RFC 9113 section 7.
const ENHANCE_YOUR_CALM: u8 = 0xb;
/// A frame takes as long as so many bytes, whatever is in it: bulk in large frames is quick.
const FRAME: usize = REQUEST / 8;
/// What one read may bring, in bytes that take as long: frames without content would otherwise come by the thousand.
const MUCH: usize = 32 * REQUEST;
/// A read is never for less than so many bytes.
const LEAST: usize = 1024;
/// The reason that is counted for it over HTTP/1, too.
const SLOW_HEAD: &str = "timeout";
/// Last stream and error code.
const GOAWAY_PAYLOAD: usize = 8;

/// Why the guard has ended a connection.
pub type Verdict = Rc<Cell<Option<&'static str>>>;

/// A stream that carries HTTP/2 from a client.
pub struct FrameGuard<S> {
    io: S,
    received: Frames,
    sent: Frames,
    turns: Turns,
    /// Bytes that take as long as a stream's head.
    head: usize,
    /// Bytes that the next read may take.
    room: usize,
    flood: Flood,
    heads: Heads,
    stalls: Rc<Stalls>,
    verdict: Verdict,
}

impl<S: AsyncRead + AsyncWrite + Unpin> FrameGuard<S> {
    /// Guards a stream that begins with the client's preface. The heads of a stranger count for what their requests cost; who is
    /// `known` sends many at a time because many ask it, and they go on together.
    pub fn new(io: S, known: bool, flood: Flood, heads: Heads, stalls: Rc<Stalls>, verdict: Verdict) -> Self {
        Self {
            io,
            received: Frames::after(PREFACE),
            sent: Frames::default(),
            turns: Turns::default(),
            head: if known { FRAME } else { REQUEST },
            room: usize::MAX,
            flood,
            heads,
            stalls,
            verdict,
        }
    }

    /// Ends it. One attempt to say so: a client that does not even read is not waited for.
    fn end(&mut self, cx: &mut Context<'_>, reason: &'static str) -> io::Error {
        self.verdict.set(Some(reason));
        if self.sent.at_boundary() {
            let said = Pin::new(&mut self.io).poll_write(cx, &goaway(self.flood.last_stream()));
            if said.is_ready() {
                let _ = Pin::new(&mut self.io).poll_flush(cx);
            }
        }
        io::Error::new(io::ErrorKind::ConnectionAborted, reason)
    }

    fn poll_some(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.room >= buf.remaining() {
            return Pin::new(&mut self.io).poll_read(cx, buf);
        }
        let mut part = ReadBuf::new(buf.initialize_unfilled_to(self.room));
        ready!(Pin::new(&mut self.io).poll_read(cx, &mut part))?;
        let read = part.filled().len();
        buf.advance(read);
        Poll::Ready(Ok(()))
    }

    /// For what is not too much, if the next frames are like the last.
    fn make_room(&mut self, bytes: usize, cost: usize) {
        self.room = match bytes.saturating_mul(MUCH).checked_div(cost) {
            Some(room) if cost > MUCH => room.max(LEAST),
            _ => self.room.saturating_mul(2),
        };
    }

    /// Takes account of what a write did.
    fn written<'a>(&mut self, polled: &Poll<io::Result<usize>>, pieces: impl Iterator<Item = &'a [u8]>) {
        let mut left = match polled {
            Poll::Pending => return self.stalls.block(),
            Poll::Ready(Err(_)) => return,
            Poll::Ready(Ok(taken)) => *taken,
        };
        self.stalls.unblock();
        for piece in pieces {
            let piece = &piece[..left.min(piece.len())];
            left -= piece.len();
            let (flood, verdict) = (&mut self.flood, &self.verdict);
            let Ok(()) = self.sent.take(piece, |frame, payload| {
                flood.sent(frame);
                if frame.kind == kind::GOAWAY && verdict.get().is_none() {
                    verdict.set(passed_limit(payload.get(GOAWAY_PAYLOAD..).unwrap_or_default()));
                }
                Ok::<_, std::convert::Infallible>(())
            });
            if left == 0 {
                return;
            }
        }
    }
}

fn goaway(last_stream: u32) -> [u8; HEADER + GOAWAY_PAYLOAD] {
    let mut frame = [0; HEADER + GOAWAY_PAYLOAD];
    frame[2] = GOAWAY_PAYLOAD as u8;
    frame[3] = kind::GOAWAY;
    frame[HEADER..HEADER + 4].copy_from_slice(&last_stream.to_be_bytes());
    frame[HEADER + 7] = ENHANCE_YOUR_CALM;
    frame
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for FrameGuard<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.turns.poll(cx));
        let before = buf.filled().len();
        let polled = this.poll_some(cx, buf);
        if polled.is_pending() {
            this.turns.rest();
            ready!(this.heads.poll(cx));
            return Poll::Ready(Err(this.end(cx, SLOW_HEAD)));
        }
        let (flood, heads, head, mut spent) = (&mut this.flood, &mut this.heads, this.head, 0);
        let taken = this.received.take(&buf.filled()[before..], |frame, _| {
            spent += if matches!(frame.kind, kind::HEADERS | kind::CONTINUATION) { head } else { FRAME };
            heads.began(frame);
            flood.received(frame, Instant::now)
        });
        heads.read(this.received.inside_a_frame());
        this.turns.spend(spent);
        this.make_room(buf.filled().len() - before, spent);
        match taken {
            Ok(()) => polled,
            Err(reason) => {
                // A read that fails has read nothing.
                buf.set_filled(before);
                Poll::Ready(Err(this.end(cx, reason)))
            }
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for FrameGuard<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.io).poll_write(cx, buf);
        self.written(&polled, std::iter::once(buf));
        polled
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.io).poll_write_vectored(cx, bufs);
        self.written(&polled, bufs.iter().map(|piece| &**piece));
        polled
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::time::Duration;

    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

    use super::*;

    const PING: [u8; 17] = [0, 0, 8, 6, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8];
    /// Stream 5, which ends with it.
    const HEADERS: [u8; 10] = [0, 0, 1, 1, 5, 0, 0, 0, 5, 0x82];
    const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

    fn guarded() -> (DuplexStream, FrameGuard<DuplexStream>, Verdict) {
        let (client, server) = duplex(1 << 16);
        let verdict = Verdict::default();
        (
            client,
            FrameGuard::new(
                server,
                false,
                Flood::new(65_536),
                Heads::new(Some(HEAD_TIMEOUT)),
                Stalls::new(),
                verdict.clone(),
            ),
            verdict,
        )
    }

    async fn flood(client: &mut DuplexStream) {
        client.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
        client.write_all(&HEADERS).await.unwrap();
        client.write_all(&PING.repeat(1000)).await.unwrap();
    }

    /// As a worker would.
    fn run(test: impl Future<Output = ()>) {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        builder.build_local(tokio::runtime::LocalOptions::default()).unwrap().block_on(test);
    }

    #[test]
    fn a_flood_ends_with_a_goaway_that_names_the_last_stream() {
        run(async {
            let (mut client, mut guard, verdict) = guarded();
            flood(&mut client).await;
            let mut taken = Vec::new();
            let ended = guard.read_to_end(&mut taken).await;
            assert_eq!(ended.unwrap_err().to_string(), "http2_ping_flood");
            assert_eq!(verdict.get(), Some("http2_ping_flood"));
            drop(guard);
            let mut answer = Vec::new();
            client.read_to_end(&mut answer).await.unwrap();
            assert_eq!(answer, [0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0xb]);
        });
    }

    #[test]
    fn nothing_is_said_in_the_middle_of_a_frame_of_ours() {
        run(async {
            let (mut client, mut guard, verdict) = guarded();
            // DATA of 100 bytes, of which two pieces have gone.
            let pieces = [io::IoSlice::new(&[0, 0, 100, 0, 0, 0, 0, 0, 5]), io::IoSlice::new(b"the begin")];
            assert_eq!(guard.write_vectored(&pieces).await.unwrap(), 18);
            flood(&mut client).await;
            guard.read_to_end(&mut Vec::new()).await.unwrap_err();
            assert!(verdict.get().is_some());
            drop(guard);
            let mut answer = Vec::new();
            client.read_to_end(&mut answer).await.unwrap();
            assert_eq!(answer.len(), 18);
        });
    }

    #[test]
    fn after_a_read_that_brought_thousands_of_frames_the_next_brings_few() {
        run(async {
            // DATA of one byte, on stream 5.
            const TINY: [u8; 10] = [0, 0, 1, 0, 0, 0, 0, 0, 5, b'x'];
            let (mut client, mut guard, _) = guarded();
            client.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
            client.write_all(&HEADERS).await.unwrap();
            client.write_all(&TINY.repeat(6000)).await.unwrap();
            let mut buffer = vec![0; 40_000];
            assert_eq!(guard.read(&mut buffer).await.unwrap(), 40_000);
            let next = guard.read(&mut buffer).await.unwrap();
            assert!(next <= LEAST.max(MUCH / FRAME * TINY.len()), "{next} bytes");
            let mut rest = Vec::new();
            client.shutdown().await.unwrap();
            guard.read_to_end(&mut rest).await.unwrap();
            assert_eq!(40_000 + next + rest.len(), 24 + HEADERS.len() + 6000 * TINY.len());
        });
    }

    /// What `sent` ends with, a piece of so many bytes every second, and when.
    async fn dripped(sent: &[u8], piece: usize) -> (Option<&'static str>, Duration) {
        let (mut client, mut guard, verdict) = guarded();
        client.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
        let started = tokio::time::Instant::now();
        let dripping = async {
            for piece in sent.chunks(piece) {
                tokio::time::sleep(Duration::from_secs(1)).await;
                if client.write_all(piece).await.is_err() {
                    return;
                }
            }
            client.shutdown().await.unwrap();
        };
        let reading = async {
            let _ = guard.read_to_end(&mut Vec::new()).await;
            drop(guard);
            started.elapsed()
        };
        let ((), took) = tokio::join!(dripping, reading);
        (verdict.get(), took)
    }

    #[test]
    fn a_head_that_is_dribbled_out_is_given_up_wherever_its_bytes_are_and_a_body_is_not() {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        let runtime = builder.enable_all().start_paused(true).build_local(tokio::runtime::LocalOptions::default());
        runtime.unwrap().block_on(async {
            // One long frame, and many that never say that they were the last.
            let long = [&[0, 0, 100, 1, 5, 0, 0, 0, 5][..], &[0x82; 100]].concat();
            let many = [&[0, 0, 0, 1, 1, 0, 0, 0, 5][..], &[0, 0, 0, 9, 0, 0, 0, 0, 5].repeat(10)].concat();
            for head in [long, many] {
                let (verdict, took) = dripped(&head, 1).await;
                assert_eq!(verdict, Some(SLOW_HEAD));
                // From the ninth byte on, with which the frame has begun.
                assert!(took.abs_diff(HEAD_TIMEOUT + Duration::from_secs(9)) <= Duration::from_secs(1), "{took:?}");
            }
            let body = [&HEADERS[..], &[0, 0, 100, 0, 1, 0, 0, 0, 5], &[b'x'; 100]].concat();
            assert_eq!(dripped(&body, 1).await.0, None);
            // Each read ends inside a head, but inside another one.
            let heads = [&[0, 0, 100, 1, 5, 0, 0, 0, 5][..], &[0x82; 100]].concat().repeat(30);
            assert_eq!(dripped(&heads, 108).await.0, None);
        });
    }

    #[tokio::test]
    async fn what_passes_is_unchanged() {
        let (mut client, mut guard, _) = guarded();
        let sent = [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".as_slice(), &HEADERS, &PING].concat();
        client.write_all(&sent).await.unwrap();
        client.shutdown().await.unwrap();
        let mut taken = Vec::new();
        guard.read_to_end(&mut taken).await.unwrap();
        assert_eq!(taken, sent);
    }
}
