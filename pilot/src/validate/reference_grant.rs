//! ReferenceGrant (Gateway API referencegrant_types.go).

use super::Check;
use crate::api::ReferenceGrantSpec;
use crate::gateway_route::ReferenceGrant;
use crate::object::Content;
use crate::yaml::FieldPath;
use std::sync::Arc;

pub(super) fn check(spec: &ReferenceGrantSpec, check: &mut Check<'_>) -> Option<Content> {
    let at = FieldPath::of("spec");
    for (field, empty) in [("from", spec.from.is_empty()), ("to", spec.to.is_empty())] {
        if empty {
            check.problems.error(&at.key(field), "is missing; name at least one");
        }
    }
    for (index, from) in spec.from.iter().enumerate() {
        let at = at.key("from").index(index);
        for (field, value) in [("kind", &from.kind), ("namespace", &from.namespace)] {
            if value.is_empty() {
                check.problems.error(&at.key(field), "is missing");
            }
        }
    }
    for (index, to) in spec.to.iter().enumerate() {
        if to.kind.is_empty() {
            check.problems.error(&at.key("to").index(index).key("kind"), "is missing, for example Service");
        }
    }
    let text = |text: &String| Arc::<str>::from(text.as_str());
    let from = spec.from.iter().map(|from| (text(&from.group), text(&from.kind), text(&from.namespace)));
    let services = spec.to.iter().filter(|to| to.group.is_empty() && to.kind == "Service");
    let services = services.map(|to| to.name.as_ref().filter(|name| !name.is_empty()).map(text));
    let grant = ReferenceGrant { from: from.collect(), services: services.collect() };
    Some(Content::ReferenceGrant(Arc::new(grant)))
}
