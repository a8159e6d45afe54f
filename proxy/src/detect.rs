//! What a connection speaks, told from its first bytes: TLS with its offers, HTTP/1, HTTP/2, or something else.
//!
//! [`classify`] is pure; [`sniff`] reads ahead until it can answer, or until the client has been silent for too long.

use std::io;
use std::time::Duration;

use rustls::server::Acceptor;
use tokio::io::AsyncRead;
use tokio::time::{Instant, timeout_at};

use crate::io::Prefixed;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// A request line longer than this is not taken for HTTP.
const MAX_REQUEST_LINE: usize = 8 * 1024;
/// A ClientHello longer than this is refused (RFC 8446 allows 64 KiB records of several; real ones are below 4 KiB).
const MAX_CLIENT_HELLO: usize = 32 * 1024;

/// The protocol that the first bytes belong to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// A TLS handshake record.
    Tls,
    /// HTTP/1.0 or 1.1: a whole request line was seen.
    Http1 {
        /// 0 or 1.
        minor: u8,
    },
    /// The HTTP/2 connection preface.
    Http2,
    /// Anything else.
    Opaque,
}

impl Protocol {
    /// The name that `FilterChainMatch.application_protocols` uses for it; TLS and opaque bytes have none.
    pub fn alpn(self) -> Option<&'static str> {
        match self {
            Self::Http1 { minor: 0 } => Some("http/1.0"),
            Self::Http1 { .. } => Some("http/1.1"),
            Self::Http2 => Some("h2c"),
            Self::Tls | Self::Opaque => None,
        }
    }
}

/// What reading ahead came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sniffed {
    /// The client spoke.
    Protocol(Protocol),
    /// The client said nothing, or too little to tell, within the time given.
    Silent,
    /// The client closed before it said enough.
    Closed,
}

/// Answers as soon as the bytes suffice; `None`: more are needed.
pub fn classify(bytes: &[u8]) -> Option<Protocol> {
    let first = *bytes.first()?;
    if first == 0x16 {
        return match bytes.get(1) {
            None => None,
            Some(3) => Some(Protocol::Tls),
            Some(_) => Some(Protocol::Opaque),
        };
    }
    if bytes.starts_with(PREFACE) {
        return Some(Protocol::Http2);
    }
    if PREFACE.starts_with(bytes) {
        return None;
    }
    request_line(bytes)
}

/// `METHOD SP target SP HTTP/1.x CRLF` (RFC 9112 section 3), leniently: it only has to be unmistakable.
fn request_line(bytes: &[u8]) -> Option<Protocol> {
    let method = bytes.iter().take_while(|b| is_token(**b)).count();
    match bytes.get(method) {
        None if method <= 32 => return None,
        Some(b' ') if method > 0 && method <= 32 => {}
        _ => return Some(Protocol::Opaque),
    }
    match bytes.iter().position(|b| *b == b'\n') {
        None if bytes.len() > MAX_REQUEST_LINE => Some(Protocol::Opaque),
        None if bytes.iter().any(|b| *b < 0x20 && *b != b'\r') => Some(Protocol::Opaque),
        None => None,
        Some(end) => {
            let line = bytes[..end].strip_suffix(b"\r").unwrap_or(&bytes[..end]);
            match line {
                [.., b' ', b'H', b'T', b'T', b'P', b'/', b'1', b'.', minor @ (b'0' | b'1')] => {
                    Some(Protocol::Http1 { minor: minor - b'0' })
                }
                _ => Some(Protocol::Opaque),
            }
        }
    }
}

/// Whether a whole first line of three words names a protocol other than HTTP, of whatever version.
pub fn names_another_protocol(bytes: &[u8]) -> bool {
    let Some(end) = bytes.iter().position(|b| *b == b'\n') else { return false };
    let line = bytes[..end].strip_suffix(b"\r").unwrap_or(&bytes[..end]);
    let mut words = line.split(|b| *b == b' ');
    match (words.next(), words.next(), words.next(), words.next()) {
        (Some(_), Some(_), Some(protocol), None) => {
            !protocol.get(..4).is_some_and(|start| start.eq_ignore_ascii_case(b"HTTP"))
        }
        _ => false,
    }
}

fn is_token(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b)
}

/// Reads ahead until the protocol is known, the client closes, or `wait` is over (`None`: no limit).
pub async fn sniff<S: AsyncRead + Unpin>(io: &mut Prefixed<S>, wait: Option<Duration>) -> io::Result<Sniffed> {
    let deadline = wait.map(|wait| Instant::now() + wait);
    loop {
        if let Some(protocol) = classify(io.ahead()) {
            return Ok(Sniffed::Protocol(protocol));
        }
        let read = match deadline {
            None => io.read_ahead().await?,
            Some(deadline) => match timeout_at(deadline, io.read_ahead()).await {
                Ok(read) => read?,
                Err(_) => return Ok(Sniffed::Silent),
            },
        };
        if read == 0 {
            return Ok(if io.ahead().is_empty() { Sniffed::Closed } else { Sniffed::Protocol(Protocol::Opaque) });
        }
    }
}

