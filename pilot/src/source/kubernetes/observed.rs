//! An object as a list or a watch delivers it: read from JSON straight into a tree, without the part of its metadata
//! that says who wrote which field, which is often longer than the object.

use crate::yaml::{Entry, Node, Value};
use kube::api::{ApiResource, ObjectMeta, Resource};
use kube::core::DynamicResourceScope;
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};
use std::borrow::Cow;
use std::fmt;

/// Who wrote which field.
const MANAGED_FIELDS: &str = "managedFields";

/// One object. With `METADATA_ONLY` the API server is asked for its metadata alone.
#[derive(Clone, Debug)]
pub(super) struct Observed<const METADATA_ONLY: bool = false> {
    /// Name, namespace, uid, generation and resourceVersion; no other field is filled.
    pub(super) metadata: Box<ObjectMeta>,
    /// All of it.
    pub(super) tree: Node,
}

impl From<Observed<true>> for Observed {
    fn from(Observed { metadata, tree }: Observed<true>) -> Self {
        Self { metadata, tree }
    }
}

impl<const METADATA_ONLY: bool> Resource for Observed<METADATA_ONLY> {
    type DynamicType = ApiResource;
    type Scope = DynamicResourceScope;

    fn kind(resource: &ApiResource) -> Cow<'_, str> {
        resource.kind.as_str().into()
    }

    fn group(resource: &ApiResource) -> Cow<'_, str> {
        resource.group.as_str().into()
    }

    fn version(resource: &ApiResource) -> Cow<'_, str> {
        resource.version.as_str().into()
    }

    fn api_version(resource: &ApiResource) -> Cow<'_, str> {
        resource.api_version.as_str().into()
    }

    fn plural(resource: &ApiResource) -> Cow<'_, str> {
        resource.plural.as_str().into()
    }

    fn metadata_api() -> bool {
        METADATA_ONLY
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

impl<'de, const METADATA_ONLY: bool> Deserialize<'de> for Observed<METADATA_ONLY> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let tree = deserializer.deserialize_map(Fields)?;
        let metadata = Box::new(identity(tree.get("metadata")));
        Ok(Self { metadata, tree })
    }
}

fn identity(metadata: Option<&Node>) -> ObjectMeta {
    let text = |field| metadata.and_then(|metadata| metadata.get(field)).and_then(Node::text).map(str::to_owned);
    let generation = metadata.and_then(|metadata| metadata.get("generation")).and_then(|node| match &node.value {
        Value::Number(text) => text.parse().ok(),
        _ => None,
    });
    ObjectMeta {
        name: text("name"),
        namespace: text("namespace"),
        uid: text("uid"),
        resource_version: text("resourceVersion"),
        generation,
        ..ObjectMeta::default()
    }
}

/// The object's own fields.
struct Fields;

impl<'de> Visitor<'de> for Fields {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Node, A::Error> {
        let mut map = Vec::new();
        while let Some(key) = entries.next_key::<String>()? {
            let value = match key.as_str() {
                "metadata" => entries.next_value::<Metadata>()?.0,
                _ => entries.next_value()?,
            };
            map.push(Entry { key, line: 0, value });
        }
        Ok(Node::unplaced(Value::Map(map)))
    }
}

/// `metadata` without [`MANAGED_FIELDS`].
struct Metadata(Node);

impl<'de> Deserialize<'de> for Metadata {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Kept;
        impl<'de> Visitor<'de> for Kept {
            type Value = Metadata;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("metadata")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Metadata, A::Error> {
                let mut map = Vec::new();
                while let Some(key) = entries.next_key::<String>()? {
                    if key == MANAGED_FIELDS {
                        entries.next_value::<IgnoredAny>()?;
                    } else {
                        map.push(Entry { key, line: 0, value: entries.next_value()? });
                    }
                }
                Ok(Metadata(Node::unplaced(Value::Map(map))))
            }
        }
        deserializer.deserialize_map(Kept)
    }
}
