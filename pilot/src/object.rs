//! One version of one configuration object: what its text says, checked as far as that needs no other object.

use crate::api::Kind;
use crate::gateway_route::{GatewayRoute, ReferenceGrant};
use crate::model::{
    Destination, DestinationRule, Endpoint, EndpointState, Host, Labels, Locality, MtlsMode, ObjectRef, ParentRef,
    Service, VirtualService, Workload,
};
use crate::place::Place;
use crate::problem::Problem;
use crate::yaml::{FieldPath, Lines};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

/// One version of an object. It knows nothing of where its file is, so that moving it changes nothing.
#[derive(Debug)]
pub struct Object {
    /// Its identity.
    pub reference: Arc<ObjectRef>,
    /// Its kind.
    pub kind: Kind,
    /// What it says; None when it says nothing that can be used.
    pub content: Option<Content>,
    /// What holds in its place when it says nothing that can be used and no earlier version does: a policy that
    /// should protect must not be gone because it is wrong.
    pub stand_in: Option<Content>,
    /// What a route of the Gateway API is attached to; its author is told of each, also when the rest is wrong.
    pub parents: Arc<[ParentRef]>,
    /// What is wrong with it by itself.
    pub problems: Vec<Problem>,
    /// Where its fields stand, from the start of its document.
    pub lines: Lines,
}

/// Where a version of an object stands now.
#[derive(Clone, Debug)]
pub struct Placed {
    /// The object.
    pub object: Arc<Object>,
    /// Where it came from.
    pub origin: Origin,
}

/// Where a version of an object came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A document of a file.
    File {
        /// The file, relative to the configuration directory.
        file: Arc<str>,
        /// Line of the file on which the object's document starts, from 1.
        line: u32,
    },
    /// An API server.
    Cluster {
        /// `metadata.generation`; None for kinds that have none.
        generation: Option<i64>,
        /// `metadata.uid`.
        uid: Option<Arc<str>>,
    },
}

impl Placed {
    /// Where a field stands.
    pub fn place_of(&self, field: &FieldPath) -> Place {
        match &self.origin {
            Origin::File { file, line } => {
                let line = line.saturating_add(self.object.lines.line(field)).saturating_sub(1);
                Place::File { file: file.clone(), line }
            }
            Origin::Cluster { .. } => Place::Object(self.object.reference.clone()),
        }
    }

    /// Where the object stands.
    pub fn place(&self) -> Place {
        self.place_of(&FieldPath::default())
    }

    /// `metadata.generation`, when an API server counts it.
    pub fn generation(&self) -> Option<i64> {
        match &self.origin {
            Origin::File { .. } => None,
            Origin::Cluster { generation, .. } => *generation,
        }
    }

    /// `metadata.uid`, when an API server gave it.
    pub fn uid(&self) -> Option<&Arc<str>> {
        match &self.origin {
            Origin::File { .. } => None,
            Origin::Cluster { uid, .. } => uid.as_ref(),
        }
    }
}

/// What an object says, by kind.
#[derive(Debug)]
pub enum Content {
    /// Valid, but without effect on the data plane.
    Inert,
    /// A Kubernetes service.
    Service(Arc<Service>),
    /// An EndpointSlice.
    EndpointSlice(EndpointSlice),
    /// A Pod that runs.
    Pod(Pod),
    /// Where a Node is.
    Node(Locality),
    /// A ServiceEntry.
    ServiceEntry(ServiceEntry),
    /// A VirtualService.
    VirtualService(Routes),
    /// A DestinationRule, not yet merged with others.
    DestinationRule(Arc<DestinationRule>),
    /// A PeerAuthentication.
    PeerAuthentication(PeerAuthentication),
    /// An HTTPRoute or GRPCRoute.
    GatewayRoute(Arc<GatewayRoute>),
    /// A ReferenceGrant.
    ReferenceGrant(Arc<ReferenceGrant>),
}

/// An EndpointSlice.
#[derive(Debug)]
pub struct EndpointSlice {
    /// Host of the service, which is in the same namespace.
    pub host: Host,
    /// TCP ports by name.
    pub ports: Vec<(Arc<str>, u16)>,
    /// Endpoints.
    pub endpoints: Vec<SliceEndpoint>,
}

/// One endpoint of an EndpointSlice.
#[derive(Debug)]
pub struct SliceEndpoint {
    /// Addresses.
    pub addresses: Vec<IpAddr>,
    /// Conditions, folded.
    pub state: EndpointState,
    /// `targetRef`, when it is a pod.
    pub pod: Option<Arc<str>>,
    /// Node; empty when not given.
    pub node: Arc<str>,
    /// Zone; empty when not given.
    pub zone: Arc<str>,
}

/// A Pod that has an address.
#[derive(Debug)]
pub struct Pod {
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
    /// Who it is.
    pub workload: Arc<Workload>,
    /// Container ports by name.
    pub ports: BTreeMap<Arc<str>, u16>,
    /// Shares its node's address, which therefore does not tell it apart.
    pub host_network: bool,
}

/// A ServiceEntry.
#[derive(Debug)]
pub struct ServiceEntry {
    /// One service for each host, with the endpoints that the object lists.
    pub services: Vec<(Arc<Service>, Vec<Endpoint>)>,
}

/// A VirtualService.
#[derive(Debug)]
pub struct Routes {
    /// The rules.
    pub rules: Arc<VirtualService>,
    /// Every destination that it names, and the field that names it.
    pub references: Vec<(FieldPath, Destination)>,
    /// Whether sidecars use it, or gateways only.
    pub for_sidecars: bool,
}

/// A PeerAuthentication.
#[derive(Debug)]
pub struct PeerAuthentication {
    /// Which workloads; None for all.
    pub selector: Option<Labels>,
    /// Mode; None inherits.
    pub mode: Option<MtlsMode>,
    /// Modes by workload port; None inherits.
    pub ports: BTreeMap<u16, Option<MtlsMode>>,
    /// `metadata.creationTimestamp` in seconds since the epoch; 0 when there is none.
    pub creation: i64,
}
