//! S40 to S43: one spelling of a path and of a host, for policy, route and application alike.

use super::{Case, reached};

pub fn cases() -> Vec<Case> {
    [spellings(), parameters(), fragments(), hosts()].into_iter().flatten().collect()
}

/// A path by HTTP/1 and by HTTP/2; `seen` is what the application sees, `None` a refusal.
fn both(row: &'static str, path: &str, seen: Option<&str>) -> [Case; 2] {
    let bytes = format!("GET {path} HTTP/1.1\r\nHost: echo\r\n\r\n");
    let http1 = Case::http1(row, format!("{path:?}"), bytes);
    let http2 = Case::http2(row, format!("{path:?} by HTTP/2"), &[(":path", path.as_bytes())]);
    [http1, http2].map(|case| match seen {
        Some(seen) => case.reaches([reached(&format!("GET {seen}"))]),
        None => case.refused(&[400]),
    })
}

fn spellings() -> Vec<Case> {
    let mut cases: Vec<Case> = [
        ("//admin", Some("/admin")),
        ("///admin", Some("/admin")),
        ("/./admin", Some("/admin")),
        ("/x/../admin", Some("/admin")),
        ("/../admin", Some("/admin")),
        ("/../../../admin", Some("/admin")),
        ("/x/..//admin", Some("/admin")),
        ("/%61dmin", Some("/admin")),
        ("/%41dmin", Some("/Admin")),
        ("/%2e/admin", Some("/admin")),
        ("/x/%2e%2e/admin", Some("/admin")),
        ("/%2e%2E/admin", Some("/admin")),
        ("/x/.%2e/admin", Some("/admin")),
        ("/a%2f..%2fadmin", Some("/admin")),
        ("/a%2F..%2Fadmin", Some("/admin")),
        ("/%2fadmin", Some("/admin")),
        ("/x\\..\\admin", Some("/admin")),
        ("/\\admin", Some("/admin")),
        ("/%5cadmin", Some("/admin")),
        ("/x/..%5cadmin", Some("/admin")),
        ("/%252e%252e/admin", Some("/%252e%252e/admin")),
        ("/%252fadmin", Some("/%252fadmin")),
        ("/%%32%65/admin", Some("/%252e/admin")),
        ("/%c0%ae%c0%ae/admin", Some("/%c0%ae%c0%ae/admin")),
        ("/%zz/admin", Some("/%zz/admin")),
        ("/Admin", Some("/Admin")),
        ("/admin/", Some("/admin/")),
        ("/admin/.", Some("/admin/")),
        ("/admin/x/..", Some("/admin/")),
        ("/.admin", Some("/.admin")),
        ("/...", Some("/...")),
        ("/a.b/..c/d..", Some("/a.b/..c/d..")),
        ("/admin%00", None),
        ("/%00admin", None),
        ("/admin%00.png", None),
        ("/admin?x=/../y//z%2f\\", Some("/admin?x=/../y//z%2f\\")),
        ("/admin?x=%00", Some("/admin?x=%00")),
        ("/a%20b", Some("/a%20b")),
        ("/a%3Fb", Some("/a%3Fb")),
        ("/a%0d%0aX:%20y", Some("/a%0d%0aX:%20y")),
        ("/a\"{|}", Some("/a%22%7B%7C%7D")),
        ("/a<b>", None),
        ("/a^", Some("/a%5E")),
        ("/a`", None),
    ]
    .into_iter()
    .flat_map(|(path, seen)| both("S40", path, seen))
    .collect();
    // What an application would decode stays encoded, except for letters, digits and `-._~`: RFC 3986, 2.3.
    for byte in 1..=0xff_u8 {
        let seen = match byte {
            b'.' => "/".to_owned(),
            b'/' | b'\\' => "/".to_owned(),
            b'-' | b'_' | b'~' | b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' => format!("/{}", byte as char),
            _ => format!("/%{byte:02x}"),
        };
        let path = format!("/%{byte:02x}");
        let bytes = format!("GET {path} HTTP/1.1\r\nHost: echo\r\n\r\n");
        let seen = [reached(&format!("GET {seen}"))];
        cases.push(Case::http1("S40", format!("{path:?}"), bytes).reaches(seen));
    }
    cases
}

