//! What no request may look like, checked before anything is decided by it.
//!
//! hyper lets through much that two hops could read in two ways. Three things it decides before we see the request, and they
//! cannot be judged here: of `Content-Length` and `Transfer-Encoding` together it keeps the latter (and closes the connection
//! after the answer), equal `Content-Length` lines become one, and a `#fragment` of the target is cut off.

use std::net::Ipv6Addr;

use http::header::{CONNECTION, CONTENT_LENGTH, HOST, TE, TRANSFER_ENCODING, UPGRADE};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version};

/// Why a request is not served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The status of the answer.
    pub status: StatusCode,
    /// Response code details, for logs; Envoy's names where it has one.
    pub details: &'static str,
    /// The path for a `location` header, when the answer is a redirect.
    pub location: Option<Box<str>>,
}

impl Refusal {
    /// A refusal with a status and details.
    pub const fn new(status: StatusCode, details: &'static str) -> Self {
        Self { status, details, location: None }
    }

    /// An answer 307 that sends the client to another path of the same authority.
    pub fn redirect(path: String) -> Self {
        let location = Some(path.into());
        Self { status: StatusCode::TEMPORARY_REDIRECT, details: "path_normalization_redirect", location }
    }
}

/// What may differ between listeners.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Rules {
    /// Refuse header names with an underscore: some programs read `x_user` as `x-user`.
    pub reject_underscores: bool,
    /// Serve HTTP/1.0.
    pub accept_http10: bool,
}

/// The longest method served; the longest registered one has 17 characters.
const MAX_METHOD: usize = 32;
/// The longest name that DNS allows, with brackets or a dot and a port.
const MAX_AUTHORITY: usize = 253 + 2 + 6;

const fn bad(details: &'static str) -> Refusal {
    Refusal::new(StatusCode::BAD_REQUEST, details)
}

/// Checks the head of a request that was parsed from the wire, before anybody changed it.
pub fn request(parts: &Parts, rules: Rules) -> Result<(), Refusal> {
    if parts.version < Version::HTTP_11 && !rules.accept_http10 {
        return Err(Refusal::new(StatusCode::UPGRADE_REQUIRED, "low_version"));
    }
    method(&parts.method)?;
    target(parts)?;
    authority_of(parts)?;
    headers(parts, rules)
}

fn method(method: &Method) -> Result<(), Refusal> {
    match method.as_str() {
        "CONNECT" => Err(Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "connect_not_supported")),
        // The first line of an HTTP/2 connection, read as HTTP/1.1.
        "PRI" => Err(bad("invalid_method")),
        name if name.len() > MAX_METHOD || name.bytes().any(|byte| byte.is_ascii_lowercase()) => {
            Err(bad("invalid_method"))
        }
        _ => Ok(()),
    }
}

fn target(parts: &Parts) -> Result<(), Refusal> {
    let uri = &parts.uri;
    if uri.scheme_str().is_some_and(|scheme| !["http", "https"].contains(&scheme)) {
        return Err(bad("invalid_scheme"));
    }
    // `host:port` is a target of CONNECT alone, and HTTP/2 has it in no request with a path.
    if parts.version < Version::HTTP_2 && uri.scheme().is_none() && uri.authority().is_some() {
        return Err(bad("invalid_request_target"));
    }
    match uri.path() {
        "*" if parts.method == Method::OPTIONS => Ok(()),
        path if !path.starts_with('/') => Err(bad("invalid_path")),
        path if path.contains("%00") => Err(bad("invalid_path")),
        _ => Ok(()),
    }
}

fn authority_of(parts: &Parts) -> Result<(), Refusal> {
    let mut hosts = parts.headers.get_all(HOST).iter();
    let host = match (hosts.next(), hosts.next()) {
        (Some(_), Some(_)) => return Err(bad("duplicate_host_header")),
        (host, _) => host.map(|host| host.to_str().map_err(|_| bad("invalid_authority"))).transpose()?,
    };
    let in_target = parts.uri.authority().map(|authority| authority.as_str());
    // RFC 9112, 3.2: without a `Host` there is no HTTP/1.1 request, whatever its target says.
    let missing = if parts.version < Version::HTTP_2 { host.is_none() } else { host.or(in_target).is_none() };
    if missing || host == Some("") {
        return Err(bad("missing_host_header"));
    }
    if let (Some(host), Some(in_target)) = (host, in_target)
        && !host.eq_ignore_ascii_case(in_target)
    {
        return Err(bad("host_differs_from_target"));
    }
    if host.or(in_target).is_some_and(is_authority) { Ok(()) } else { Err(bad("invalid_authority")) }
}

