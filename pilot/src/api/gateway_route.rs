//! `gateway.networking.k8s.io/v1` HTTPRoute and GRPCRoute (Gateway API v1.6 apis/v1/httproute_types.go, grpcroute_types.go).
#![allow(missing_docs, reason = "the fields are those of the API; their meaning is documented there and in the model")]

use super::Unsupported;
use serde::Deserialize;

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct GatewayRouteSpec<R> {
    pub parent_refs: Vec<ParentReferenceSpec>,
    pub use_default_gateways: Option<Unsupported>,
    pub hostnames: Vec<String>,
    pub rules: Option<Vec<R>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ParentReferenceSpec {
    pub group: Option<String>,
    pub kind: Option<String>,
    pub namespace: Option<String>,
    pub name: String,
    pub section_name: Option<String>,
    pub port: Option<u32>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct GatewayHttpRuleSpec {
    pub name: Option<String>,
    pub matches: Vec<GatewayHttpMatchSpec>,
    pub filters: Vec<RouteFilterSpec>,
    pub backend_refs: Vec<GatewayBackendSpec>,
    pub timeouts: Option<RouteTimeoutsSpec>,
    pub retry: Option<RouteRetrySpec>,
    pub session_persistence: Option<Unsupported>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct GatewayGrpcRuleSpec {
    pub name: Option<String>,
    pub matches: Vec<GatewayGrpcMatchSpec>,
    pub filters: Vec<RouteFilterSpec>,
    pub backend_refs: Vec<GatewayBackendSpec>,
    pub session_persistence: Option<Unsupported>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct GatewayHttpMatchSpec {
    pub path: Option<ValueMatchSpec>,
    pub headers: Vec<NamedMatchSpec>,
    pub query_params: Vec<NamedMatchSpec>,
    pub method: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct GatewayGrpcMatchSpec {
    pub method: Option<GrpcMethodMatchSpec>,
    pub headers: Vec<NamedMatchSpec>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct GrpcMethodMatchSpec {
    #[serde(rename = "type")]
    pub how: Option<String>,
    pub service: Option<String>,
    pub method: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ValueMatchSpec {
    #[serde(rename = "type")]
    pub how: Option<String>,
    pub value: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct NamedMatchSpec {
    #[serde(rename = "type")]
    pub how: Option<String>,
    pub name: String,
    pub value: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct RouteFilterSpec {
    #[serde(rename = "type")]
    pub kind: String,
    pub request_header_modifier: Option<HeaderModifierSpec>,
    pub response_header_modifier: Option<HeaderModifierSpec>,
    pub request_mirror: Option<RequestMirrorSpec>,
    pub request_redirect: Option<RequestRedirectSpec>,
    #[serde(rename = "urlRewrite")]
    pub url_rewrite: Option<UrlRewriteSpec>,
    pub cors: Option<CorsFilterSpec>,
    pub external_auth: Option<Unsupported>,
    pub extension_ref: Option<Unsupported>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct HeaderModifierSpec {
    pub set: Vec<HeaderSpec>,
    pub add: Vec<HeaderSpec>,
    pub remove: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct HeaderSpec {
    pub name: String,
    pub value: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct RequestMirrorSpec {
    pub backend_ref: Option<BackendObjectSpec>,
    pub percent: Option<i32>,
    pub fraction: Option<FractionSpec>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct FractionSpec {
    pub numerator: i32,
    pub denominator: Option<i32>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct RequestRedirectSpec {
    pub scheme: Option<String>,
    pub hostname: Option<String>,
    pub path: Option<PathModifierSpec>,
    pub port: Option<u32>,
    pub status_code: Option<u32>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct UrlRewriteSpec {
    pub hostname: Option<String>,
    pub path: Option<PathModifierSpec>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct PathModifierSpec {
    #[serde(rename = "type")]
    pub how: String,
    pub replace_full_path: Option<String>,
    pub replace_prefix_match: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct CorsFilterSpec {
    pub allow_origins: Vec<String>,
    pub allow_credentials: Option<bool>,
    pub allow_methods: Vec<String>,
    pub allow_headers: Vec<String>,
    pub expose_headers: Vec<String>,
    pub max_age: Option<i32>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct RouteTimeoutsSpec {
    pub request: Option<String>,
    pub backend_request: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct RouteRetrySpec {
    pub codes: Vec<i32>,
    pub attempts: Option<i32>,
    pub backoff: Option<String>,
}

/// `backendRefs[]`: a [`BackendObjectSpec`] with a share and filters of its own.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct GatewayBackendSpec {
    pub group: Option<String>,
    pub kind: Option<String>,
    pub namespace: Option<String>,
    pub name: String,
    pub port: Option<u32>,
    pub weight: Option<i32>,
    pub filters: Vec<RouteFilterSpec>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct BackendObjectSpec {
    pub group: Option<String>,
    pub kind: Option<String>,
    pub namespace: Option<String>,
    pub name: String,
    pub port: Option<u32>,
}
