//! ISTIO_KUBE_APP_PROBERS, which the injector writes: what the kubelet would have asked the application, by the path under
//! which it asks us instead. Read at start, so that what is wrong with it is said where it can be seen.

use std::collections::BTreeMap;
use std::time::Duration;

use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Map, Value};

use super::PREFIX;
use super::http::is_framing;

/// The name of the variable, for messages.
const VARIABLE: &str = "ISTIO_KUBE_APP_PROBERS";
/// The kubelet's.
const TIMEOUT: Duration = Duration::from_secs(1);

/// All probes of a pod, by path.
#[derive(Debug, Clone, Default)]
pub struct Declared(BTreeMap<String, Probe>);

/// What is wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{VARIABLE}: {at}: {reason}")]
pub struct Invalid {
    at: String,
    reason: String,
}

/// One probe.
#[derive(Debug, Clone)]
pub(super) struct Probe {
    pub(super) kind: Kind,
    pub(super) timeout: Duration,
}

#[derive(Debug, Clone)]
pub(super) enum Kind {
    Http(HttpGet),
    Tcp { port: u16 },
    Grpc { port: u16, service: String },
}

#[derive(Debug, Clone)]
pub(super) struct HttpGet {
    pub(super) https: bool,
    pub(super) port: u16,
    pub(super) path: PathAndQuery,
    /// Instead of the pod's address in `Host` and SNI. The pod is asked all the same.
    pub(super) host: Option<String>,
    pub(super) headers: HeaderMap,
}

impl Declared {
    /// Reads the variable's text; empty for no probes.
    ///
    /// # Errors
    /// Names the path and the field.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        if text.trim().is_empty() {
            return Ok(Self::default());
        }
        let root: Value = serde_json::from_str(text)
            .map_err(|error| Invalid { at: "the whole".to_owned(), reason: error.to_string() })?;
        let root = At { at: "the whole".to_owned(), value: &root };
        let mut all = BTreeMap::new();
        for (path, value) in root.object()? {
            let at = At { at: path.clone(), value };
            if !path.starts_with(PREFIX) {
                return Err(at.wrong(format!("must begin with {PREFIX}")));
            }
            all.insert(path.clone(), probe(&at)?);
        }
        Ok(Self(all))
    }

    pub(super) fn all(&self) -> impl Iterator<Item = (&str, &Probe)> {
        self.0.iter().map(|(path, probe)| (path.as_str(), probe))
    }
}

/// A value and where it stands.
struct At<'a> {
    at: String,
    value: &'a Value,
}

impl<'a> At<'a> {
    fn wrong(&self, reason: impl Into<String>) -> Invalid {
        Invalid { at: self.at.clone(), reason: reason.into() }
    }

    fn object(&self) -> Result<&'a Map<String, Value>, Invalid> {
        self.value.as_object().ok_or_else(|| self.wrong("is no object"))
    }

    /// The field of an object; a null is none.
    fn field(&self, name: &str) -> Option<At<'a>> {
        let value = self.value.get(name).filter(|value| !value.is_null())?;
        Some(At { at: format!("{}.{name}", self.at), value })
    }

    fn text(&self) -> Result<&'a str, Invalid> {
        self.value.as_str().ok_or_else(|| self.wrong("is no text"))
    }

    fn text_of(&self, name: &str) -> Result<Option<&'a str>, Invalid> {
        let text = self.field(name).map(|field| field.text()).transpose()?;
        Ok(text.filter(|text| !text.is_empty()))
    }

    fn port(&self) -> Result<u16, Invalid> {
        let port = self.field("port").ok_or_else(|| self.wrong("has no port"))?;
        let number = port.value.as_u64().or_else(|| port.value.as_str()?.parse().ok());
        let number = number.and_then(|number| u16::try_from(number).ok()).filter(|number| *number > 0);
        number.ok_or_else(|| port.wrong(format!("{} is no port number", port.value)))
    }
}

fn probe(at: &At<'_>) -> Result<Probe, Invalid> {
    at.object()?;
    let kinds = [at.field("httpGet"), at.field("tcpSocket"), at.field("grpc")];
    let kind = match kinds {
        [Some(http), None, None] => Kind::Http(http_get(&http)?),
        [None, Some(tcp), None] => Kind::Tcp { port: tcp.port()? },
        [None, None, Some(grpc)] => {
            Kind::Grpc { port: grpc.port()?, service: grpc.text_of("service")?.unwrap_or_default().to_owned() }
        }
        _ => return Err(at.wrong("must have one of httpGet, tcpSocket and grpc")),
    };
    let timeout = match at.field("timeoutSeconds") {
        None => TIMEOUT,
        Some(seconds) => match seconds.value.as_u64() {
            Some(0) => TIMEOUT,
            Some(number) => Duration::from_secs(number),
            None => return Err(seconds.wrong(format!("{} is no number of seconds", seconds.value))),
        },
    };
    Ok(Probe { kind, timeout })
}

fn http_get(at: &At<'_>) -> Result<HttpGet, Invalid> {
    let https = match at.text_of("scheme")?.unwrap_or("HTTP") {
        scheme if scheme.eq_ignore_ascii_case("HTTP") => false,
        scheme if scheme.eq_ignore_ascii_case("HTTPS") => true,
        other => return Err(at.wrong(format!("scheme {other:?} is neither HTTP nor HTTPS"))),
    };
    let path = at.text_of("path")?.unwrap_or("/");
    Ok(HttpGet {
        https,
        port: at.port()?,
        path: path_and_query(path).ok_or_else(|| at.wrong(format!("path {path:?} cannot be asked for")))?,
        host: at.text_of("host")?.map(str::to_owned),
        headers: headers(at)?,
    })
}

/// As the kubelet: it begins with a slash, and what no URL may hold is escaped.
fn path_and_query(path: &str) -> Option<PathAndQuery> {
    let mut escaped = String::from(if path.starts_with('/') { "" } else { "/" });
    for byte in path.bytes() {
        match byte {
            0..=0x20 | 0x7f.. | b'"' | b'<' | b'>' | b'\\' | b'^' | b'`' | b'{' | b'|' | b'}' => {
                escaped.push_str(&format!("%{byte:02X}"));
            }
            _ => escaped.push(char::from(byte)),
        }
    }
    escaped.parse().ok()
}

fn headers(at: &At<'_>) -> Result<HeaderMap, Invalid> {
    let mut headers = HeaderMap::new();
    let Some(list) = at.field("httpHeaders") else { return Ok(headers) };
    let items = list.value.as_array().ok_or_else(|| list.wrong("is no list"))?;
    for (index, value) in items.iter().enumerate() {
        let item = At { at: format!("{}[{index}]", list.at), value };
        let name = item.text_of("name")?.ok_or_else(|| item.wrong("has no name"))?;
        let value = item.text_of("value")?.unwrap_or_default();
        let name = HeaderName::try_from(name).ok().filter(|name| !is_framing(name));
        let name = name.ok_or_else(|| item.wrong("its name cannot be a header's"))?;
        let value = HeaderValue::try_from(value).map_err(|_| item.wrong("its value cannot be a header's"))?;
        headers.append(name, value);
    }
    Ok(headers)
}
