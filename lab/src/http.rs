//! One HTTP/1.1 request over a stream that is already open: for readiness, admin pages and tests that must
//! see the bytes. It asks the server to close afterwards.

use std::io::{self, Read, Write};
use std::net::TcpStream;

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// Names in lower case, in the order in which they came.
    pub headers: Vec<(String, String)>,
    /// The body, without its framing.
    pub body: Vec<u8>,
}

impl Response {
    /// The first header of this name (in lower case).
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(one, _)| one == name).map(|(_, value)| value.as_str())
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// GET with the given authority and extra headers.
///
/// # Errors
/// When the stream breaks or what comes back is not HTTP/1.
pub fn get(stream: TcpStream, authority: &str, path: &str, headers: &[(&str, &str)]) -> io::Result<Response> {
    request(stream, "GET", authority, path, headers, b"")
}

/// A request with a body.
///
/// # Errors
/// When the stream breaks or what comes back is not HTTP/1.
pub fn request(
    mut stream: TcpStream,
    method: &str,
    authority: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> io::Result<Response> {
    let mut head = format!("{method} {path} HTTP/1.1\r\nHost: {authority}\r\nConnection: close\r\n");
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    if !body.is_empty() {
        head.push_str(&format!("Content-Length: {}\r\n", body.len()));
    }
    head.push_str("\r\n");
    let mut answer = Vec::new();
    // A server that answers without reading the body resets the connection; what it said before that counts.
    let sent = stream.write_all(&[head.as_bytes(), body].concat());
    let received = stream.read_to_end(&mut answer);
    match parse(&answer, method) {
        Some(response) => Ok(response),
        None => {
            received.and(sent)?;
            Err(io::Error::new(io::ErrorKind::InvalidData, "the answer is not HTTP/1 or is cut off"))
        }
    }
}

/// `None` unless the answer is whole.
fn parse(answer: &[u8], method: &str) -> Option<Response> {
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&answer[..end]).ok()?;
    let mut lines = head.split("\r\n");
    let status = lines.next()?.strip_prefix("HTTP/1.")?.split(' ').nth(1)?.parse().ok()?;
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let rest = &answer[end + 4..];
    let chunked = headers.iter().any(|(name, value)| name == "transfer-encoding" && value == "chunked");
    let body = if chunked { join_chunks(rest)? } else { rest.to_vec() };
    let response = Response { status, headers, body };
    let length = response.header("content-length").and_then(|length| length.parse::<usize>().ok());
    let has_body = method != "HEAD" && !matches!(status, 204 | 304);
    let whole = !has_body || length.is_none_or(|length| length == response.body.len());
    whole.then_some(response)
}

fn join_chunks(mut rest: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let end = rest.windows(2).position(|two| two == b"\r\n")?;
        let size = std::str::from_utf8(&rest[..end]).ok()?.split(';').next()?;
        let size = usize::from_str_radix(size.trim(), 16).ok()?;
        if size == 0 {
            return Some(body);
        }
        let start = end + 2;
        body.extend_from_slice(rest.get(start..start.checked_add(size)?)?);
        rest = rest.get(start + size + 2..)?;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::parse;

    #[test]
    fn a_plain_body_is_taken_as_it_is() {
        let response = parse(b"HTTP/1.1 200 OK\r\nX-A: b\r\n\r\nhello", "GET").unwrap();
        assert_eq!((response.status, response.header("x-a"), response.text().as_str()), (200, Some("b"), "hello"));
    }

    #[test]
    fn chunks_are_joined() {
        let response =
            parse(b"HTTP/1.1 503 x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;e=1\r\nde\r\n0\r\n\r\n", "GET");
        assert_eq!(response.unwrap().text(), "abcde");
    }

    #[test]
    fn cut_off_or_foreign_answers_are_refused() {
        assert!(parse(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\nabc", "GET").is_none());
        assert!(parse(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc", "GET").is_none());
        assert!(parse(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", "HEAD").is_some());
        assert!(parse(b"SSH-2.0-x\r\n\r\n", "GET").is_none());
    }
}
