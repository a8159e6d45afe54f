//! The kinds whose objects are told what became of them, and where the API server has them.

use crate::model::ObjectRef;

/// A kind whose `status` we write.
#[derive(Debug)]
pub(super) struct WrittenKind {
    pub(super) group: &'static str,
    pub(super) kind: &'static str,
    version: &'static str,
    plural: &'static str,
    pub(super) shape: Shape,
}

/// What its `status` looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// Entries for each parent of a route.
    Parents,
    /// A condition `Ready`.
    Ready,
    /// A condition that says that the kind has no effect here.
    NotSupported,
}

const fn kind(
    group: &'static str,
    kind: &'static str,
    version: &'static str,
    plural: &'static str,
    shape: Shape,
) -> WrittenKind {
    WrittenKind { group, kind, version, plural, shape }
}

const GATEWAY_API: &str = "gateway.networking.k8s.io";
const NETWORKING: &str = "networking.istio.io";
const SECURITY: &str = "security.istio.io";

/// All of them, each in a version that every release of Istio and of the Gateway API serves that is supported.
pub(super) static ALL: [WrittenKind; 9] = [
    kind(GATEWAY_API, "HTTPRoute", "v1", "httproutes", Shape::Parents),
    kind(GATEWAY_API, "GRPCRoute", "v1", "grpcroutes", Shape::Parents),
    kind(NETWORKING, "VirtualService", "v1", "virtualservices", Shape::Ready),
    kind(NETWORKING, "DestinationRule", "v1", "destinationrules", Shape::Ready),
    kind(NETWORKING, "ServiceEntry", "v1", "serviceentries", Shape::Ready),
    kind(SECURITY, "PeerAuthentication", "v1", "peerauthentications", Shape::Ready),
    kind(SECURITY, "AuthorizationPolicy", "v1", "authorizationpolicies", Shape::NotSupported),
    kind(SECURITY, "RequestAuthentication", "v1", "requestauthentications", Shape::NotSupported),
    kind(NETWORKING, "Sidecar", "v1", "sidecars", Shape::NotSupported),
];

impl WrittenKind {
    /// The kind of an object; None where nothing is written.
    pub(super) fn of(object: &ObjectRef) -> Option<&'static Self> {
        ALL.iter().find(|known| known.kind == &*object.kind && known.group == &*object.group)
    }

    /// The path of all its objects in a namespace.
    pub(super) fn path(&self, namespace: &str) -> String {
        let Self { group, version, plural, .. } = self;
        format!("/apis/{group}/{version}/namespaces/{namespace}/{plural}")
    }

    /// The path of all its objects.
    pub(super) fn path_everywhere(&self) -> String {
        let Self { group, version, plural, .. } = self;
        format!("/apis/{group}/{version}/{plural}")
    }

    /// The resource as RBAC names it: `virtualservices.networking.istio.io`.
    pub(super) fn resource(&self) -> String {
        format!("{}.{}", self.plural, self.group)
    }
}
