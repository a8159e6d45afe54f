//! S28 and S29: offers of other protocols, and CONNECT. (S27 needs upstreams of its own: `mesh/smuggling/upstreams.rs`.)

use super::{Case, reached};

pub fn cases() -> Vec<Case> {
    [h2c(), other_upgrades(), connects()].into_iter().flatten().collect()
}

/// HTTP/2 in the clear by upgrade: nobody may hide a second protocol behind a request that was checked.
fn h2c() -> Vec<Case> {
    let stripped = || [reached("GET /a")];
    let settings = "HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n";
    vec![
        Case::get("S28", "an offer", &format!("Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n{settings}"))
            .reaches(stripped()),
        Case::get("S28", "without naming the settings", &format!("Connection: Upgrade\r\nUpgrade: h2c\r\n{settings}"))
            .reaches(stripped()),
        Case::get("S28", "without Connection", &format!("Upgrade: h2c\r\n{settings}")).reaches(stripped()),
        Case::get("S28", "in upper case", &format!("Connection: UPGRADE\r\nUpgrade: H2C\r\n{settings}"))
            .reaches(stripped()),
        Case::get("S28", "settings alone", settings).reaches(stripped()),
        Case::get(
            "S28",
            "beside a WebSocket",
            &format!("Connection: Upgrade\r\nUpgrade: websocket, h2c\r\n{settings}"),
        )
        .refused(&[400, 403]),
        Case::get(
            "S28",
            "in two lines",
            &format!("Connection: Upgrade\r\nUpgrade: h2c\r\nUpgrade: websocket\r\n{settings}"),
        )
        .refused(&[400, 403]),
        Case::get("S28", "a name that begins alike", "Connection: Upgrade\r\nUpgrade: h2c-17\r\n").refused(&[400, 403]),
    ]
}

fn other_upgrades() -> Vec<Case> {
    let mut cases: Vec<Case> = ["foo", "TLS/1.0", "HTTP/2.0", "websocket/13", "websocket2"]
        .iter()
        .map(|protocol| {
            let lines = format!("Connection: Upgrade\r\nUpgrade: {protocol}\r\n");
            Case::get("S28", format!("Upgrade: {protocol}"), &lines).refused(&[400, 403])
        })
        .collect();
    let websocket = "Connection: Upgrade\r\nUpgrade: websocket\r\n";
    cases.push(Case::post("S28", "a WebSocket by POST", websocket, "").refused(&[400, 403]));
    let body = format!("GET /a HTTP/1.1\r\nHost: echo\r\n{websocket}Content-Length: 3\r\n\r\nabc");
    cases.push(Case::http1("S28", "a WebSocket with a body", body).refused(&[400, 403]));
    let body = format!("GET /a HTTP/1.1\r\nHost: echo\r\n{websocket}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n");
    cases.push(Case::http1("S28", "a WebSocket with chunks", body).refused(&[400, 403]));
    cases
}

const REFUSED: &[u16] = &[400, 403, 405];

fn connects() -> Vec<Case> {
    let mut cases: Vec<Case> =
        ["127.0.0.1:15000", "localhost:15000", "169.254.169.254:80", "10.44.2.2:80", "echo:80", "echo"]
            .iter()
            .map(|target| {
                let bytes =
                    format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\nGET /smuggled HTTP/1.1\r\n\r\n");
                Case::http1("S29", format!("to {target}"), bytes).refused(REFUSED)
            })
            .collect();
    for (name, bytes) in [
        ("a path", "CONNECT /a HTTP/1.1\r\nHost: echo\r\n\r\n"),
        ("an absolute target", "CONNECT http://echo/a HTTP/1.1\r\nHost: echo\r\n\r\n"),
        ("no Host", "CONNECT echo:80 HTTP/1.1\r\n\r\n"),
        ("a body", "CONNECT echo:80 HTTP/1.1\r\nHost: echo:80\r\nContent-Length: 3\r\n\r\nabc"),
        ("chunks", "CONNECT echo:80 HTTP/1.1\r\nHost: echo:80\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    ] {
        cases.push(Case::http1("S29", name, bytes).refused(REFUSED));
    }
    let connect: (&str, &[u8]) = (":method", b"CONNECT");
    let no_scheme: (&str, &[u8]) = (":scheme", b"");
    let no_path: (&str, &[u8]) = (":path", b"");
    for authority in ["127.0.0.1:15000", "169.254.169.254:80", "echo:80", "echo"] {
        let fields = [connect, no_scheme, no_path, (":authority", authority.as_bytes())];
        cases.push(Case::http2("S29", format!("to {authority} by HTTP/2"), &fields).refused(REFUSED));
    }
    let fields = [connect, no_scheme, no_path, (":authority", b"")];
    cases.push(Case::http2("S29", "to nowhere by HTTP/2", &fields).refused(REFUSED));
    cases.push(Case::http2("S29", "with path and scheme by HTTP/2", &[connect]).refused(REFUSED));
    let extended = Case::http2("S29", "extended CONNECT", &[connect, (":protocol", b"websocket")]);
    cases.push(extended.refused(REFUSED));
    cases.push(Case::http2("S29", "with data by HTTP/2", &[connect, no_scheme, no_path]).data("abc").refused(REFUSED));
    cases
}
