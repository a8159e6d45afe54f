//! Path and authority on the way to the upstream: `prefix_rewrite`, `regex_rewrite`, `host_rewrite_*`.

use http::header::HOST;
use http::request::Parts;
use http::uri::{Authority, PathAndQuery};
use http::{HeaderName, HeaderValue, StatusCode};
use regex::Regex;

use super::matching::{PathMatch, Pattern, RouteMatch};
use super::validate::{Refusal, is_authority};

/// The path and query that the downstream asked for, when a route changed it.
pub const ORIGINAL_PATH: HeaderName = HeaderName::from_static("x-envoy-original-path");
/// The authority that the downstream asked for, when a route changed it.
pub const ORIGINAL_HOST: HeaderName = HeaderName::from_static("x-envoy-original-host");
/// The same, when the route says that it is to be kept there.
pub const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// What a route changes.
#[derive(Debug, Clone, Default)]
pub struct Rewrite {
    /// The path; its query stays.
    pub path: Option<PathRewrite>,
    /// The authority.
    pub authority: Option<AuthorityRewrite>,
    /// Append the old authority to `x-forwarded-host`.
    pub append_forwarded_host: bool,
}

/// How a path changes.
#[derive(Debug, Clone)]
pub enum PathRewrite {
    /// What the route matched (a prefix, else the whole path) is replaced.
    Prefix(Box<str>),
    /// All matches of an expression are replaced.
    Regex(Replacement),
}

/// How an authority changes.
#[derive(Debug, Clone)]
pub enum AuthorityRewrite {
    /// To this.
    Literal(HeaderValue),
    /// To the value of a header, if it is there.
    Header(HeaderName),
    /// To what replacing in the path makes.
    Path(Replacement),
}

/// `RegexMatchAndSubstitute`.
#[derive(Debug, Clone)]
pub struct Replacement {
    pattern: Regex,
    parts: Vec<Part>,
}

#[derive(Debug, Clone)]
enum Part {
    Text(Box<str>),
    Group(usize),
}

impl Replacement {
    /// `substitution` may use `\0` to `\9` for groups and `\\` for a backslash. The error says what is wrong.
    pub fn new(pattern: &str, substitution: &str) -> Result<Self, String> {
        let pattern = Pattern::compile(pattern)?;
        let mut parts = Vec::new();
        let mut text = String::new();
        let mut characters = substitution.chars();
        while let Some(character) = characters.next() {
            if character != '\\' {
                text.push(character);
                continue;
            }
            match characters.next() {
                Some('\\') => text.push('\\'),
                Some(digit) if digit.is_ascii_digit() => {
                    let group = digit as usize - '0' as usize;
                    if group >= pattern.captures_len() {
                        return Err(format!("substitution {substitution:?}: the expression has no group {group}"));
                    }
                    parts.push(Part::Text(std::mem::take(&mut text).into()));
                    parts.push(Part::Group(group));
                }
                _ => return Err(format!("substitution {substitution:?}: a `\\` needs a digit or a `\\` after it")),
            }
        }
        parts.push(Part::Text(text.into()));
        Ok(Self { pattern, parts })
    }

    /// `text` with every match replaced.
    pub fn apply(&self, text: &str) -> String {
        let replace = |captures: &regex::Captures<'_>| {
            let mut replaced = String::new();
            for part in &self.parts {
                match part {
                    Part::Text(text) => replaced.push_str(text),
                    Part::Group(group) => replaced.push_str(captures.get(*group).map_or("", |found| found.as_str())),
                }
            }
            replaced
        };
        self.pattern.replace_all(text, replace).into_owned()
    }
}

impl PathRewrite {
    /// The new path of a request that `matcher` took.
    pub fn apply(&self, path: &str, matcher: &RouteMatch) -> String {
        match self {
            Self::Regex(replacement) => replacement.apply(path),
            Self::Prefix(prefix) => {
                let matched = match &matcher.path {
                    PathMatch::Prefix(prefix) | PathMatch::SegmentPrefix(prefix) => prefix.len(),
                    PathMatch::Exact(_) | PathMatch::Regex(_) => path.len(),
                    PathMatch::Connect => return path.to_owned(),
                };
                format!("{prefix}{}", path.get(matched..).unwrap_or_default())
            }
        }
    }
}

