//! What a proxy adds to, takes from and does not believe in a head: hop-by-hop headers, `x-forwarded-*`, `x-request-id`,
//! the client certificate header, and headers that only the mesh may set.

use std::fmt::Write as _;
use std::net::IpAddr;

use http::header::{CONNECTION, TE, UPGRADE};
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::model::listener::ClientCertHeader;

/// `x-forwarded-for`.
pub const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
/// `x-forwarded-proto`.
pub const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
/// `x-request-id`.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// `x-forwarded-client-cert`.
pub const CLIENT_CERT: HeaderName = HeaderName::from_static("x-forwarded-client-cert");

/// `Connection` may not take these away, whoever names them: they frame the message, or others act on them. Names that
/// begin with one of [`MESSAGE_PREFIXES`] belong here too.
const OF_THE_MESSAGE: [&str; 31] = [
    "accept",
    "accept-encoding",
    "accept-language",
    "authorization",
    "b3",
    "cache-control",
    "content-encoding",
    "content-length",
    "content-range",
    "content-type",
    "cookie",
    "date",
    "etag",
    "expires",
    "forwarded",
    "host",
    "last-modified",
    "location",
    "max-forwards",
    "origin",
    "range",
    "referer",
    "server",
    "set-cookie",
    "strict-transport-security",
    "te",
    "traceparent",
    "tracestate",
    "user-agent",
    "vary",
    "via",
];
const MESSAGE_PREFIXES: [&str; 9] =
    ["x-forwarded-", "x-envoy-", "x-request-id", "x-real-ip", "x-b3-", "x-meltemi-", "grpc-", "if-", "sec-"];

/// Headers by which a client would steer the proxy or pose as a part of the mesh.
const STEERING: [&str; 14] = [
    "x-envoy-hedge-on-per-try-timeout",
    "x-envoy-internal",
    "x-envoy-max-retries",
    "x-envoy-peer-metadata",
    "x-envoy-peer-metadata-id",
    "x-envoy-retriable-header-names",
    "x-envoy-retriable-status-codes",
    "x-envoy-retry-grpc-on",
    "x-envoy-retry-on",
    "x-envoy-upstream-alt-stat-name",
    "x-envoy-upstream-rq-per-try-timeout-ms",
    "x-envoy-upstream-rq-timeout-alt-response",
    "x-envoy-upstream-rq-timeout-ms",
    "x-envoy-upstream-stream-duration-ms",
];

/// Removes what belongs to one connection (RFC 9110, 7.6.1), from a request or a response alike.
///
/// `upgrade` is true for a request whose `Upgrade` is let through and for its answer 101: `Connection` and `Upgrade` stay then.
/// An offer of HTTP/2 in the clear is always taken away.
pub fn strip_hop_by_hop(headers: &mut HeaderMap, upgrade: bool) {
    // Most messages have nothing of all this, which one look at each name tells.
    let (mut connection, mut protocol, mut te, mut others) = (false, false, false, false);
    for name in headers.keys() {
        match name.as_str() {
            "connection" => connection = true,
            "upgrade" => protocol = true,
            "te" => te = true,
            name => others |= is_of_connection(name),
        }
    }
    if connection {
        remove_nominated(headers);
        if upgrade {
            headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        } else {
            headers.remove(CONNECTION);
        }
    }
    if protocol && !upgrade {
        headers.remove(UPGRADE);
    }
    if others {
        remove_where(headers, is_of_connection);
    }
    if te {
        keep_trailers(headers);
    }
}

fn is_of_connection(name: &str) -> bool {
    matches!(name, "keep-alive" | "proxy-connection" | "http2-settings" | "transfer-encoding")
}

/// Of `TE`, that trailers are welcome is true of the whole way.
fn keep_trailers(headers: &mut HeaderMap) {
    let trailers = headers.get_all(TE).iter().any(|te| list(te).any(|coding| coding.eq_ignore_ascii_case("trailers")));
    if trailers {
        headers.insert(TE, HeaderValue::from_static("trailers"));
    } else {
        headers.remove(TE);
    }
}

fn remove_where(headers: &mut HeaderMap, unwanted: impl Fn(&str) -> bool) {
    let unwanted: Vec<HeaderName> = headers.keys().filter(|name| unwanted(name.as_str())).cloned().collect();
    for name in unwanted {
        headers.remove(name);
    }
}

fn list(value: &HeaderValue) -> impl Iterator<Item = &str> {
    value.to_str().unwrap_or_default().split(',').map(str::trim)
}

fn remove_nominated(headers: &mut HeaderMap) {
    let known = ["close", "keep-alive", "upgrade", "te", "http2-settings", "connection", ""];
    let nominated: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .flat_map(list)
        .filter(|option| !known.iter().any(|known| option.eq_ignore_ascii_case(known)))
        .filter_map(|name| HeaderName::from_bytes(name.as_bytes()).ok())
        .filter(|name| !is_of_message(name.as_str()))
        .collect();
    for name in nominated {
        headers.remove(name);
    }
}

