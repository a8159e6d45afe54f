//! What gRPC means on top of HTTP: who speaks it, its status, its time limit, and the shape of its errors.

use std::time::Duration;

use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};

/// `grpc-status`.
pub const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
/// `grpc-message`.
pub const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
/// `grpc-timeout`.
pub const GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");

/// Status 1.
pub const CANCELLED: u16 = 1;
/// Status 2.
pub const UNKNOWN: u16 = 2;
/// Status 4.
pub const DEADLINE_EXCEEDED: u16 = 4;
/// Status 7.
pub const PERMISSION_DENIED: u16 = 7;
/// Status 8.
pub const RESOURCE_EXHAUSTED: u16 = 8;
/// Status 12.
pub const UNIMPLEMENTED: u16 = 12;
/// Status 13.
pub const INTERNAL: u16 = 13;
/// Status 14.
pub const UNAVAILABLE: u16 = 14;
/// Status 16.
pub const UNAUTHENTICATED: u16 = 16;

/// Whether the content type is `application/grpc` or `application/grpc+…`.
pub fn is_grpc(headers: &HeaderMap) -> bool {
    let Some(rest) = headers.get(CONTENT_TYPE).and_then(|value| value.as_bytes().strip_prefix(b"application/grpc"))
    else {
        return false;
    };
    matches!(rest.first(), None | Some(b'+'))
}

/// The `grpc-status` of a response's headers (trailers-only) or of its trailers; `None` if it has none or it is no number.
pub fn status(headers: &HeaderMap) -> Option<u16> {
    let value = headers.get(GRPC_STATUS)?.as_bytes();
    let digits = !value.is_empty() && value.len() <= 5 && value.iter().all(u8::is_ascii_digit);
    digits.then(|| std::str::from_utf8(value).ok()?.parse().ok()).flatten()
}

/// `grpc-timeout` (gRPC over HTTP/2, "Timeout"): one to eight digits and a unit; `None` if it is missing or malformed.
pub fn timeout(headers: &HeaderMap) -> Option<Duration> {
    let (unit, digits) = headers.get(GRPC_TIMEOUT)?.as_bytes().split_last()?;
    if digits.is_empty() || digits.len() > 8 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let amount: u64 = std::str::from_utf8(digits).ok()?.parse().ok()?;
    Some(match unit {
        b'H' => Duration::from_secs(amount * 3600),
        b'M' => Duration::from_secs(amount * 60),
        b'S' => Duration::from_secs(amount),
        b'm' => Duration::from_millis(amount),
        b'u' => Duration::from_micros(amount),
        b'n' => Duration::from_nanos(amount),
        _ => return None,
    })
}

/// The gRPC status of an HTTP status (gRPC, "HTTP to gRPC Status Code Mapping").
pub fn http_to_grpc(status: StatusCode) -> u16 {
    match status.as_u16() {
        400 => INTERNAL,
        401 => UNAUTHENTICATED,
        403 => PERMISSION_DENIED,
        404 => UNIMPLEMENTED,
        429 | 502..=504 => UNAVAILABLE,
        _ => UNKNOWN,
    }
}

/// An error of the proxy's own, as a gRPC client understands it: status 200, `grpc-status` and `grpc-message` in the headers.
pub fn error_reply(grpc_status: u16, message: &str) -> Response<()> {
    let mut response = Response::new(());
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert(GRPC_STATUS, HeaderValue::from(grpc_status));
    if !message.is_empty()
        && let Ok(message) = HeaderValue::try_from(encode_message(message))
    {
        headers.insert(GRPC_MESSAGE, message);
    }
    response
}

/// gRPC over HTTP/2, "Status-Message": percent-encoded UTF-8.
fn encode_message(message: &str) -> String {
    let mut encoded = String::with_capacity(message.len());
    for byte in message.bytes() {
        match byte {
            b' '..=b'~' if byte != b'%' => encoded.push(byte as char),
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

#[cfg(test)]
mod tests;