impl Rewrite {
    /// Changes a request that `matcher` took. What is replaced is kept in `x-envoy-original-path`.
    ///
    /// Fails with a 500 if path or authority become something that no request can have.
    pub fn apply(&self, parts: &mut Parts, matcher: &RouteMatch) -> Result<(), Refusal> {
        // The authority first, because it may be made from the path as it came.
        if let Some(rewrite) = &self.authority {
            self.rewrite_authority(rewrite, parts)?;
        }
        let Some(rewrite) = &self.path else { return Ok(()) };
        let mut path = rewrite.apply(parts.uri.path(), matcher);
        if let Some(query) = parts.uri.query() {
            path.push('?');
            path.push_str(query);
        }
        let path = PathAndQuery::try_from(path).ok().filter(|path| path.as_str().starts_with('/'));
        let path = path.ok_or_else(|| invalid("rewrite_made_invalid_path"))?;
        if let Some(original) = parts.uri.path_and_query()
            && let Ok(original) = HeaderValue::from_str(original.as_str())
        {
            parts.headers.insert(ORIGINAL_PATH, original);
        }
        set_path(parts, path)
    }

    fn rewrite_authority(&self, rewrite: &AuthorityRewrite, parts: &mut Parts) -> Result<(), Refusal> {
        let new = match rewrite {
            AuthorityRewrite::Literal(value) => value.clone(),
            AuthorityRewrite::Header(name) => match parts.headers.get(name) {
                Some(value) if !value.is_empty() => value.clone(),
                _ => return Ok(()),
            },
            AuthorityRewrite::Path(replacement) => HeaderValue::try_from(replacement.apply(parts.uri.path()))
                .map_err(|_| invalid("rewrite_made_invalid_authority"))?,
        };
        let old = authority(parts);
        if self.append_forwarded_host
            && let Some(old) = old.filter(|old| *old != new)
        {
            parts.headers.append(FORWARDED_HOST, old);
        }
        set_authority(parts, &new)
    }
}

fn authority(parts: &Parts) -> Option<HeaderValue> {
    match parts.uri.authority() {
        Some(authority) => HeaderValue::from_str(authority.as_str()).ok(),
        None => parts.headers.get(HOST).cloned(),
    }
}

/// Gives a request another authority, wherever it carries one: in its target (HTTP/2) and in `Host` (HTTP/1.1). What is
/// replaced is kept in `x-envoy-original-host`. Fails with a 500 if the new one is none.
pub fn set_authority(parts: &mut Parts, new: &HeaderValue) -> Result<(), Refusal> {
    let refused = || invalid("rewrite_made_invalid_authority");
    let text = new.to_str().ok().filter(|text| is_authority(text)).ok_or_else(refused)?;
    let authority = Authority::try_from(text).map_err(|_| refused())?;
    if let Some(old) = self::authority(parts) {
        parts.headers.insert(ORIGINAL_HOST, old);
    }
    let in_target = parts.uri.authority().is_some();
    if in_target {
        let mut uri = std::mem::take(&mut parts.uri).into_parts();
        uri.authority = Some(authority);
        parts.uri = http::Uri::from_parts(uri).map_err(|_| refused())?;
    }
    if !in_target || parts.headers.contains_key(HOST) {
        parts.headers.insert(HOST, new.clone());
    }
    Ok(())
}

/// Gives a request another path and query. Fails with a 500 if the target cannot have one.
pub fn set_path(parts: &mut Parts, path: PathAndQuery) -> Result<(), Refusal> {
    let mut uri = std::mem::take(&mut parts.uri).into_parts();
    uri.path_and_query = Some(path);
    parts.uri = http::Uri::from_parts(uri).map_err(|_| invalid("rewrite_made_invalid_path"))?;
    Ok(())
}

fn invalid(details: &'static str) -> Refusal {
    Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, details)
}

#[cfg(test)]
mod tests;
