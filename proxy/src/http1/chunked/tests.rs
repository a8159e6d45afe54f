#![allow(clippy::unwrap_used)]

use super::*;

/// The body and its trailers, the bytes given at once or one at a time; `None` when more is awaited.
fn decode(bytes: &[u8], one_by_one: bool) -> Result<Option<(Vec<u8>, usize)>, InvalidChunk> {
    let (mut chunked, mut input, mut body) = (Chunked::default(), BytesMut::new(), Vec::new());
    let pieces: Vec<&[u8]> = if one_by_one { bytes.chunks(1).collect() } else { vec![bytes] };
    for piece in pieces {
        input.extend_from_slice(piece);
        loop {
            match chunked.next(&mut input)? {
                Step::More => break,
                Step::Data(data) => body.extend_from_slice(&data),
                Step::End(trailers) => return Ok(Some((body, trailers.map_or(0, |trailers| trailers.len())))),
            }
        }
    }
    Ok(None)
}

#[test]
fn chunks_are_joined_however_they_arrive() {
    let cases: [(&[u8], &[u8], usize); 4] = [
        (b"3\r\nabc\r\n0\r\n\r\n", b"abc", 0),
        (b"3;x=\"y\"\r\nabc\r\n00a\r\n0123456789\r\n000\r\n\r\n", b"abc0123456789", 0),
        (b"1 ;x\r\na\r\n0\r\nx-t: 1\r\ny: 2\r\n\r\n", b"a", 2),
        (b"0\r\n\r\n", b"", 0),
    ];
    for (bytes, body, trailers) in cases {
        for one_by_one in [false, true] {
            assert_eq!(
                decode(bytes, one_by_one),
                Ok(Some((body.to_vec(), trailers))),
                "{:?}",
                bytes.escape_ascii().to_string()
            );
        }
    }
}

#[test]
fn odd_chunks_are_refused() {
    let long = [b"3;".to_vec(), vec![b'a'; 300], b"\r\nabc\r\n0\r\n\r\n".to_vec()].concat();
    let zeros = [vec![b'0'; 17], b"\r\n\r\n".to_vec()].concat();
    let cases: [&[u8]; 15] = [
        b"+3\r\nabc\r\n",
        b"-3\r\nabc\r\n",
        b"0x3\r\nabc\r\n",
        b" 3\r\nabc\r\n",
        b"3 \r\nabc\r\n",
        b"\r\nabc\r\n",
        b"g\r\n",
        b"3\nabc\r\n",
        b"3\r\nabcd\r\n",
        b"3\r\nabc\n0\r\n\r\n",
        b"3;a\nb\r\nabc\r\n",
        b"f000000000000003\r\nabc\r\n",
        b"0\r\nx : 1\r\n\r\n",
        &long,
        &zeros,
    ];
    for bytes in cases {
        for one_by_one in [false, true] {
            assert!(decode(bytes, one_by_one).is_err(), "{:?}", bytes.escape_ascii().to_string());
        }
    }
}

#[test]
fn extensions_are_bounded_over_the_whole_body() {
    let chunk = [b"1;".to_vec(), vec![b'a'; 200], b"\r\nx\r\n".to_vec()].concat();
    assert!(decode(&chunk.repeat(80), false).is_ok());
    assert!(decode(&chunk.repeat(90), false).is_err());
}
