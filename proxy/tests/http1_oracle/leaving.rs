//! Messages that leave through our writer: the lines of their heads, their bodies in pieces, and the bytes that come of
//! them.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::poll_fn;
use std::ops::Range;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::pin::Pin;
use std::sync::LazyLock;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use http::header::{CONNECTION, CONTENT_LENGTH, DATE, HOST, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderName, HeaderValue};
use http_body::{Body, Frame, SizeHint};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proxy::http::incoming::Meanwhile;
use proxy::http1::framing::Framing;
use proxy::http1::outgoing::Outgoing;
use proxy::http1::spelling::Spelling;
use proxy::http1::wire::Wire;
use proxy::io::Io;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

use crate::{Fields, fields};

const LONGEST: usize = 30_000;
/// After so many bytes they repeat themselves.
const PERIOD: usize = 251;

/// Data is a part of this, in which bytes that are lost, swapped or sent twice show.
static DATA: LazyLock<Bytes> = LazyLock::new(|| (0..LONGEST).map(|at| (at % PERIOD) as u8).collect());

#[derive(Debug, Clone)]
enum Piece {
    /// There is nothing at the moment.
    Wait,
    Data(Range<usize>),
    Trailers(HeaderMap),
}

/// A body on its way to the writer.
#[derive(Debug, Clone)]
pub struct Leaving {
    pieces: VecDeque<Piece>,
    /// Its length is known ahead.
    sized: bool,
    /// It says that it is over before it is asked for more.
    foresees: bool,
}

impl Leaving {
    /// All of its data.
    pub fn data(&self) -> Vec<u8> {
        let parts = self.pieces.iter().map(|piece| match piece {
            Piece::Data(range) => &DATA[range.clone()],
            Piece::Wait | Piece::Trailers(_) => &[],
        });
        parts.collect::<Vec<_>>().concat()
    }

    pub fn trailers(&self) -> Fields {
        match self.pieces.back() {
            Some(Piece::Trailers(trailers)) => fields(trailers),
            _ => Fields::new(),
        }
    }
}

impl Body for Leaving {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(match self.pieces.pop_front() {
            Some(Piece::Wait) => {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            Some(Piece::Data(range)) => Some(Ok(Frame::data(DATA.slice(range)))),
            Some(Piece::Trailers(trailers)) => Some(Ok(Frame::trailers(trailers))),
            None => None,
        })
    }

    fn is_end_stream(&self) -> bool {
        self.foresees && self.pieces.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        if self.sized { SizeHint::with_exact(self.data().len() as u64) } else { SizeHint::default() }
    }
}

impl Meanwhile for Leaving {
    fn go_on(&mut self, _: &mut Context<'_>) {}
}

/// Short pieces and long ones: the writer copies the former, and hands the latter on as they are.
pub fn bodies() -> impl Strategy<Value = Leaving> {
    let length = prop_oneof![1 => Just(0), 8 => 1..40_usize, 2 => 4090..4100_usize, 1 => 0..LONGEST - PERIOD];
    let data = (0..PERIOD, length).prop_map(|(from, length)| Piece::Data(from..from + length));
    let piece = prop_oneof![1 => Just(Piece::Wait), 4 => data];
    let pieces = prop_oneof![1 => Just(Vec::new()), 3 => vec(piece, 1..24)];
    let trailers = vec(line(), 0..4).prop_map(|lines| Piece::Trailers(lines.into_iter().collect()));
    (pieces, proptest::option::of(trailers), any::<bool>(), any::<bool>()).prop_map(
        |(pieces, trailers, sized, foresees)| Leaving {
            pieces: pieces.into_iter().chain(trailers).collect(),
            sized,
            foresees,
        },
    )
}

type Line = (HeaderName, HeaderValue);

/// A line that goes through as it is.
fn line() -> impl Strategy<Value = Line> {
    let often = select(&["accept", "cookie", "set-cookie", "te", "x-a"][..]).prop_map(HeaderName::from_static);
    let seldom = vec(select(&b"abyz0189!#$%&'*+-.^_`|~"[..]), 1..12)
        .prop_map(|rest| HeaderName::from_bytes(&[b"x", &rest[..]].concat()).unwrap());
    let value = vec(any::<u8>(), 0..24).prop_map(|mut bytes| {
        bytes.retain(|byte| (*byte >= b' ' && *byte != 0x7f) || *byte == b'\t');
        // Spaces around a value are none of it.
        HeaderValue::from_bytes(bytes.trim_ascii()).unwrap()
    });
    (prop_oneof![often, seldom], value)
}

/// A line that the writer may replace.
fn judged(name: HeaderName, values: &'static [&'static str]) -> impl Strategy<Value = Option<Line>> {
    let line = select(values).prop_map(move |value| (name.clone(), HeaderValue::from_static(value)));
    proptest::option::of(line)
}

