//! Our HTTP/1 codec against hyper's: whatever ours takes for requests, hyper reads as the same requests. Ours may refuse more.
//!
//! `PROPTEST_CASES=1000000 cargo test --release -p proxy --test http1_oracle` searches for longer.
#![allow(clippy::unwrap_used)]

use std::cell::RefCell;
use std::convert::Infallible;
use std::rc::Rc;

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Empty};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use proptest::prelude::*;
use proxy::http1::chunked::{Chunked, Step};
use proxy::http1::framing::Framing;
use proxy::http1::head::{self, Limits, Progress};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const LIMITS: Limits = Limits { bytes: 64 * 1024, headers: 100 };

/// What matters about a request: method, target, names and values, body.
type Seen = (String, String, Vec<(String, Vec<u8>)>, Vec<u8>);

/// The requests that our codec takes whole, up to the first that it refuses or that is cut off.
fn ours(bytes: &[u8]) -> Vec<Seen> {
    let mut input = BytesMut::from(bytes);
    let mut all = Vec::new();
    while let Ok(Some(head)) = head::request(&mut input, &mut Progress::default(), LIMITS) {
        let Some(body) = body(&mut input, head.framing) else { break };
        let parts = head.parts;
        let target = parts.uri.path_and_query().map_or_else(|| parts.uri.to_string(), ToString::to_string);
        all.push((parts.method.to_string(), target, fields(&parts.headers), body));
        if !head.keep_alive {
            break;
        }
    }
    all
}

fn body(input: &mut BytesMut, framing: Framing) -> Option<Vec<u8>> {
    match framing {
        Framing::None | Framing::UntilClose => Some(Vec::new()),
        Framing::Length(length) => {
            let length = usize::try_from(length).ok().filter(|length| *length <= input.len())?;
            Some(input.split_to(length).to_vec())
        }
        Framing::Chunked => {
            let (mut chunked, mut whole) = (Chunked::default(), Vec::new());
            loop {
                match chunked.next(input).ok()? {
                    Step::More => return None,
                    Step::Data(data) => whole.extend_from_slice(&data),
                    Step::End(_) => return Some(whole),
                }
            }
        }
    }
}

fn fields(headers: &http::HeaderMap) -> Vec<(String, Vec<u8>)> {
    let mut all: Vec<_> =
        headers.iter().map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec())).collect();
    all.sort();
    all
}

/// The requests that hyper serves.
fn hyper_reads(bytes: &[u8]) -> Vec<Seen> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let seen = Rc::new(RefCell::new(Vec::new()));
    let bytes = bytes.to_vec();
    runtime.block_on(async {
        let (client, server) = tokio::io::duplex(1 << 20);
        let (mut answers, mut requests) = tokio::io::split(client);
        let service = service_fn(|request: http::Request<hyper::body::Incoming>| {
            let seen = seen.clone();
            async move {
                let (parts, body) = request.into_parts();
                if let Ok(body) = body.collect().await {
                    let target = parts.uri.path_and_query().map_or_else(|| parts.uri.to_string(), ToString::to_string);
                    let body = body.to_bytes().to_vec();
                    seen.borrow_mut().push((parts.method.to_string(), target, fields(&parts.headers), body));
                }
                Ok::<_, Infallible>(http::Response::new(Empty::<Bytes>::new()))
            }
        });
        let serving =
            hyper::server::conn::http1::Builder::new().half_close(true).serve_connection(TokioIo::new(server), service);
        let writing = async {
            requests.write_all(&bytes).await.unwrap();
            requests.shutdown().await.unwrap();
        };
        let mut all = Vec::new();
        let (_, (), _) = tokio::join!(serving, writing, answers.read_to_end(&mut all));
    });
    seen.take()
}

const SEEDS: [&str; 9] = [
    "GET / HTTP/1.1\r\nHost: a\r\n\r\nGET /two?x=1 HTTP/1.1\r\nHost: a\r\nAccept: */*\r\n\r\n",
    "POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhelloGET /2 HTTP/1.1\r\nhost: b\r\n\r\n",
    "POST /c HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\nGET /3 HTTP/1.1\r\nHost: c\r\n\r\n",
    "PUT /c HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3;a=b\r\nabc\r\n00A\r\n0123456789\r\n0\r\nx-t: 1\r\n\r\n",
    "GET http://a/x HTTP/1.1\r\nHost: a\r\nX: \t y \r\n\r\n",
    "OPTIONS * HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
    "\r\nGET /1 HTTP/1.1\r\nhost: a\r\nx: 1\r\nx: 2\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /evil HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\nGET /2 HTTP/1.0\r\nHost: a\r\n\r\n",
];

const PIECES: [&str; 26] = [
    "\r",
    "\n",
    "\r\n",
    " ",
    "\t",
    "\0",
    ":",
    ";",
    ",",
    "0",
    "1",
    "-",
    "+",
    "x",
    "chunked",
    "#",
    "%00",
    "\x7f",
    "\u{e9}",
    "Content-Length: 3\r\n",
    "Transfer-Encoding: chunked\r\n",
    "Transfer-Encoding: identity\r\n",
    "Host: b\r\n",
    "HTTP/1.1",
    "f",
    "\x0b",
];

#[derive(Debug, Clone)]
enum Mutation {
    Insert(usize, usize),
    Remove(usize, usize),
    Set(usize, u8),
}

fn mutated(seed: &str, mutations: &[Mutation]) -> Vec<u8> {
    let mut bytes = seed.as_bytes().to_vec();
    for mutation in mutations {
        let at = |index: usize| index % bytes.len().max(1);
        match *mutation {
            Mutation::Insert(index, piece) => {
                let index = at(index);
                bytes.splice(index..index, PIECES[piece].bytes());
            }
            Mutation::Remove(index, length) => {
                let index = at(index);
                bytes.drain(index..bytes.len().min(index + length));
            }
            Mutation::Set(index, byte) if !bytes.is_empty() => {
                let index = at(index);
                bytes[index] = byte;
            }
            Mutation::Set(..) => {}
        }
    }
    bytes
}

fn mutation() -> impl Strategy<Value = Mutation> {
    prop_oneof![
        3 => (any::<usize>(), 0..PIECES.len()).prop_map(|(at, piece)| Mutation::Insert(at, piece)),
        1 => (any::<usize>(), 1..8_usize).prop_map(|(at, length)| Mutation::Remove(at, length)),
        1 => (any::<usize>(), any::<u8>()).prop_map(|(at, byte)| Mutation::Set(at, byte)),
    ]
}

#[test]
fn both_read_what_is_well_formed() {
    for seed in &SEEDS[..6] {
        let (ours, theirs) = (ours(seed.as_bytes()), hyper_reads(seed.as_bytes()));
        assert!(!ours.is_empty(), "{seed:?} is refused");
        assert_eq!(ours, theirs, "{seed:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_ours_takes_hyper_reads_alike(seed in 0..SEEDS.len(), mutations in proptest::collection::vec(mutation(), 0..5)) {
        let bytes = mutated(SEEDS[seed], &mutations);
        let (ours, theirs) = (ours(&bytes), hyper_reads(&bytes));
        prop_assert!(
            theirs.starts_with(&ours),
            "{:?}\nours: {ours:?}\nhyper: {theirs:?}",
            String::from_utf8_lossy(&bytes)
        );
    }
}
