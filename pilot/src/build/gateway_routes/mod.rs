//! Routes of the Gateway API: which Services they are attached to, and what they say together of each, told as one
//! VirtualService for each Service and kind of client. So everything behind the world knows one kind of routes only.

mod attach;
mod backends;
mod lower;
mod merge;
mod report;

use super::Build;
use crate::api::Kind;
use crate::gateway_route::GatewayRoute;
use crate::model::VirtualService;
use crate::object::Content;
use attach::{Attachments, attach};
use backends::{Backends, Grants};
use std::sync::Arc;

/// The kinds that say something here.
pub(super) const KINDS: [Kind; 3] = [Kind::HttpRoute, Kind::GrpcRoute, Kind::ReferenceGrant];

impl Build<'_> {
    /// Judges routes, and gives what they say of the Services that they are attached to.
    pub(super) fn gateway_routes(&mut self) -> Vec<Arc<VirtualService>> {
        for kind in KINDS {
            self.kind(kind, true, |_, _| {});
        }
        let (services, mesh) = (self.next.world.services.clone(), self.next.world.mesh.clone());
        let grants = Grants::new(self.objects(Kind::ReferenceGrant).contents());
        let backends = Backends::new(&services, &grants, &mesh.domain);
        let routes = self.routes_in_force();
        let mut attachments = Attachments::default();
        for route in &routes {
            for parent in route.parents.iter().filter(|parent| parent.is_service()) {
                if let Ok(at) = attach(parent, route, &services, &mesh.domain) {
                    attachments.add(at, route);
                }
            }
        }
        self.report_routes(&backends, &services, &mesh.domain);
        merge::virtual_services(&attachments, &services, &backends)
    }

    /// Older ones first, then by namespace and name.
    fn routes_in_force(&self) -> Vec<Arc<GatewayRoute>> {
        let kinds = [Kind::HttpRoute, Kind::GrpcRoute].into_iter();
        let contents = kinds.flat_map(|kind| self.objects(kind).contents());
        let mut routes: Vec<_> = contents
            .filter_map(|(_, content)| match content {
                Content::GatewayRoute(route) => Some(route.clone()),
                _ => None,
            })
            .collect();
        routes.sort_by(|a, b| precedence(a).cmp(&precedence(b)));
        routes
    }
}

fn precedence(route: &GatewayRoute) -> (i64, &str, &str) {
    (route.creation, &route.source.namespace, &route.source.name)
}
