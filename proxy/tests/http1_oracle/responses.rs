//! The response to one request, as hyper's client reads it.

use bytes::Bytes;
use http::{Method, StatusCode};
use http_body_util::Empty;
use hyper_util::rt::TokioIo;
use proptest::prelude::*;
use proxy::http1::client::LIMITS;
use proxy::http1::head::{self, Progress};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

use crate::arriving::{Arriving, cuts, read};
use crate::mutation::{mutated, mutations};
use crate::{End, Seen, fields, seen};

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

/// The response that hyper takes whole.
fn hyper_reads(bytes: &[u8], method: &Method) -> Option<Seen> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let request = http::Request::builder().method(method).uri("/").body(Empty::<Bytes>::new()).unwrap();
    runtime.block_on(async {
        let (client, server) = tokio::io::duplex(1 << 20);
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(client)).await.unwrap();
        let reading = async move {
            let (parts, body) = sender.send_request(request).await.ok()?.into_parts();
            seen(parts.status.to_string(), parts.headers, body).await
        };
        let (seen, (), _) = tokio::join!(reading, answer(server, bytes), connection);
        seen
    })
}

/// Hyper takes nothing that comes before it has asked.
async fn answer(mut stream: DuplexStream, bytes: &[u8]) {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        assert_ne!(stream.read_buf(&mut request).await.unwrap(), 0, "there is no request");
    }
    stream.write_all(bytes).await.unwrap();
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
        assert_eq!(ours.ok(), hyper_reads(seed.as_bytes(), &Method::GET), "{seed:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

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
            prop_assert_eq!(hyper_reads(&bytes, &method), Some(ours), "{:?}", String::from_utf8_lossy(&bytes));
        }
    }
}