/// Whether text is a host with or without a port: no user information, no escapes, no zone of an IPv6 address.
pub fn is_authority(text: &str) -> bool {
    if text.len() > MAX_AUTHORITY {
        return false;
    }
    let host = super::normalise::without_port(text);
    let port = &text[host.len()..];
    let port_holds = match port.strip_prefix(':') {
        None => true,
        Some(port) => port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok(),
    };
    port_holds && (is_ipv6(host) || is_name(host))
}

fn is_ipv6(host: &str) -> bool {
    let inner = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    inner.is_some_and(|address| address.parse::<Ipv6Addr>().is_ok())
}

/// RFC 3986, 3.2.2, `reg-name` without escapes, and without the comma that two `Host` lines become.
fn is_name(host: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+;=".contains(&byte);
    !host.is_empty() && host.bytes().all(allowed)
}

fn headers(parts: &Parts, rules: Rules) -> Result<(), Refusal> {
    if rules.reject_underscores && parts.headers.keys().any(|name| name.as_str().contains('_')) {
        return Err(bad("unexpected_underscore"));
    }
    content_length(&parts.headers)?;
    if parts.version < Version::HTTP_2 { http1_framing(parts) } else { http2_framing(&parts.headers) }
}

/// RFC 9110, 8.6: digits, and here one spelling of each number.
fn content_length(headers: &HeaderMap) -> Result<(), Refusal> {
    let mut values = headers.get_all(CONTENT_LENGTH).iter();
    let value = match (values.next(), values.next()) {
        (None, _) => return Ok(()),
        (Some(value), None) => value.as_bytes(),
        (Some(_), Some(_)) => return Err(bad("invalid_content_length")),
    };
    let padded = value.len() > 1 && value.starts_with(b"0");
    let valid = !value.is_empty() && value.len() <= 19 && value.iter().all(u8::is_ascii_digit) && !padded;
    if valid { Ok(()) } else { Err(bad("invalid_content_length")) }
}

/// RFC 9112, 6.1: `chunked` once and nothing else, and no length beside it.
fn http1_framing(parts: &Parts) -> Result<(), Refusal> {
    let mut codings = parts.headers.get_all(TRANSFER_ENCODING).iter();
    match (codings.next(), codings.next()) {
        (None, _) => return Ok(()),
        (Some(coding), None) if is(coding, "chunked") => {}
        _ => return Err(Refusal::new(StatusCode::NOT_IMPLEMENTED, "unsupported_transfer_encoding")),
    }
    if parts.headers.contains_key(CONTENT_LENGTH) {
        return Err(bad("content_length_and_transfer_encoding"));
    }
    if parts.version < Version::HTTP_11 { Err(bad("transfer_encoding_in_http10")) } else { Ok(()) }
}

/// RFC 9113, 8.2.2: nothing of HTTP/1.1's connections.
fn http2_framing(headers: &HeaderMap) -> Result<(), Refusal> {
    const FORBIDDEN: [HeaderName; 3] = [CONNECTION, TRANSFER_ENCODING, UPGRADE];
    let forbidden = FORBIDDEN.iter().any(|name| headers.contains_key(name))
        || headers.contains_key("keep-alive")
        || headers.contains_key("proxy-connection");
    if forbidden || headers.get_all(TE).iter().any(|te| !is(te, "trailers")) {
        return Err(bad("connection_header_in_http2"));
    }
    Ok(())
}

fn is(value: &HeaderValue, text: &str) -> bool {
    value.as_bytes().eq_ignore_ascii_case(text.as_bytes())
}

#[cfg(test)]
mod tests;
