//! `meltemi inject`: the same injection in the text of a file. Documents in which nothing changes keep every letter,
//! also the comments; in those that change the order of the fields stays.

use super::{InjectorConfig, Namespace, Outcome, Reason, review};
use crate::yaml::{Entry, Node, Value, parse, split, write};
use json_patch::jsonptr::Pointer;
use json_patch::{Patch, PatchOperation};
use std::collections::{BTreeMap, HashMap};
use std::fmt;

/// Where a kind of object has its pod, by API group and kind.
const TEMPLATES: [(&str, &str, &[&str]); 9] = [
    ("", "Pod", &[]),
    ("", "ReplicationController", &["spec", "template"]),
    ("", "PodTemplate", &["template"]),
    ("apps", "Deployment", &["spec", "template"]),
    ("apps", "StatefulSet", &["spec", "template"]),
    ("apps", "DaemonSet", &["spec", "template"]),
    ("apps", "ReplicaSet", &["spec", "template"]),
    ("batch", "Job", &["spec", "template"]),
    ("batch", "CronJob", &["spec", "jobTemplate", "spec", "template"]),
];

/// A file after injection.
#[derive(Debug)]
pub struct InjectedFile {
    /// Its text.
    pub text: String,
    /// What is to be said of it, in its order.
    pub notes: Vec<Note>,
}

/// Something to be said of one object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// Line of the file on which the object starts, from 1.
    pub line: u32,
    /// `Deployment shop/catalog`; empty when the text is no object.
    pub object: String,
    /// How bad.
    pub kind: NoteKind,
    /// The text.
    pub message: String,
}

/// How bad a note is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoteKind {
    /// The object stays without a sidecar, though it should have one.
    Refused,
    /// The object is injected; its author should know this.
    Warning,
    /// The object needs no sidecar, and this is why.
    Left,
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let colon = if self.object.is_empty() { "" } else { ": " };
        write!(f, "{}: {}{colon}{}", self.line, self.object, self.message)
    }
}

/// Injects every pod of a file. Objects without a namespace are taken for ones of `namespace`.
pub fn inject_file(text: &str, namespace: &str, config: &InjectorConfig) -> InjectedFile {
    let documents = split(text);
    let labels = documents.iter().flat_map(|document| parse(document.text).unwrap_or_default());
    let labels = labels.filter_map(|node| namespace_labels(&node)).collect();
    let mut file = File { config, namespace, labels, notes: Vec::new() };
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    for document in documents {
        let Some(start) = rest.find(document.text) else { continue };
        out.push_str(&rest[..start]);
        rest = &rest[start + document.text.len()..];
        match file.document(document.text, document.line) {
            Some(changed) => out.push_str(&changed),
            None => out.push_str(document.text),
        }
    }
    out.push_str(rest);
    InjectedFile { text: out, notes: file.notes }
}

/// The name and the labels of a Namespace.
fn namespace_labels(node: &Node) -> Option<(String, BTreeMap<String, String>)> {
    let text = |node: &Node, field: &str| node.get(field).and_then(Node::text).map(str::to_owned);
    if text(node, "kind")? != "Namespace" || text(node, "apiVersion")? != "v1" {
        return None;
    }
    let metadata = node.get("metadata")?;
    let Value::Map(labels) = &metadata.get("labels")?.value else { return None };
    let labels = labels.iter().filter_map(|entry| Some((entry.key.clone(), entry.value.text()?.to_owned())));
    Some((text(metadata, "name")?, labels.collect()))
}

/// A file on its way.
struct File<'a> {
    config: &'a InjectorConfig,
    namespace: &'a str,
    labels: HashMap<String, BTreeMap<String, String>>,
    notes: Vec<Note>,
}