/// The headers of a message as they came, or as the pipeline made them: what they say of the framing need not be true.
pub fn heads() -> impl Strategy<Value = HeaderMap> {
    let judged = (
        judged(HOST, &["a", "b:80"]),
        judged(DATE, &["Sun, 06 Nov 1994 08:49:37 GMT", "one day"]),
        judged(CONTENT_LENGTH, &["0", "7"]),
        judged(TRANSFER_ENCODING, &["chunked", "gzip"]),
        judged(CONNECTION, &["close", "keep-alive", "upgrade"]),
    );
    let lines = (vec(line(), 0..6), judged).prop_map(|(mut lines, (host, date, length, coding, connection))| {
        lines.extend([host, date, length, coding, connection].into_iter().flatten());
        lines
    });
    lines.prop_shuffle().prop_map(|lines| lines.into_iter().collect())
}

/// Those headers that the writer does not say itself.
pub fn through(head: &HeaderMap, connection: bool) -> Fields {
    let mut fields = fields(head);
    fields.retain(|(name, _)| match name.as_str() {
        "content-length" | "transfer-encoding" => false,
        "connection" => connection,
        _ => true,
    });
    fields
}

/// As if so many of the names had come in capitals.
pub fn spelling(head: &HeaderMap, capitals: usize) -> Option<Spelling> {
    let names: Vec<_> = head.keys().take(capitals).map(|name| name.as_str().to_ascii_uppercase()).collect();
    (!names.is_empty()).then(|| Spelling::of_list(names.join(",").into()))
}

/// Sends a message as both of our ends do.
pub async fn send(wire: &RefCell<Wire>, head: impl FnOnce(&mut BytesMut) -> Framing, body: &Leaving, trailers: bool) {
    let mut framing = Framing::None;
    wire.borrow_mut().write(|out| framing = head(out));
    let mut outgoing = Outgoing::new(body.clone(), framing, trailers);
    poll_fn(|cx| outgoing.poll_send(wire, cx)).await.unwrap();
}

/// What a peer receives of each of the messages, which share a connection; a `narrow` one takes few bytes at a time.
pub fn sent<M>(narrow: bool, messages: &[M], write: impl AsyncFn(&M, &RefCell<Wire>)) -> Vec<Vec<u8>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
    let (mut received, mut ends) = (Vec::new(), Vec::new());
    runtime.block_on(async {
        let (io, mut peer) = sockets(narrow);
        let (wire, ends) = (RefCell::new(Wire::new(io)), &mut ends);
        let writing = async move {
            for message in messages {
                write(message, &wire).await;
                ends.push(usize::try_from(wire.borrow().written()).unwrap());
            }
        };
        let ((), read) = tokio::join!(writing, peer.read_to_end(&mut received));
        read.unwrap();
    });
    let mut from = 0;
    ends.into_iter().map(|end| received[std::mem::replace(&mut from, end)..end].to_vec()).collect()
}

/// Sockets of the machine's own do for those of TCP, and leave no ports behind, of which a long search runs out.
fn sockets(narrow: bool) -> (Io, tokio::net::UnixStream) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    ours.set_nonblocking(true).unwrap();
    theirs.set_nonblocking(true).unwrap();
    if narrow {
        // The kernel makes it the least that it allows.
        socket2::SockRef::from(&ours).set_send_buffer_size(1).unwrap();
    }
    let ours = TcpStream::from_std(OwnedFd::from(ours).into()).unwrap();
    (Io::plain(ours), tokio::net::UnixStream::from_std(theirs).unwrap())
}
