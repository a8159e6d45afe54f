//! Checks objects by themselves and turns them into the model: one file for each kind and each shared part.
//! What depends on other objects is checked when the world is built.

mod address;
mod destination_rule;
mod duration;
mod endpoint_slice;
mod export;
mod gateway_filters;
mod gateway_match;
mod gateway_policy;
mod gateway_route;
mod headers;
mod http_action;
mod http_match;
mod http_policy;
mod http_rule;
mod l4;
mod matching;
mod node;
mod number;
mod peer_authentication;
mod pod;
mod reference_grant;
mod service;
mod service_entry;
mod traffic_policy;
mod virtual_service;

pub(crate) use duration::parse as parse_duration;
pub use node::is_topology_label;
pub(crate) use pod::{CANONICAL_NAME, CANONICAL_REVISION, workload_name};

use crate::api::{Istio, Kind};
use crate::model::ObjectRef;
use crate::object::{Content, Object};
use crate::problem::Problems;
use crate::world::Mesh;
use crate::yaml::{FieldPath, Lines, Node, UnknownField, nearest, read};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::de::DeserializeOwned;
use std::sync::Arc;

/// What objects are read against.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// Mesh-wide settings.
    pub mesh: Arc<Mesh>,
    /// Pods have a sidecar unless they say otherwise (in a directory nobody injects one and marks the pod).
    pub assume_sidecars: bool,
    /// Objects come from an API server, which has checked its own kinds: a field of theirs that is unknown here is one
    /// of a newer cluster, and an object that is not for the mesh is not a mistake.
    pub from_cluster: bool,
}

/// One object while it is checked.
struct Check<'a> {
    settings: &'a Settings,
    reference: &'a Arc<ObjectRef>,
    problems: Problems,
}

impl Check<'_> {
    fn namespace(&self) -> &Arc<str> {
        &self.reference.namespace
    }

    /// Notes a part of the API that has no effect yet.
    fn unsupported<T>(&mut self, at: &FieldPath, field: &str, value: &Option<T>) {
        if value.is_some() {
            self.problems.warning(&at.key(field), "is not supported yet and has no effect");
        }
    }

    /// The value that a name stands for; absent gives `default`.
    fn one_of<T: Copy>(&mut self, at: &FieldPath, name: Option<&str>, values: &[(&str, T)], default: T) -> T {
        let Some(name) = name else { return default };
        if let Some((_, value)) = values.iter().find(|(known, _)| *known == name) {
            return *value;
        }
        let names = values.iter().map(|(known, _)| *known);
        let right = match nearest(name, names.clone()) {
            Some(known) => format!("did you mean {known}?"),
            None => format!("use {}", names.collect::<Vec<_>>().join(", ")),
        };
        self.problems.error(at, format!("\"{name}\" is none of its values; {right}"));
        default
    }
}

/// Reads and checks one object of a known kind.
pub fn object(kind: Kind, reference: Arc<ObjectRef>, node: &Node, settings: &Settings) -> Object {
    let mut check = Check { settings, reference: &reference, problems: Problems::default() };
    let content = content(kind, node, &mut check);
    let problems = check.problems;
    let content = content.filter(|_| !problems.has_errors());
    let parents = match kind {
        Kind::HttpRoute | Kind::GrpcRoute => gateway_route::parents(node),
        _ => Arc::default(),
    };
    let stand_in = match (kind, &content) {
        (Kind::PeerAuthentication, None) => peer_authentication::strictest(node, &reference, settings),
        _ => None,
    };
    Object { kind, content, stand_in, parents, problems: problems.into_vec(), lines: Lines::of(node), reference }
}

/// An object of a kind that has no effect yet.
pub fn unsupported(reference: Arc<ObjectRef>, node: &Node, effect: &str) -> Object {
    let mut problems = Problems::default();
    problems.error(&FieldPath::of("kind"), format!("{} {effect}", reference.kind));
    let lines = Lines::of(node);
    let problems = problems.into_vec();
    let parents = Arc::default();
    Object { kind: Kind::Unsupported, content: None, stand_in: None, parents, problems, lines, reference }
}

fn content(kind: Kind, node: &Node, check: &mut Check<'_>) -> Option<Content> {
    match kind {
        Kind::Namespace | Kind::Unsupported => Some(Content::Inert),
        Kind::Service => service::check(&typed(kind, node, check)?, check),
        Kind::EndpointSlice => endpoint_slice::check(&typed(kind, node, check)?, check),
        Kind::Pod => pod::check(&typed(kind, node, check)?, check),
        Kind::Node => node::check(&typed(kind, node, check)?),
        Kind::ServiceEntry => {
            let object: Istio<_> = typed(kind, node, check)?;
            service_entry::check(&object.spec, creation(&object.metadata), check)
        }
        Kind::VirtualService => {
            let object: Istio<_> = typed(kind, node, check)?;
            virtual_service::check(&object.spec, creation(&object.metadata), check)
        }
        Kind::DestinationRule => {
            let object: Istio<_> = typed(kind, node, check)?;
            destination_rule::check(&object.spec, creation(&object.metadata), check)
        }
        Kind::PeerAuthentication => {
            let object: Istio<_> = typed(kind, node, check)?;
            peer_authentication::check(&object.spec, creation(&object.metadata), check)
        }
        Kind::HttpRoute => {
            let object: Istio<_> = typed(kind, node, check)?;
            gateway_route::http(&object.spec, creation(&object.metadata), check)
        }
        Kind::GrpcRoute => {
            let object: Istio<_> = typed(kind, node, check)?;
            gateway_route::grpc(&object.spec, creation(&object.metadata), check)
        }
        Kind::ReferenceGrant => {
            let object: Istio<_> = typed(kind, node, check)?;
            reference_grant::check(&object.spec, check)
        }
    }
}

/// Reads the object; fields that the kind does not have are errors. For Kubernetes' own kinds they are warnings
/// unless they look like a typing error: a newer cluster may have fields that this program does not know.
fn typed<T: DeserializeOwned>(kind: Kind, node: &Node, check: &mut Check<'_>) -> Option<T> {
    let read = match read::<T>(node) {
        Ok(read) => read,
        Err(error) => {
            check.problems.error(&error.path, error.message);
            return None;
        }
    };
    if check.settings.from_cluster && kind.is_kubernetes() {
        return Some(read.value);
    }
    for field in &read.unknown {
        let UnknownField { path, nearest, .. } = field;
        if kind.is_kubernetes() && nearest.is_none() {
            check.problems.warning(path, format!("{}; it is ignored", field.message()));
        } else {
            check.problems.error(path, field.message());
        }
    }
    Some(read.value)
}

/// `metadata.creationTimestamp` in seconds since the epoch; 0 without one, as in hand-written files.
fn creation(metadata: &ObjectMeta) -> i64 {
    metadata.creation_timestamp.as_ref().map_or(0, |time| time.0.as_second())
}
