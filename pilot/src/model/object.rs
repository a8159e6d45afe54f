//! Which configuration object something came from.

use std::fmt;
use std::sync::Arc;

/// The identity of a configuration object. Where its text stands (file and line) is kept with its status,
/// so that moving an object within a file changes nothing for the data plane.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectRef {
    /// API group; empty for Kubernetes' core group.
    pub group: Arc<str>,
    /// Kind, for example `VirtualService`.
    pub kind: Arc<str>,
    /// Namespace; empty for objects that have none.
    pub namespace: Arc<str>,
    /// Name.
    pub name: Arc<str>,
}

impl ObjectRef {
    /// Names an object.
    pub fn new(group: &str, kind: &str, namespace: &str, name: &str) -> Self {
        Self { group: group.into(), kind: kind.into(), namespace: namespace.into(), name: name.into() }
    }

    /// The text that Istio puts into the `config` field of a resource's metadata:
    /// `/apis/networking.istio.io/v1/namespaces/shop/virtual-service/catalog`.
    pub fn config_path(&self) -> String {
        let prefix = if self.group.is_empty() { "/api".into() } else { format!("/apis/{}", self.group) };
        format!("{prefix}/v1/namespaces/{}/{}/{}", self.namespace, kebab(&self.kind), self.name)
    }

    /// Reads [`ObjectRef::config_path`] back. None when the text has another shape or an unknown kind.
    pub fn from_config_path(path: &str) -> Option<Self> {
        let rest = path.strip_prefix("/apis/").or_else(|| path.strip_prefix("/api/").map(|_| &path[4..]))?;
        let parts: Vec<&str> = rest.split('/').collect();
        let [group, _version, "namespaces", namespace, kind, name] = parts.as_slice() else { return None };
        Some(Self::new(group, &pascal(kind), namespace, name))
    }
}

/// `VirtualService` → `virtual-service`.
fn kebab(kind: &str) -> String {
    let mut text = String::with_capacity(kind.len() + 2);
    for (i, c) in kind.chars().enumerate() {
        if c.is_ascii_uppercase() && i > 0 {
            text.push('-');
        }
        text.push(c.to_ascii_lowercase());
    }
    text
}

/// `virtual-service` → `VirtualService`.
fn pascal(kind: &str) -> String {
    kind.split('-')
        .map(|word| {
            let mut chars = word.chars();
            chars.next().map_or_else(String::new, |first| first.to_ascii_uppercase().to_string() + chars.as_str())
        })
        .collect()
}

impl fmt::Display for ObjectRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.namespace.is_empty() {
            return write!(f, "{} {}", self.kind, self.name);
        }
        write!(f, "{} {}/{}", self.kind, self.namespace, self.name)
    }
}
