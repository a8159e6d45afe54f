//! Where the backends of a route lead: they must be Services that exist, and may be named from the route's namespace.

use super::attach::kubernetes_service;
use crate::gateway_route::{Backend, GatewayRoute, ReferenceGrant};
use crate::model::{Destination, Host, ObjectRef, ParentRef, Reason};
use crate::object::Content;
use crate::world::Services;
use std::collections::HashMap;
use std::sync::Arc;

/// ReferenceGrants by their namespace.
#[derive(Default)]
pub(super) struct Grants(HashMap<Arc<str>, Vec<Arc<ReferenceGrant>>>);

impl Grants {
    pub(super) fn new<'a>(contents: impl Iterator<Item = (&'a Arc<ObjectRef>, &'a Content)>) -> Self {
        let mut grants = Self::default();
        for (object, content) in contents {
            if let Content::ReferenceGrant(grant) = content {
                grants.0.entry(object.namespace.clone()).or_default().push(grant.clone());
            }
        }
        grants
    }

    fn allow(&self, route: &ObjectRef, backend: &Backend) -> bool {
        let from = |(group, kind, namespace): &(Arc<str>, Arc<str>, Arc<str>)| {
            *group == route.group && *kind == route.kind && *namespace == route.namespace
        };
        let to = |name: &Option<Arc<str>>| name.as_ref().is_none_or(|name| *name == backend.name);
        let grants = self.0.get(&backend.namespace).into_iter().flatten();
        grants.into_iter().any(|grant| grant.from.iter().any(from) && grant.services.iter().any(to))
    }
}

/// Whether a route may name a backend without anybody's leave: one of its own namespace, or the Service that it is attached to,
/// where its clients' requests went before.
fn may_name(route: &GatewayRoute, backend: &Backend) -> bool {
    let own = &route.source.namespace;
    let is_parent = |parent: &ParentRef| {
        let namespace = parent.namespace.as_ref().unwrap_or(own);
        parent.is_service() && parent.name == backend.name && *namespace == backend.namespace
    };
    backend.namespace == *own || route.parents.iter().any(is_parent)
}

/// What backends are looked up in.
pub(super) struct Backends<'a> {
    services: &'a Services,
    grants: &'a Grants,
    domain: &'a str,
}

impl<'a> Backends<'a> {
    pub(super) fn new(services: &'a Services, grants: &'a Grants, domain: &'a str) -> Self {
        Self { services, grants, domain }
    }

    /// Where a backend of a route leads, or why nowhere.
    pub(super) fn resolve(&self, route: &GatewayRoute, backend: &Backend) -> Result<Destination, (Reason, String)> {
        let Backend { namespace, name, .. } = backend;
        if let Some(kind) = &backend.other_kind {
            return Err((Reason::InvalidKind, format!("{kind} is no kind of backend; name a Service")));
        }
        if !may_name(route, backend) && !self.grants.allow(&route.source, backend) {
            let (kind, from) = (&route.source.kind, &route.source.namespace);
            let message = format!(
                "no ReferenceGrant in namespace {namespace} allows {kind}s of namespace {from} to name Service {name}"
            );
            return Err((Reason::RefNotPermitted, message));
        }
        let host = Host::of_service(name, namespace, self.domain);
        let Some(service) = kubernetes_service(self.services, &host) else {
            return Err((Reason::BackendNotFound, format!("there is no Service {namespace}/{name}")));
        };
        let Some(port) = backend.port.filter(|port| service.port(*port).is_some()) else {
            let (port, has) = (backend.port.unwrap_or_default(), crate::build::references::ports(service));
            let message = format!("Service {namespace}/{name} has no port {port}; it has {has}");
            return Err((Reason::BackendNotFound, message));
        };
        Ok(Destination { host, subset: None, port: Some(port) })
    }
}
