//! The fake's objects and everything that ever happened to them, which watches are fed from.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// What a URL path names: a collection without a name, an object with one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    pub resource: String,
    pub namespace: Option<String>,
    pub name: Option<String>,
}

type Refused = (u16, &'static str);

#[derive(Default)]
pub struct Table {
    objects: BTreeMap<Place, Value>,
    history: Vec<Change>,
    watches: Vec<Watch>,
}

/// An object before and after; its version is its place in the history, counted from 1.
struct Change {
    place: Place,
    before: Option<Value>,
    after: Option<Value>,
}

struct Watch {
    collection: Place,
    selector: Selector,
    events: UnboundedSender<Value>,
}

/// `fieldSelector=metadata.name=..` and `labelSelector=a=b,..`.
struct Selector {
    name: Option<String>,
    labels: Vec<(String, String)>,
}

impl Selector {
    fn parse(query: &str) -> Self {
        let query = query.replace("%3D", "=").replace("%2C", ",").replace("%2F", "/");
        let value = |key: &str| {
            query
                .split('&')
                .find_map(|pair| pair.strip_prefix(key))
                .unwrap_or_default()
                .trim_start_matches('=')
                .to_owned()
        };
        let labels = value("labelSelector");
        let labels = labels.split(',').filter_map(|one| one.split_once('='));
        Self {
            name: value("fieldSelector").strip_prefix("metadata.name=").map(str::to_owned),
            labels: labels.map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
        }
    }

    fn takes(&self, object: &Value) -> bool {
        let metadata = &object["metadata"];
        self.name.as_ref().is_none_or(|name| metadata["name"] == name.as_str())
            && self.labels.iter().all(|(name, value)| metadata["labels"][name] == value.as_str())
    }
}

impl Place {
    fn holds(&self, other: &Place) -> bool {
        self.resource == other.resource && (self.namespace.is_none() || self.namespace == other.namespace)
    }
}

impl Change {
    /// As a watch with this selector sees it: what leaves the selection is deleted.
    fn event(&self, selector: &Selector, version: usize) -> Option<Value> {
        let taken = |object: &Option<Value>| object.clone().filter(|object| selector.takes(object));
        let (kind, mut object) = match (taken(&self.before), taken(&self.after)) {
            (None, None) => return None,
            (None, Some(after)) => ("ADDED", after),
            (Some(_), Some(after)) => ("MODIFIED", after),
            (Some(before), None) => ("DELETED", before),
        };
        object["metadata"]["resourceVersion"] = json!(version.to_string());
        Some(json!({ "type": kind, "object": object }))
    }
}

impl Table {
    pub fn get(&self, place: &Place) -> Option<&Value> {
        self.objects.get(place)
    }

    pub fn put(&mut self, place: &Place, mut object: Value) {
        let version = self.history.len() + 1;
        object["metadata"]["resourceVersion"] = json!(version.to_string());
        object["metadata"]["name"] = json!(place.name);
        if let Some(namespace) = &place.namespace {
            object["metadata"]["namespace"] = json!(namespace);
        }
        let before = self.objects.insert(place.clone(), object.clone());
        self.happened(Change { place: place.clone(), before, after: Some(object) });
    }

    pub fn delete(&mut self, place: &Place) -> Option<Value> {
        let before = self.objects.remove(place)?;
        self.happened(Change { place: place.clone(), before: Some(before.clone()), after: None });
        Some(before)
    }

    /// Deletes what no watch tells of.
    pub fn lose(&mut self, place: &Place) {
        self.objects.remove(place);
    }

    fn happened(&mut self, change: Change) {
        let version = self.history.len() + 1;
        self.watches.retain(|watch| match change.event(&watch.selector, version) {
            Some(event) if watch.collection.holds(&change.place) => watch.events.send(event).is_ok(),
            _ => !watch.events.is_closed(),
        });
        self.history.push(change);
    }

    pub fn list(&self, collection: &Place, query: &str) -> Value {
        let selector = Selector::parse(query);
        let held = self.objects.iter().filter(|(place, _)| collection.holds(place));
        let items: Vec<&Value> = held.map(|(_, object)| object).filter(|object| selector.takes(object)).collect();
        json!({
            "kind": "List", "apiVersion": "v1", "items": items,
            "metadata": { "resourceVersion": self.history.len().to_string() },
        })
    }

    pub fn watch(&mut self, collection: &Place, query: &str) -> UnboundedReceiver<Value> {
        let since = query.split('&').find_map(|pair| pair.strip_prefix("resourceVersion="));
        let since: usize = since.and_then(|version| version.parse().ok()).unwrap_or_default();
        let selector = Selector::parse(query);
        let (events, receiver) = unbounded_channel();
        for (index, change) in self.history.iter().enumerate().skip(since) {
            if let Some(event) = change.event(&selector, index + 1).filter(|_| collection.holds(&change.place)) {
                events.send(event).unwrap();
            }
        }
        self.watches.push(Watch { collection: collection.clone(), selector, events });
        receiver
    }

    pub fn end_watches(&mut self) {
        self.watches.clear();
    }

    pub fn create(&mut self, collection: &Place, object: Value) -> Result<Value, Refused> {
        let name = object["metadata"]["name"].as_str().map(str::to_owned);
        let place = Place { name, ..collection.clone() };
        self.in_a_namespace(&place)?;
        if self.objects.contains_key(&place) {
            return Err((409, "AlreadyExists"));
        }
        if !object["metadata"]["resourceVersion"].is_null() {
            return Err((400, "resourceVersion should not be set on objects to be created"));
        }
        self.put(&place, object);
        Ok(self.objects[&place].clone())
    }

    /// Tests that name no namespaces need none.
    fn in_a_namespace(&self, place: &Place) -> Result<(), Refused> {
        let mut namespaces = self.objects.keys().filter(|other| other.resource == "namespaces").peekable();
        let free = namespaces.peek().is_none() || place.namespace.is_none();
        if free || namespaces.any(|other| other.name == place.namespace) { Ok(()) } else { Err((404, "NotFound")) }
    }

    pub fn replace(&mut self, place: &Place, object: Value) -> Result<Value, Refused> {
        let now = self.objects.get(place).ok_or((404, "NotFound"))?;
        let version = &object["metadata"]["resourceVersion"];
        if !version.is_null() && *version != now["metadata"]["resourceVersion"] {
            return Err((409, "Conflict"));
        }
        self.put(place, object);
        Ok(self.objects[place].clone())
    }

    pub fn patch(&mut self, place: &Place, kind: &str, body: &[u8]) -> Result<Value, Refused> {
        let apply = kind == "application/apply-patch+yaml";
        self.in_a_namespace(place)?;
        let now = self.objects.get(place).cloned();
        let mut object = match now {
            None if apply => json!({}),
            now => now.ok_or((404, "NotFound"))?,
        };
        if kind == "application/json-patch+json" {
            let patch: json_patch::Patch = serde_json::from_slice(body).map_err(|_| (400, "BadRequest"))?;
            json_patch::patch(&mut object, &patch).map_err(|_| (422, "Invalid"))?;
        } else {
            json_patch::merge(&mut object, &serde_json::from_slice(body).map_err(|_| (400, "BadRequest"))?);
        }
        self.put(place, object);
        Ok(self.objects[place].clone())
    }
}
