//! S20 to S23: where a body of HTTP/1 ends (RFC 9112, 6 and 7.1).

use super::{Case, reached};

pub fn cases() -> Vec<Case> {
    [both_framings(), transfer_encodings(), content_lengths(), broken_chunks(), good_chunks()]
        .into_iter()
        .flatten()
        .collect()
}

const SMUGGLED: &str = "GET /smuggled HTTP/1.1\r\nHost: echo\r\n\r\n";

/// CL.TE and TE.CL.
fn both_framings() -> Vec<Case> {
    let chunked = format!("0\r\n\r\n{SMUGGLED}");
    let length = format!("Content-Length: {}\r\n", chunked.len());
    let lines = [
        ("length first", format!("{length}Transfer-Encoding: chunked\r\n")),
        ("coding first", format!("Transfer-Encoding: chunked\r\n{length}")),
        ("a length of 0", "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n".to_owned()),
        ("a length within the chunks", "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n".to_owned()),
        ("odd case", format!("content-LENGTH: {}\r\ntransfer-ENCODING: CHUNKED\r\n", chunked.len())),
        ("far apart", format!("{length}X-A: b\r\nX-C: d\r\nTransfer-Encoding: chunked\r\n")),
        ("a wrong length", "Content-Length: +5\r\nTransfer-Encoding: chunked\r\n".to_owned()),
        ("an unknown coding", format!("{length}Transfer-Encoding: xchunked\r\n")),
        ("identity", format!("{length}Transfer-Encoding: identity\r\n")),
        ("an empty coding", format!("{length}Transfer-Encoding:\r\n")),
        ("a hidden coding", format!("{length}Transfer-Encoding: chunked\r\nConnection: transfer-encoding\r\n")),
        ("a hidden length", format!("{length}Transfer-Encoding: chunked\r\nConnection: content-length\r\n")),
    ];
    let case = |(name, lines): &(&str, String)| Case::post("S20", *name, lines, &chunked).refused(&[400, 501]);
    lines.iter().map(case).collect()
}

/// TE.TE.
fn transfer_encodings() -> Vec<Case> {
    let values = [
        "xchunked",
        "chunkedx",
        "identity",
        "gzip, chunked",
        "chunked, gzip",
        "chunked, chunked",
        ",chunked",
        "chunked,",
        "chunked;a=b",
        "\"chunked\"",
        "",
        "chunked chunked",
        "cow",
        "identity, chunked",
        "chunked\tx",
    ];
    let mut cases: Vec<Case> = values
        .iter()
        .map(|value| {
            let lines = format!("Transfer-Encoding: {value}\r\n");
            Case::post("S21", format!("{value:?}"), &lines, "0\r\n\r\n").refused(&[400, 501])
        })
        .collect();
    for (name, lines) in [
        ("cow, then chunked", "Transfer-Encoding: cow\r\nTransfer-Encoding: chunked\r\n"),
        ("chunked, then cow", "Transfer-Encoding: chunked\r\nTransfer-Encoding: cow\r\n"),
        ("chunked twice", "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"),
        ("a space before the colon", "Transfer-Encoding : chunked\r\n"),
        ("a tab before the colon", "Transfer-Encoding\t: chunked\r\n"),
        ("a folded value", "Transfer-Encoding:\r\n chunked\r\n"),
        ("a vertical tab", "Transfer-Encoding: \x0bchunked\r\n"),
        ("a form feed", "Transfer-Encoding: \x0cchunked\r\n"),
        ("a space before the name", " Transfer-Encoding: chunked\r\n"),
        ("behind a bare LF", "X: y\nTransfer-Encoding: chunked\r\n"),
        ("behind a bare CR", "X: y\rTransfer-Encoding: chunked\r\n"),
    ] {
        cases.push(Case::post("S21", name, lines, "0\r\n\r\n").refused(&[400, 501]));
    }
    cases.push(Case::get("S21", "with an underscore", "Transfer_Encoding: chunked\r\n").refused_at_server());
    let old = "POST /a HTTP/1.0\r\nHost: echo\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    cases.push(Case::http1("S21", "in HTTP/1.0", old).refused(&[400, 426]));
    for (name, line) in [
        ("no space", "Transfer-Encoding:chunked\r\n"),
        ("spaces around", "Transfer-Encoding: \t chunked \t\r\n"),
        ("upper case", "TRANSFER-ENCODING: CHUNKED\r\n"),
    ] {
        let body = reached("POST /a").with("transfer-encoding: chunked").body("abc");
        cases.push(Case::post("S21", name, line, "3\r\nabc\r\n0\r\n\r\n").reaches([body]));
    }
    cases
}

