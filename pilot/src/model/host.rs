//! A host name as the mesh compares it: fully qualified, lower-case, optionally with a leading `*.`.

use std::fmt;
use std::sync::Arc;

/// A fully qualified host name in lower case without a trailing dot, or a wildcard (`*.example.com`, `*`).
/// Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Host(Arc<str>);

/// Why a text is no host name; the text says what would be right.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct HostError(String);

impl Host {
    /// Reads an absolute host name or a wildcard. Short names are resolved by [`Host::resolve`].
    pub fn parse(text: &str) -> Result<Self, HostError> {
        let lower = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
        if lower == "*" {
            return Ok(Self(lower.into()));
        }
        let rest = lower.strip_prefix("*.").unwrap_or(&lower);
        check_name(text, rest)?;
        Ok(Self(lower.into()))
    }

    /// Reads a name as the Istio APIs do: a name without a dot is a service of `namespace`, anything else
    /// is taken as it is.
    pub fn resolve(text: &str, namespace: &str, domain: &str) -> Result<Self, HostError> {
        if text.is_empty() || text.contains('.') || text == "*" {
            return Self::parse(text);
        }
        Self::parse(&format!("{text}.{namespace}.svc.{domain}"))
    }

    /// The host of a Kubernetes service.
    pub fn of_service(name: &str, namespace: &str, domain: &str) -> Self {
        Self(format!("{name}.{namespace}.svc.{domain}").to_ascii_lowercase().into())
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The same text, shared.
    pub fn shared(&self) -> Arc<str> {
        self.0.clone()
    }

    /// Whether this is `*` or starts with `*.`.
    pub fn is_wildcard(&self) -> bool {
        self.0.starts_with('*')
    }

    /// Whether `other` is this name, or lies below this wildcard. A wildcard covers a narrower wildcard too.
    pub fn covers(&self, other: &Host) -> bool {
        match self.0.strip_prefix('*') {
            None => self == other,
            Some("") => true,
            Some(suffix) => self == other || (other.0.len() > suffix.len() && other.0.ends_with(suffix)),
        }
    }
}

/// Checks one name by RFC 1123: labels of letters, digits, `-` (and `_`, which ServiceEntry hosts use).
fn check_name(text: &str, name: &str) -> Result<(), HostError> {
    if name.is_empty() || name.len() > 253 {
        return Err(HostError(format!("\"{text}\" is not a host name: use 1 to 253 characters")));
    }
    for label in name.split('.') {
        let legal = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_';
        let edges = label.starts_with('-') || label.ends_with('-');
        if label.is_empty() || label.len() > 63 || edges || !label.bytes().all(legal) {
            return Err(HostError(format!(
                "\"{text}\" is not a host name: each part between dots needs 1 to 63 letters, digits or \"-\", not \"{label}\""
            )));
        }
    }
    Ok(())
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl AsRef<str> for Host {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl std::borrow::Borrow<str> for Host {
    fn borrow(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    fn host(text: &str) -> Host {
        Host::parse(text).unwrap()
    }

    #[test]
    fn names_are_resolved_and_folded() {
        let resolve = |text| Host::resolve(text, "shop", "cluster.local").unwrap().to_string();
        assert_eq!(resolve("Catalog"), "catalog.shop.svc.cluster.local");
        assert_eq!(resolve("API.Example.com."), "api.example.com");
        assert_eq!(resolve("*"), "*");
        for text in ["", "a..b", "-a.b", "a b.c", "*a.b", "a.*.b", &"a".repeat(64)] {
            assert!(Host::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn wildcards_cover_what_is_below_them() {
        assert!(host("*.a.b").covers(&host("x.a.b")) && host("*.a.b").covers(&host("x.y.a.b")));
        assert!(host("*").covers(&host("a")) && host("*.a.b").covers(&host("*.x.a.b")));
        assert!(!host("*.a.b").covers(&host("a.b")) && !host("*.a.b").covers(&host("xa.b")));
        assert!(!host("x.a.b").covers(&host("*.a.b")));
    }
}
