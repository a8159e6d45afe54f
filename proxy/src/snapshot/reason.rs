//! Why a resource is refused: the field, as a path from the resource's root, and what is wrong with it.

use std::fmt;

use xds::google::Any;

/// A refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reason {
    path: String,
    why: String,
}

impl Reason {
    /// About the value at hand.
    pub(super) fn new(why: impl Into<String>) -> Self {
        Self { path: String::new(), why: why.into() }
    }

    /// About a field of the value at hand.
    pub(super) fn at(field: impl Into<String>, why: impl Into<String>) -> Self {
        Self { path: field.into(), why: why.into() }
    }

    /// That a field, or the value in it, is beyond this proxy.
    pub(super) fn unsupported(field: &str) -> Self {
        Self::at(field, "is not supported by this proxy")
    }

    /// That the type of an extension is unknown.
    pub(super) fn unsupported_type(any: &Any) -> Self {
        Self::new(format!("type {} is not supported by this proxy", type_name(any)))
    }
}

/// The full name of the message in an `Any`.
pub(super) fn type_name(any: &Any) -> &str {
    any.type_url.rsplit('/').next().unwrap_or_default()
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path.is_empty() { f.write_str(&self.why) } else { write!(f, "{}: {}", self.path, self.why) }
    }
}

impl From<String> for Reason {
    fn from(why: String) -> Self {
        Self::new(why)
    }
}

impl From<xds::UnpackError> for Reason {
    fn from(error: xds::UnpackError) -> Self {
        Self::new(error.to_string())
    }
}

/// Says where in the resource an error is.
pub(super) trait Under<T> {
    /// Puts a field in front of the path.
    fn under(self, field: impl fmt::Display) -> Result<T, Reason>;
}

impl<T, E: Into<Reason>> Under<T> for Result<T, E> {
    fn under(self, field: impl fmt::Display) -> Result<T, Reason> {
        self.map_err(|error| {
            let Reason { path, why } = error.into();
            let dot = if path.is_empty() { "" } else { "." };
            Reason { path: format!("{field}{dot}{path}"), why }
        })
    }
}

/// Refuses the first field that is set and not supported.
pub(super) fn none_set(fields: &[(&str, bool)]) -> Result<(), Reason> {
    match fields.iter().find(|(_, set)| *set) {
        Some((field, _)) => Err(Reason::unsupported(field)),
        None => Ok(()),
    }
}
