//! What authors of routes are told: the Gateway API's conditions for each parent, and findings with their lines.

use super::attach::attach;
use super::backends::Backends;
use crate::api::Kind;
use crate::build::{Assessment, Build};
use crate::gateway_route::{Backend, GatewayRoute, RouteAction};
use crate::model::{ConditionKind, ParentRef, ParentStatus, Reason, RouteCondition};
use crate::object::Content;
use crate::problem::{Problem, Severity};
use crate::world::Services;
use crate::yaml::FieldPath;
use std::sync::Arc;

impl Build<'_> {
    /// Notes what became of every route at each of its parents.
    pub(super) fn report_routes(&mut self, backends: &Backends<'_>, services: &Services, domain: &str) {
        for kind in [Kind::HttpRoute, Kind::GrpcRoute] {
            let objects = Arc::make_mut(&mut self.next.objects[kind as usize]);
            for (key, placed) in self.candidates.of(kind) {
                let Some(assessment) = objects.assessments.get_mut(key) else { continue };
                let assessment = Arc::make_mut(assessment);
                match &placed.object.content {
                    Some(Content::GatewayRoute(route)) => {
                        let broken = broken_backends(route, backends);
                        report(route, &broken, assessment, |parent| attach(parent, route, services, domain).err());
                    }
                    _ => report_wrong(&placed.object.parents, assessment),
                }
            }
        }
    }
}

/// A backend that leads nowhere.
struct Broken<'a> {
    backend: &'a Backend,
    reason: Reason,
    message: String,
    /// What that means for requests.
    effect: &'static str,
}

const ANSWERED: &str = "its share of the requests is answered with an error";
const UNSEEN: &str = "what the route names is looked at once it is accepted";
const NOT_COPIED: &str = "no requests are copied to it";

fn broken_backends<'a>(route: &'a GatewayRoute, backends: &Backends<'_>) -> Vec<Broken<'a>> {
    let of_rules = route.rules.iter().flat_map(|rule| {
        let forwarded = match &rule.action {
            RouteAction::Forward { backends, .. } => backends.as_slice(),
            RouteAction::Redirect(_) => &[],
        };
        let of_backends = forwarded.iter().flat_map(|entry| &entry.own.mirrors);
        let mirrors = rule.mirrors.iter().chain(of_backends).map(|(backend, _)| (backend, NOT_COPIED));
        forwarded.iter().map(|entry| (&entry.backend, ANSWERED)).chain(mirrors)
    });
    let broken = of_rules.filter_map(|(backend, effect)| {
        let (reason, message) = backends.resolve(route, backend).err()?;
        Some(Broken { backend, reason, message, effect })
    });
    broken.collect()
}

fn report(
    route: &GatewayRoute,
    broken: &[Broken<'_>],
    assessment: &mut Assessment,
    unattached: impl Fn(&ParentRef) -> Option<String>,
) {
    for Broken { backend, message, effect, .. } in broken {
        assessment.warn(&backend.at, format!("{message}; {effect}"));
    }
    let mut lost = Vec::new();
    let mut statuses = Vec::new();
    for (index, parent) in route.parents.iter().enumerate() {
        let at = FieldPath::of("spec.parentRefs").index(index);
        let mut conditions = Vec::new();
        if parent.is_service() {
            let why = unattached(parent);
            conditions.push(match &why {
                None => holds(ConditionKind::Accepted, Reason::Accepted),
                Some(message) => fails(ConditionKind::Accepted, Reason::NoMatchingParent, message.clone()),
            });
            conditions.push(match broken.first() {
                None => holds(ConditionKind::ResolvedRefs, Reason::ResolvedRefs),
                Some(first) => fails(ConditionKind::ResolvedRefs, first.reason, first.message.clone()),
            });
            lost.extend(why.map(|message| (at, message)));
        } else {
            let kind = parent.kind.as_deref().unwrap_or("Gateway");
            assessment.warn(&at, format!("is a {kind}, which the mesh ignores; it serves parents of kind Service"));
        }
        statuses.push(ParentStatus { parent: parent.clone(), conditions });
    }
    let attached = statuses.iter().any(|status| status.conditions.first().is_some_and(RouteCondition::holds));
    for (at, message) in lost {
        match attached {
            true => assessment.warn(&at, message),
            false => assessment.refuse(&at, message),
        }
    }
    assessment.parents = statuses;
}

/// A route whose text is wrong is accepted by no parent, and what it names is not looked at. The message is that of its first
/// error.
fn report_wrong(parents: &[ParentRef], assessment: &mut Assessment) {
    let is_error = |problem: &&Problem| problem.severity == Severity::Error;
    let first = assessment.problems.iter().find(is_error);
    let message = first.map(|problem| format!("{}: {}", problem.field, problem.message)).unwrap_or_default();
    let status = |parent: &ParentRef| {
        let refused = fails(ConditionKind::Accepted, Reason::UnsupportedValue, message.clone());
        let unseen = fails(ConditionKind::ResolvedRefs, Reason::Pending, UNSEEN.to_owned());
        let conditions = if parent.is_service() { vec![refused, unseen] } else { Vec::new() };
        ParentStatus { parent: parent.clone(), conditions }
    };
    assessment.parents = parents.iter().map(status).collect();
}

fn holds(kind: ConditionKind, reason: Reason) -> RouteCondition {
    RouteCondition { kind, reason, message: String::new() }
}

fn fails(kind: ConditionKind, reason: Reason, message: String) -> RouteCondition {
    RouteCondition { kind, reason, message }
}
