//! S24: lines of a head of HTTP/1 (RFC 9112, 2 to 5): control characters, line ends, folding, request lines.

use super::{Case, reached};

pub fn cases() -> Vec<Case> {
    [control_characters(), line_ends(), request_lines(), tolerated()].into_iter().flatten().collect()
}

fn control_characters() -> Vec<Case> {
    let mut cases = Vec::new();
    for byte in (0..0x20).chain([0x7f]) {
        let at = |before: &str, after: &str| [before.as_bytes(), &[byte], after.as_bytes()].concat();
        let name = at("GET /a HTTP/1.1\r\nHost: echo\r\nX-", "a: b\r\n\r\n");
        cases.push(Case::http1("S24", format!("{byte:#04x} in a name"), name));
        let target = at("GET /a", "b HTTP/1.1\r\nHost: echo\r\n\r\n");
        cases.push(Case::http1("S24", format!("{byte:#04x} in a target"), target));
        let method = at("G", "ET /a HTTP/1.1\r\nHost: echo\r\n\r\n");
        cases.push(Case::http1("S24", format!("{byte:#04x} in a method"), method));
        if byte != b'\t' {
            let value = at("GET /a HTTP/1.1\r\nHost: echo\r\nX: a", "b\r\n\r\n");
            cases.push(Case::http1("S24", format!("{byte:#04x} in a value"), value));
        }
    }
    for byte in *b" \"(),/;<=>?@[\\]{}\x80\xff" {
        let name = [b"GET /a HTTP/1.1\r\nHost: echo\r\nX-", &[byte][..], b"a: b\r\n\r\n"].concat();
        cases.push(Case::http1("S24", format!("{byte:#04x} in a name"), name));
    }
    for byte in [0x80, 0xc3, 0xff] {
        let target = [b"GET /a", &[byte][..], b"b HTTP/1.1\r\nHost: echo\r\n\r\n"].concat();
        cases.push(Case::http1("S24", format!("{byte:#04x} in a target"), target));
    }
    cases
}

fn line_ends() -> Vec<Case> {
    [
        ("a folded value", "GET /a HTTP/1.1\r\nHost: echo\r\nX: a\r\n folded: b\r\n\r\n"),
        ("a value folded with a tab", "GET /a HTTP/1.1\r\nHost: echo\r\nX: a\r\n\tb\r\n\r\n"),
        ("a folded first line", "GET /a HTTP/1.1\r\n Host: echo\r\n\r\n"),
        ("a folded Host", "GET /a HTTP/1.1\r\nHost:\r\n echo\r\n\r\n"),
        ("LF everywhere", "GET /a HTTP/1.1\nHost: echo\n\n"),
        ("LF after the request line", "GET /a HTTP/1.1\nHost: echo\r\n\r\n"),
        ("LF after a header", "GET /a HTTP/1.1\r\nHost: echo\nX: y\r\n\r\n"),
        ("LF at the end", "GET /a HTTP/1.1\r\nHost: echo\r\n\n"),
        ("LF CR LF at the end", "GET /a HTTP/1.1\r\nHost: echo\n\r\n"),
        ("CR CR LF", "GET /a HTTP/1.1\r\nHost: echo\r\r\n\r\n"),
        ("a bare CR before a header", "GET /a HTTP/1.1\r\nHost: echo\r\n\rX: y\r\n\r\n"),
        ("a bare CR in the request line", "GET /a\rHTTP/1.1\r\nHost: echo\r\n\r\n"),
        ("no colon", "GET /a HTTP/1.1\r\nHost: echo\r\nabc\r\n\r\n"),
        ("a second request line", "GET /a HTTP/1.1\r\nHost: echo\r\nGET /b HTTP/1.1\r\n\r\n"),
        ("NUL behind Host", "GET /a HTTP/1.1\r\nHost: echo\0\r\n\r\n"),
    ]
    .map(|(name, bytes)| Case::http1("S24", name, bytes))
    .into()
}

