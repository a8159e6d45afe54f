//! Which kinds are read, which are known but not supported, and which are none of the mesh's business.

use crate::yaml::nearest;

/// The kinds that are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// Kubernetes Namespace.
    Namespace,
    /// Kubernetes Service.
    Service,
    /// Kubernetes EndpointSlice.
    EndpointSlice,
    /// Kubernetes Pod.
    Pod,
    /// Kubernetes Node.
    Node,
    /// Istio ServiceEntry.
    ServiceEntry,
    /// Istio VirtualService.
    VirtualService,
    /// Istio DestinationRule.
    DestinationRule,
    /// Istio PeerAuthentication.
    PeerAuthentication,
    /// Gateway API HTTPRoute.
    HttpRoute,
    /// Gateway API GRPCRoute.
    GrpcRoute,
    /// Gateway API ReferenceGrant.
    ReferenceGrant,
    /// Known to Istio or Gateway API users, without effect here.
    Unsupported,
}

/// What a pair of group and kind is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Known {
    /// It is read.
    Read(Kind),
    /// A kind of the mesh that has no effect yet; the text says what that means.
    NotYet(&'static str),
    /// A wrong version of a kind that is read, or a kind that does not exist; the text says what is right.
    Wrong(String),
    /// Not for the mesh (Deployment, ConfigMap, ...).
    Foreign,
}

const ISTIO_VERSIONS: &[&str] = &["v1", "v1beta1", "v1alpha3"];
const V1: &[&str] = &["v1"];
/// The group of the Gateway API.
const GATEWAY_API: &str = "gateway.networking.k8s.io";

const READ: &[(&str, &str, &[&str], Kind)] = &[
    ("", "Namespace", V1, Kind::Namespace),
    ("", "Service", V1, Kind::Service),
    ("", "Pod", V1, Kind::Pod),
    ("", "Node", V1, Kind::Node),
    ("discovery.k8s.io", "EndpointSlice", V1, Kind::EndpointSlice),
    ("networking.istio.io", "ServiceEntry", ISTIO_VERSIONS, Kind::ServiceEntry),
    ("networking.istio.io", "VirtualService", ISTIO_VERSIONS, Kind::VirtualService),
    ("networking.istio.io", "DestinationRule", ISTIO_VERSIONS, Kind::DestinationRule),
    ("security.istio.io", "PeerAuthentication", &["v1", "v1beta1"], Kind::PeerAuthentication),
    (GATEWAY_API, "HTTPRoute", &["v1", "v1beta1"], Kind::HttpRoute),
    (GATEWAY_API, "GRPCRoute", V1, Kind::GrpcRoute),
    (GATEWAY_API, "ReferenceGrant", &["v1", "v1beta1"], Kind::ReferenceGrant),
];

const NO_EFFECT: &str = "is not supported yet: it has no effect";
const NOT_ENFORCED: &str = "is not supported yet: nothing enforces it, and requests that it forbids are served";

const NOT_YET: &[(&str, &str, &str)] = &[
    ("networking.istio.io", "Gateway", NO_EFFECT),
    ("networking.istio.io", "Sidecar", NO_EFFECT),
    ("networking.istio.io", "EnvoyFilter", NO_EFFECT),
    ("networking.istio.io", "ProxyConfig", NO_EFFECT),
    ("networking.istio.io", "WorkloadEntry", NO_EFFECT),
    ("networking.istio.io", "WorkloadGroup", NO_EFFECT),
    ("security.istio.io", "AuthorizationPolicy", NOT_ENFORCED),
    ("security.istio.io", "RequestAuthentication", NOT_ENFORCED),
    ("telemetry.istio.io", "Telemetry", NO_EFFECT),
    ("extensions.istio.io", "WasmPlugin", NO_EFFECT),
    (GATEWAY_API, "Gateway", NO_EFFECT),
    (GATEWAY_API, "TCPRoute", NO_EFFECT),
    (GATEWAY_API, "TLSRoute", NO_EFFECT),
    ("networking.k8s.io", "Ingress", NO_EFFECT),
];