fn content_lengths() -> Vec<Case> {
    let values = [
        "+3",
        "-3",
        "-0",
        "0x3",
        "",
        "003",
        "00",
        "3, 3",
        "3,3",
        "3, 4",
        "3;a",
        "1_0",
        "3.0",
        "3e0",
        "3 3",
        "a",
        "18446744073709551619",
        "9223372036854775808",
        "99999999999999999999999999",
        "\"3\"",
        "3\tx",
        "\u{0663}",
    ];
    let mut cases: Vec<Case> = values
        .iter()
        .map(|value| Case::post("S22", format!("{value:?}"), &format!("Content-Length: {value}\r\n"), "abc"))
        .collect();
    for (name, lines) in [
        ("twice the same", "Content-Length: 3\r\nContent-Length: 3\r\n"),
        ("twice, differing", "Content-Length: 3\r\nContent-Length: 0\r\n"),
        ("twice, one empty", "Content-Length: 3\r\nContent-Length:\r\n"),
        ("a space before the colon", "Content-Length : 3\r\n"),
        ("a folded value", "Content-Length:\r\n 3\r\n"),
        ("a vertical tab", "Content-Length: \x0b3\r\n"),
        ("behind a bare LF", "X: y\nContent-Length: 3\r\n"),
    ] {
        cases.push(Case::post("S22", name, lines, "abc"));
    }
    cases.push(Case::get("S22", "with an underscore", "Content_Length: 3\r\n").refused_at_server());
    let body = || reached("POST /a").with("content-length: 3").body("abc");
    cases.push(Case::post("S22", "as it should be", "Content-Length: 3\r\n", "abc").reaches([body()]));
    cases.push(Case::post("S22", "no space", "Content-Length:3\r\n", "abc").reaches([body()]));
    let line = "GET /a HTTP/1.1\r\nHost: echo\r\nContent-Length: 3\r\n\r\nabc";
    let got = reached("GET /a").with("content-length: 3").body("abc");
    cases.push(Case::http1("S22", "of a GET", line).reaches([got]));
    let zero = "POST /a HTTP/1.1\r\nHost: echo\r\nContent-Length: 0\r\n\r\nGET /b HTTP/1.1\r\nHost: echo\r\n\r\n";
    let requests = [reached("POST /a").with("content-length: 0"), reached("GET /b")];
    cases.push(Case::http1("S22", "0, and a second request", zero).reaches(requests));
    cases
}

const CHUNKED: &str = "Transfer-Encoding: chunked\r\n";

