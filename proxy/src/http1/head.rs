//! Parses heads, strictly: lines end in CRLF, names touch their colons, nothing is folded and nothing is guessed
//! (RFC 9112, sections 2 to 5).

use std::mem::MaybeUninit;

use bytes::{Buf, Bytes, BytesMut};
use http::header::{CONNECTION, EXPECT};
use http::uri::PathAndQuery;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri, Version, request, response,
};

use super::framing::{self, Framing};
use super::spelling::Spelling;

/// More lines than any limit that can be configured.
const MOST_HEADERS: usize = 256;

/// What a head may take.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes, from the first of the request line to the empty line.
    pub bytes: usize,
    /// Header lines.
    pub headers: usize,
}

/// A head that is refused: the status of the answer, and the reason that is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{details}")]
pub struct Malformed {
    /// For the answer to a request.
    pub status: StatusCode,
    /// Response code details.
    pub details: &'static str,
}

/// The head of a request.
#[derive(Debug)]
pub struct RequestHead {
    /// As the pipeline works on it.
    pub parts: request::Parts,
    /// How its names were spelt.
    pub spelling: Option<Spelling>,
    /// Where its body ends.
    pub framing: Framing,
    /// The client may send another request on the connection.
    pub keep_alive: bool,
    /// The client waits for `100 Continue` before it sends the body.
    pub expects_continue: bool,
}

/// The head of a response.
#[derive(Debug)]
pub struct ResponseHead {
    /// Status and headers.
    pub parts: response::Parts,
    /// How its names were spelt.
    pub spelling: Option<Spelling>,
    /// Where its body ends.
    pub framing: Framing,
    /// The connection may be used again.
    pub keep_alive: bool,
}

const fn bad(details: &'static str) -> Malformed {
    Malformed { status: StatusCode::BAD_REQUEST, details }
}

const fn too_large(details: &'static str) -> Malformed {
    Malformed { status: StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, details }
}

/// How far a head has been looked through, from one read to the next.
#[derive(Debug, Default)]
pub struct Progress {
    scanned: usize,
    /// The one empty line that is forgiven was there.
    empty_line: bool,
}

/// Takes a request's head off the input; `None`: it has not arrived whole.
///
/// # Errors
/// As soon as the bytes cannot become a head that is served.
pub fn request(
    input: &mut BytesMut,
    progress: &mut Progress,
    limits: Limits,
) -> Result<Option<RequestHead>, Malformed> {
    if !progress.empty_line && input.starts_with(b"\r") {
        // One empty line before a request is forgiven (section 2.2).
        if input.len() == 1 {
            return Ok(None);
        }
        if !input.starts_with(b"\r\n") {
            return Err(bad("invalid_request_line"));
        }
        input.advance(2);
        progress.empty_line = true;
    }
    if input.first().is_some_and(|first| !first.is_ascii_alphanumeric() && !b"!#$%&'*+-.^_`|~".contains(first)) {
        return Err(bad("invalid_request_line"));
    }
    let Some(head) = take(input, progress, limits.bytes)? else { return Ok(None) };
    let mut lines = [const { MaybeUninit::uninit() }; MOST_HEADERS];
    let mut parsed = httparse::Request::new(&mut []);
    let outcome = httparse::ParserConfig::default().parse_request_with_uninit_headers(&mut parsed, &head, &mut lines);
    if outcome == Err(httparse::Error::Version) && !is_version(&head) {
        return Err(bad("invalid_request_line"));
    }
    let (Some(method), Some(target), Some(minor)) = complete(outcome, head.len(), &parsed)? else {
        return Err(bad("invalid_request_line"));
    };
    let (headers, spelling) = fields(&head, parsed.headers, limits.headers)?;
    let (mut parts, ()) = Request::new(()).into_parts();
    parts.method = Method::from_bytes(method.as_bytes()).map_err(|_| bad("invalid_method"))?;
    parts.uri = target_of(&head, target)?;
    parts.version = if minor == 0 { Version::HTTP_10 } else { Version::HTTP_11 };
    parts.headers = headers;
    let framing = framing::of_request(&parts.headers, parts.version)?;
    let keep_alive = stays_open(&parts.headers, parts.version);
    let expects_continue = framing != Framing::None
        && parts.headers.get(EXPECT).is_some_and(|wish| wish.as_bytes().eq_ignore_ascii_case(b"100-continue"));
    Ok(Some(RequestHead { parts, spelling, framing, keep_alive, expects_continue }))
}

type RequestLine<'a> = (Option<&'a str>, Option<&'a str>, Option<u8>);

fn complete<'b>(
    outcome: httparse::Result<usize>,
    length: usize,
    parsed: &httparse::Request<'_, 'b>,
) -> Result<RequestLine<'b>, Malformed> {
    match outcome {
        Ok(httparse::Status::Complete(end)) if end == length => Ok((parsed.method, parsed.path, parsed.version)),
        Ok(_) => Err(bad("invalid_header")),
        Err(error) => Err(reason(error)),
    }
}

/// Whether the first line ends in something that is a version, if not one of ours.
fn is_version(head: &[u8]) -> bool {
    let line = head.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let mut words = line.split(|byte| *byte == b' ');
    let words = (words.next(), words.next(), words.next(), words.next());
    matches!(words, (_, _, Some([b'H', b'T', b'T', b'P', b'/', major, b'.', minor]), None)
        if major.is_ascii_digit() && minor.is_ascii_digit())
}

