//! S31 to S33: headers of one connection, one authority, loops.

use super::{Case, reached};

pub fn cases() -> Vec<Case> {
    [hop_by_hop(), authorities(), max_forwards()].into_iter().flatten().collect()
}

/// `Connection` may take away what belongs to the connection, and nothing that the mesh or the application relies on.
fn hop_by_hop() -> Vec<Case> {
    let mut cases: Vec<Case> = [
        "x-forwarded-for: 192.0.2.1",
        "x-forwarded-host: a.example",
        "authorization: Basic YQ==",
        "cookie: a=b",
        "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "tracestate: a=b",
        "b3: 0",
        "x-b3-traceid: 463ac35c9f6413ad",
        "content-type: text/plain",
        "cache-control: no-store",
        "grpc-timeout: 1S",
        "origin: http://a.example",
        "range: bytes=0-1",
        "if-match: \"a\"",
        "x-real-ip: 192.0.2.1",
        "forwarded: for=192.0.2.1",
    ]
    .iter()
    .map(|header| {
        let name = header.split(':').next().unwrap_or_default();
        Case::get("S31", format!("Connection: {name}"), &format!("Connection: {name}\r\n{header}\r\n"))
            .reaches([reached("GET /a").with(header)])
    })
    .collect();
    let body = || [reached("POST /a").with("content-length: 3").body("abc")];
    cases.extend([
        Case::post("S31", "Connection: content-length", "Connection: content-length\r\nContent-Length: 3\r\n", "abc")
            .reaches(body()),
        Case::post(
            "S31",
            "Connection: transfer-encoding",
            "Connection: transfer-encoding\r\nTransfer-Encoding: chunked\r\n",
            "3\r\nabc\r\n0\r\n\r\n",
        )
        .reaches([reached("POST /a").with("transfer-encoding: chunked").body("abc")]),
        Case::get("S31", "Connection: host", "Connection: host\r\n").reaches([reached("GET /a")]),
        Case::get("S31", "its own header", "Connection: x-mine\r\nX-Mine: 1\r\nX-Other: 2\r\n")
            .reaches([reached("GET /a").with("x-other: 2")]),
        Case::get(
            "S31",
            "in a list",
            "Connection: keep-alive , x-mine,,AUTHORIZATION\r\nX-Mine: 1\r\nAuthorization: a\r\n",
        )
        .reaches([reached("GET /a").with("authorization: a")]),
        Case::get("S31", "in two lines", "Connection: keep-alive\r\nConnection: x-mine\r\nX-Mine: 1\r\n")
            .reaches([reached("GET /a")]),
        Case::get(
            "S31",
            "what belongs to a connection",
            "Keep-Alive: timeout=5\r\nProxy-Connection: keep-alive\r\nTE: gzip\r\n",
        )
        .reaches([reached("GET /a")]),
        Case::get("S31", "TE: trailers", "Connection: TE\r\nTE: gzip, trailers\r\n")
            .reaches([reached("GET /a").with("te: trailers")]),
        Case::get("S31", "a client certificate that nobody proved", "X-Forwarded-Client-Cert: By=spiffe://evil\r\n")
            .reaches([reached("GET /a")]),
        Case::get("S31", "steering", "X-Envoy-Retry-On: 5xx\r\nX-Envoy-Upstream-Rq-Timeout-Ms: 1\r\n")
            .reaches([reached("GET /a")]),
    ]);
    cases
}