/// Servlet containers cut `;x` off each segment, and resolve what is left.
fn parameters() -> Vec<Case> {
    let seen = [
        ("/user/..;a=b/admin", None),
        ("/user/..;/admin", None),
        ("/user/.;a/admin", None),
        ("/user/%2e%2e;/admin", None),
        ("/user/..;", None),
        ("/admin;x", Some("/admin;x")),
        ("/admin;a=b/xyz", Some("/admin;a=b/xyz")),
        ("/admin;..", Some("/admin;..")),
        ("/a..;b/c", Some("/a..;b/c")),
        ("/user/..%3b/admin", Some("/user/..%3b/admin")),
    ];
    // The client's sidecar merges no slashes and unescapes none.
    let at_server = ["/;/admin", "/;a=b/admin", "/a/;x/admin", "/user%2f..;%2fadmin"];
    let at_server = at_server.into_iter().flat_map(|path| both("S41", path, None)).map(Case::refused_at_server);
    seen.into_iter().flat_map(|(path, seen)| both("S41", path, seen)).chain(at_server).collect()
}

fn fragments() -> Vec<Case> {
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: echo\r\n\r\n");
    let mut cases: Vec<Case> = ["/admin#x", "/admin#", "/#/admin", "/a?x#y", "/a#?x", "#", "http://echo/a#x"]
        .iter()
        .map(|path| Case::http1("S42", format!("{path:?}"), get(path)))
        .collect();
    // h2 cuts a fragment off before anybody can see it: then nobody may see it.
    for (path, seen) in [("/admin#x", "/admin"), ("/admin#", "/admin"), ("/#/admin", "/"), ("/a?x#y", "/a?x")] {
        let case = Case::http2("S42", format!("{path:?} by HTTP/2"), &[(":path", path.as_bytes())]);
        cases.push(case.reaches([reached(&format!("GET {seen}"))]));
    }
    cases.extend(both("S42", "/admin%23", Some("/admin%23")));
    // `/exact` is answered with 403 by a route.
    for path in ["/exact", "/exact?x", "/exact?", "/x/../exact?/../y"] {
        cases.push(Case::http1("S42", format!("{path:?}"), get(path)).routed().answered(403));
    }
    let other = Case::http1("S42", "\"/exact%3fx\"", get("/exact%3fx"));
    cases.push(other.routed().reaches([reached("GET /exact%3fx")]));
    cases
}

/// `secret.example` is answered with 403 by a route.
fn hosts() -> Vec<Case> {
    let mut cases: Vec<Case> = [
        "secret.example",
        "Secret.Example",
        "SECRET.EXAMPLE",
        "secret.example:80",
        "secret.example.",
        "Secret.example.:80",
    ]
    .iter()
    .flat_map(|host| {
        let bytes = format!("GET /a HTTP/1.1\r\nHost: {host}\r\n\r\n");
        let http2 = Case::http2("S43", format!("{host} by HTTP/2"), &[(":authority", host.as_bytes())]);
        [Case::http1("S43", *host, bytes), http2].map(|case| case.routed().answered(403))
    })
    .collect();
    for host in [
        "[::1%eth0]",
        "[::1%25eth0]",
        "[::1",
        "::1",
        "[::1]x",
        "[secret.example]",
        "secret.example..:80:",
        "%73ecret.example",
    ] {
        let bytes = format!("GET /a HTTP/1.1\r\nHost: {host}\r\n\r\n");
        cases.push(Case::http1("S43", host, bytes));
    }
    for host in ["secret.example.evil", "xsecret.example", "[::1]:80"] {
        let bytes = format!("GET /a HTTP/1.1\r\nHost: {host}\r\n\r\n");
        cases.push(Case::http1("S43", host, bytes).reaches([reached("GET /a").host(host)]));
    }
    cases
}
