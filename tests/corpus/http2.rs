//! S25 and S26: what HTTP/2 can carry and HTTP/1 cannot, and the way from the one to the other (RFC 9113, 8).

use super::{Case, reached};

pub fn cases() -> Vec<Case> {
    [injections(), downgrades(), pseudo_headers(), honest()].into_iter().flatten().collect()
}

const REFUSED: &[u16] = &[400, 405, 501];

/// Header injection and request splitting.
fn injections() -> Vec<Case> {
    let mut cases = Vec::new();
    for (name, field) in [
        ("CRLF in a value", ("x-a", &b"b\r\nx-smuggled: y"[..])),
        ("LF in a value", ("x-a", b"b\nx-smuggled: y")),
        ("CR in a value", ("x-a", b"b\rx-smuggled: y")),
        ("NUL in a value", ("x-a", b"b\0c")),
        ("a head in a value", ("x-a", b"b\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: echo\r\n\r\n")),
        ("LF in a name", ("x-a\nb", b"c")),
        ("CRLF in a name", ("x-a: b\r\nx-smuggled", b"c")),
        ("a colon in a name", ("x-a:b", b"c")),
        ("a space in a name", ("x-a b", b"c")),
        ("NUL in a name", ("x-a\0", b"c")),
        ("an empty name", ("", b"c")),
        ("a name in upper case", ("X-A", b"c")),
        ("a name with an underscore", ("x_a", b"c")),
        ("a request in the method", (":method", b"GET /smuggled HTTP/1.1")),
        ("CRLF in the method", (":method", b"GET /smuggled HTTP/1.1\r\nHost: echo\r\n\r\nGET")),
        ("a method in lower case", (":method", b"get")),
        ("a space in the path", (":path", b"/a HTTP/1.1")),
        ("CRLF in the path", (":path", b"/a HTTP/1.1\r\nx-smuggled: y\r\n\r\n")),
        ("a tab in the path", (":path", b"/a\tb")),
        ("NUL in the path", (":path", b"/a\0b")),
        ("DEL in the path", (":path", b"/a\x7f")),
        ("a byte above ASCII in the path", (":path", b"/a\xc3\xa9")),
        ("a byte above ASCII in the query", (":path", b"/a?\xc3\xa9")),
        ("CRLF in the authority", (":authority", b"echo\r\nx-smuggled: y")),
        ("a space in the authority", (":authority", b"echo x")),
        ("a path in the authority", (":authority", b"echo/a")),
        ("user information in the authority", (":authority", b"evil@echo")),
        ("a comma in the authority", (":authority", b"echo,evil")),
        ("a byte above ASCII in the authority", (":authority", b"\xe9cho")),
    ] {
        cases.push(Case::http2("S25", name, &[field]).refused(REFUSED));
    }
    for byte in (0..0x20).chain([0x7f]).filter(|byte| *byte != b'\t') {
        let value = [b"a", &[byte][..], b"b"].concat();
        cases.push(Case::http2("S25", format!("{byte:#04x} in a value"), &[("x-a", &value)]).refused(REFUSED));
    }
    cases
}

/// What frames or steers a connection of HTTP/1.
fn downgrades() -> Vec<Case> {
    let smuggled = "0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: echo\r\n\r\n";
    let mut cases = vec![];
    for (name, field) in [
        ("Transfer-Encoding", ("transfer-encoding", &b"chunked"[..])),
        ("another Transfer-Encoding", ("transfer-encoding", b"identity")),
        ("Connection", ("connection", b"close")),
        ("Connection with a name", ("connection", b"x-forwarded-for")),
        ("Keep-Alive", ("keep-alive", b"timeout=5")),
        ("Proxy-Connection", ("proxy-connection", b"keep-alive")),
        ("Upgrade", ("upgrade", b"websocket")),
        ("Upgrade to h2c", ("upgrade", b"h2c")),
        ("TE: gzip", ("te", b"gzip")),
        ("TE: trailers, gzip", ("te", b"trailers, gzip")),
        ("a length that is too long", ("content-length", b"500")),
        ("a length that is too short", ("content-length", b"1")),
        ("a length of zero", ("content-length", b"0")),
        ("a length with a sign", ("content-length", b"+46")),
        ("an empty length", ("content-length", b"")),
        ("a list of lengths", ("content-length", b"46, 46")),
    ] {
        let case = Case::http2("S26", name, &[(":method", b"POST"), field]).data(smuggled);
        // The beginning may be on its way before the end shows that the length was wrong.
        cases.push(if name.contains("too") || name.contains("zero") { case.broken() } else { case.refused(REFUSED) });
    }
    let two: [(&str, &[u8]); 3] = [(":method", b"POST"), ("content-length", b"46"), ("content-length", b"46")];
    cases.push(Case::http2("S26", "two lengths", &two).data(smuggled).refused(REFUSED));
    let two: [(&str, &[u8]); 3] = [(":method", b"POST"), ("content-length", b"46"), ("content-length", b"0")];
    cases.push(Case::http2("S26", "two lengths that differ", &two).data(smuggled).refused(REFUSED));
    let none = Case::http2("S26", "a length and no body", &[(":method", b"POST"), ("content-length", b"5")]);
    cases.push(none.broken());
    cases
}