fn broken_chunks() -> Vec<Case> {
    let long_extension = format!("3;{}\r\nabc\r\n0\r\n\r\n", "a".repeat(64 << 10));
    let zeros = format!("{}3\r\nabc\r\n0\r\n\r\n", "0".repeat(1000));
    let last_zeros = format!("3\r\nabc\r\n{}\r\n\r\n", "0".repeat(1000));
    let many_trailers = format!("0\r\n{}\r\n", "x: y\r\n".repeat(20_000));
    let bodies: [(&str, &str); 30] = [
        ("bare LF after the size", "3\nabc\r\n0\r\n\r\n"),
        ("bare LF after the data", "3\r\nabc\n0\r\n\r\n"),
        ("bare CR after the size", "3\rabc\r\n0\r\n\r\n"),
        ("nothing after the data", "3\r\nabc0\r\n\r\n"),
        ("two bytes too many", "3\r\nabcde\r\n0\r\n\r\n"),
        ("a plus", "+3\r\nabc\r\n0\r\n\r\n"),
        ("a minus", "-3\r\nabc\r\n0\r\n\r\n"),
        ("0x", "0x3\r\nabc\r\n0\r\n\r\n"),
        ("a space before the size", " 3\r\nabc\r\n0\r\n\r\n"),
        ("a space after the size", "3 \r\nabc\r\n0\r\n\r\n"),
        ("a tab after the size", "3\t\r\nabc\r\n0\r\n\r\n"),
        ("no size", "\r\nabc\r\n0\r\n\r\n"),
        ("no number", "g\r\nabc\r\n0\r\n\r\n"),
        ("an underscore", "1_0\r\nabc\r\n0\r\n\r\n"),
        ("a NUL", "3\0\r\nabc\r\n0\r\n\r\n"),
        ("seventeen digits", "f0000000000000003\r\nabc\r\n0\r\n\r\n"),
        ("sixteen digits that are too many", "ffffffffffffffff\r\nabc\r\n0\r\n\r\n"),
        ("a thousand zeros", &zeros),
        ("a thousand last zeros", &last_zeros),
        ("an extension of 64 KiB", &long_extension),
        ("LF in an extension", "3;a\nb\r\nabc\r\n0\r\n\r\n"),
        ("CR in an extension", "3;a\rb\r\nabc\r\n0\r\n\r\n"),
        ("NUL in an extension", "3;a\0b\r\nabc\r\n0\r\n\r\n"),
        ("LF after the last chunk", "3\r\nabc\r\n0\n\r\n"),
        ("LF after the trailers", "3\r\nabc\r\n0\r\n\n"),
        ("a trailer that is none", "3\r\nabc\r\n0\r\nabc\r\n\r\n"),
        ("a space before a trailer's colon", "3\r\nabc\r\n0\r\nx : y\r\n\r\n"),
        ("a folded trailer", "3\r\nabc\r\n0\r\nx: y\r\n z\r\n\r\n"),
        ("LF in a trailer", "3\r\nabc\r\n0\r\nx: y\nz: a\r\n\r\n"),
        ("twenty thousand trailers", &many_trailers),
    ];
    let case = |(name, body): &(&str, &str)| Case::post("S23", *name, CHUNKED, body).broken();
    let mut cases: Vec<Case> = bodies.iter().map(case).collect();
    for (name, body) in [
        ("cut in the size", "3"),
        ("cut in the data", "3\r\nab"),
        ("cut after the data", "3\r\nabc\r\n"),
        ("cut in the last chunk", "3\r\nabc\r\n0\r\n"),
        ("cut in a trailer", "3\r\nabc\r\n0\r\nx: y\r\n"),
    ] {
        cases.push(Case::post("S23", name, CHUNKED, body).broken().cut());
    }
    cases.push(Case::post("S23", "cut in a body with a length", "Content-Length: 10\r\n", "abc").broken().cut());
    cases
}

fn good_chunks() -> Vec<Case> {
    let many: String = "1\r\na\r\n".repeat(100_000) + "0\r\n\r\n";
    let bodies: [(&str, &str, Vec<u8>); 8] = [
        ("one chunk", "3\r\nabc\r\n0\r\n\r\n", b"abc".to_vec()),
        ("upper case", "A\r\n0123456789\r\n0\r\n\r\n", b"0123456789".to_vec()),
        ("zeros before", "0003\r\nabc\r\n000\r\n\r\n", b"abc".to_vec()),
        ("an extension", "3;a=b\r\nabc\r\n0;c\r\n\r\n", b"abc".to_vec()),
        ("a space before an extension", "3 ; a = \"b\"\r\nabc\r\n0\r\n\r\n", b"abc".to_vec()),
        ("trailers", "3\r\nabc\r\n0\r\nX-Trailer: y\r\nContent-Length: 50\r\nHost: evil\r\n\r\n", b"abc".to_vec()),
        ("a request in the data", "26\r\nGET /smuggled HTTP/1.1\r\nHost: echo\r\n\r\n\r\n0\r\n\r\n", SMUGGLED.into()),
        ("a hundred thousand chunks", &many, vec![b'a'; 100_000]),
    ];
    let case = |(name, body, read): &(&str, &str, Vec<u8>)| {
        let reached = reached("POST /a").with("transfer-encoding: chunked").body(read.clone());
        Case::post("S23", *name, CHUNKED, body).reaches([reached])
    };
    bodies.iter().map(case).collect()
}
