//! HTTP/2 written by hand, for peers that no library would be: frames as bytes, and what the server says to them.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const PRIORITY: u8 = 2;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PING: u8 = 6;
const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;

pub const END_STREAM: u8 = 1;
pub const END_HEADERS: u8 = 4;
pub const ACK: u8 = 1;

pub const INITIAL_WINDOW_SIZE: u16 = 4;

/// How long a server may take over an answer or over the end.
const PATIENCE: Duration = Duration::from_secs(10);

/// A frame.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a frame");
    [&length.to_be_bytes()[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// The client's preface and SETTINGS.
pub fn opening(settings: &[(u16, u32)]) -> Vec<u8> {
    let entries: Vec<u8> =
        settings.iter().flat_map(|(id, value)| [&id.to_be_bytes()[..], &value.to_be_bytes()].concat()).collect();
    [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(), frame(SETTINGS, 0, 0, &entries)].concat()
}

/// A header block: method (0x82 GET, 0x83 POST), `http`, a path and an authority, by RFC 7541's static table.
pub fn block(method: u8, path: &str) -> Vec<u8> {
    let text = |text: &str| [&[u8::try_from(text.len()).expect("short")], text.as_bytes()].concat();
    [&[method, 0x86, 0x04][..], &text(path), &[0x01], &text("origin")].concat()
}

/// HEADERS with a whole GET.
pub fn get(stream: u32, path: &str) -> Vec<u8> {
    frame(HEADERS, END_STREAM | END_HEADERS, stream, &block(0x82, path))
}

/// HEADERS of a POST whose body is to come.
pub fn post(stream: u32, path: &str) -> Vec<u8> {
    frame(HEADERS, END_HEADERS, stream, &block(0x83, path))
}

/// What a server said until the connection ended or it was heard out.
#[derive(Debug, Default)]
pub struct Heard {
    /// Streams answered with status 200.
    pub ok: u32,
    /// Streams that were reset.
    pub resets: u32,
    /// The error of the last reset.
    pub error: Option<u32>,
    /// Bytes of DATA.
    pub data: usize,
    /// Whether DATA has ended a stream.
    pub finished: bool,
    /// PINGs of ours that it answered.
    pub answered: u32,
    /// PINGs that nobody has answered.
    pings: Vec<Vec<u8>>,
    /// The error of its GOAWAY.
    pub goaway: Option<u32>,
    /// Whether the connection has ended.
    pub ended: bool,
}

/// Reads until the end, or until `enough`.
pub fn hear(stream: &mut TcpStream, enough: impl Fn(&Heard) -> bool) -> Heard {
    listen(stream, PATIENCE, |heard, _| enough(heard))
}

/// As [`hear`], for so long, and answers every PING.
pub fn hear_and_answer(stream: &mut TcpStream, patience: Duration, enough: impl Fn(&Heard) -> bool) -> Heard {
    listen(stream, patience, |heard, stream| {
        for ping in heard.pings.drain(..) {
            // Whether it has ended is for the next read to say.
            let _ = stream.write_all(&frame(PING, ACK, 0, &ping));
        }
        enough(heard)
    })
}

fn listen(
    stream: &mut TcpStream,
    patience: Duration,
    mut enough: impl FnMut(&mut Heard, &mut TcpStream) -> bool,
) -> Heard {
    let started = Instant::now();
    let mut heard = Heard::default();
    let mut bytes = Vec::new();
    let mut buffer = vec![0; 1 << 16];
    stream.set_read_timeout(Some(Duration::from_millis(200))).expect("a timeout");
    while !enough(&mut heard, stream) && !heard.ended && started.elapsed() < patience {
        match stream.read(&mut buffer) {
            Ok(0) => heard.ended = true,
            Ok(n) => {
                bytes.extend_from_slice(&buffer[..n]);
                let taken = heard.take(&bytes);
                bytes.drain(..taken);
            }
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(_) => heard.ended = true,
        }
    }
    heard
}

impl Heard {
    /// Takes whole frames; returns how many bytes that were.
    fn take(&mut self, bytes: &[u8]) -> usize {
        let mut at = 0;
        while let Some(header) = bytes[at..].first_chunk::<9>() {
            let length = u32::from_be_bytes([0, header[0], header[1], header[2]]) as usize;
            let Some(payload) = bytes[at + 9..].get(..length) else { break };
            match header[3] {
                DATA => {
                    self.data += length;
                    self.finished |= header[4] & END_STREAM != 0;
                }
                // 0x88 is `:status: 200`.
                HEADERS => self.ok += u32::from(payload.first() == Some(&0x88)),
                RST_STREAM => {
                    self.resets += 1;
                    self.error = payload.first_chunk().map(|code| u32::from_be_bytes(*code));
                }
                PING if header[4] & ACK != 0 => self.answered += 1,
                PING => self.pings.push(payload.to_vec()),
                GOAWAY => self.goaway = payload[4..].first_chunk().map(|code| u32::from_be_bytes(*code)),
                _ => {}
            }
            at += 9 + length;
        }
        at
    }
}

/// Sends `before` once and then `again` so many times, reading all the while, until the server ends it.
pub fn flood(mut stream: TcpStream, before: &[u8], times: u32, mut again: impl FnMut(u32) -> Vec<u8> + Send) -> Heard {
    let mut reading = stream.try_clone().expect("a second handle");
    stream.set_write_timeout(Some(PATIENCE)).expect("a timeout");
    std::thread::scope(|scope| {
        let writer = scope.spawn(move || {
            let mut chunk = before.to_vec();
            for n in 0..times {
                chunk.extend(again(n));
                if chunk.len() > 60_000 || n + 1 == times {
                    // A server that has ended it is what this waits for.
                    if stream.write_all(&chunk).is_err() {
                        return;
                    }
                    chunk.clear();
                }
            }
        });
        let heard = hear(&mut reading, |_| false);
        writer.join().expect("the writer");
        heard
    })
}
