//! Requests that two hops could read in two ways, and how each must end. To add one, write it into the table of its row.

mod framing;
mod headers;
mod hops;
mod http2;
mod lines;
mod paths;
mod upgrades;

/// One request and its outcome.
pub struct Case {
    /// The row of the security plan that it belongs to.
    pub row: &'static str,
    /// What is odd about it.
    pub name: String,
    /// What is sent.
    pub wire: Wire,
    /// Which ways it is sent.
    pub ways: Ways,
    /// How it must end.
    pub outcome: Outcome,
}

/// What is sent.
#[derive(Clone)]
pub enum Wire {
    /// These bytes, and after them an honest request on the same connection.
    Http1(Vec<u8>),
    /// These bytes, and then the client sends no more.
    Http1Cut(Vec<u8>),
    /// One stream on a connection of its own.
    Http2 {
        /// Header fields as they are, pseudo-headers too.
        fields: Vec<Field>,
        /// The body, if there is one.
        body: Option<Vec<u8>>,
        /// Trailers, which need a body.
        trailers: Vec<Field>,
    },
}

/// A header that tells requests of one case from those of another.
pub const MARK: &str = "x-case";

impl Wire {
    /// The same with a mark behind its first line.
    pub fn marked(&self, mark: &str) -> Self {
        let behind_the_first_line = |bytes: &[u8]| {
            let end = bytes.windows(2).position(|two| two == b"\r\n").map_or(0, |at| at + 2);
            [&bytes[..end], format!("{MARK}: {mark}\r\n").as_bytes(), &bytes[end..]].concat()
        };
        match self.clone() {
            Self::Http1(bytes) => Self::Http1(behind_the_first_line(&bytes)),
            Self::Http1Cut(bytes) => Self::Http1Cut(behind_the_first_line(&bytes)),
            Self::Http2 { mut fields, body, trailers } => {
                fields.push((MARK.into(), mark.into()));
                Self::Http2 { fields, body, trailers }
            }
        }
    }
}

/// A header field of HTTP/2.
pub type Field = (Vec<u8>, Vec<u8>);

/// Through which sidecars a case goes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Ways {
    /// In plain text to the server's sidecar, and once more through the client's.
    Both,
    /// Through the client's alone: its routes decide.
    Routed,
}

