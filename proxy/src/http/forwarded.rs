//! What a proxy adds to, takes from and does not believe in a head: hop-by-hop headers, `x-forwarded-*`, `x-request-id`,
//! the client certificate header, and headers that only the mesh may set.

use std::fmt::Write as _;
use std::net::IpAddr;

use http::header::{CONNECTION, TE, TRANSFER_ENCODING, UPGRADE};
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

/// `Connection` may not take these away, whoever names them: they frame the message, or others act on them.
const END_TO_END: [&str; 12] = [
    "host",
    "content-length",
    "content-type",
    "authorization",
    "cookie",
    "set-cookie",
    "cache-control",
    "date",
    "traceparent",
    "tracestate",
    "b3",
    "te",
];

/// Headers by which a client would steer the proxy or pose as a part of the mesh.
const STEERING: [HeaderName; 14] = [
    HeaderName::from_static("x-envoy-retry-on"),
    HeaderName::from_static("x-envoy-retry-grpc-on"),
    HeaderName::from_static("x-envoy-max-retries"),
    HeaderName::from_static("x-envoy-retriable-header-names"),
    HeaderName::from_static("x-envoy-retriable-status-codes"),
    HeaderName::from_static("x-envoy-hedge-on-per-try-timeout"),
    HeaderName::from_static("x-envoy-upstream-alt-stat-name"),
    HeaderName::from_static("x-envoy-upstream-rq-timeout-ms"),
    HeaderName::from_static("x-envoy-upstream-rq-timeout-alt-response"),
    HeaderName::from_static("x-envoy-upstream-rq-per-try-timeout-ms"),
    HeaderName::from_static("x-envoy-upstream-stream-duration-ms"),
    HeaderName::from_static("x-envoy-internal"),
    HeaderName::from_static("x-envoy-peer-metadata"),
    HeaderName::from_static("x-envoy-peer-metadata-id"),
];

/// Removes what belongs to one connection (RFC 9110, 7.6.1), from a request or a response alike.
///
/// `upgrade` is true for a request whose `Upgrade` is let through and for its answer 101: `Connection` and `Upgrade` stay then.
/// An offer of HTTP/2 in the clear is always taken away.
pub fn strip_hop_by_hop(headers: &mut HeaderMap, upgrade: bool) {
    if headers.contains_key(CONNECTION) {
        remove_nominated(headers);
    }
    if !upgrade {
        headers.remove(CONNECTION);
        headers.remove(UPGRADE);
    }
    for name in ["keep-alive", "proxy-connection", "http2-settings"] {
        headers.remove(name);
    }
    headers.remove(TRANSFER_ENCODING);
    let trailers = headers.get_all(TE).iter().any(|te| list(te).any(|coding| coding.eq_ignore_ascii_case("trailers")));
    if trailers {
        headers.insert(TE, HeaderValue::from_static("trailers"));
    } else {
        headers.remove(TE);
    }
}

fn list(value: &HeaderValue) -> impl Iterator<Item = &str> {
    value.to_str().unwrap_or_default().split(',').map(str::trim)
}

fn remove_nominated(headers: &mut HeaderMap) {
    let nominated: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .flat_map(list)
        .filter_map(|name| HeaderName::from_bytes(name.as_bytes()).ok())
        .filter(|name| *name != UPGRADE && *name != CONNECTION && !is_end_to_end(name.as_str()))
        .collect();
    for name in nominated {
        headers.remove(name);
    }
}

fn is_end_to_end(name: &str) -> bool {
    let ours = ["x-forwarded-", "x-envoy-", "x-request-id", "x-b3-", "grpc-", "sec-"];
    END_TO_END.contains(&name) || ours.iter().any(|prefix| name.starts_with(prefix))
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
    for name in &STEERING {
        headers.remove(name);
    }
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
    let hex = format!("{bits:032x}");
    let id = format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]);
    if let Ok(id) = HeaderValue::try_from(id) {
        headers.insert(REQUEST_ID, id);
    }
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
    let _ = write!(value, "By={};Hash={}", peer.by, peer.hash);
    if let Some(subject) = peer.subject {
        let _ = write!(value, ";Subject=\"{}\"", subject.replace('\\', "\\\\").replace('"', "\\\""));
    }
    let _ = write!(value, ";URI={}", peer.uri);
    match HeaderValue::try_from(value) {
        Ok(value) => headers.insert(CLIENT_CERT, value),
        Err(_) => headers.remove(&CLIENT_CERT),
    };
}

#[cfg(test)]
mod tests;
