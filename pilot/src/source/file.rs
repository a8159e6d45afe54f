//! From the text of a file to versions of objects. A document that is wrong leaves the others alone.

use crate::api::{Known, known};
use crate::model::ObjectRef;
use crate::object::Object;
use crate::validate::{self, Settings};
use crate::yaml::{Node, Value, parse};
use std::sync::Arc;

/// What one document of a file holds.
#[derive(Debug, Default)]
pub(super) struct Parsed {
    /// Versions of objects, several when the document is a List.
    pub(super) objects: Vec<Arc<Object>>,
    /// What keeps it, or an item of it, from being an object at all.
    pub(super) broken: Vec<Broken>,
}

/// Text that is no object.
#[derive(Debug)]
pub(super) struct Broken {
    /// Nothing of it can be told, not even which objects it was meant to hold.
    pub(super) opaque: bool,
    /// Line, from 1 for the document's first.
    pub(super) line: u32,
    /// The field, when one is to blame.
    pub(super) field: &'static str,
    /// What is wrong, and what would be right.
    pub(super) message: String,
}

/// Reads one document.
pub(super) fn document(text: &str, settings: &Settings) -> Parsed {
    let mut parsed = Parsed::default();
    match parse(text) {
        Ok(nodes) => nodes.iter().for_each(|node| item(node, settings, &mut parsed)),
        Err(error) => {
            let message = error.message;
            parsed.broken.push(Broken { opaque: true, line: error.line, field: "", message });
        }
    }
    parsed
}

fn item(node: &Node, settings: &Settings, parsed: &mut Parsed) {
    let text = |field| node.get(field).and_then(Node::text);
    if let (Some("List"), Some(items)) = (text("kind"), node.get("items")) {
        if let Value::List(items) = &items.value {
            items.iter().for_each(|node| item(node, settings, parsed));
        }
        return;
    }
    match object(node, settings) {
        Ok(object) => parsed.objects.extend(object.map(Arc::new)),
        Err(broken) => parsed.broken.push(broken),
    }
}

/// One object; None for a kind that is not the mesh's business.
pub(super) fn object(node: &Node, settings: &Settings) -> Result<Option<Object>, Broken> {
    let broken = |field, message: &str| Broken { opaque: false, line: node.line, field, message: message.to_owned() };
    let text = |field| node.get(field).and_then(Node::text);
    if !matches!(node.value, Value::Map(_)) {
        return Err(broken("", "is not an object; write apiVersion, kind and metadata"));
    }
    let version =
        text("apiVersion").ok_or_else(|| broken("apiVersion", "is missing, for example networking.istio.io/v1"))?;
    let kind_name = text("kind").ok_or_else(|| broken("kind", "is missing, for example VirtualService"))?;
    let known = known(version, kind_name);
    if known == Known::Foreign {
        return Ok(None);
    }
    let metadata = |field| node.get("metadata").and_then(|metadata| metadata.get(field)).and_then(Node::text);
    let name = metadata("name").filter(|name| !name.is_empty());
    let name = name.ok_or_else(|| broken("metadata.name", "is missing, or no text"))?;
    let namespace = match known {
        Known::Read(kind) if kind.is_cluster_wide() => "",
        _ => metadata("namespace").unwrap_or("default"),
    };
    let group = version.split_once('/').map_or("", |(group, _)| group);
    let reference = Arc::new(ObjectRef::new(group, kind_name, namespace, name));
    match known {
        Known::Read(kind) => Ok(Some(validate::object(kind, reference, node, settings))),
        Known::NotYet(effect) => Ok(Some(validate::unsupported(reference, node, effect))),
        Known::Wrong(message) => {
            let line = node.get("kind").map_or(node.line, |kind| kind.line);
            Err(Broken { opaque: false, line, field: "kind", message })
        }
        Known::Foreign => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Any text is read or refused; none ends the reader.
    #[test]
    fn damaged_files_are_refused() {
        let shop = include_str!("../../tests/config/shop.yaml");
        let settings = Settings::default();
        for end in (0..shop.len()).filter(|end| shop.is_char_boundary(*end)) {
            document(&shop[..end], &settings);
        }
        for junk in ["\0", "\t", "\u{feff}", "&a *a", "{", "]", "\"", "!!int", "|", "? ", "- ", "é", "%"] {
            for at in (0..shop.len()).step_by(7) {
                document(&[&shop[..at], junk, &shop[at..]].concat(), &settings);
            }
        }
    }
}
