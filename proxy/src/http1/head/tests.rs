#![allow(clippy::unwrap_used)]

use super::*;

const LIMITS: Limits = Limits { bytes: 4096, headers: 10 };

fn read(bytes: &[u8]) -> Result<Option<RequestHead>, Malformed> {
    request(&mut BytesMut::from(bytes), &mut Progress::default(), LIMITS)
}

fn status(bytes: &[u8]) -> u16 {
    match read(bytes) {
        Err(malformed) => malformed.status.as_u16(),
        Ok(Some(_)) => 200,
        Ok(None) => 0,
    }
}

#[test]
fn a_head_is_taken_with_its_spelling_and_nothing_after_it() {
    let mut input =
        BytesMut::from(&b"POST /a?b=c HTTP/1.1\r\nHost: x\r\nX-Odd:\t y \r\ncontent-length: 3\r\n\r\nabcGET"[..]);
    let head = request(&mut input, &mut Progress::default(), LIMITS).unwrap().unwrap();
    assert_eq!(
        (head.parts.method.as_str(), head.parts.uri.path(), head.parts.uri.query()),
        ("POST", "/a", Some("b=c"))
    );
    assert_eq!(head.parts.headers["x-odd"], "y");
    assert_eq!((head.framing, head.keep_alive), (Framing::Length(3), true));
    let spelling = head.spelling.unwrap();
    assert_eq!(spelling.of(&HeaderName::from_static("x-odd")), b"X-Odd");
    assert_eq!(spelling.of(&HeaderName::from_static("content-length")), b"content-length");
    assert_eq!(&input[..], b"abcGET");
}

#[test]
fn a_head_may_arrive_in_any_pieces() {
    let whole = b"\r\nGET / HTTP/1.1\r\nhost: x\r\n\r\n";
    let (mut input, mut progress) = (BytesMut::new(), Progress::default());
    for (at, byte) in whole.iter().enumerate() {
        input.extend_from_slice(&[*byte]);
        let read = request(&mut input, &mut progress, LIMITS).unwrap();
        assert_eq!(read.is_some(), at + 1 == whole.len(), "after {} bytes", at + 1);
    }
}

#[test]
fn what_two_hops_could_read_in_two_ways_is_refused() {
    let cases: [(&str, u16); 24] = [
        ("GET / HTTP/1.1\nhost: a\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nhost: a\n\r\n", 400),
        ("\r\n\r\nGET / HTTP/1.1\r\nhost: a\r\n\r\n", 400),
        (" GET / HTTP/1.1\r\nhost: a\r\n\r\n", 400),
        ("GET  / HTTP/1.1\r\nhost: a\r\n\r\n", 400),
        ("GET / HTTP/1.1 \r\nhost: a\r\n\r\n", 400),
        ("GET /#x HTTP/1.1\r\nhost: a\r\n\r\n", 400),
        ("GET /\u{e9} HTTP/1.1\r\nhost: a\r\n\r\n", 400),
        ("GET /\r\n\r\n", 400),
        ("GET / HTTP/1.2\r\nhost: a\r\n\r\n", 505),
        ("GET / HTTP/1.1\r\nhost : a\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\n host: a\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nhost: a\r\n b\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\n: a\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nhost: a\0\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nhost: a\x7f\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nhost: a\rb\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\ncontent-length: 1\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: gzip, chunked\r\n\r\n", 501),
        ("GET / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n", 501),
        ("GET / HTTP/1.0\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ncontent-length: 1\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nhost: a\r\ncontent-length: +1\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nhost: a\r\ncontent-length: 9223372036854775808\r\n\r\n", 400),
    ];
    for (bytes, expected) in cases {
        assert_eq!(status(bytes.as_bytes()), expected, "{bytes:?}");
    }
}

#[test]
fn size_and_number_of_lines_are_limited() {
    let many = format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(11));
    assert_eq!(status(many.as_bytes()), 431);
    let long = format!("GET /{}", "a".repeat(4096));
    assert_eq!(status(long.as_bytes()), 431, "before its end has come");
}

#[test]
fn a_response_says_where_its_body_ends() {
    let read = |method: Method, bytes: &str| {
        let mut input = BytesMut::from(bytes.as_bytes());
        response(&mut input, &mut Progress::default(), LIMITS, &method)
            .map(|head| head.map(|head| (head.framing, head.keep_alive)))
    };
    let get = |bytes| read(Method::GET, bytes);
    assert_eq!(get("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n"), Ok(Some((Framing::Length(2), true))));
    assert_eq!(get("HTTP/1.1 200\r\n\r\n"), Ok(Some((Framing::UntilClose, false))));
    assert_eq!(get("HTTP/1.1 204 N\r\n\r\n"), Ok(Some((Framing::None, true))));
    assert_eq!(read(Method::HEAD, "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n"), Ok(Some((Framing::None, true))));
    assert_eq!(get("HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\n"), Ok(Some((Framing::Length(2), false))));
    assert!(get("HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n").is_err());
    assert!(get("HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 2\r\n\r\n").is_err());
    assert!(get("HTTP/1.1 200 OK\r\nx: a\0b\r\n\r\n").is_err());
}
