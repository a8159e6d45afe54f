//! Edits of headers: `request_headers_to_add`, `response_headers_to_remove` and their kin.

use http::header::{CONNECTION, CONTENT_LENGTH, HOST, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderMap, HeaderName, HeaderValue};

/// What is done to a set of headers, as a route, a virtual host or a target says.
///
/// One layer removes first, then overwrites, then adds, as Envoy does; layers apply one after the other.
#[derive(Debug, Clone, Default)]
pub struct HeaderEdits {
    /// The edits of each level of the configuration, in the order in which they apply.
    pub layers: Vec<Layer>,
}

/// The edits that one level of the configuration brings.
#[derive(Debug, Clone, Default)]
pub struct Layer {
    /// Names to remove, before anything is written.
    pub remove: Vec<HeaderName>,
    /// Values to write.
    pub write: Vec<Write>,
}

/// One value to write.
#[derive(Debug, Clone)]
pub struct Write {
    /// Header name.
    pub name: HeaderName,
    /// Its value.
    pub value: Template,
    /// What becomes of values that are there.
    pub mode: WriteMode,
    /// Write the header even when its value turns out empty.
    pub keep_empty: bool,
}

/// `HeaderValueOption.append_action`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WriteMode {
    /// Keep them and add one.
    Append,
    /// Keep them, and add only if there are none.
    AddIfAbsent,
    /// Replace them, or add if there are none.
    Set,
    /// Replace them if there are any.
    Overwrite,
}

/// A header value, perhaps with values of other headers of the same message in it.
#[derive(Debug, Clone)]
pub enum Template {
    /// Always the same.
    Literal(HeaderValue),
    /// Put together for each message.
    Parts(Vec<TemplatePart>),
}

/// A part of a [`Template`].
#[derive(Debug, Clone)]
pub enum TemplatePart {
    /// As it is.
    Text(Box<str>),
    /// The first value of the first of these headers that is there; nothing if none is.
    Header(Vec<HeaderName>),
}

/// Whose headers are edited: decides which `%COMMAND%` a value may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// A request's: `%REQ(name)%`.
    Request,
    /// A response's: `%RESP(name)%`.
    Response,
}

impl HeaderEdits {
    /// Whether nothing is edited.
    pub fn is_empty(&self) -> bool {
        self.layers.iter().all(|layer| layer.remove.is_empty() && layer.write.is_empty())
    }

    /// Applies all edits.
    pub fn apply(&self, headers: &mut HeaderMap) {
        for layer in &self.layers {
            layer.apply(headers);
        }
    }
}

impl Layer {
    fn apply(&self, headers: &mut HeaderMap) {
        for name in &self.remove {
            headers.remove(name);
        }
        // Values and conditions see the headers as they are before the layer writes.
        let mut set = Vec::new();
        let mut add = Vec::new();
        for write in &self.write {
            let value = write.value.render(headers);
            if value.is_empty() && !write.keep_empty {
                continue;
            }
            let present = headers.contains_key(&write.name);
            match write.mode {
                WriteMode::Append => add.push((&write.name, value)),
                WriteMode::AddIfAbsent if !present => add.push((&write.name, value)),
                WriteMode::Overwrite if present => set.push((&write.name, value)),
                WriteMode::Set => set.push((&write.name, value)),
                WriteMode::AddIfAbsent | WriteMode::Overwrite => {}
            }
        }
        for (name, value) in set {
            headers.insert(name, value);
        }
        for (name, value) in add {
            headers.append(name, value);
        }
    }
}

impl Template {
    /// Reads a value as Envoy's configuration writes it: `%%` is a percent sign, `%REQ(a?b)%` or `%RESP(a?b)%` the value of
    /// a header. The error names a command that is not supported.
    pub fn parse(text: &str, side: Side) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('%') {
            literal.push_str(before);
            let Some((command, left)) = after.split_once('%') else {
                return Err(format!("{text:?}: a single `%`; write `%%` for a percent sign"));
            };
            rest = left;
            if command.is_empty() {
                literal.push('%');
                continue;
            }
            if !literal.is_empty() {
                parts.push(TemplatePart::Text(std::mem::take(&mut literal).into()));
            }
            parts.push(TemplatePart::Header(header_command(command, side)?));
        }
        literal.push_str(rest);
        if parts.is_empty() {
            let value = HeaderValue::from_str(&literal).map_err(|_| format!("{text:?} is no header value"))?;
            return Ok(Self::Literal(value));
        }
        HeaderValue::from_str(&literal).map_err(|_| format!("{text:?} is no header value"))?;
        parts.push(TemplatePart::Text(literal.into()));
        Ok(Self::Parts(parts))
    }

    fn render(&self, headers: &HeaderMap) -> HeaderValue {
        let parts = match self {
            Self::Literal(value) => return value.clone(),
            Self::Parts(parts) => parts,
        };
        let mut value = Vec::new();
        for part in parts {
            match part {
                TemplatePart::Text(text) => value.extend_from_slice(text.as_bytes()),
                TemplatePart::Header(names) => {
                    let found = names.iter().find_map(|name| headers.get(name));
                    value.extend_from_slice(found.map_or(b"", HeaderValue::as_bytes));
                }
            }
        }
        // Literals were checked when they were read and header values are valid: so is what they make together.
        HeaderValue::from_bytes(&value).unwrap_or_else(|_| HeaderValue::from_static("-"))
    }
}

fn header_command(command: &str, side: Side) -> Result<Vec<HeaderName>, String> {
    let prefix = match side {
        Side::Request => "REQ(",
        Side::Response => "RESP(",
    };
    let unsupported = || format!("`%{command}%` is not supported here; only `%{prefix}name)%` and `%%` are");
    let names = command.strip_prefix(prefix).and_then(|rest| rest.strip_suffix(')')).ok_or_else(unsupported)?;
    names.split('?').map(|name| HeaderName::from_bytes(name.as_bytes()).map_err(|_| unsupported())).collect()
}

/// Whether configuration may write a header: not those that frame a message or say which authority it is for
/// (rewrites do that).
pub fn may_write(name: &HeaderName) -> bool {
    may_remove(name)
        && ![CONNECTION, UPGRADE].contains(name)
        && !["keep-alive", "proxy-connection"].contains(&name.as_str())
}

/// Whether configuration may remove a header.
pub fn may_remove(name: &HeaderName) -> bool {
    ![HOST, CONTENT_LENGTH, TRANSFER_ENCODING].contains(name)
}

#[cfg(test)]
mod tests;
