//! The objects as their authors write them: one file for each kind of Istio and of the Gateway API; the Kubernetes kinds come from
//! `k8s-openapi`. Nothing here is checked beyond its shape.

mod destination_rule;
mod gateway_route;
mod kind;
mod peer_authentication;
mod reference_grant;
mod service_entry;
mod virtual_service;

pub use destination_rule::{
    ClientTlsSettings, ConnectionPoolSettings, DestinationRuleSpec, LoadBalancerSettings, PortPolicy, SubsetSpec,
    TrafficPolicySpec,
};
pub use gateway_route::{
    BackendObjectSpec, CorsFilterSpec, GatewayBackendSpec, GatewayGrpcMatchSpec, GatewayGrpcRuleSpec,
    GatewayHttpMatchSpec, GatewayHttpRuleSpec, GatewayRouteSpec, GrpcMethodMatchSpec, HeaderModifierSpec, HeaderSpec,
    NamedMatchSpec, ParentReferenceSpec, PathModifierSpec, RequestMirrorSpec, RequestRedirectSpec, RouteFilterSpec,
    RouteRetrySpec, RouteTimeoutsSpec, UrlRewriteSpec,
};
pub use kind::{Kind, Known, kinds_without_effect, known, read_kinds};
pub use peer_authentication::PeerAuthenticationSpec;
pub use reference_grant::ReferenceGrantSpec;
pub use service_entry::{ServiceEntrySpec, ServicePortSpec, WorkloadEntrySpec};
pub use virtual_service::{
    AbortSpec, CorsPolicySpec, DelaySpec, DestinationSpec, DirectResponseSpec, FaultSpec, HeaderOperationsSpec,
    HeadersSpec, HttpMatchSpec, HttpRouteSpec, L4MatchSpec, PercentSpec, RedirectSpec, RetrySpec, RewriteSpec,
    RouteDestination, StringMatchSpec, VirtualServiceSpec,
};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::Deserialize;
use serde::de::IgnoredAny;
use std::collections::BTreeMap;

/// An object of Istio or of the Gateway API around its `spec`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Istio<S> {
    /// Checked before, as `kind` is.
    #[serde(rename = "apiVersion")]
    _api_version: IgnoredAny,
    #[serde(rename = "kind")]
    _kind: IgnoredAny,
    /// Metadata.
    pub metadata: ObjectMeta,
    /// What is wanted; all its fields have defaults.
    #[serde(default)]
    pub spec: S,
    /// Written by control planes; not read.
    #[serde(default, rename = "status")]
    _status: Option<IgnoredAny>,
}

/// A workload selector: `selector.matchLabels` or `workloadSelector.labels`, by kind.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct MatchLabels {
    /// Labels that all must be there.
    pub match_labels: BTreeMap<String, String>,
}

/// `workloadSelector` of the networking kinds.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct WorkloadSelector {
    /// Labels that all must be there.
    pub labels: BTreeMap<String, String>,
}

/// A part of the API that is known, but does nothing yet. Its presence is reported.
#[derive(Debug)]
pub struct Unsupported;

impl<'de> Deserialize<'de> for Unsupported {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        IgnoredAny::deserialize(deserializer).map(|_| Self)
    }
}