impl File<'_> {
    /// The text of a document that changes.
    fn document(&mut self, text: &str, first: u32) -> Option<String> {
        let mut nodes = match parse(text) {
            Ok(nodes) => nodes,
            Err(error) => {
                let line = first + error.line - 1;
                let (object, kind) = (String::new(), NoteKind::Refused);
                self.notes.push(Note { line, object, kind, message: error.message });
                return None;
            }
        };
        let changed = nodes.iter_mut().map(|node| self.object(node, first)).fold(false, |any, one| any | one);
        let is_head = |line: &&str| line.starts_with("---") || line.starts_with(['#', '%']) || line.trim().is_empty();
        let head: String = text.split_inclusive('\n').take_while(is_head).collect();
        // What stands behind the marker on its own line is content, which is written anew.
        let head = if head.lines().any(|line| line.starts_with("--- ")) { "---\n".to_owned() } else { head };
        changed.then(|| head + &nodes.iter().map(write).collect::<Vec<_>>().join("---\n"))
    }

    /// Injects an object, or the items of a list; whether something changed.
    fn object(&mut self, node: &mut Node, first: u32) -> bool {
        let text = |node: &Node, field: &str| node.get(field).and_then(Node::text).unwrap_or_default().to_owned();
        let (version, kind) = (text(node, "apiVersion"), text(node, "kind"));
        if kind == "List" {
            let Some(Value::List(items)) = child(node, "items").map(|items| &mut items.value) else { return false };
            return items.iter_mut().map(|item| self.object(item, first)).fold(false, |any, one| any | one);
        }
        let group = version.rsplit_once('/').map_or("", |(group, _)| group);
        let Some((.., path)) = TEMPLATES.iter().find(|(g, k, _)| *g == group && *k == kind) else { return false };
        let metadata = |field| node.get("metadata").map(|metadata| text(metadata, field)).unwrap_or_default();
        let (name, namespace) = (metadata("name"), metadata("namespace"));
        let namespace = if namespace.is_empty() { self.namespace.to_owned() } else { namespace };
        let place = Place { line: first + node.line - 1, object: format!("{kind} {namespace}/{name}") };
        let Some(template) = path.iter().try_fold(node, |node, key| child(node, key)) else { return false };
        let labels = self.labels.get(&namespace).cloned().unwrap_or_default();
        // Whoever gives us the file wants its pods injected, whatever the namespace says.
        let namespace = Namespace { name: namespace, labels, selected: true };
        let owner = (!path.is_empty()).then_some(name.as_str());
        self.outcome(review(&template.to_json(), &namespace, owner, self.config), template, &place)
    }

    fn outcome(&mut self, outcome: Outcome, template: &mut Node, place: &Place) -> bool {
        let (messages, kind, changed) = match outcome {
            Outcome::Injected { patch, warnings } => match apply(template, &patch) {
                Some(()) => (warnings, NoteKind::Warning, true),
                None => (vec!["it cannot be changed; is one of its lists no list?".into()], NoteKind::Refused, false),
            },
            Outcome::Left(Reason::AlreadyInjected) => return false,
            Outcome::Left(reason) => (vec![reason.to_string()], NoteKind::Left, false),
            Outcome::Refused(problems) => (problems, NoteKind::Refused, false),
        };
        let note = |message| Note { line: place.line, object: place.object.clone(), kind, message };
        self.notes.extend(messages.into_iter().map(note));
        changed
    }
}

struct Place {
    line: u32,
    object: String,
}

fn child<'a>(node: &'a mut Node, key: &str) -> Option<&'a mut Node> {
    match &mut node.value {
        Value::Map(entries) => entries.iter_mut().find(|entry| entry.key == key).map(|entry| &mut entry.value),
        Value::List(items) => items.get_mut(key.parse::<usize>().ok()?),
        _ => None,
    }
}

/// Applies a patch to a tree, which keeps the order of its fields; None when something is not there.
fn apply(root: &mut Node, patch: &Patch) -> Option<()> {
    patch.0.iter().try_for_each(|operation| match operation {
        PatchOperation::Add(add) => set(root, &add.path, readable(&add.value), false),
        PatchOperation::Replace(replace) => set(root, &replace.path, readable(&replace.value), true),
        PatchOperation::Remove(remove) => delete(root, &remove.path),
        PatchOperation::Move(_) | PatchOperation::Copy(_) | PatchOperation::Test(_) => None,
    })
}

/// What is added, with the name of each thing first.
fn readable(json: &serde_json::Value) -> Node {
    fn names_first(node: &mut Node) {
        match &mut node.value {
            Value::Map(entries) => {
                entries.sort_by_key(|entry| entry.key != "name");
                entries.iter_mut().for_each(|entry| names_first(&mut entry.value));
            }
            Value::List(items) => items.iter_mut().for_each(names_first),
            _ => {}
        }
    }
    let mut node = Node::of_json(json);
    names_first(&mut node);
    node
}

/// What holds the last part of a pointer, and that part.
fn holder<'a>(root: &'a mut Node, path: &Pointer) -> Option<(&'a mut Node, String)> {
    let (parents, last) = path.split_back()?;
    let holder = parents.tokens().try_fold(root, |node, token| child(node, &token.decoded()))?;
    Some((holder, last.decoded().into_owned()))
}

fn set(root: &mut Node, path: &Pointer, new: Node, replace: bool) -> Option<()> {
    let (holder, key) = holder(root, path)?;
    match &mut holder.value {
        Value::Map(entries) => match entries.iter_mut().find(|entry| entry.key == key) {
            Some(entry) => entry.value = new,
            None => entries.push(Entry { key, line: 1, value: new }),
        },
        Value::List(items) if key == "-" => items.push(new),
        Value::List(items) => {
            let index = key.parse::<usize>().ok()?;
            match replace {
                true => *items.get_mut(index)? = new,
                false if index <= items.len() => items.insert(index, new),
                false => return None,
            }
        }
        _ => return None,
    }
    Some(())
}

fn delete(root: &mut Node, path: &Pointer) -> Option<()> {
    let (holder, key) = holder(root, path)?;
    match &mut holder.value {
        Value::Map(entries) => entries.retain(|entry| entry.key != key),
        Value::List(items) => {
            let index = key.parse::<usize>().ok().filter(|index| *index < items.len())?;
            items.remove(index);
        }
        _ => return None,
    }
    Some(())
}
