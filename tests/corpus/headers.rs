//! S44 and S45: headers with several values, and names and values that not everybody reads alike.

use super::{Case, reached};

pub fn cases() -> Vec<Case> {
    [several_values(), odd_names(), odd_values()].into_iter().flatten().collect()
}

/// `role: admin` is answered with 403 by a route; `/negative` with 418 unless `x-role` begins with `adm`.
fn several_values() -> Vec<Case> {
    let get = |name: &str, path: &str, lines: &str| {
        Case::http1("S44", name, format!("GET {path} HTTP/1.1\r\nHost: echo\r\n{lines}\r\n")).routed()
    };
    let negative = || [reached("GET /negative")];
    vec![
        get("one value", "/a", "role: admin\r\n").answered(403),
        get("the second value", "/a", "role: user\r\nrole: admin\r\n").answered(403),
        get("the first value", "/a", "role: admin\r\nrole: user\r\n").answered(403),
        get("an empty value beside it", "/a", "role:\r\nrole: admin\r\nrole:\r\n").answered(403),
        get("spaces around it", "/a", "role: \t admin \t\r\n").answered(403),
        get("in odd case of the name", "/a", "ROLE: admin\r\n").answered(403),
        get("another value", "/a", "role: user\r\n").reaches([reached("GET /a").with("role: user")]),
        get("values in one line are one value", "/a", "role: user,admin\r\n")
            .reaches([reached("GET /a").with("role: user,admin")]),
        Case::http2("S44", "the second value by HTTP/2", &[("role", b"user"), ("role", b"admin")])
            .routed()
            .answered(403),
        get("a negative rule without the header", "/negative", "").answered(418),
        get("a negative rule that holds", "/negative", "x-role: user\r\n").answered(418),
        get("a negative rule that does not", "/negative", "x-role: admin\r\n")
            .reaches(negative().map(|seen| seen.with("x-role: admin"))),
        get("a negative rule and the second value", "/negative", "x-role: user\r\nx-role: admin\r\n")
            .reaches(negative().map(|seen| seen.with("x-role: user").with("x-role: admin"))),
        Case::http2("S44", "two cookies by HTTP/2 become one", &[("cookie", b"a=b"), ("cookie", b"c=d")])
            .reaches([reached("GET /a").with("cookie: a=b; c=d")]),
        Case::get("S44", "two values reach the application as two", "X-A: b\r\nX-A: c\r\n").reaches([reached(
            "GET /a",
        )
        .with("x-a: b")
        .with("x-a: c")]),
    ]
}

fn odd_names() -> Vec<Case> {
    // The client's sidecar lets underscores pass, for they may be meant for a server outside the mesh.
    let underscores = [
        ("X_Forwarded_For", "X_Forwarded_For: 192.0.2.1\r\n"),
        ("an underscore", "x_a: b\r\n"),
        ("an underscore at the end", "host_: evil\r\n"),
    ]
    .map(|(name, lines)| Case::get("S45", name, lines).refused_at_server());
    let others = [
        ("an empty name", ": b\r\n"),
        ("a name of a space", " : b\r\n"),
        ("a space at the end", "X-A : b\r\n"),
        ("a tab at the end", "X-A\t: b\r\n"),
        ("a name in quotes", "\"X-A\": b\r\n"),
    ]
    .map(|(name, lines)| Case::get("S45", name, lines));
    let mut cases: Vec<Case> = underscores.into_iter().chain(others).collect();
    cases.push(Case::http2("S45", "an underscore by HTTP/2", &[("x_a", b"b")]));
    cases.push(Case::http2("S45", "an empty name by HTTP/2", &[("", b"b")]));
    cases
}

/// Bytes above ASCII travel as they are, and make no negative rule true.
fn odd_values() -> Vec<Case> {
    let negative = |name: &str, value: &[u8]| {
        let head = b"GET /negative HTTP/1.1\r\nHost: echo\r\nX-Role: ";
        Case::http1("S45", name, [head, value, b"\r\n\r\n"].concat()).routed()
    };
    let seen = |value: &str| [reached("GET /negative").with(&format!("x-role: {value}"))];
    vec![
        negative("a byte that is no UTF-8 and a negative rule", b"adm\xff").reaches(seen("adm\u{fffd}")),
        negative("such a byte first", b"\xffadm").reaches(seen("\u{fffd}adm")),
        negative("UTF-8 and a negative rule", "adm\u{e9}".as_bytes()).reaches(seen("adm\u{e9}")),
        negative("UTF-8 that holds", "\u{e9}".as_bytes()).answered(418),
        Case::http1("S45", "bytes above ASCII", b"GET /a HTTP/1.1\r\nHost: echo\r\nX-A: \x80\xff\r\n\r\n")
            .reaches([reached("GET /a").with("x-a: \u{fffd}\u{fffd}")]),
        Case::http2("S45", "bytes above ASCII by HTTP/2", &[("x-a", b"\x80\xff")])
            .reaches([reached("GET /a").with("x-a: \u{fffd}\u{fffd}")]),
        Case::http1("S45", "a Host above ASCII", b"GET /a HTTP/1.1\r\nHost: ech\xf3\r\n\r\n"),
    ]
}
