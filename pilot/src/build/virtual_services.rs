//! VirtualServices: what they name must exist, and one decides for each host.

use super::references::References;
use super::{Build, gateway_routes};
use crate::api::Kind;
use crate::model::{ExportTo, Host, ObjectRef, VirtualService};
use crate::object::{Content, Routes};
use crate::problem::Problems;
use crate::world::VirtualServices;
use crate::yaml::FieldPath;
use std::collections::BTreeSet;
use std::sync::Arc;

impl Build<'_> {
    /// Judges VirtualServices and routes of the Gateway API, and builds their table.
    pub(super) fn virtual_services(&mut self) {
        let depends_on = [Kind::VirtualService, Kind::DestinationRule, Kind::Service, Kind::ServiceEntry];
        if !self.changed.any(&depends_on) && !self.changed.any(&gateway_routes::KINDS) {
            return;
        }
        let (services, rules) = (self.next.world.services.clone(), self.next.world.destination_rules.clone());
        let domain = self.next.world.mesh.domain.clone();
        let references = References::new(&services, &rules, &domain);
        self.kind(Kind::VirtualService, true, |content, problems| {
            if let Content::VirtualService(routes) = content
                && routes.for_sidecars
            {
                check(routes, &references, problems);
            }
        });
        let in_force = self.objects(Kind::VirtualService).contents().filter_map(|(_, content)| match content {
            Content::VirtualService(routes) if routes.for_sidecars => Some(routes.rules.clone()),
            _ => None,
        });
        let in_force: Vec<_> = in_force.collect();
        let of_routes = self.gateway_routes();
        let table = VirtualServices::new(in_force.iter().chain(&of_routes).cloned());
        for rules in &in_force {
            self.tell_shadowed(rules, &table);
        }
        for rules in &of_routes {
            self.tell_overruled(rules, &table);
        }
        self.next.world.virtual_services = Arc::new(table);
    }

    /// Of several for one host the first by precedence decides; the others say who does.
    fn tell_shadowed(&mut self, rules: &Arc<VirtualService>, table: &VirtualServices) {
        let lost = rules.hosts.iter().enumerate();
        let lost: Vec<_> = lost.filter_map(|(i, host)| Some((i, decides_instead(rules, host, table)?))).collect();
        let Some((_, first)) = lost.first() else { return };
        let all = lost.len() == rules.hosts.len();
        self.remark(&rules.source, Kind::VirtualService, |assessment| {
            if all {
                assessment.shadow(first);
            }
            for (index, winner) in &lost {
                let host = &rules.hosts[*index];
                let message =
                    format!("{winner} is older and decides for {host}; put all rules of a host into one object");
                assessment.warn(&FieldPath::of("spec.hosts").index(*index), message);
            }
        });
    }

    /// Routes of the Gateway API beside VirtualServices for their host: as in Istio those of the client's own namespace
    /// go before public VirtualServices, and elsewhere the oldest decides; VirtualServices that are exported to the
    /// client's namespace alone go before all.
    fn tell_overruled(&mut self, rules: &Arc<VirtualService>, table: &VirtualServices) {
        let (Some(host), namespace) = (rules.hosts.first(), &rules.source.namespace) else { return };
        let own = table.get(namespace, host);
        let public = table.naming(host).iter().find(|known| known.export_to == ExportTo::All);
        let elsewhere = public.filter(|_| rules.export_to == ExportTo::All);
        let winner = |found: Option<&Arc<VirtualService>>| {
            found.filter(|winner| !Arc::ptr_eq(winner, rules)).map(|winner| winner.source.clone())
        };
        let everywhere = elsewhere.is_none_or(|winner| !Arc::ptr_eq(winner, rules));
        self.tell_partly_overruled(rules, own, public);
        let (message, by) = match (winner(own), winner(elsewhere)) {
            (None, None) => return,
            (Some(by), _) if everywhere => (format!("{by} decides for {host}; remove one of them"), Some(by)),
            (Some(by), _) => (format!("{by} decides for {host} and clients in namespace {namespace}"), None),
            (None, Some(by)) => {
                (format!("{by} is older and decides for {host} and clients outside namespace {namespace}"), None)
            }
        };
        let sources: BTreeSet<_> = rules.http.iter().filter_map(|rule| rule.source.as_ref()).collect();
        for source in sources.into_iter().filter(|source| source.namespace == *namespace) {
            let kind = if &*source.kind == "GRPCRoute" { Kind::GrpcRoute } else { Kind::HttpRoute };
            self.remark(source, kind, |assessment| {
                assessment.warn(&FieldPath::of("spec.parentRefs"), &message);
                if let Some(by) = &by {
                    assessment.shadow(by);
                }
            });
        }
    }
}

impl Build<'_> {
    /// A public VirtualService beside routes of a client's own namespace, which decide there.
    fn tell_partly_overruled(
        &mut self,
        rules: &Arc<VirtualService>,
        own: Option<&Arc<VirtualService>>,
        public: Option<&Arc<VirtualService>>,
    ) {
        let decides = own.is_some_and(|winner| Arc::ptr_eq(winner, rules));
        let Some(public) = public.filter(|public| decides && !public.gateway_api) else { return };
        let Some(index) = public.hosts.iter().position(|host| rules.hosts.contains(host)) else { return };
        let (host, route, namespace) = (&public.hosts[index], &rules.source, &rules.source.namespace);
        let message = format!("{route} decides for {host} and clients in namespace {namespace}; remove one of them");
        self.remark(&public.source, Kind::VirtualService, |assessment| {
            assessment.warn(&FieldPath::of("spec.hosts").index(index), message);
        });
    }
}

/// The VirtualService that decides for a host in place of this one, when this one does so for no client.
fn decides_instead(rules: &Arc<VirtualService>, host: &Host, table: &VirtualServices) -> Option<Arc<ObjectRef>> {
    let winners: Vec<_> = match &rules.export_to {
        ExportTo::All => vec![table.naming(host).iter().find(|known| known.export_to == ExportTo::All)],
        ExportTo::Namespaces(namespaces) => namespaces.iter().map(|namespace| table.get(namespace, host)).collect(),
    };
    let decides = winners.iter().flatten().any(|winner| Arc::ptr_eq(winner, rules));
    if decides { None } else { winners.into_iter().flatten().next().map(|winner| winner.source.clone()) }
}

fn check(routes: &Routes, references: &References<'_>, problems: &mut Problems) {
    let hosts_at = FieldPath::of("spec.hosts");
    let hosts = routes.rules.hosts.iter().enumerate();
    let missing: Vec<_> = hosts.filter_map(|(i, host)| Some((i, references.missing_host(host)?))).collect();
    let all = missing.len() == routes.rules.hosts.len();
    for (index, message) in missing {
        if all {
            problems.error(&hosts_at.index(index), message);
        } else {
            problems.warning(&hosts_at.index(index), message);
        }
    }
    let asked = references.ports_of(&routes.rules.hosts);
    for (at, destination) in &routes.references {
        let namespace = &routes.rules.source.namespace;
        references.destination(at, destination, namespace, problems);
        references.left_out_port(at, destination, namespace, &asked, problems);
    }
}
