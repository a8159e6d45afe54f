//! Header names, values and edits.

use super::Check;
use crate::api::{HeaderOperationsSpec, HeadersSpec};
use crate::model::{HeaderEdits, HeaderOperations};
use crate::yaml::FieldPath;
use std::collections::BTreeMap;
use std::sync::Arc;

impl Check<'_> {
    /// A header's name in lower case.
    pub(super) fn header_name(&mut self, at: &FieldPath, name: &str) -> Option<Arc<str>> {
        let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
        if name.is_empty() || !name.bytes().all(token) {
            let message = format!("\"{name}\" is not a header name; use letters, digits and \"-\"");
            self.problems.error(at, message);
            return None;
        }
        Some(name.to_ascii_lowercase().into())
    }

    /// `headers` of a rule or a destination.
    pub(super) fn header_edits(&mut self, at: &FieldPath, spec: Option<&HeadersSpec>) -> HeaderEdits {
        let mut edits = HeaderEdits::default();
        let Some(spec) = spec else { return edits };
        if let Some(request) = &spec.request {
            edits.authority = new_authority(request);
            edits.request = self.operations(&at.key("request"), request, true);
        }
        if let Some(response) = &spec.response {
            edits.response = self.operations(&at.key("response"), response, false);
        }
        edits
    }

    fn operations(&mut self, at: &FieldPath, spec: &HeaderOperationsSpec, request: bool) -> HeaderOperations {
        let remove_at = at.key("remove");
        let remove = spec.remove.iter().enumerate();
        HeaderOperations {
            set: self.values(&at.key("set"), &spec.set, request),
            add: self.values(&at.key("add"), &spec.add, request),
            remove: remove.filter_map(|(i, name)| self.editable(&remove_at.index(i), name)).collect(),
        }
    }

    fn values(&mut self, at: &FieldPath, map: &BTreeMap<String, String>, request: bool) -> Vec<(Arc<str>, Arc<str>)> {
        let mut values = Vec::new();
        for (name, value) in map {
            let at = at.key(name);
            if request && is_authority(name) {
                self.header_value(&at, value);
                continue;
            }
            if let (Some(name), Some(value)) = (self.editable(&at, name), self.header_value(&at, value)) {
                values.push((name, value));
            }
        }
        values
    }

    /// A header that may be edited; pseudo-headers and Host may not, as in Istio.
    fn editable(&mut self, at: &FieldPath, name: &str) -> Option<Arc<str>> {
        if name.starts_with(':') || name.eq_ignore_ascii_case("host") {
            self.problems.warning(at, format!("\"{name}\" cannot be edited here; this has no effect"));
            return None;
        }
        self.header_name(at, name)
    }

    /// A header's value, literally: `%%` stands for `%`.
    pub(super) fn header_value(&mut self, at: &FieldPath, value: &str) -> Option<Arc<str>> {
        if value.chars().any(|c| c.is_control() && c != '\t') {
            self.problems.error(at, "has a control character; a header's value is one line of text");
            return None;
        }
        let literal = value.replace("%%", "\u{0}");
        if literal.contains('%') {
            let message = "Envoy's % commands are not supported yet; write %% for a percent sign";
            self.problems.error(at, message);
            return None;
        }
        Some(literal.replace('\u{0}', "%").into())
    }
}

fn is_authority(name: &str) -> bool {
    name == ":authority" || name.eq_ignore_ascii_case("host")
}

/// Setting Host is a rewrite of the authority; `set` beats `add`.
fn new_authority(spec: &HeaderOperationsSpec) -> Option<Arc<str>> {
    let find = |map: &BTreeMap<String, String>| {
        map.iter().find(|(name, _)| is_authority(name)).map(|(_, value)| Arc::from(value.as_str()))
    };
    find(&spec.set).or_else(|| find(&spec.add))
}