/// Looks up a kind by its API version (`group/version`, or `v1` for the core group).
pub fn known(api_version: &str, kind: &str) -> Known {
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    if let Some((_, _, versions, found)) = READ.iter().find(|(g, k, ..)| *g == group && *k == kind) {
        if versions.contains(&version) {
            return Known::Read(*found);
        }
        let prefix = if group.is_empty() { String::new() } else { format!("{group}/") };
        return Known::Wrong(format!("{kind} has no version \"{version}\"; write {prefix}{}", versions[0]));
    }
    if let Some((.., effect)) = NOT_YET.iter().find(|(g, k, _)| *g == group && *k == kind) {
        return Known::NotYet(effect);
    }
    other(group, kind)
}

/// The kinds that are read: group, kind, the versions that are understood, best first.
pub fn read_kinds() -> impl Iterator<Item = (&'static str, &'static str, &'static [&'static str], Kind)> {
    READ.iter().copied()
}

/// The kinds of the mesh that have no effect yet: group and kind.
pub fn kinds_without_effect() -> impl Iterator<Item = (&'static str, &'static str)> {
    NOT_YET.iter().map(|(group, kind, _)| (*group, *kind))
}

/// A kind of one of the mesh's own groups that does not exist, or a kind under a wrong group, is an error.
fn other(group: &str, kind: &str) -> Known {
    let of_ours = group.is_empty() || group.ends_with("istio.io") || group.ends_with("k8s.io");
    let elsewhere = READ.iter().find(|(g, k, ..)| *k == kind && !g.is_empty());
    if let Some((right, _, versions, _)) = elsewhere.filter(|_| of_ours) {
        return Known::Wrong(format!("{kind} belongs to {right}/{}", versions[0]));
    }
    if group.ends_with(".istio.io") {
        let of_group = READ.iter().filter(|(g, ..)| *g == group).map(|(_, kind, ..)| *kind);
        let text = match nearest(kind, of_group) {
            Some(name) => format!("there is no kind \"{kind}\" in {group}; did you mean \"{name}\"?"),
            None => format!("there is no kind \"{kind}\" in {group}"),
        };
        return Known::Wrong(text);
    }
    Known::Foreign
}

impl Kind {
    /// Number of kinds.
    pub const COUNT: usize = 13;

    /// All kinds.
    pub const ALL: [Kind; Self::COUNT] = [
        Self::Namespace,
        Self::Service,
        Self::EndpointSlice,
        Self::Pod,
        Self::Node,
        Self::ServiceEntry,
        Self::VirtualService,
        Self::DestinationRule,
        Self::PeerAuthentication,
        Self::HttpRoute,
        Self::GrpcRoute,
        Self::ReferenceGrant,
        Self::Unsupported,
    ];

    /// Kubernetes' own kinds may have fields that a newer cluster knows and this program does not.
    pub fn is_kubernetes(self) -> bool {
        matches!(self, Self::Namespace | Self::Service | Self::EndpointSlice | Self::Pod | Self::Node)
    }

    /// Its objects belong to no namespace.
    pub fn is_cluster_wide(self) -> bool {
        matches!(self, Self::Namespace | Self::Node)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_found_by_group_and_version() {
        let wrong = |text: &str| Known::Wrong(text.into());
        for (version, kind, expected) in [
            ("v1", "Service", Known::Read(Kind::Service)),
            ("networking.istio.io/v1alpha3", "VirtualService", Known::Read(Kind::VirtualService)),
            ("security.istio.io/v1", "AuthorizationPolicy", Known::NotYet(NOT_ENFORCED)),
            ("gateway.networking.k8s.io/v1beta1", "HTTPRoute", Known::Read(Kind::HttpRoute)),
            ("apps/v1", "Deployment", Known::Foreign),
            ("v1", "ConfigMap", Known::Foreign),
            ("serving.knative.dev/v1", "Service", Known::Foreign),
            (
                "networking.istio.io/v2",
                "VirtualService",
                wrong("VirtualService has no version \"v2\"; write networking.istio.io/v1"),
            ),
            (
                "networking.istio.io/v1",
                "VirtualServce",
                wrong("there is no kind \"VirtualServce\" in networking.istio.io; did you mean \"VirtualService\"?"),
            ),
            (
                "networking.istio.io/v1",
                "PeerAuthentication",
                wrong("PeerAuthentication belongs to security.istio.io/v1"),
            ),
            ("v1", "EndpointSlice", wrong("EndpointSlice belongs to discovery.k8s.io/v1")),
        ] {
            assert_eq!(known(version, kind), expected, "{version} {kind}");
        }
    }
}
