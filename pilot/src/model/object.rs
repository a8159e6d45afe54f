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
}

/// `VirtualService` → `virtual-service`, `HTTPRoute` → `http-route`.
fn kebab(kind: &str) -> String {
    let mut text = String::with_capacity(kind.len() + 2);
    for (i, c) in kind.char_indices() {
        let before = kind[..i].chars().next_back().is_some_and(|before| before.is_ascii_lowercase());
        let after = kind[i + c.len_utf8()..].starts_with(|after: char| after.is_ascii_lowercase());
        if c.is_ascii_uppercase() && i > 0 && (before || after) {
            text.push('-');
        }
        text.push(c.to_ascii_lowercase());
    }
    text
}

impl fmt::Display for ObjectRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.namespace.is_empty() {
            return write!(f, "{} {}", self.kind, self.name);
        }
        write!(f, "{} {}/{}", self.kind, self.namespace, self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_named_as_istio_and_people_name_them() {
        let object = ObjectRef::new("networking.istio.io", "VirtualService", "shop", "catalog");
        assert_eq!(object.config_path(), "/apis/networking.istio.io/v1/namespaces/shop/virtual-service/catalog");
        assert_eq!(object.to_string(), "VirtualService shop/catalog");
        let route = ObjectRef::new("gateway.networking.k8s.io", "HTTPRoute", "shop", "catalog");
        assert_eq!(route.config_path(), "/apis/gateway.networking.k8s.io/v1/namespaces/shop/http-route/catalog");
        assert_eq!(ObjectRef::new("", "Pod", "a", "b").config_path(), "/api/v1/namespaces/a/pod/b");
        assert_eq!(ObjectRef::new("", "Namespace", "", "shop").to_string(), "Namespace shop");
    }
}