/// What a ClientHello asks for.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct ClientHello {
    /// SNI.
    pub server_name: Option<String>,
    /// ALPN offers, best first; those that are not UTF-8 are left out.
    pub alpn: Vec<String>,
}

/// Reads ahead until the ClientHello is whole; the bytes stay to be read again by whoever terminates or forwards it.
pub async fn client_hello<S: AsyncRead + Unpin>(io: &mut Prefixed<S>) -> io::Result<ClientHello> {
    let mut acceptor = Acceptor::default();
    let mut fed = 0;
    loop {
        let mut rest = &io.ahead()[fed..];
        while !rest.is_empty() {
            acceptor.read_tls(&mut rest)?;
        }
        fed = io.ahead().len();
        match acceptor.accept() {
            Ok(Some(accepted)) => return Ok(offers(&accepted.client_hello())),
            Ok(None) if fed > MAX_CLIENT_HELLO => {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "the TLS ClientHello is longer than 32 KiB"));
            }
            Ok(None) => {}
            Err((error, _)) => return Err(io::Error::new(io::ErrorKind::InvalidData, error)),
        }
        if io.read_ahead().await? == 0 {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "the peer closed in the middle of its TLS ClientHello",
            ));
        }
    }
}

fn offers(hello: &rustls::server::ClientHello<'_>) -> ClientHello {
    ClientHello {
        server_name: hello.server_name().map(str::to_owned),
        alpn: hello
            .alpn()
            .into_iter()
            .flatten()
            .filter_map(|name| std::str::from_utf8(name).ok().map(str::to_owned))
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn bytes_are_told_apart() {
        let cases: &[(&[u8], Option<Protocol>)] = &[
            (b"", None),
            (b"\x16", None),
            (b"\x16\x03\x01", Some(Protocol::Tls)),
            (b"\x16\x01", Some(Protocol::Opaque)),
            (b"GE", None),
            (b"GET / HT", None),
            (b"GET / HTTP/1.1\r\n", Some(Protocol::Http1 { minor: 1 })),
            (b"GET / HTTP/1.0\n", Some(Protocol::Http1 { minor: 0 })),
            (b"GET / HTTP/1.1\r\nHost: a", Some(Protocol::Http1 { minor: 1 })),
            (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Some(Protocol::Http2)),
            (b"PRI * HTTP/2.0\r\n\r\nS", None),
            (b"PROXY TCP4 1.2.3.4\r\n", Some(Protocol::Opaque)),
            (b"get stock\n", Some(Protocol::Opaque)),
            (b"\x00\x01", Some(Protocol::Opaque)),
            (b"SSH-2.0-OpenSSH\r\n", Some(Protocol::Opaque)),
        ];
        for (bytes, want) in cases {
            assert_eq!(classify(bytes), *want, "{:?}", String::from_utf8_lossy(bytes));
        }
    }

    #[test]
    fn a_line_of_another_protocol_is_told_from_http_that_is_wrong() {
        for foreign in ["INVALID CONNECTION PREFACE\r\n", "PROXY TCP4 1.2.3.4\n", "OPTIONS rtsp://a RTSP/1.0\r\nrest"] {
            assert!(names_another_protocol(foreign.as_bytes()), "{foreign:?}");
        }
        for wrong in [
            "GET / HTTP/1.2\r\n",
            "GET / http/1.1\r\n",
            "GET / HTTP1.1\r\n",
            "GET /\r\n",
            "GET / a HTTP/1.1\r\n",
            "GET / XTTP/1.1",
            "\r\n",
        ] {
            assert!(!names_another_protocol(wrong.as_bytes()), "{wrong:?}");
        }
    }

    #[tokio::test]
    async fn what_was_read_ahead_is_read_again() {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let (mut client, server) = tokio::io::duplex(64);
        client.write_all(b"GET / HTTP/1.1\r\nrest").await.unwrap();
        let mut io = Prefixed::new(server);
        assert_eq!(sniff(&mut io, None).await.unwrap(), Sniffed::Protocol(Protocol::Http1 { minor: 1 }));
        drop(client);
        let mut all = String::new();
        io.read_to_string(&mut all).await.unwrap();
        assert_eq!(all, "GET / HTTP/1.1\r\nrest");
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_client_is_not_waited_for_longer_than_asked() {
        let (_client, server) = tokio::io::duplex(64);
        let mut io = Prefixed::new(server);
        let sniffed = sniff(&mut io, Some(Duration::from_millis(10))).await.unwrap();
        assert_eq!(sniffed, Sniffed::Silent);
    }

    #[tokio::test]
    async fn a_truncated_client_hello_is_an_error_and_not_a_hang() {
        use tokio::io::AsyncWriteExt;
        let (mut client, server) = tokio::io::duplex(64);
        client.write_all(&[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3]).await.unwrap();
        drop(client);
        let error = client_hello(&mut Prefixed::new(server)).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }
}
