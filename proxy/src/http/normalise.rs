//! One spelling of a path and of an authority, before anything is decided by them and for the upstream alike.
//!
//! `HttpConnectionManager`: `normalize_path`, `merge_slashes`, `path_with_escaped_slashes_action`, `strip_*`. Normalising what is
//! normal changes nothing: otherwise two hops could disagree about what a path means.

use std::borrow::Cow;

use http::StatusCode;

use super::validate::Refusal;

/// What is done to paths.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PathRules {
    /// Decode escapes of characters that need none, turn `\` into `/`, resolve `.` and `..`.
    pub normalize: bool,
    /// Make one slash of several.
    pub merge_slashes: bool,
    /// What becomes of `%2F` and `%5C`.
    pub escaped_slashes: EscapedSlashes,
}

/// `path_with_escaped_slashes_action`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum EscapedSlashes {
    /// They stay.
    #[default]
    Keep,
    /// The request is refused.
    Reject,
    /// They become slashes.
    Unescape,
    /// The client is sent to the path with slashes.
    UnescapeRedirect,
}

impl PathRules {
    /// The path, without its query, as these rules want it. Borrowed if nothing changes.
    ///
    /// What cannot be normalised is refused with 400, and [`EscapedSlashes::UnescapeRedirect`] refuses with 307 and the new path
    /// as its location, to which the caller adds the query.
    pub fn path<'a>(&self, path: &'a str) -> Result<Cow<'a, str>, Refusal> {
        if is_canonical(path) || path == "*" {
            return Ok(Cow::Borrowed(path));
        }
        let mut result = Cow::Borrowed(path);
        let mut redirect = false;
        if self.escaped_slashes != EscapedSlashes::Keep && has_escaped_slash(path) {
            match self.escaped_slashes {
                EscapedSlashes::Reject => return Err(refused()),
                EscapedSlashes::UnescapeRedirect => redirect = true,
                EscapedSlashes::Unescape | EscapedSlashes::Keep => {}
            }
            result = Cow::Owned(unescape_slashes(path));
        }
        if self.normalize {
            result = Cow::Owned(canonical(&result)?);
        }
        if self.merge_slashes {
            // Who cuts parameters off and then merges slashes sees `/admin` in `/;x/admin`.
            if result.contains("/;") {
                return Err(refused());
            }
            if result.contains("//") {
                result = Cow::Owned(merge_slashes(&result));
            }
        }
        if redirect {
            return Err(Refusal::redirect(result.into_owned()));
        }
        // A copy that came out the same costs the caller a new target.
        Ok(if result == path { Cow::Borrowed(path) } else { result })
    }
}

fn refused() -> Refusal {
    Refusal::new(StatusCode::BAD_REQUEST, "path_normalization_failed")
}

fn has_escaped_slash(path: &str) -> bool {
    path.as_bytes().windows(3).any(|window| escaped_slash(window).is_some())
}

fn escaped_slash(bytes: &[u8]) -> Option<char> {
    match bytes {
        [b'%', b'2', b'F' | b'f', ..] => Some('/'),
        [b'%', b'5', b'C' | b'c', ..] => Some('\\'),
        _ => None,
    }
}

fn unescape_slashes(path: &str) -> String {
    let mut unescaped = String::with_capacity(path.len());
    let mut rest = path;
    while let Some(at) = rest.find('%') {
        unescaped.push_str(&rest[..at]);
        rest = &rest[at..];
        let (part, skip) = match escaped_slash(rest.as_bytes()) {
            Some(slash) => (slash, 3),
            None => ('%', 1),
        };
        unescaped.push(part);
        rest = &rest[skip..];
    }
    unescaped.push_str(rest);
    unescaped
}

/// Whether nothing in the path can change under any rules: the common case, told in one pass.
fn is_canonical(path: &str) -> bool {
    let mut before = 0;
    path.starts_with('/')
        && path.bytes().all(|byte| {
            let stays = is_plain(byte) && !(before == b'/' && matches!(byte, b'/' | b'.' | b';'));
            before = byte;
            stays
        })
}

/// Characters that stand for themselves in a canonical path.
fn is_plain(byte: u8) -> bool {
    matches!(byte, b'!' | b'$' | b'&'..=b';' | b'=' | b'@'..=b'[' | b']' | b'_' | b'a'..=b'z' | b'~')
}

fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// The path with unreserved characters decoded, others escaped, and dot segments resolved (RFC 3986, 6.2.2).
fn canonical(path: &str) -> Result<String, Refusal> {
    if !path.starts_with(['/', '\\']) {
        return Err(refused());
    }
    let decoded = decode_unreserved(path.as_bytes())?;
    let mut output = String::with_capacity(decoded.len());
    let mut segments = decoded.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        match segment {
            "." => {}
            ".." => output.truncate(output.rfind('/').unwrap_or(0)),
            // A parent directory to servlet containers, a name to all others.
            _ if segment.starts_with(".;") || segment.starts_with("..;") => return Err(refused()),
            _ => {
                output.push('/');
                output.push_str(segment);
                continue;
            }
        }
        if segments.peek().is_none() {
            output.push('/');
        }
    }
    Ok(output)
}

fn decode_unreserved(path: &[u8]) -> Result<String, Refusal> {
    let mut output = String::with_capacity(path.len());
    let mut position = 0;
    while let Some(byte) = path.get(position).copied() {
        position += 1;
        match byte {
            b'\\' => output.push('/'),
            b'%' => match escape(path.get(position..position + 2)) {
                Some(0) => return Err(refused()),
                Some(decoded) if is_unreserved(decoded) => {
                    push(&mut output, decoded);
                    position += 2;
                }
                Some(_) => {
                    output.push('%');
                    output.extend(path[position..position + 2].iter().map(|digit| *digit as char));
                    position += 2;
                }
                None => output.push('%'),
            },
            byte if is_plain(byte) => push(&mut output, byte),
            byte => output.push_str(&format!("%{byte:02X}")),
        }
    }
    Ok(output)
}

/// Adds a character. If an escape comes about that was none before (`%%34%31` would become `%41`, which the next hop would
/// decode once more), its percent sign is escaped itself.
fn push(output: &mut String, byte: u8) {
    output.push(byte as char);
    let Some(start) = output.len().checked_sub(3) else { return };
    let bytes = &output.as_bytes()[start..];
    if bytes[0] == b'%' && escape(Some(&bytes[1..])).is_some() {
        output.insert_str(start + 1, "25");
    }
}

fn escape(digits: Option<&[u8]>) -> Option<u8> {
    let [high, low] = digits? else { return None };
    let digit = |byte: u8| (byte as char).to_digit(16);
    u8::try_from(digit(*high)? * 16 + digit(*low)?).ok()
}

fn merge_slashes(path: &str) -> String {
    let mut merged = String::with_capacity(path.len());
    for character in path.chars() {
        if character != '/' || !merged.ends_with('/') {
            merged.push(character);
        }
    }
    merged
}

/// What is done to authorities.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct HostRules {
    /// Which ports are taken off.
    pub strip_port: StripPort,
    /// Take a `.` off the end of the name.
    pub strip_trailing_dot: bool,
}

/// `strip_port_mode` and `strip_matching_host_port`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum StripPort {
    /// None.
    #[default]
    Never,
    /// The port that the listener stands for.
    Matching,
    /// All.
    Any,
}

impl HostRules {
    /// The authority as these rules want it; `listener_port` is what the connection was made for.
    pub fn authority<'a>(&self, authority: &'a str, listener_port: u16) -> Cow<'a, str> {
        let host = without_port(authority);
        let port = authority.get(host.len()..).unwrap_or_default();
        let strip = match self.strip_port {
            StripPort::Never => false,
            StripPort::Any => true,
            StripPort::Matching => port.strip_prefix(':').is_some_and(|port| port.parse() == Ok(listener_port)),
        };
        let name = if self.strip_trailing_dot { host.strip_suffix('.').unwrap_or(host) } else { host };
        match (strip, name.len() == host.len()) {
            (false, true) => Cow::Borrowed(authority),
            (true, _) => Cow::Borrowed(name),
            (false, false) => Cow::Owned(format!("{name}{port}")),
        }
    }
}

/// An authority without its port; brackets around an IPv6 address stay.
pub fn without_port(authority: &str) -> &str {
    match authority.rfind(':') {
        Some(colon) if !authority[colon..].contains(']') => &authority[..colon],
        _ => authority,
    }
}

#[cfg(test)]
mod tests;