fn authorities() -> Vec<Case> {
    let mut cases: Vec<Case> = [
        ("no Host", "GET /a HTTP/1.1\r\n\r\n"),
        ("an empty Host", "GET /a HTTP/1.1\r\nHost:\r\n\r\n"),
        ("two Hosts", "GET /a HTTP/1.1\r\nHost: echo\r\nHost: evil\r\n\r\n"),
        ("two equal Hosts", "GET /a HTTP/1.1\r\nHost: echo\r\nhost: echo\r\n\r\n"),
        ("a list of Hosts", "GET /a HTTP/1.1\r\nHost: echo, evil\r\n\r\n"),
        ("user information", "GET /a HTTP/1.1\r\nHost: evil@echo\r\n\r\n"),
        ("a Host with a path", "GET /a HTTP/1.1\r\nHost: echo/a\r\n\r\n"),
        ("a Host with a query", "GET /a HTTP/1.1\r\nHost: a@b/c?d#e\r\n\r\n"),
        ("a Host with a space", "GET /a HTTP/1.1\r\nHost: echo evil\r\n\r\n"),
        ("a Host with an escape", "GET /a HTTP/1.1\r\nHost: ech%6f\r\n\r\n"),
        ("a port that is none", "GET /a HTTP/1.1\r\nHost: echo:http\r\n\r\n"),
        ("a port that is too large", "GET /a HTTP/1.1\r\nHost: echo:65536\r\n\r\n"),
        ("an empty port", "GET /a HTTP/1.1\r\nHost: echo:\r\n\r\n"),
        ("two ports", "GET /a HTTP/1.1\r\nHost: echo:80:80\r\n\r\n"),
        ("a port alone", "GET /a HTTP/1.1\r\nHost: :80\r\n\r\n"),
        ("an absolute target that disagrees", "GET http://echo/a HTTP/1.1\r\nHost: evil\r\n\r\n"),
        ("the other way round", "GET http://evil/a HTTP/1.1\r\nHost: echo\r\n\r\n"),
        ("an absolute target that disagrees in its port", "GET http://echo:81/a HTTP/1.1\r\nHost: echo\r\n\r\n"),
        ("an absolute target without Host", "GET http://echo/a HTTP/1.1\r\n\r\n"),
        ("user information in an absolute target", "GET http://evil@echo/a HTTP/1.1\r\nHost: echo\r\n\r\n"),
        ("user information in both", "GET http://evil@echo/a HTTP/1.1\r\nHost: evil@echo\r\n\r\n"),
        ("another scheme", "GET ftp://echo/a HTTP/1.1\r\nHost: echo\r\n\r\n"),
        ("a Host of 300 letters", &format!("GET /a HTTP/1.1\r\nHost: {}\r\n\r\n", "a".repeat(300))),
    ]
    .map(|(name, bytes)| Case::http1("S32", name, bytes))
    .into();
    for (name, target) in [
        ("an absolute target", "http://echo/a"),
        ("a scheme in upper case", "HTTP://echo/a"),
        ("a host in upper case", "http://ECHO/a"),
    ] {
        let bytes = format!("GET {target} HTTP/1.1\r\nHost: echo\r\n\r\n");
        let host = if target.contains("ECHO") { "ECHO" } else { "echo" };
        cases.push(Case::http1("S32", name, bytes).reaches([reached("GET /a").host(host)]));
    }
    let no_path = "GET http://echo?x=y HTTP/1.1\r\nHost: echo\r\n\r\n";
    cases.push(Case::http1("S32", "an absolute target without a path", no_path).reaches([reached("GET /?x=y")]));
    let slashes = Case::http1("S32", "two slashes are no authority", "GET //evil/a HTTP/1.1\r\nHost: echo\r\n\r\n");
    cases.push(slashes.reaches([reached("GET /evil/a")]));
    cases
}

/// A sidecar is no hop that anybody counts: `Max-Forwards` (RFC 9110, 7.6.2) is for the application. Loops are cut where a
/// sidecar would call itself: `mesh/smuggling.rs`.
fn max_forwards() -> Vec<Case> {
    ["GET", "TRACE", "OPTIONS"]
        .map(|method| {
            let bytes = format!("{method} /a HTTP/1.1\r\nHost: echo\r\nMax-Forwards: 0\r\n\r\n");
            let seen = reached(&format!("{method} /a")).with("max-forwards: 0");
            Case::http1("S33", format!("{method} with Max-Forwards: 0"), bytes).reaches([seen])
        })
        .into()
}