fn reason(error: httparse::Error) -> Malformed {
    match error {
        httparse::Error::HeaderName => bad("invalid_header_name"),
        httparse::Error::HeaderValue => bad("invalid_header_value"),
        httparse::Error::TooManyHeaders => too_large("too_many_headers"),
        httparse::Error::Version => {
            Malformed { status: StatusCode::HTTP_VERSION_NOT_SUPPORTED, details: "unsupported_version" }
        }
        _ => bad("invalid_request_line"),
    }
}

/// Takes the head of a response to a request of `method` off the input.
///
/// # Errors
/// As soon as the bytes cannot become a head that is believed; the status is of no meaning.
pub fn response(
    input: &mut BytesMut,
    progress: &mut Progress,
    limits: Limits,
    method: &Method,
) -> Result<Option<ResponseHead>, Malformed> {
    let Some(head) = take(input, progress, limits.bytes)? else { return Ok(None) };
    let mut lines = [const { MaybeUninit::uninit() }; MOST_HEADERS];
    let mut parsed = httparse::Response::new(&mut []);
    let outcome = httparse::ParserConfig::default().parse_response_with_uninit_headers(&mut parsed, &head, &mut lines);
    match outcome {
        Ok(httparse::Status::Complete(end)) if end == head.len() => {}
        Ok(_) => return Err(bad("invalid_header")),
        Err(error) => return Err(reason(error)),
    }
    let (Some(code), Some(minor)) = (parsed.code, parsed.version) else { return Err(bad("invalid_status_line")) };
    let (headers, spelling) = fields(&head, parsed.headers, limits.headers)?;
    let (mut parts, ()) = Response::new(()).into_parts();
    parts.status = StatusCode::from_u16(code).map_err(|_| bad("invalid_status_line"))?;
    parts.version = if minor == 0 { Version::HTTP_10 } else { Version::HTTP_11 };
    parts.headers = headers;
    let framing = framing::of_response(method, parts.status, &parts.headers, parts.version)?;
    let keep_alive = framing != Framing::UntilClose && stays_open(&parts.headers, parts.version);
    Ok(Some(ResponseHead { parts, spelling, framing, keep_alive }))
}

/// Cuts the head off at its empty line. Every line must end in CRLF.
fn take(input: &mut BytesMut, progress: &mut Progress, limit: usize) -> Result<Option<Bytes>, Malformed> {
    let from = progress.scanned.saturating_sub(3).min(input.len());
    for at in memchr::memchr_iter(b'\n', &input[from..]).map(|at| from + at) {
        if at == 0 || input[at - 1] != b'\r' {
            return Err(bad("bare_lf"));
        }
        if at >= 3 && input[at - 2] == b'\n' {
            *progress = Progress::default();
            return if at >= limit {
                Err(too_large("head_too_large"))
            } else {
                Ok(Some(input.split_to(at + 1).freeze()))
            };
        }
    }
    progress.scanned = input.len();
    if input.len() >= limit { Err(too_large("head_too_large")) } else { Ok(None) }
}

/// Moves the lines into a map; values are parts of the head, not copies.
fn fields(
    head: &Bytes,
    lines: &[httparse::Header<'_>],
    limit: usize,
) -> Result<(HeaderMap, Option<Spelling>), Malformed> {
    if lines.len() > limit {
        return Err(too_large("too_many_headers"));
    }
    let mut headers = HeaderMap::with_capacity(lines.len() + 8);
    let mut capitals = false;
    for line in lines {
        capitals |= line.name.bytes().any(|byte| byte.is_ascii_uppercase());
        let name = HeaderName::from_bytes(line.name.as_bytes()).map_err(|_| bad("invalid_header_name"))?;
        let value =
            HeaderValue::from_maybe_shared(head.slice_ref(line.value)).map_err(|_| bad("invalid_header_value"))?;
        headers.append(name, value);
    }
    let spelling = capitals.then(|| {
        let place = |line: &httparse::Header<'_>| {
            let start = line.name.as_ptr() as usize - head.as_ptr() as usize;
            (u32::try_from(start).unwrap_or(0), u16::try_from(line.name.len()).unwrap_or(0))
        };
        Spelling::new(head.clone(), lines.iter().map(place).collect())
    });
    Ok((headers, spelling))
}

/// Origin form, asterisk form or absolute form (section 3.2); what CONNECT has is refused by its method.
fn target_of(head: &Bytes, target: &str) -> Result<Uri, Malformed> {
    if target.bytes().any(|byte| !(0x21..=0x7e).contains(&byte)) {
        return Err(bad("invalid_target"));
    }
    if target.contains('#') {
        return Err(bad("fragment_in_target"));
    }
    let shared = head.slice_ref(target.as_bytes());
    if target.starts_with('/') {
        return PathAndQuery::from_maybe_shared(shared).map(Uri::from).map_err(|_| bad("invalid_target"));
    }
    Uri::from_maybe_shared(shared).map_err(|_| bad("invalid_target"))
}

/// Section 9.3.
fn stays_open(headers: &HeaderMap, version: Version) -> bool {
    let has = |option: &str| {
        let lines = headers.get_all(CONNECTION).iter().filter_map(|line| line.to_str().ok());
        lines.flat_map(|line| line.split(',')).any(|one| one.trim().eq_ignore_ascii_case(option))
    };
    if !headers.contains_key(CONNECTION) {
        return version == Version::HTTP_11;
    }
    !has("close") && (version == Version::HTTP_11 || has("keep-alive"))
}

#[cfg(test)]
mod tests;
