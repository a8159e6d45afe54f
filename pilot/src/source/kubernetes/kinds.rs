//! Which kinds are watched, in which version: what the mesh reads, as far as the cluster serves it. A pure function of
//! what discovery found.

use crate::api::{Kind, kinds_without_effect, read_kinds};
use crate::place::Place;
use crate::source::SourceProblem;
use kube::api::ApiResource;
use std::sync::Arc;

/// Without these there is no mesh: a control plane that may not watch them does not start.
const NEEDED: &[Kind] = &[Kind::Namespace, Kind::Service, Kind::EndpointSlice, Kind::Pod];

/// Nor may a world be made as long as it is not known what these say: without its policies a mesh would let in what they
/// refuse.
const POLICIES: &[Kind] = &[Kind::PeerAuthentication];

/// Kinds that other controllers act on as well, each on objects of its own class: nobody can say of one here that it
/// has no effect.
const OF_OTHERS: &[(&str, &str)] = &[("networking.k8s.io", "Ingress"), ("gateway.networking.k8s.io", "Gateway")];

/// What the mesh does with a kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// It is read.
    Read(Kind),
    /// It has no effect yet, which its authors are told.
    NoEffect,
}

/// A kind that is watched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Watched {
    /// Its name in the API: `virtualservices.networking.istio.io`.
    pub(super) name: Arc<str>,
    /// What is asked for.
    pub(super) resource: ApiResource,
    /// What the mesh does with it.
    pub(super) role: Role,
}

impl Watched {
    /// Nothing of it is read beside its metadata.
    pub(super) fn metadata_only(&self) -> bool {
        match self.role {
            Role::Read(Kind::Namespace | Kind::Node) => true,
            Role::Read(_) => false,
            // Of routes it matters whether they are attached to a Service.
            Role::NoEffect => !self.resource.kind.ends_with("Route"),
        }
    }

    /// There is no mesh without it.
    pub(super) fn is_needed(&self) -> bool {
        matches!(self.role, Role::Read(kind) if NEEDED.contains(&kind))
    }

    /// A first world can be made without it where the control plane may not read it.
    pub(super) fn can_be_forbidden(&self) -> bool {
        !self.is_needed() && !matches!(self.role, Role::Read(kind) if POLICIES.contains(&kind))
    }

    /// The kind that its objects have in the program.
    pub(super) fn kind(&self) -> Kind {
        match self.role {
            Role::Read(kind) => kind,
            Role::NoEffect => Kind::Unsupported,
        }
    }
}

/// The groups that discovery has to look at.
pub(super) fn groups() -> Vec<&'static str> {
    let mut groups: Vec<_> = read_kinds().map(|(group, ..)| group).chain(without_effect().map(|(g, _)| g)).collect();
    groups.sort_unstable();
    groups.dedup();
    groups
}

fn without_effect() -> impl Iterator<Item = (&'static str, &'static str)> {
    kinds_without_effect().filter(|kind| !OF_OTHERS.contains(kind))
}

/// What is watched of a cluster that serves these resources, and what cannot be because it is served in versions
/// that nobody here understands. Of the versions that are understood the best is taken.
pub(super) fn choose(served: &[ApiResource]) -> (Vec<Watched>, Vec<SourceProblem>) {
    let (mut chosen, mut problems) = (Vec::new(), Vec::new());
    for (group, kind, versions, read) in read_kinds() {
        let offers: Vec<_> = served.iter().filter(|offer| offer.group == group && offer.kind == kind).collect();
        let best = versions.iter().find_map(|version| offers.iter().find(|offer| offer.version == *version));
        match (best, offers.first()) {
            (Some(offer), _) => chosen.push(watched(offer, Role::Read(read))),
            (None, Some(offer)) => problems.push(not_understood(offer, &offers, versions)),
            (None, None) => {}
        }
    }
    for (group, kind) in without_effect() {
        let offer = served.iter().find(|offer| offer.group == group && offer.kind == kind);
        chosen.extend(offer.map(|offer| watched(offer, Role::NoEffect)));
    }
    (chosen, problems)
}

/// The kinds without which there is no mesh, and which are not among those that are watched.
pub(super) fn missing<'a>(watched: impl Iterator<Item = &'a Watched>) -> impl Iterator<Item = SourceProblem> {
    let roles: Vec<_> = watched.map(|watched| watched.role).collect();
    let lacking = NEEDED.iter().filter(move |kind| !roles.contains(&Role::Read(**kind)));
    let named = lacking.filter_map(|kind| read_kinds().find(|(.., known)| known == kind));
    named.map(|(group, kind, ..)| SourceProblem {
        place: Place::Api(format!("{kind} {group}").trim_end().into()),
        message: "is not served by the API server, and there is no mesh without it".into(),
    })
}

fn watched(offer: &ApiResource, role: Role) -> Watched {
    Watched { name: name(offer), resource: offer.clone(), role }
}

/// `virtualservices.networking.istio.io`; `pods` in the core group.
fn name(offer: &ApiResource) -> Arc<str> {
    match offer.group.as_str() {
        "" => offer.plural.as_str().into(),
        group => format!("{}.{group}", offer.plural).into(),
    }
}

fn not_understood(first: &ApiResource, offers: &[&ApiResource], understood: &[&str]) -> SourceProblem {
    let served: Vec<_> = offers.iter().map(|offer| offer.version.as_str()).collect();
    let message = format!(
        "is served as {}, of which this program understands none (it reads {}): none of these objects is in force; \
         install CustomResourceDefinitions that serve one of them",
        served.join(", "),
        understood.join(", ")
    );
    SourceProblem { place: Place::Api(name(first)), message }
}
