//! Decodes `Transfer-Encoding: chunked` (RFC 9112, section 7.1), strictly and in bounded memory.

use bytes::{Buf, Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue};

/// Extensions mean nothing to us; this much of them is read over, for one chunk and for a body.
const MAX_LINE: usize = 16 + 256;
const MAX_EXTENSIONS: usize = 16 * 1024;
/// Trailers, as lines and as bytes.
const MAX_TRAILERS: usize = 100;
const MAX_TRAILER_BYTES: usize = 16 * 1024;
/// A chunk that would not fit into anything.
const MAX_CHUNK: u64 = 1 << 62;

/// The state between two reads.
#[derive(Debug, Default)]
pub struct Chunked {
    state: State,
    extensions: usize,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum State {
    #[default]
    Size,
    Data(u64),
    DataEnd,
    Trailers,
    Done,
}

/// What the input held.
#[derive(Debug)]
pub enum Step {
    /// Too little; read more.
    More,
    /// Bytes of the body.
    Data(Bytes),
    /// The end, with trailers if there were any.
    End(Option<HeaderMap>),
}

/// The bytes are no chunked body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the chunked body is malformed: {0}")]
pub struct InvalidChunk(&'static str);

impl Chunked {
    /// Whether the end has been read.
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Takes the next piece off the input.
    ///
    /// # Errors
    /// For anything that another reader could take for another body.
    pub fn next(&mut self, input: &mut BytesMut) -> Result<Step, InvalidChunk> {
        loop {
            match self.state {
                State::Size => {
                    let Some(size) = self.size(input)? else { return Ok(Step::More) };
                    self.state = if size == 0 { State::Trailers } else { State::Data(size) };
                }
                State::Data(left) => {
                    if input.is_empty() {
                        return Ok(Step::More);
                    }
                    let n = usize::try_from(left).map_or(input.len(), |left| left.min(input.len()));
                    let left = left - n as u64;
                    self.state = if left == 0 { State::DataEnd } else { State::Data(left) };
                    return Ok(Step::Data(input.split_to(n).freeze()));
                }
                State::DataEnd => {
                    if input.len() < 2 && b"\r\n".starts_with(input) {
                        return Ok(Step::More);
                    }
                    if !input.starts_with(b"\r\n") {
                        return Err(InvalidChunk("a chunk is longer than its size"));
                    }
                    input.advance(2);
                    self.state = State::Size;
                }
                State::Trailers => {
                    let Some(trailers) = trailers(input)? else { return Ok(Step::More) };
                    self.state = State::Done;
                    return Ok(Step::End(trailers));
                }
                State::Done => return Ok(Step::End(None)),
            }
        }
    }

    fn size(&mut self, input: &mut BytesMut) -> Result<Option<u64>, InvalidChunk> {
        let window = &input[..input.len().min(MAX_LINE + 2)];
        let Some(end) = memchr::memchr(b'\n', window) else {
            if window.len() > MAX_LINE + 1 {
                return Err(InvalidChunk("the size line is too long"));
            }
            if !window.is_empty() {
                digits(window)?;
            }
            return Ok(None);
        };
        let Some(line) = window[..end].strip_suffix(b"\r") else { return Err(InvalidChunk("a bare line feed")) };
        let count = digits(line)?;
        let rest = &line[count..];
        let extension = rest.iter().position(|byte| !b" \t".contains(byte)).map_or(&rest[..0], |at| &rest[at..]);
        let good = rest.is_empty() || extension.starts_with(b";");
        if count == 0 || !good || extension.iter().any(|byte| (*byte < 0x20 && *byte != b'\t') || *byte == 0x7f) {
            return Err(InvalidChunk("the size line holds more than a size and extensions"));
        }
        self.extensions += rest.len();
        if self.extensions > MAX_EXTENSIONS {
            return Err(InvalidChunk("too many extensions"));
        }
        let size = std::str::from_utf8(&line[..count]).ok().and_then(|text| u64::from_str_radix(text, 16).ok());
        let size = size.filter(|size| *size <= MAX_CHUNK).ok_or(InvalidChunk("the size is out of range"))?;
        input.advance(end + 1);
        Ok(Some(size))
    }
}

/// How many hexadecimal digits the line begins with: at most 16, and some unless the line has just begun.
fn digits(line: &[u8]) -> Result<usize, InvalidChunk> {
    match line.iter().position(|byte| !byte.is_ascii_hexdigit()).unwrap_or(line.len()) {
        1..=16 => Ok(line.iter().position(|byte| !byte.is_ascii_hexdigit()).unwrap_or(line.len())),
        _ => Err(InvalidChunk("no size of 1 to 16 hexadecimal digits")),
    }
}

/// `None`: they have not arrived whole.
fn trailers(input: &mut BytesMut) -> Result<Option<Option<HeaderMap>>, InvalidChunk> {
    if input.starts_with(b"\r\n") {
        input.advance(2);
        return Ok(Some(None));
    }
    let window = &input[..input.len().min(MAX_TRAILER_BYTES)];
    let mut end = None;
    for at in memchr::memchr_iter(b'\n', window) {
        if at == 0 || window[at - 1] != b'\r' {
            return Err(InvalidChunk("a bare line feed in the trailers"));
        }
        if at >= 3 && window[at - 2] == b'\n' {
            end = Some(at + 1);
            break;
        }
    }
    let Some(end) = end else {
        return if window.len() >= MAX_TRAILER_BYTES {
            Err(InvalidChunk("the trailers are too long"))
        } else {
            Ok(None)
        };
    };
    let bytes = input.split_to(end).freeze();
    let mut lines = [httparse::EMPTY_HEADER; MAX_TRAILERS];
    let Ok(httparse::Status::Complete((_, lines))) = httparse::parse_headers(&bytes, &mut lines) else {
        return Err(InvalidChunk("the trailers are no header lines"));
    };
    let mut trailers = HeaderMap::with_capacity(lines.len());
    for line in lines {
        let name = HeaderName::from_bytes(line.name.as_bytes()).map_err(|_| InvalidChunk("the name of a trailer"))?;
        let value = HeaderValue::from_bytes(line.value).map_err(|_| InvalidChunk("the value of a trailer"))?;
        trailers.append(name, value);
    }
    Ok(Some(Some(trailers)))
}

#[cfg(test)]
mod tests;
