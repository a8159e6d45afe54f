//! Requests that our writer sends upstream, one after another on a connection: hyper's server must read the same.

use std::cell::RefCell;

use http::header::{CONNECTION, CONTENT_LENGTH};
use http::{HeaderMap, Request};
use http_body::Body;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proxy::http1::encode;
use proxy::http1::wire::Wire;

use crate::leaving::{Leaving, bodies, heads, send, sent, spelling, through};
use crate::requests::hyper_reads;
use crate::{Seen, searching};

#[derive(Debug, Clone)]
struct Sent {
    method: &'static str,
    /// As it came, and as it goes on.
    target: (String, String),
    headers: HeaderMap,
    capitals: usize,
    body: Leaving,
}

impl Sent {
    /// It asks for another protocol.
    fn upgrade(&self) -> bool {
        self.headers.get(CONNECTION).is_some_and(|wish| wish == "upgrade")
    }

    async fn write(&self, wire: &RefCell<Wire>) {
        let (mut parts, ()) =
            Request::builder().method(self.method).uri(&*self.target.0).body(()).unwrap().into_parts();
        parts.headers.clone_from(&self.headers);
        let spelling = spelling(&self.headers, self.capitals);
        let head = |out: &mut _| encode::request(out, &parts, spelling.as_ref(), &self.body, self.upgrade());
        send(wire, head, &self.body, true).await;
    }

    /// The host comes first, what frames the body last.
    fn seen(&self) -> Seen {
        let mut headers = through(&self.headers, self.upgrade());
        headers.sort_by_key(|(name, _)| name != "host");
        let declared = self.headers.contains_key(CONTENT_LENGTH);
        let length = if self.body.is_end_stream() { Some(0) } else { self.body.size_hint().exact() };
        let chunked = length.is_none() || (length != Some(0) && !declared);
        if chunked {
            headers.push(("transfer-encoding".to_owned(), b"chunked".to_vec()));
        } else if declared || ["POST", "PUT", "PATCH"].contains(&self.method) {
            headers.push(("content-length".to_owned(), self.body.data().len().to_string().into()));
        }
        // Only chunks have something behind them.
        let trailers = if chunked { self.body.trailers() } else { Vec::new() };
        Seen { line: format!("{} {}", self.method, self.target.1), headers, body: self.body.data(), trailers }
    }
}

const METHODS: [&str; 11] =
    ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND", "M-SEARCH", "get"];

/// Upstream there is no authority in a target.
const TARGETS: [(&str, &str); 6] = [
    ("*", "*"),
    ("http://a", "/"),
    ("http://a?x=1", "/?x=1"),
    ("http://a:80/b?c", "/b?c"),
    ("https://a/", "/"),
    ("//a/b", "//a/b"),
];

fn requests() -> impl Strategy<Value = Sent> {
    let path = vec(select(&b"az09-._~!$&'()*+,;=:@%/?"[..]), 0..24).prop_map(|path| {
        let path = format!("/{}", String::from_utf8(path).unwrap());
        (path.clone(), path)
    });
    let special = select(&TARGETS[..]).prop_map(|(came, goes)| (came.to_owned(), goes.to_owned()));
    (select(&METHODS[..]), prop_oneof![special, path], heads(), 0..8_usize, bodies())
        .prop_map(|(method, target, headers, capitals, body)| Sent { method, target, headers, capitals, body })
}

proptest! {
    #![proptest_config(searching(20_000))]

    #[test]
    fn what_ours_writes_hyper_reads_alike(messages in vec(requests(), 2), narrow in any::<bool>()) {
        let bytes = sent(narrow, &messages, Sent::write).concat();
        let ours: Vec<_> = messages.iter().map(Sent::seen).collect();
        prop_assert_eq!(hyper_reads(&bytes), ours, "{}", bytes.escape_ascii());
    }
}