fn request_lines() -> Vec<Case> {
    let long = format!("{} /a HTTP/1.1\r\nHost: echo\r\n\r\n", "A".repeat(300));
    let mut cases: Vec<Case> = [
        ("two spaces before the target", "GET  /a HTTP/1.1"),
        ("two spaces after the target", "GET /a  HTTP/1.1"),
        ("a tab", "GET\t/a HTTP/1.1"),
        ("a space at the end", "GET /a HTTP/1.1 "),
        ("a space at the start", " GET /a HTTP/1.1"),
        ("a method in lower case", "get /a HTTP/1.1"),
        ("no method", "/a HTTP/1.1"),
        ("no target", "GET HTTP/1.1"),
        ("an empty target", "GET  HTTP/1.1"),
        ("HTTP/0.9", "GET /a"),
        ("a target of one word", "GET a HTTP/1.1"),
        ("host and port", "GET echo:80 HTTP/1.1"),
        ("half an absolute target", "GET http: HTTP/1.1"),
        ("an absolute target with one slash", "GET http:/echo/a HTTP/1.1"),
        ("an absolute target without host", "GET http:///a HTTP/1.1"),
        ("a backslash first", "GET \\a HTTP/1.1"),
        ("an asterisk with GET", "GET * HTTP/1.1"),
        ("a percent sign alone", "GET % HTTP/1.1"),
        ("PRI", "PRI * HTTP/1.1"),
        ("a version in lower case", "GET /a http/1.1"),
        ("HTTP/1.10", "GET /a HTTP/1.10"),
        ("HTTP/01.1", "GET /a HTTP/01.1"),
        ("HTTP/1.", "GET /a HTTP/1."),
        ("HTTP/1.1x", "GET /a HTTP/1.1x"),
        ("a comma in the version", "GET /a HTTP/1,1"),
        ("no slash in the version", "GET /a HTTP1.1"),
    ]
    .map(|(name, line)| Case::http1("S24", name, format!("{line}\r\nHost: echo\r\n\r\n")))
    .into();
    cases.push(Case::http1("S24", "a method of 300 letters", long));
    for version in ["HTTP/0.9", "HTTP/1.2", "HTTP/1.9", "HTTP/2.0", "HTTP/3.0", "HTTP/9.9"] {
        let bytes = format!("GET /a {version}\r\nHost: echo\r\n\r\n");
        cases.push(Case::http1("S24", version, bytes).refused(&[400, 505]));
    }
    cases.push(Case::http1("S24", "three empty lines first", "\r\n\r\n\r\nGET /a HTTP/1.1\r\nHost: echo\r\n\r\n"));
    let folded = "\nGET /a HTTP/1.1\r\nHost: echo\r\n\r\n";
    cases.push(Case::http1("S24", "LF first", folded));
    cases
}

fn tolerated() -> Vec<Case> {
    let empty_line =
        "POST /a HTTP/1.1\r\nHost: echo\r\nContent-Length: 3\r\n\r\nabc\r\nGET /b HTTP/1.1\r\nHost: echo\r\n\r\n";
    let two = [reached("POST /a").with("content-length: 3").body("abc"), reached("GET /b")];
    vec![
        Case::http1("S24", "an empty line between requests", empty_line).reaches(two),
        Case::get("S24", "a tab within a value", "X: a\tb\r\n").reaches([reached("GET /a").with("x: a\tb")]),
        Case::get("S24", "spaces around a value", "X: \t b \t\r\n").reaches([reached("GET /a").with("x: b")]),
        Case::get("S24", "an empty value", "X:\r\n").reaches([reached("GET /a").with("x: ")]),
        Case::get("S24", "odd letters in a name", "X!#$%&'*+-.^`|~9: b\r\n")
            .reaches([reached("GET /a").with("x!#$%&'*+-.^`|~9: b")]),
        Case::http1("S24", "a method that nobody knows", "BREW-2 /a HTTP/1.1\r\nHost: echo\r\n\r\n")
            .reaches([reached("BREW-2 /a")]),
        // No route is for it.
        Case::http1("S24", "an asterisk with OPTIONS", "OPTIONS * HTTP/1.1\r\nHost: echo\r\n\r\n").answered(404),
    ]
}
