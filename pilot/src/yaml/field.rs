//! The path of a field within an object, as errors print it: `spec.http[0].route[1].destination.subset`.

use std::fmt;

/// A field path. Empty for the object itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FieldPath(String);

impl FieldPath {
    /// The object itself.
    pub fn root() -> Self {
        Self::default()
    }

    /// A path that is already written out.
    pub fn of(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// The field `name` of this one.
    pub fn key(&self, name: &str) -> Self {
        let mut path = self.0.clone();
        push_key(&mut path, name);
        Self(path)
    }

    /// Item `index` of this list.
    pub fn index(&self, index: usize) -> Self {
        Self(format!("{}[{index}]", self.0))
    }

    /// What contains this field; None for the object itself.
    pub fn parent(&self) -> Option<Self> {
        let path = self.0.as_str();
        let end = if path.ends_with(']') { path.rfind('[') } else { path.rfind('.').or(Some(0)) };
        (!path.is_empty()).then(|| Self(path[..end.unwrap_or(0)].to_owned()))
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Appends a key; a key that contains dots or brackets (a label's name) is put into brackets.
pub(super) fn push_key(path: &mut String, name: &str) {
    if name.contains(['.', '[', ']']) {
        path.push('[');
        path.push_str(name);
        path.push(']');
        return;
    }
    if !path.is_empty() {
        path.push('.');
    }
    path.push_str(name);
}

impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn paths_are_written_as_people_write_them() {
        let path = FieldPath::root().key("spec").key("http").index(0).key("match");
        assert_eq!(path.as_str(), "spec.http[0].match");
        let label = FieldPath::root().key("metadata").key("labels").key("app.kubernetes.io/name");
        assert_eq!(label.as_str(), "metadata.labels[app.kubernetes.io/name]");
        let up = |path: &FieldPath| path.parent().unwrap().0;
        assert_eq!(up(&path), "spec.http[0]");
        assert_eq!(up(&FieldPath::of("spec.http[0]")), "spec.http");
        assert_eq!(up(&FieldPath::of("spec")), "");
        assert_eq!(FieldPath::root().parent(), None);
        assert_eq!(up(&label), "metadata.labels");
    }
}
