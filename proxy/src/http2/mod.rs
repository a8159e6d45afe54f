//! HTTP/2 over h2, both sides: its streams are driven by the tasks of their requests, and what leaves is gathered.

pub mod body;
pub mod client;
pub mod coalesce;
pub mod flood;
pub mod frame_guard;
pub mod frames;
pub mod heads;
pub mod multiplex;
pub mod paced;
pub mod pings;
pub mod sending;
pub mod server;
pub mod stalls;

use http::header::{CONNECTION, TE, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderMap, HeaderName};

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");

/// Takes away what a message in HTTP/2 must not have (RFC 9113, section 8.2.2).
fn without_connection_headers(headers: &mut HeaderMap) {
    for name in [CONNECTION, TRANSFER_ENCODING, UPGRADE, KEEP_ALIVE, PROXY_CONNECTION] {
        headers.remove(name);
    }
    if headers.get(TE).is_some_and(|te| te != "trailers") {
        headers.remove(TE);
    }
}
