//! What no request may look like, checked before anything is decided by it: each byte is looked at once, nothing is allocated.
//!
//! How a message of HTTP/1 is framed is the codec's to find out; what is judged here holds for HTTP/1 and HTTP/2 alike. Two things
//! h2 decides before we see the request: a `#fragment` of a path is cut off, and pseudo-headers among trailers are dropped.

use std::net::Ipv6Addr;

use http::header::{CONNECTION, CONTENT_LENGTH, HOST, TE, TRANSFER_ENCODING, UPGRADE};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, StatusCode, Version};

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
    let fields = Fields::of(&parts.headers, rules.reject_underscores);
    authority_of(parts, fields.host)?;
    if fields.underscore {
        return Err(bad("unexpected_underscore"));
    }
    if parts.version < Version::HTTP_2 { http1(parts, &fields) } else { http2(&fields) }
}

fn method(method: &Method) -> Result<(), Refusal> {
    // The methods of RFC 9110 are told by a number.
    if matches!(*method, Method::GET | Method::POST | Method::PUT | Method::DELETE | Method::HEAD | Method::PATCH) {
        return Ok(());
    }
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
    if uri.scheme_str().is_some_and(|scheme| scheme != "http" && scheme != "https") {
        return Err(bad("invalid_scheme"));
    }
    // `host:port` is a target of CONNECT alone, and HTTP/2 has it in no request with a path.
    if parts.version < Version::HTTP_2 && uri.scheme().is_none() && uri.authority().is_some() {
        return Err(bad("invalid_request_target"));
    }
    let path = uri.path();
    if path == "*" && parts.method == Method::OPTIONS {
        return Ok(());
    }
    let text = uri.path_and_query().map_or("", |target| target.as_str());
    // RFC 3986 has nothing above ASCII, and http lets it pass.
    if !path.starts_with('/') || !all(text, |byte| byte.is_ascii_graphic()) || has_nul(path) {
        return Err(bad("invalid_path"));
    }
    Ok(())
}

/// Without a way out in the middle the compiler looks at many bytes at once.
fn all(text: &str, holds: impl Fn(u8) -> bool) -> bool {
    text.bytes().fold(true, |so_far, byte| so_far & holds(byte))
}

fn has_nul(path: &str) -> bool {
    path.as_bytes().contains(&b'%') && path.contains("%00")
}

/// A field that a request may have once.
#[derive(Clone, Copy, Default)]
struct Once<'a> {
    value: Option<&'a HeaderValue>,
    again: bool,
}

impl<'a> Once<'a> {
    fn note(&mut self, value: &'a HeaderValue) {
        self.again = self.value.is_some();
        self.value = Some(value);
    }
}

/// The fields that say whom a request is for and where it ends.
#[derive(Default)]
struct Fields<'a> {
    host: Once<'a>,
    content_length: Once<'a>,
    transfer_encoding: Once<'a>,
    upgrade: Once<'a>,
    /// Something else that belongs to a connection of HTTP/1.
    of_connection: bool,
    /// A name with a `_` in it.
    underscore: bool,
}

impl<'a> Fields<'a> {
    /// Looks for names with a `_` only if it is asked to.
    fn of(headers: &'a HeaderMap, underscores: bool) -> Self {
        let mut fields = Self::default();
        for (name, value) in headers {
            // Names that http knows are told apart by a number.
            if *name == HOST {
                fields.host.note(value);
            } else if *name == CONTENT_LENGTH {
                fields.content_length.note(value);
            } else if *name == TRANSFER_ENCODING {
                fields.transfer_encoding.note(value);
            } else if *name == UPGRADE {
                fields.upgrade.note(value);
            } else if *name == CONNECTION {
                fields.of_connection = true;
            } else if *name == TE {
                fields.of_connection |= !is(value, "trailers");
            } else {
                let name = name.as_str();
                fields.of_connection |= name == "keep-alive" || name == "proxy-connection";
                fields.underscore |= underscores && !all(name, |byte| byte != b'_');
            }
        }
        fields
    }
}

fn authority_of(parts: &Parts, host: Once<'_>) -> Result<(), Refusal> {
    if host.again {
        return Err(bad("duplicate_host_header"));
    }
    let host = host.value.map(|host| host.to_str().map_err(|_| bad("invalid_authority"))).transpose()?;
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
    port_holds && (is_name(host) || is_ipv6(host))
}

fn is_ipv6(host: &str) -> bool {
    let inner = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    inner.is_some_and(|address| address.parse::<Ipv6Addr>().is_ok())
}

/// RFC 3986, 3.2.2, `reg-name` without escapes, and without the comma that two `Host` lines become.
fn is_name(host: &str) -> bool {
    !host.is_empty()
        && all(host, |byte| {
            byte.is_ascii_alphanumeric()
                || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'!' | b'$' | b'&'..=b'+' | b';' | b'=')
        })
}

/// RFC 9112, 6.1: `chunked` once and nothing else, or one length; and an upgrade that we know.
fn http1(parts: &Parts, fields: &Fields<'_>) -> Result<(), Refusal> {
    content_length(fields.content_length)?;
    if let Some(coding) = fields.transfer_encoding.value {
        if fields.content_length.value.is_some() {
            return Err(bad("content_length_and_transfer_encoding"));
        }
        if fields.transfer_encoding.again || !is(coding, "chunked") {
            return Err(Refusal::new(StatusCode::NOT_IMPLEMENTED, "unsupported_transfer_encoding"));
        }
        if parts.version < Version::HTTP_11 {
            return Err(bad("transfer_encoding_in_http10"));
        }
    }
    let Some(protocol) = fields.upgrade.value else { return Ok(()) };
    // An offer of HTTP/2 in the clear is not taken up. A WebSocket begins with a GET that has no body (RFC 6455, 4.1): with
    // one it would be unclear what of the bytes behind the head belongs to which protocol.
    let bodiless =
        fields.transfer_encoding.value.is_none() && fields.content_length.value.is_none_or(|value| value == "0");
    let websocket = is(protocol, "websocket") && parts.method == Method::GET && bodiless;
    if !fields.upgrade.again && (websocket || is(protocol, "h2c")) {
        Ok(())
    } else {
        Err(Refusal::new(StatusCode::FORBIDDEN, "upgrade_failed"))
    }
}

/// RFC 9113, 8.2.2: nothing of HTTP/1.1's connections.
fn http2(fields: &Fields<'_>) -> Result<(), Refusal> {
    content_length(fields.content_length)?;
    if fields.of_connection || fields.transfer_encoding.value.is_some() || fields.upgrade.value.is_some() {
        return Err(bad("connection_header_in_http2"));
    }
    Ok(())
}

/// RFC 9110, 8.6: digits, and here one spelling of each number that everybody can hold.
fn content_length(length: Once<'_>) -> Result<(), Refusal> {
    const LARGEST: &[u8] = b"9223372036854775807";
    let Some(value) = length.value.map(HeaderValue::as_bytes) else { return Ok(()) };
    let digits = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
    let padded = value.len() > 1 && value.starts_with(b"0");
    let small = value.len() < LARGEST.len() || value.len() == LARGEST.len() && value <= LARGEST;
    if digits && !padded && small && !length.again { Ok(()) } else { Err(bad("invalid_content_length")) }
}

fn is(value: &HeaderValue, text: &str) -> bool {
    value.as_bytes().eq_ignore_ascii_case(text.as_bytes())
}

#[cfg(test)]
mod tests;
