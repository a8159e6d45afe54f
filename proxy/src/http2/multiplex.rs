//! HTTP/1.1 requests between two of our sidecars may travel as streams of few HTTP/2 connections. The ALPN name says that
//! the far end gives them back their version; a header that never leaves such a connection says how names were spelt.

use bytes::Bytes;
use http::header::HOST;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, HeaderName, HeaderValue, Uri, Version, request};

use crate::http1::spelling::Spelling;

/// The name that both sides must know; no other program picks it.
pub const ALPN: &str = "meltemi-h2";
/// On a message that is one of HTTP/1.1: its names that have capital letters, separated by commas.
pub const HTTP1: HeaderName = HeaderName::from_static("x-meltemi-http1");

/// Names that a mark may list; a head has no more fields.
const MAX_NAMES: usize = 128;

/// Window of one stream, so that all together never fill that of the connection: who does not read holds up nobody.
pub fn stream_window(connection_window: u32, streams: u32) -> u32 {
    connection_window / streams.max(1)
}

/// What unread frames may count for, for who has a certificate of the mesh: several clients share such a connection, and lose
/// it together.
pub const UNREAD_BUDGET: usize = 4 * super::body::UNREAD_BUDGET;

/// What HPACK counts for a head of HTTP/1.1 with so many bytes and fields, and with its mark.
pub fn head_limit(bytes: usize, fields: usize) -> u32 {
    u32::try_from(2 * bytes + 32 * (fields + 8)).unwrap_or(u32::MAX)
}

/// Makes a request of HTTP/1.1 one of HTTP/2.
pub fn disguise(uri: &mut Uri, headers: &mut HeaderMap, spelling: Option<&Spelling>) {
    let authority = headers.remove(HOST).and_then(|host| Authority::try_from(host.as_bytes()).ok());
    let mut parts = std::mem::take(uri).into_parts();
    parts.scheme = Some(Scheme::HTTP);
    parts.authority = authority;
    parts.path_and_query.get_or_insert_with(|| PathAndQuery::from_static("/"));
    // A request without a host has been refused before.
    *uri = Uri::from_parts(parts).unwrap_or_default();
    mark(headers, spelling);
}

/// Tells how the names of a message were spelt.
pub fn mark(headers: &mut HeaderMap, spelling: Option<&Spelling>) {
    let names = spelling.map(Spelling::to_list).unwrap_or_default();
    // Names are tokens, and a list of them is a value.
    if let Ok(names) = HeaderValue::from_maybe_shared(Bytes::from(names)) {
        headers.insert(HTTP1, names);
    }
}

/// Gives a request of HTTP/1.1 its form back. What is not marked is of HTTP/2.
pub fn restore(parts: &mut request::Parts) -> Option<Spelling> {
    if !parts.headers.contains_key(HTTP1) {
        return None;
    }
    parts.version = Version::HTTP_11;
    if let Some(host) = parts.uri.authority().and_then(|authority| HeaderValue::from_str(authority.as_str()).ok()) {
        parts.headers.insert(HOST, host);
    }
    if let Some(path) = parts.uri.path_and_query().cloned() {
        parts.uri = path.into();
    }
    take(&mut parts.headers)
}

/// How the names of a marked message were spelt; takes the mark away.
pub fn take(headers: &mut HeaderMap) -> Option<Spelling> {
    let names = headers.remove(HTTP1).filter(|names| !names.is_empty())?;
    if names.as_bytes().iter().filter(|byte| **byte == b',').count() >= MAX_NAMES {
        return None;
    }
    Some(Spelling::of_list(Bytes::copy_from_slice(names.as_bytes())))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use http::Request;

    use super::*;

    #[test]
    fn a_request_of_http1_comes_back_as_it_was() {
        let head = Bytes::from_static(b"Host: a.example:80\r\nX-Ab: 1\r\nx-cd: 2\r\n");
        let spelling = Spelling::new(head, vec![(0, 4), (20, 4), (29, 4)]);
        let request = Request::get("/a?b").header("host", "a.example:80").header("x-ab", "1").header("x-cd", "2");
        let (mut parts, ()) = request.body(()).unwrap().into_parts();
        let before = (parts.uri.clone(), parts.headers.clone());
        disguise(&mut parts.uri, &mut parts.headers, Some(&spelling));
        assert_eq!(parts.uri, "http://a.example:80/a?b");
        assert_eq!(parts.headers.get(HTTP1).unwrap(), "Host,X-Ab");
        assert!(!parts.headers.contains_key(HOST));
        parts.version = Version::HTTP_2;
        let restored = restore(&mut parts).unwrap();
        assert_eq!((parts.uri, parts.headers, parts.version), (before.0, before.1, Version::HTTP_11));
        assert_eq!(restored.of(&HOST), b"Host");
        assert_eq!(restored.of(&HeaderName::from_static("x-ab")), b"X-Ab");
        assert_eq!(restored.of(&HeaderName::from_static("x-cd")), b"x-cd");
    }

    #[test]
    fn a_request_of_http2_stays_one() {
        let (mut parts, ()) = Request::get("http://a/").version(Version::HTTP_2).body(()).unwrap().into_parts();
        assert!(restore(&mut parts).is_none());
        assert_eq!((parts.version, parts.uri), (Version::HTTP_2, "http://a/".parse().unwrap()));
    }
}