fn is_of_message(name: &str) -> bool {
    OF_THE_MESSAGE.binary_search(&name).is_ok() || MESSAGE_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

/// Removes from trailers what only a head may say (RFC 9110, 6.5.1): whom a message is for, where it ends, who sent it.
pub fn strip_trailers(trailers: &mut HeaderMap) {
    remove_where(trailers, |name| {
        is_of_connection(name)
            || matches!(
                name,
                "host"
                    | "content-length"
                    | "content-type"
                    | "content-encoding"
                    | "content-range"
                    | "connection"
                    | "upgrade"
                    | "te"
                    | "trailer"
                    | "expect"
                    | "authorization"
                    | "cookie"
                    | "set-cookie"
                    | "max-forwards"
                    | "cache-control"
            )
            || ["x-forwarded-", "x-envoy-", "x-meltemi-", "proxy-"].iter().any(|prefix| name.starts_with(prefix))
    });
}

/// Whether an `Upgrade` asks for a WebSocket and for nothing else.
pub fn asks_for_websocket(headers: &HeaderMap) -> bool {
    let mut upgrades = headers.get_all(UPGRADE).iter();
    let websocket = matches!((upgrades.next(), upgrades.next()),
        (Some(only), None) if only.as_bytes().eq_ignore_ascii_case(b"websocket"));
    websocket && headers.get_all(CONNECTION).iter().flat_map(list).any(|option| option.eq_ignore_ascii_case("upgrade"))
}

/// Removes headers by which a client would steer retries and timeouts, or pose as a part of the mesh.
///
/// Unlike Envoy we believe none of them; routes decide.
pub fn strip_untrusted(headers: &mut HeaderMap) {
    remove_where(headers, |name| name.starts_with("x-envoy-") && STEERING.binary_search(&name).is_ok());
}

/// Appends the address that the request came from to `x-forwarded-for`: `use_remote_address`.
pub fn append_forwarded_for(headers: &mut HeaderMap, from: IpAddr) {
    let mut chain = String::new();
    for value in headers.get_all(&FORWARDED_FOR).iter().filter_map(|value| value.to_str().ok()) {
        chain.push_str(value);
        chain.push(',');
    }
    // Writing into a String does not fail.
    let _ = write!(chain, "{from}");
    if let Ok(chain) = HeaderValue::try_from(chain) {
        headers.insert(FORWARDED_FOR, chain);
    }
}

/// Says in `x-forwarded-proto` what the downstream spoke; `overwrite` does not believe what is there.
pub fn set_forwarded_proto(headers: &mut HeaderMap, tls: bool, overwrite: bool) {
    if overwrite || !headers.contains_key(&FORWARDED_PROTO) {
        headers.insert(FORWARDED_PROTO, HeaderValue::from_static(if tls { "https" } else { "http" }));
    }
}

/// Puts an `x-request-id` on a request without one: a version 4 UUID (RFC 9562, 5.4) made of `random`.
pub fn ensure_request_id(headers: &mut HeaderMap, random: impl FnOnce() -> u128) {
    if headers.get(&REQUEST_ID).is_some_and(|id| !id.is_empty()) {
        return;
    }
    let bits = (random() & !(0xf << 76) & !(0x3 << 62)) | (0x4 << 76) | (0x2 << 62);
    if let Ok(id) = HeaderValue::from_bytes(&uuid(bits)) {
        headers.insert(REQUEST_ID, id);
    }
}

/// RFC 9562, 4: hex digits in groups of 8, 4, 4, 4 and 12.
fn uuid(bits: u128) -> [u8; 36] {
    let mut text = [b'-'; 36];
    let mut shift = 128;
    for (at, place) in text.iter_mut().enumerate() {
        if !matches!(at, 8 | 13 | 18 | 23) {
            shift -= 4;
            *place = b"0123456789abcdef"[(bits >> shift & 0xf) as usize];
        }
    }
    text
}

/// An authenticated downstream peer, as `x-forwarded-client-cert` tells of it.
#[derive(Debug, Clone, Copy)]
pub struct ClientCert<'a> {
    /// Our own SPIFFE id.
    pub by: &'a str,
    /// SHA-256 of the peer's certificate, in lower-case hex.
    pub hash: &'a str,
    /// The peer's subject, RFC 2253; workload certificates have an empty one. `None`: leave it out.
    pub subject: Option<&'a str>,
    /// The peer's SPIFFE id.
    pub uri: &'a str,
}

/// Writes or removes `x-forwarded-client-cert`. `peer` is `None` for plaintext, whose header is never believed.
pub fn client_cert(headers: &mut HeaderMap, mode: ClientCertHeader, peer: Option<ClientCert<'_>>) {
    let Some(peer) = peer else {
        headers.remove(&CLIENT_CERT);
        return;
    };
    let mut value = String::new();
    match mode {
        ClientCertHeader::Sanitize => {
            headers.remove(&CLIENT_CERT);
            return;
        }
        ClientCertHeader::ForwardOnly => return,
        ClientCertHeader::SanitizeSet => {}
        ClientCertHeader::AppendForward => {
            for element in headers.get_all(&CLIENT_CERT).iter().filter_map(|value| value.to_str().ok()) {
                value.push_str(element);
                value.push(',');
            }
        }
    }
    // Exactly: a header value that has room left is copied once more.
    let names = "By=;Hash=;URI=".len() + peer.subject.map_or(0, |subject| ";Subject=\"\"".len() + subject.len());
    value.reserve_exact(names + peer.by.len() + peer.hash.len() + peer.uri.len());
    for part in ["By=", peer.by, ";Hash=", peer.hash] {
        value.push_str(part);
    }
    if let Some(subject) = peer.subject {
        value.push_str(";Subject=\"");
        for character in subject.chars() {
            if matches!(character, '\\' | '"') {
                value.push('\\');
            }
            value.push(character);
        }
        value.push('"');
    }
    value.push_str(";URI=");
    value.push_str(peer.uri);
    match HeaderValue::try_from(value) {
        Ok(value) => headers.insert(CLIENT_CERT, value),
        Err(_) => headers.remove(&CLIENT_CERT),
    };
}

#[cfg(test)]
mod tests;
