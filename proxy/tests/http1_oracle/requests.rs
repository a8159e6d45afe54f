//! Requests, one after another on a connection, as hyper's server serves them.

use std::cell::RefCell;
use std::convert::Infallible;

use bytes::Bytes;
use http::{Method, Uri};
use http_body_util::Empty;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use proptest::prelude::*;
use proxy::http1::head::{self, Progress};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::arriving::{Arriving, cuts, read};
use crate::mutation::{mutated, mutations};
use crate::{End, LIMITS, Seen, fields, searching, seen};

/// The requests that our codec takes whole, and why there are no more.
fn ours(mut wire: Arriving<'_>) -> (Vec<Seen>, End) {
    let mut all = Vec::new();
    loop {
        match next(&mut wire) {
            Ok((seen, keep_alive)) => {
                all.push(seen);
                if !keep_alive {
                    return (all, End::Last);
                }
            }
            Err(end) => return (all, end),
        }
    }
}

fn next(wire: &mut Arriving<'_>) -> Result<(Seen, bool), End> {
    let mut progress = Progress::default();
    let head = loop {
        match head::request(&mut wire.input, &mut progress, LIMITS).map_err(End::Head)? {
            Some(head) => break head,
            None if wire.more() => {}
            None => return Err(End::Over),
        }
    };
    let (body, trailers) = wire.body(head.framing)?;
    let line = line(&head.parts.method, &head.parts.uri);
    Ok((Seen { line, headers: fields(&head.parts.headers), body, trailers }, head.keep_alive))
}

fn line(method: &Method, uri: &Uri) -> String {
    let target = uri.path_and_query().map_or_else(|| uri.to_string(), ToString::to_string);
    format!("{method} {target}")
}

/// The requests that hyper serves.
pub fn hyper_reads(bytes: &[u8]) -> Vec<Seen> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let all = RefCell::new(Vec::new());
    runtime.block_on(async {
        let (client, server) = tokio::io::duplex(1 << 20);
        let (mut answers, mut requests) = tokio::io::split(client);
        let service = service_fn(async |request: http::Request<hyper::body::Incoming>| {
            let (parts, body) = request.into_parts();
            let read = seen(line(&parts.method, &parts.uri), parts.headers, body).await;
            all.borrow_mut().extend(read);
            Ok::<_, Infallible>(http::Response::new(Empty::<Bytes>::new()))
        });
        let serving =
            hyper::server::conn::http1::Builder::new().half_close(true).serve_connection(TokioIo::new(server), service);
        let writing = async {
            requests.write_all(bytes).await.unwrap();
            requests.shutdown().await.unwrap();
        };
        let mut said = Vec::new();
        let (_, (), _) = tokio::join!(serving, writing, answers.read_to_end(&mut said));
    });
    all.into_inner()
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

#[test]
fn both_read_what_is_well_formed() {
    for seed in &SEEDS[..6] {
        let ((ours, _), theirs) = (ours(Arriving::whole(seed.as_bytes())), hyper_reads(seed.as_bytes()));
        assert!(!ours.is_empty(), "{seed:?} is refused");
        assert_eq!(ours, theirs, "{seed:?}");
    }
}

/// At a limit it shows most easily that two ways of reading differ.
#[test]
fn what_is_as_long_as_it_may_be_is_read_alike_in_pieces() {
    type Message = fn(&str, &str) -> String;
    let chunked = "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1";
    let limits: [(usize, Message); 3] = [
        (16 + 256, |chunked, long| format!("{chunked};{long}\r\nx\r\n0\r\n\r\n")),
        (16 * 1024, |chunked, long| format!("{chunked}\r\nx\r\n0\r\nx: {long}\r\n\r\n")),
        (LIMITS.bytes, |_, long| format!("GET / HTTP/1.1\r\nx: {long}\r\n\r\n")),
    ];
    for (limit, message) in limits {
        let all = (limit - 40..limit + 4).map(|length| message(chunked, &"x".repeat(length)));
        let ours: Vec<_> = all.map(|message| read(message.as_bytes(), &[], ours).unwrap().0.len()).collect();
        assert!(ours.is_sorted_by(|shorter, longer| shorter >= longer), "{limit}: {ours:?}");
        assert_eq!((ours.first(), ours.last()), (Some(&1), Some(&0)), "{limit} is no limit");
    }
}

proptest! {
    #![proptest_config(searching(150_000))]

    #[test]
    fn what_ours_takes_hyper_reads_alike(seed in 0..SEEDS.len(), mutations in mutations(), cuts in cuts()) {
        let bytes = mutated(SEEDS[seed], &mutations);
        let (ours, end) = read(&bytes, &cuts, ours)?;
        let theirs = hyper_reads(&bytes);
        prop_assert!(
            theirs.starts_with(&ours),
            "{:?}\nours: {ours:?}, then {end:?}\nhyper: {theirs:?}",
            String::from_utf8_lossy(&bytes)
        );
    }
}
