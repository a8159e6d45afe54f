//! The response to one request, as hyper's client reads it.

use std::time::Duration;

use bytes::Bytes;
use http::{Method, StatusCode};
use http_body_util::Empty;
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use proptest::prelude::*;
use proxy::http1::client::LIMITS;
use proxy::http1::head::{self, Progress};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

use crate::arriving::{Arriving, cuts, read};
use crate::mutation::{mutated, mutations};
use crate::{End, Seen, fields, searching, seen};

/// The response that our codec takes whole, behind any interim ones.
fn ours(mut wire: Arriving<'_>, method: &Method) -> Result<Seen, End> {
    let mut progress = Progress::default();
    let head = loop {
        match head::response(&mut wire.input, &mut progress, LIMITS, method).map_err(End::Head)? {
            // Nobody has asked for another protocol.
            Some(head) if head.parts.status == StatusCode::SWITCHING_PROTOCOLS => return Err(End::Last),
            Some(head) if head.parts.status.is_informational() => {}
            Some(head) => break head,
            None if wire.more() => {}
            None => return Err(End::Over),
        }
    };
    let (body, trailers) = wire.body(head.framing)?;
    Ok(Seen { line: head.parts.status.to_string(), headers: fields(&head.parts.headers), body, trailers })
}

/// The responses that hyper takes whole, each to a request of its own.
pub fn hyper_reads(answers: &[(Method, &[u8])]) -> Vec<Seen> {
    // This clock moves on when nothing else does: hyper waits for bytes that never come.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let mut all = Vec::new();
    runtime.block_on(async {
        let (client, server) = tokio::io::duplex(1 << 20);
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(client)).await.unwrap();
        let reading = async {
            for (method, _) in answers {
                let Some(read) = next(&mut sender, method).await else { break };
                all.push(read);
            }
            drop(sender);
        };
        let both = async { tokio::join!(reading, answer(server, answers), connection) };
        let _ = tokio::time::timeout(Duration::from_secs(1), both).await;
    });
    all
}

async fn next(sender: &mut SendRequest<Empty<Bytes>>, method: &Method) -> Option<Seen> {
    let request = http::Request::builder().method(method).uri("/").body(Empty::new()).unwrap();
    sender.ready().await.ok()?;
    let (parts, body) = sender.send_request(request).await.ok()?.into_parts();
    seen(parts.status.to_string(), parts.headers, body).await
}

/// Hyper takes nothing that comes before it has asked.
async fn answer(mut stream: DuplexStream, answers: &[(Method, &[u8])]) {
    for (_, bytes) in answers {
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            if stream.read_buf(&mut request).await.unwrap() == 0 {
                return;
            }
        }
        stream.write_all(bytes).await.unwrap();
    }
}

const SEEDS: [&str; 10] = [
    "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX: 1\r\nx: 2\r\n\r\nhello",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;a=b\r\nabc\r\n00A\r\n0123456789\r\n0\r\nx-t: 1\r\n\r\n",
    "HTTP/1.1 200 OK\r\nX: \t y \r\n\r\nuntil the end",
    "HTTP/1.1 204 No Content\r\nX: 1\r\n\r\n",
    "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n",
    "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 404 \r\nContent-Length: 2\r\n\r\nno",
    "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok",
    "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nHTTP/1.1 200 OK\r\n\r\nevil",
    "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nhello",
];

#[test]
fn both_read_what_is_well_formed() {
    for seed in &SEEDS[..8] {
        let ours = ours(Arriving::whole(seed.as_bytes()), &Method::GET);
        assert!(ours.is_ok(), "{seed:?} is refused: {ours:?}");
        assert_eq!(ours.into_iter().collect::<Vec<_>>(), hyper_reads(&[(Method::GET, seed.as_bytes())]), "{seed:?}");
    }
}

proptest! {
    #![proptest_config(searching(150_000))]

    #[test]
    fn what_ours_takes_hyper_reads_alike(
        seed in 0..SEEDS.len(),
        mutations in mutations(),
        cuts in cuts(),
        head in proptest::bool::weighted(0.2),
    ) {
        let bytes = mutated(SEEDS[seed], &mutations);
        let method = if head { Method::HEAD } else { Method::GET };
        if let Ok(ours) = read(&bytes, &cuts, |wire| ours(wire, &method))? {
            prop_assert_eq!(hyper_reads(&[(method, &bytes)]), [ours], "{:?}", String::from_utf8_lossy(&bytes));
        }
    }
}