/// How a case must end.
pub enum Outcome {
    /// One of these statuses, or on HTTP/2 a reset; nothing behind it is served and no upstream sees any of it.
    Refused(&'static [u16]),
    /// As refused; but where only the server's sidecar refuses, it may answer and the client's sidecar serve what follows.
    RefusedAtServer(&'static [u16]),
    /// The body is broken: one of these statuses or none. An upstream may have seen the beginning, never a whole request.
    Broken(&'static [u16]),
    /// The sidecar answers with this status and serves what follows.
    Answered(u16),
    /// The upstream gets these requests and no other, each of which it answers.
    Reaches(Vec<Reached>),
}

/// A request as the upstream must see it, without what a mesh adds.
#[derive(Debug, PartialEq, Eq)]
pub struct Reached {
    /// The request line.
    pub line: String,
    /// `name: value`, names in lower case, sorted.
    pub headers: Vec<String>,
    /// The body without its framing.
    pub body: Vec<u8>,
}

/// A request that reaches the upstream as `GET /a`, for `echo`.
pub fn reached(method_and_target: &str) -> Reached {
    Reached { line: format!("{method_and_target} HTTP/1.1"), headers: vec!["host: echo".to_owned()], body: Vec::new() }
}

impl Reached {
    /// With a header more.
    pub fn with(mut self, header: &str) -> Self {
        self.headers.push(header.to_owned());
        self.headers.sort_unstable();
        self
    }

    /// With another `Host`.
    pub fn host(mut self, host: &str) -> Self {
        self.headers.retain(|header| !header.starts_with("host: "));
        self.with(&format!("host: {host}"))
    }

    /// With a body.
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }
}

impl Case {
    /// Bytes of HTTP/1.
    pub fn http1(row: &'static str, name: impl Into<String>, bytes: impl Into<Vec<u8>>) -> Self {
        Self::of(row, name.into(), Wire::Http1(bytes.into()))
    }

    /// A GET of `/` with more header lines, each with its line end.
    pub fn get(row: &'static str, name: impl Into<String>, lines: &str) -> Self {
        Self::http1(row, name, format!("GET /a HTTP/1.1\r\nHost: echo\r\n{lines}\r\n"))
    }

    /// A POST with more header lines, each with its line end, and a body.
    pub fn post(row: &'static str, name: impl Into<String>, lines: &str, body: &str) -> Self {
        Self::http1(row, name, format!("POST /a HTTP/1.1\r\nHost: echo\r\n{lines}\r\n{body}"))
    }

    /// Fields of HTTP/2 behind an honest head, of which they replace those of the same name.
    pub fn http2(row: &'static str, name: impl Into<String>, fields: &[(&str, &[u8])]) -> Self {
        Self::of(row, name.into(), Wire::Http2 { fields: fields_of(fields), body: None, trailers: Vec::new() })
    }

    /// Fields of HTTP/2 and nothing else.
    pub fn http2_bare(row: &'static str, name: impl Into<String>, fields: &[(&str, &[u8])]) -> Self {
        let fields = fields.iter().map(|(name, value)| (name.as_bytes().to_vec(), value.to_vec())).collect();
        Self::of(row, name.into(), Wire::Http2 { fields, body: None, trailers: Vec::new() })
    }

    fn of(row: &'static str, name: String, wire: Wire) -> Self {
        Self { row, name, wire, ways: Ways::Both, outcome: Outcome::Refused(&[400]) }
    }

    /// The client sends nothing behind the bytes.
    pub fn cut(mut self) -> Self {
        if let Wire::Http1(bytes) = self.wire {
            self.wire = Wire::Http1Cut(bytes);
        }
        self
    }

    /// With a body of HTTP/2.
    pub fn data(mut self, data: &str) -> Self {
        if let Wire::Http2 { body, .. } = &mut self.wire {
            *body = Some(data.into());
        }
        self
    }

    /// With trailers of HTTP/2.
    pub fn trailers(mut self, fields: &[(&str, &[u8])]) -> Self {
        if let Wire::Http2 { trailers, .. } = &mut self.wire {
            trailers.extend(fields.iter().map(|(name, value)| (name.as_bytes().to_vec(), value.to_vec())));
        }
        self
    }

    /// Through the client's sidecar alone.
    pub fn routed(mut self) -> Self {
        self.ways = Ways::Routed;
        self
    }

    /// See [`Outcome::Refused`].
    pub fn refused(mut self, statuses: &'static [u16]) -> Self {
        self.outcome = Outcome::Refused(statuses);
        self
    }

    /// See [`Outcome::RefusedAtServer`].
    pub fn refused_at_server(mut self) -> Self {
        self.outcome = Outcome::RefusedAtServer(&[400]);
        self
    }

    /// See [`Outcome::Broken`].
    pub fn broken(mut self) -> Self {
        self.outcome = Outcome::Broken(&[400]);
        self
    }

    /// See [`Outcome::Answered`].
    pub fn answered(mut self, status: u16) -> Self {
        self.outcome = Outcome::Answered(status);
        self
    }

    /// See [`Outcome::Reaches`].
    pub fn reaches(mut self, requests: impl IntoIterator<Item = Reached>) -> Self {
        self.outcome = Outcome::Reaches(requests.into_iter().collect());
        self
    }
}

/// An honest head with fields in place of its own, or behind them. A pseudo-header that is given twice stays twice.
fn fields_of(fields: &[(&str, &[u8])]) -> Vec<Field> {
    let honest: [(&str, &[u8]); 4] =
        [(":method", b"GET"), (":scheme", b"http"), (":authority", b"echo"), (":path", b"/a")];
    let kept = honest.iter().filter(|(name, _)| !fields.iter().any(|(other, _)| other == name));
    // Pseudo-headers come first, whoever wrote them.
    let (pseudo, plain): (Vec<_>, Vec<_>) = fields.iter().partition(|(name, _)| name.starts_with(':'));
    kept.chain(pseudo)
        .chain(plain)
        // An empty value of a pseudo-header in a table means that the field is left out.
        .filter(|(name, value)| !(name.starts_with(':') && value.is_empty()))
        .map(|(name, value)| (name.as_bytes().to_vec(), value.to_vec()))
        .collect()
}

/// All cases, row by row.
pub fn cases() -> Vec<Case> {
    [
        framing::cases(),
        lines::cases(),
        http2::cases(),
        upgrades::cases(),
        hops::cases(),
        paths::cases(),
        headers::cases(),
    ]
    .into_iter()
    .flatten()
    .collect()
}
