//! One stream of HTTP/2 by hand: a library would refuse to send what is to be refused.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::corpus::Field;

/// How a stream ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// With this status.
    Status(u16),
    /// By RST_STREAM, GOAWAY or the end of the connection.
    Reset,
}

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// Sends one request and reads until its stream has ended.
pub fn exchange(
    mut stream: TcpStream,
    fields: &[Field],
    body: Option<&[u8]>,
    trailers: &[Field],
) -> Result<Ended, String> {
    stream.set_read_timeout(Some(Duration::from_secs(5))).map_err(|error| error.to_string())?;
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    bytes.extend(frame(SETTINGS, 0, 0, &[]));
    bytes.extend(frame(HEADERS, END_HEADERS | if body.is_none() { END_STREAM } else { 0 }, 1, &encoded(fields)));
    if let Some(body) = body {
        bytes.extend(frame(DATA, if trailers.is_empty() { END_STREAM } else { 0 }, 1, body));
    }
    if !trailers.is_empty() {
        bytes.extend(frame(HEADERS, END_HEADERS | END_STREAM, 1, &encoded(trailers)));
    }
    // A peer that refuses may be gone before all of it was written; what it said still counts.
    let _ = stream.write_all(&bytes);
    let mut status = None;
    loop {
        let Some((kind, flags, id, payload)) = read_frame(&mut stream)? else { return Ok(Ended::Reset) };
        match (kind, id) {
            (HEADERS, 1) if status.is_none() => status = Some(status_of(&payload)?),
            (RST_STREAM, 1) => return Ok(Ended::Reset),
            (GOAWAY, _) if status.is_none() => return Ok(Ended::Reset),
            _ => {}
        }
        if let Some(status) = status.filter(|_| id == 1 && matches!(kind, DATA | HEADERS) && flags & END_STREAM != 0) {
            return Ok(Ended::Status(status));
        }
    }
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a short frame").to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// RFC 7541, 6.2.2: literals without indexing, names and values as they are.
fn encoded(fields: &[Field]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            // RFC 7541, 5.1: an integer with a prefix of seven bits.
            match u8::try_from(text.len()).ok().filter(|length| *length < 127) {
                Some(length) => block.push(length),
                None => {
                    let mut rest = text.len() - 127;
                    block.push(127);
                    while rest >= 128 {
                        block.push((rest % 128) as u8 | 128);
                        rest /= 128;
                    }
                    block.push(rest as u8);
                }
            }
            block.extend_from_slice(text);
        }
    }
    block
}

type Frame = (u8, u8, u32, Vec<u8>);

/// `None` when the connection has ended.
fn read_frame(stream: &mut TcpStream) -> Result<Option<Frame>, String> {
    let mut head = [0; 9];
    let mut read = |into: &mut [u8]| match stream.read_exact(into) {
        Ok(()) => Ok(true),
        Err(error) if matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) => {
            Err("neither an answer nor a reset within 5 s".to_owned())
        }
        Err(_) => Ok(false),
    };
    if !read(&mut head)? {
        return Ok(None);
    }
    let mut payload = vec![0; u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize];
    if !read(&mut payload)? {
        return Ok(None);
    }
    let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]) & 0x7fff_ffff;
    Ok(Some((head[3], head[4], stream, payload)))
}

/// The status, which is the first field of a response: in the static table, or a literal under one of its names.
fn status_of(block: &[u8]) -> Result<u16, String> {
    const INDEXED: [u16; 7] = [200, 204, 206, 304, 400, 404, 500];
    // A change of the table's size may stand before it.
    let start = block.iter().position(|byte| byte & 0xe0 != 0x20).unwrap_or(block.len());
    match &block[start..] {
        [first @ 0x88..=0x8e, ..] => Ok(INDEXED[usize::from(first - 0x88)]),
        [0x08 | 0x18 | 0x48, length, rest @ ..] if length & 128 == 0 => {
            let digits = rest.get(..usize::from(*length)).and_then(|digits| std::str::from_utf8(digits).ok());
            digits.and_then(|digits| digits.parse().ok()).ok_or_else(|| format!("a status in {block:?}"))
        }
        [0x08 | 0x18 | 0x48, _, rest @ ..] => huffman_digits(rest).ok_or_else(|| format!("a status in {block:?}")),
        _ => Err(format!("no status first in {block:?}")),
    }
}

/// RFC 7541, appendix B: `0` to `2` have five bits, `3` to `9` six.
fn huffman_digits(bytes: &[u8]) -> Option<u16> {
    let bits: Vec<u8> = bytes.iter().take(3).flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1)).collect();
    let number = |bits: &[u8]| bits.iter().fold(0_u16, |number, bit| number * 2 + u16::from(*bit));
    let (mut at, mut status) = (0, 0);
    for _ in 0..3 {
        let five = number(bits.get(at..at + 5)?);
        let digit = if five < 3 {
            at += 5;
            five
        } else {
            at += 6;
            number(bits.get(at - 6..at)?).checked_sub(25)? + 3
        };
        status = status * 10 + digit;
    }
    Some(status)
}
