//! Where a body ends, told from its head alone and once: RFC 9112, section 6, without any of its lenience.

use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderMap, Method, StatusCode, Version};

use super::head::Malformed;

/// How the end of a body is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// There is none.
    None,
    /// It has so many bytes.
    Length(u64),
    /// In chunks.
    Chunked,
    /// It ends with the connection; responses only.
    UntilClose,
}

const fn bad(details: &'static str) -> Malformed {
    Malformed { status: StatusCode::BAD_REQUEST, details }
}

/// The body of a request.
///
/// # Errors
/// When two hops could tell its end in two ways.
pub fn of_request(headers: &HeaderMap, version: Version) -> Result<Framing, Malformed> {
    let length = headers.contains_key(CONTENT_LENGTH);
    if length && headers.contains_key(TRANSFER_ENCODING) {
        return Err(bad("content_length_and_transfer_encoding"));
    }
    if is_chunked(headers)? {
        return if version < Version::HTTP_11 { Err(bad("transfer_encoding_in_http10")) } else { Ok(Framing::Chunked) };
    }
    Ok(match content_length(headers)? {
        None | Some(0) => Framing::None,
        Some(length) => Framing::Length(length),
    })
}

/// The body of a response to a request of this method.
///
/// # Errors
/// When two hops could tell its end in two ways.
pub fn of_response(
    method: &Method,
    status: StatusCode,
    headers: &HeaderMap,
    version: Version,
) -> Result<Framing, Malformed> {
    let coded = headers.contains_key(TRANSFER_ENCODING);
    if coded && (headers.contains_key(CONTENT_LENGTH) || version < Version::HTTP_11) {
        return Err(bad("content_length_and_transfer_encoding"));
    }
    let (chunked, length) = (is_chunked(headers)?, content_length(headers)?);
    let without = *method == Method::HEAD
        || status.is_informational()
        || status == StatusCode::NO_CONTENT
        || status == StatusCode::NOT_MODIFIED;
    Ok(match length {
        _ if without => Framing::None,
        _ if chunked => Framing::Chunked,
        Some(0) => Framing::None,
        Some(length) => Framing::Length(length),
        None => Framing::UntilClose,
    })
}

/// `chunked` once and nothing else (section 6.1).
fn is_chunked(headers: &HeaderMap) -> Result<bool, Malformed> {
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    match (codings.next(), codings.next()) {
        (None, _) => Ok(false),
        (Some(coding), None) if coding.as_bytes().eq_ignore_ascii_case(b"chunked") => Ok(true),
        _ => Err(Malformed { status: StatusCode::NOT_IMPLEMENTED, details: "unsupported_transfer_encoding" }),
    }
}

/// One line, digits, one spelling of each number (RFC 9110, section 8.6).
fn content_length(headers: &HeaderMap) -> Result<Option<u64>, Malformed> {
    let mut lines = headers.get_all(CONTENT_LENGTH).iter();
    let line = match (lines.next(), lines.next()) {
        (None, _) => return Ok(None),
        (Some(line), None) => line.as_bytes(),
        (Some(_), Some(_)) => return Err(bad("invalid_content_length")),
    };
    let padded = line.len() > 1 && line.starts_with(b"0");
    let digits = !line.is_empty() && line.iter().all(u8::is_ascii_digit) && !padded;
    let number = std::str::from_utf8(line).ok().filter(|_| digits).and_then(|digits| digits.parse::<i64>().ok());
    number.and_then(|number| u64::try_from(number).ok()).map(Some).ok_or(bad("invalid_content_length"))
}
