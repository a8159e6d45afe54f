//! Responses that our writer sends downstream, one after another on a connection: hyper's client must read the same.

use std::cell::RefCell;

use http::header::{CONNECTION, CONTENT_LENGTH, DATE};
use http::{HeaderMap, Method, Response, StatusCode};
use http_body::Body;
use proptest::bool::weighted;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proxy::http1::encode::{self, Asked};
use proxy::http1::framing::Framing;
use proxy::http1::wire::Wire;

use crate::leaving::{Leaving, bodies, heads, send, sent, spelling, through};
use crate::responses::hyper_reads;
use crate::{Seen, searching};

#[derive(Debug, Clone)]
struct Sent {
    status: StatusCode,
    headers: HeaderMap,
    capitals: usize,
    body: Leaving,
    asked: Asked,
    /// The client takes trailers.
    trailers: bool,
}

impl Sent {
    fn switches(&self) -> bool {
        self.status == StatusCode::SWITCHING_PROTOCOLS
    }

    /// RFC 9112, section 6.3.
    fn framing(&self) -> Framing {
        match self.body.size_hint().exact() {
            _ if self.asked.head || [101, 204, 304].contains(&self.status.as_u16()) => Framing::None,
            Some(length) => Framing::Length(length),
            None if self.asked.chunks => Framing::Chunked,
            None => Framing::UntilClose,
        }
    }

    fn stays(&self) -> bool {
        let closes = self.headers.get(CONNECTION).is_some_and(|wish| wish == "close");
        self.asked.keep_alive && self.framing() != Framing::UntilClose && !closes
    }

    fn method(&self) -> Method {
        if self.asked.head { Method::HEAD } else { Method::GET }
    }

    async fn write(&self, wire: &RefCell<Wire>) {
        let (mut parts, ()) = Response::new(()).into_parts();
        parts.status = self.status;
        parts.headers.clone_from(&self.headers);
        let spelling = spelling(&self.headers, self.capitals);
        let head = |out: &mut _| {
            let (framing, stays) = encode::response(out, &parts, spelling.as_ref(), &self.body, self.asked);
            assert_eq!(stays, self.stays(), "{self:?}");
            framing
        };
        send(wire, head, &self.body, self.trailers).await;
    }

    fn seen(&self) -> Seen {
        let mut headers = through(&self.headers, self.switches());
        if !self.headers.contains_key(DATE) && !self.switches() {
            headers.push(("date".to_owned(), NOW.to_vec()));
        }
        headers.extend(self.length_or_coding().map(|(name, value)| (name.to_owned(), value)));
        headers.extend(self.connection().map(|option| ("connection".to_owned(), option.into())));
        let framing = self.framing();
        let body = if framing == Framing::None { Vec::new() } else { self.body.data() };
        let trailers = if framing == Framing::Chunked && self.trailers { self.body.trailers() } else { Vec::new() };
        Seen { line: self.status.to_string(), headers, body, trailers }
    }

    fn length_or_coding(&self) -> Option<(&'static str, Vec<u8>)> {
        match self.framing() {
            // The length of the body that is left out is the upstream's to say.
            Framing::None if ![101, 204].contains(&self.status.as_u16()) => {
                self.headers.get(CONTENT_LENGTH).map(|length| ("content-length", length.as_bytes().to_vec()))
            }
            Framing::Length(length) => Some(("content-length", length.to_string().into())),
            Framing::Chunked => Some(("transfer-encoding", b"chunked".to_vec())),
            Framing::None | Framing::UntilClose => None,
        }
    }

    fn connection(&self) -> Option<&'static str> {
        match self.stays() {
            _ if self.switches() => None,
            true => self.asked.told.then_some("keep-alive"),
            false => Some("close"),
        }
    }
}

/// Stands for whatever date the moment has.
const NOW: &[u8] = b"now";

fn undated(mut seen: Seen) -> Seen {
    for (_, value) in seen.headers.iter_mut().filter(|(name, _)| name == "date") {
        let date = std::str::from_utf8(value).ok().and_then(|text| httpdate::parse_http_date(text).ok());
        if date.is_some_and(|date| date.elapsed().is_ok_and(|age| age.as_secs() < 60)) {
            *value = NOW.to_vec();
        }
    }
    seen
}

fn responses() -> impl Strategy<Value = Sent> {
    let status = prop_oneof![
        9 => select(&[200, 204, 206, 304, 404, 503][..]),
        3 => 200..1000_u16,
        1 => Just(101),
    ];
    let asked = (weighted(0.2), weighted(0.8), weighted(0.8)).prop_map(|(head, chunks, keep_alive)| Asked {
        head,
        chunks,
        keep_alive,
        told: keep_alive && !chunks,
    });
    (status, heads(), 0..8_usize, bodies(), asked, any::<bool>()).prop_map(
        |(status, headers, capitals, body, asked, trailers)| {
            let status = StatusCode::from_u16(status).unwrap();
            Sent { status, headers, capitals, body, asked, trailers }
        },
    )
}

proptest! {
    #![proptest_config(searching(20_000))]

    #[test]
    fn what_ours_writes_hyper_reads_alike(messages in vec(responses(), 2), narrow in any::<bool>()) {
        let last = usize::from(messages[0].stays() && !messages[0].switches());
        let bytes = sent(narrow, &messages[..=last], Sent::write);
        let methods = messages.iter().map(Sent::method);
        let answers: Vec<_> = methods.zip(bytes.iter().map(Vec::as_slice)).collect();
        let theirs: Vec<_> = hyper_reads(&answers).into_iter().map(undated).collect();
        let ours: Vec<_> = messages[..=last].iter().map(Sent::seen).collect();
        prop_assert_eq!(theirs, ours, "{}", bytes.concat().escape_ascii());
    }
}
