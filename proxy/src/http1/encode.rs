//! Writes heads. The framing headers are written here and nowhere else, from what the body is.

use std::cell::RefCell;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::{BufMut, BytesMut};
use http::header::{CONNECTION, CONTENT_LENGTH, DATE, HOST, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderValue, Method, StatusCode, request, response};
use http_body::Body;

use super::framing::Framing;
use super::spelling::Spelling;

/// Writes the head of a request and says how its body is to be framed.
pub fn request(
    out: &mut BytesMut,
    parts: &request::Parts,
    spelling: Option<&Spelling>,
    body: &impl Body,
    upgrade: bool,
) -> Framing {
    out.put_slice(parts.method.as_str().as_bytes());
    out.put_u8(b' ');
    let target = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    // An absolute target may have a query and no path.
    if target.starts_with('?') {
        out.put_u8(b'/');
    }
    out.put_slice(target.as_bytes());
    out.put_slice(b" HTTP/1.1\r\n");
    if let Some(host) = parts.headers.get(HOST) {
        line(out, spelling.map_or(b"host", |spelling| spelling.of(&HOST)), host);
    }
    for (name, value) in &parts.headers {
        if *name != HOST && !(name == CONTENT_LENGTH || name == TRANSFER_ENCODING || (name == CONNECTION && !upgrade)) {
            line(out, spelling.map_or(name.as_str().as_bytes(), |spelling| spelling.of(name)), value);
        }
    }
    let framing = framing_of_request(parts, body);
    match framing {
        Framing::Length(length) => content_length(out, length),
        Framing::Chunked => out.put_slice(b"transfer-encoding: chunked\r\n"),
        Framing::None if has_payload(&parts.method) || parts.headers.contains_key(CONTENT_LENGTH) => {
            content_length(out, 0);
        }
        Framing::None | Framing::UntilClose => {}
    }
    out.put_slice(b"\r\n");
    framing
}

fn has_payload(method: &Method) -> bool {
    [Method::POST, Method::PUT, Method::PATCH].contains(method)
}

fn framing_of_request(parts: &request::Parts, body: &impl Body) -> Framing {
    match body.size_hint().exact() {
        _ if body.is_end_stream() => Framing::None,
        Some(0) => Framing::None,
        Some(length) if parts.headers.contains_key(CONTENT_LENGTH) => Framing::Length(length),
        _ => Framing::Chunked,
    }
}

/// What a response's framing depends on besides the response.
#[derive(Debug, Clone, Copy)]
pub struct Asked {
    /// The request was HEAD.
    pub head: bool,
    /// The client knows chunks: HTTP/1.1.
    pub chunks: bool,
    /// The client may use the connection again.
    pub keep_alive: bool,
    /// The client is of HTTP/1.0, and must be told that the connection stays.
    pub told: bool,
}

/// Writes the head of a response; says how its body is to be framed and whether the connection stays open.
pub fn response(
    out: &mut BytesMut,
    parts: &response::Parts,
    spelling: Option<&Spelling>,
    body: &impl Body,
    asked: Asked,
) -> (Framing, bool) {
    let switched = parts.status == StatusCode::SWITCHING_PROTOCOLS;
    out.put_slice(b"HTTP/1.1 ");
    out.put_slice(parts.status.as_str().as_bytes());
    out.put_u8(b' ');
    out.put_slice(parts.status.canonical_reason().unwrap_or_default().as_bytes());
    out.put_slice(b"\r\n");
    for (name, value) in &parts.headers {
        if !(name == CONTENT_LENGTH || name == TRANSFER_ENCODING || (name == CONNECTION && !switched)) {
            line(out, spelling.map_or(name.as_str().as_bytes(), |spelling| spelling.of(name)), value);
        }
    }
    if !parts.headers.contains_key(DATE) && !parts.status.is_informational() {
        with_date(|date| line(out, b"date", date));
    }
    let framing = framing_of_response(out, parts, body, asked);
    let stays = asked.keep_alive && framing != Framing::UntilClose && !says_close(&parts.headers);
    if !stays && !switched {
        out.put_slice(b"connection: close\r\n");
    } else if asked.told && !switched {
        out.put_slice(b"connection: keep-alive\r\n");
    }
    out.put_slice(b"\r\n");
    (framing, stays)
}

fn framing_of_response(out: &mut BytesMut, parts: &response::Parts, body: &impl Body, asked: Asked) -> Framing {
    let status = parts.status;
    if status.is_informational() || status == StatusCode::NO_CONTENT {
        return Framing::None;
    }
    if asked.head || status == StatusCode::NOT_MODIFIED {
        // The length that the body would have had is the upstream's to say.
        if let Some(length) = parts.headers.get(CONTENT_LENGTH) {
            line(out, b"content-length", length);
        }
        return Framing::None;
    }
    match body.size_hint().exact() {
        Some(0) => {
            content_length(out, 0);
            Framing::None
        }
        Some(length) => {
            content_length(out, length);
            Framing::Length(length)
        }
        None if asked.chunks => {
            out.put_slice(b"transfer-encoding: chunked\r\n");
            Framing::Chunked
        }
        None => Framing::UntilClose,
    }
}

/// Whether the pipeline asks the client to connect anew.
fn says_close(headers: &HeaderMap) -> bool {
    headers.get(CONNECTION).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"close"))
}

fn line(out: &mut BytesMut, name: &[u8], value: &HeaderValue) {
    let value = value.as_bytes();
    out.reserve(name.len() + value.len() + 4);
    out.put_slice(name);
    out.put_slice(b": ");
    out.put_slice(value);
    out.put_slice(b"\r\n");
}

fn content_length(out: &mut BytesMut, length: u64) {
    out.put_slice(b"content-length: ");
    let mut digits = [0; 20];
    let mut at = digits.len();
    let mut rest = length;
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out.put_slice(&digits[at..]);
    out.put_slice(b"\r\n");
}

thread_local! {
    static TODAY: RefCell<(u64, HeaderValue)> = const { RefCell::new((0, HeaderValue::from_static(""))) };
}

/// The date is written once a second.
pub fn with_date<T>(write: impl FnOnce(&HeaderValue) -> T) -> T {
    let now = SystemTime::now();
    let second = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    TODAY.with_borrow_mut(|(written, date)| {
        if *written != second {
            *written = second;
            if let Ok(text) = HeaderValue::try_from(httpdate::fmt_http_date(now)) {
                *date = text;
            }
        }
        write(date)
    })
}
