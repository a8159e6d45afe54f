//! PeerAuthentication (istio-api peer_authentication.proto).

use super::Check;
use crate::api::PeerAuthenticationSpec;
use crate::model::{Labels, MtlsMode};
use crate::object::{Content, PeerAuthentication};
use crate::yaml::FieldPath;
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
