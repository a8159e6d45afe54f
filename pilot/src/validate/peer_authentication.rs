//! PeerAuthentication (istio-api peer_authentication.proto).

use super::{Check, Settings, creation};
use crate::api::PeerAuthenticationSpec;
use crate::model::{Labels, MtlsMode, ObjectRef};
use crate::object::{Content, PeerAuthentication};
use crate::yaml::{FieldPath, Node, Value, nearest, read};
use std::collections::BTreeMap;

pub(super) fn check(spec: &PeerAuthenticationSpec, creation: i64, check: &mut Check<'_>) -> Option<Content> {
    let at = FieldPath::of("spec");
    let labels = spec.selector.as_ref().map(|selector| Labels::new(selector.match_labels.clone()));
    let selector = labels.filter(|labels| !labels.is_empty());
    let mode = spec.mtls.as_ref().and_then(|mtls| mtls.mode.as_deref());
    let mode = check.mtls_mode(&at.key("mtls").key("mode"), mode);
    let ports_at = at.key("portLevelMtls");
    let mut ports = BTreeMap::new();
    for (port, mtls) in &spec.port_level_mtls {
        let at = ports_at.key(port);
        let mode = check.mtls_mode(&at.key("mode"), mtls.mode.as_deref());
        match port.parse() {
            Ok(number) => ports.extend(check.port(&at, number).map(|number| (number, mode))),
            Err(_) => check.problems.error(&at, format!("\"{port}\" is not a port; use 1 to 65535")),
        }
    }
    if !ports.is_empty() && selector.is_none() {
        check.problems.error(&ports_at, "needs a selector: ports belong to workloads");
    }
    if selector.is_some() && **check.namespace() == *check.settings.mesh.root_namespace {
        let message = "has no effect in the root namespace, where only a policy for the whole mesh counts; \
                       move it to the workload's namespace";
        check.problems.error(&at.key("selector"), message);
    }
    Some(Content::PeerAuthentication(PeerAuthentication { selector, mode, ports, creation }))
}

/// STRICT for those whom a wrong policy is for; `None` when that cannot be told.
pub(super) fn strictest(node: &Node, reference: &ObjectRef, settings: &Settings) -> Option<Content> {
    let selector = Some(scope(node.get("spec"))?).filter(|labels| !labels.is_empty());
    if selector.is_some() && reference.namespace == settings.mesh.root_namespace {
        return None;
    }
    let metadata = node.get("metadata").and_then(|metadata| read(metadata).ok());
    let creation = metadata.map_or(0, |metadata| creation(&metadata.value));
    let (mode, ports) = (Some(MtlsMode::Strict), BTreeMap::new());
    Some(Content::PeerAuthentication(PeerAuthentication { selector, mode, ports, creation }))
}

/// The labels of those whom a spec is for, empty for all. Not told by a selector that is wrong, nor by a field that may
/// have been meant to be one.
fn scope(spec: Option<&Node>) -> Option<Labels> {
    let Some(Value::Map(fields)) = spec.map(|spec| &spec.value) else { return Some(Labels::default()) };
    if let Some(selector) = fields.iter().find(|field| field.key == "selector") {
        return match_labels(&selector.value);
    }
    let modes = ["mtls", "portLevelMtls"];
    fields.iter().all(|field| nearest(&field.key, modes).is_some()).then(Labels::default)
}

fn match_labels(selector: &Node) -> Option<Labels> {
    let Value::Map(fields) = &selector.value else { return None };
    let [labels] = fields.as_slice() else { return None };
    let Value::Map(pairs) = &labels.value.value else { return None };
    let text = |node: &Node| match &node.value {
        Value::Text(text) | Value::Number(text) => Some(text.clone()),
        Value::Bool(value) => Some(value.to_string()),
        Value::Null | Value::List(_) | Value::Map(_) => None,
    };
    let pairs = pairs.iter().map(|pair| Some((pair.key.clone(), text(&pair.value)?)));
    pairs.collect::<Option<BTreeMap<_, _>>>().filter(|_| labels.key == "matchLabels").map(Labels::new)
}

impl Check<'_> {
    fn mtls_mode(&mut self, at: &FieldPath, name: Option<&str>) -> Option<MtlsMode> {
        let modes = [
            ("UNSET", None),
            ("DISABLE", Some(MtlsMode::Disable)),
            ("PERMISSIVE", Some(MtlsMode::Permissive)),
            ("STRICT", Some(MtlsMode::Strict)),
        ];
        self.one_of(at, name, &modes, None)
    }
}