fn pseudo_headers() -> Vec<Case> {
    let mut cases: Vec<Case> = [
        ("another Host", &[("host", &b"evil"[..])][..]),
        ("two Hosts", &[("host", b"echo"), ("host", b"echo")]),
        ("a Host with user information", &[(":authority", b""), ("host", b"a@echo")]),
        ("an empty Host", &[(":authority", b""), ("host", b"")]),
        ("no authority", &[(":authority", b"")]),
        ("a scheme with a path", &[(":scheme", b"http://evil/?")]),
        ("an unknown scheme", &[(":scheme", b"ftp")]),
        ("a scheme in upper case", &[(":scheme", b"HTTPS")]),
        ("a scheme with a space", &[(":scheme", b"http x")]),
        ("no scheme", &[(":scheme", b"")]),
        ("a path without a slash", &[(":path", b"a/b")]),
        ("an absolute path", &[(":path", b"http://evil/")]),
        ("no path", &[(":path", b"")]),
        ("an asterisk with GET", &[(":path", b"*")]),
        ("no method", &[(":method", b"")]),
        ("two methods", &[(":method", b"GET"), (":method", b"POST")]),
        ("two paths", &[(":path", b"/a"), (":path", b"/b")]),
        ("two authorities", &[(":authority", b"echo"), (":authority", b"evil")]),
        ("two schemes", &[(":scheme", b"http"), (":scheme", b"https")]),
        ("an unknown pseudo-header", &[(":smuggled", b"y")]),
        ("a status", &[(":status", b"200")]),
        ("a protocol", &[(":protocol", b"websocket")]),
    ]
    .into_iter()
    .map(|(name, fields)| Case::http2("S26", name, fields).refused(REFUSED))
    .collect();
    let late: [(&str, &[u8]); 5] =
        [(":method", b"GET"), (":scheme", b"http"), ("x-a", b"b"), (":authority", b"echo"), (":path", b"/a")];
    cases.push(Case::http2_bare("S26", "a pseudo-header behind a header", &late).refused(REFUSED));
    let post = |name: &str| Case::http2("S26", name, &[(":method", b"POST")]).data("abc");
    // h2 drops them before anybody can see them: then nobody may see them.
    let whole = || [reached("POST /a").with("transfer-encoding: chunked").body("abc")];
    cases.push(post("a pseudo-header in the trailers").trailers(&[(":path", b"/smuggled")]).reaches(whole()));
    cases.push(post("a status in the trailers").trailers(&[(":status", b"200")]).reaches(whole()));
    cases.push(post("CRLF in the trailers").trailers(&[("x-a", b"b\r\nx-smuggled: y")]).broken());
    cases
}

fn honest() -> Vec<Case> {
    let body = |framing: &str| reached("POST /a").with(framing).body("abc");
    let post = |name: &str, fields: &[(&str, &[u8])]| {
        let fields = [&[(":method", &b"POST"[..])], fields].concat();
        Case::http2("S26", name, &fields).data("abc")
    };
    vec![
        Case::http2("S26", "a plain request", &[]).reaches([reached("GET /a")]),
        Case::http2("S26", "a Host and no authority", &[(":authority", b""), ("host", b"echo")])
            .reaches([reached("GET /a")]),
        Case::http2("S26", "an equal Host", &[("host", b"echo")]).reaches([reached("GET /a")]),
        Case::http2("S26", "https", &[(":scheme", b"https")]).reaches([reached("GET /a")]),
        Case::http2("S26", "TE: trailers", &[("te", b"trailers")]).reaches([reached("GET /a").with("te: trailers")]),
        Case::http2("S26", "an asterisk with OPTIONS", &[(":method", b"OPTIONS"), (":path", b"*")]).answered(404),
        post("a body", &[]).reaches([body("transfer-encoding: chunked")]),
        post("a body with its length", &[("content-length", b"3")]).reaches([body("content-length: 3")]),
        post("trailers", &[])
            .trailers(&[("x-trailer", b"y"), ("content-length", b"50"), ("host", b"evil")])
            .reaches([body("transfer-encoding: chunked")]),
    ]
}
