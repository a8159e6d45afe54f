//! `networking.istio.io/v1` VirtualService (istio/api networking/v1alpha3/virtual_service.proto).
#![allow(missing_docs, reason = "the fields are those of the API; their meaning is documented there and in the model")]

use super::Unsupported;
use serde::Deserialize;
use std::collections::BTreeMap;

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct VirtualServiceSpec {
    pub hosts: Vec<String>,
    pub gateways: Vec<String>,
    pub http: Vec<HttpRouteSpec>,
    pub tls: Vec<TlsRouteSpec>,
    pub tcp: Vec<TcpRouteSpec>,
    pub export_to: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct HttpRouteSpec {
    pub name: Option<String>,
    #[serde(rename = "match")]
    pub matches: Vec<HttpMatchSpec>,
    pub route: Vec<HttpRouteDestination>,
    pub redirect: Option<RedirectSpec>,
    pub direct_response: Option<DirectResponseSpec>,
    pub delegate: Option<DelegateSpec>,
    pub rewrite: Option<RewriteSpec>,
    pub timeout: Option<String>,
    pub retries: Option<RetrySpec>,
    pub fault: Option<FaultSpec>,
    pub mirror: Option<DestinationSpec>,
    pub mirrors: Vec<MirrorSpec>,
    pub mirror_percent: Option<u32>,
    pub mirror_percentage: Option<PercentSpec>,
    pub cors_policy: Option<CorsPolicySpec>,
    pub headers: Option<HeadersSpec>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct HttpMatchSpec {
    pub name: Option<String>,
    pub uri: Option<StringMatchSpec>,
    pub scheme: Option<StringMatchSpec>,
    pub method: Option<StringMatchSpec>,
    pub authority: Option<StringMatchSpec>,
    pub headers: BTreeMap<String, StringMatchSpec>,
    pub without_headers: BTreeMap<String, StringMatchSpec>,
    pub query_params: BTreeMap<String, StringMatchSpec>,
    pub port: Option<u32>,
    pub source_labels: BTreeMap<String, String>,
    pub source_namespace: Option<String>,
    pub gateways: Vec<String>,
    pub ignore_uri_case: bool,
    pub stat_prefix: Option<Unsupported>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct StringMatchSpec {
    pub exact: Option<String>,
    pub prefix: Option<String>,
    pub regex: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct HttpRouteDestination {
    pub destination: Option<DestinationSpec>,
    pub weight: Option<i32>,
    pub headers: Option<HeadersSpec>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct DestinationSpec {
    pub host: String,
    pub subset: Option<String>,
    pub port: Option<PortSelector>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct PortSelector {
    pub number: Option<u32>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct RedirectSpec {
    pub uri: Option<String>,
    pub prefix_rewrite: Option<String>,
    pub authority: Option<String>,
    pub scheme: Option<String>,
    pub port: Option<u32>,
    pub derive_port: Option<String>,
    pub redirect_code: Option<u32>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct DirectResponseSpec {
    pub status: Option<u32>,
    pub body: Option<BodySpec>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct BodySpec {
    pub string: Option<String>,
    pub bytes: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct DelegateSpec {
    pub name: Option<String>,
    pub namespace: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct RewriteSpec {
    pub uri: Option<String>,
    pub authority: Option<String>,
    pub uri_regex_rewrite: Option<RegexRewriteSpec>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct RegexRewriteSpec {
    #[serde(rename = "match")]
    pub pattern: Option<String>,
    pub rewrite: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct RetrySpec {
    pub attempts: i32,
    pub per_try_timeout: Option<String>,
    pub retry_on: Option<String>,
    pub retry_remote_localities: Option<bool>,
    pub retry_ignore_previous_hosts: Option<bool>,
    pub backoff: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct FaultSpec {
    pub delay: Option<DelaySpec>,
    pub abort: Option<AbortSpec>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct DelaySpec {
    pub fixed_delay: Option<String>,
    pub exponential_delay: Option<Unsupported>,
    pub percentage: Option<PercentSpec>,
    pub percent: Option<i32>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct AbortSpec {
    pub http_status: Option<i32>,
    pub grpc_status: Option<String>,
    pub http2_error: Option<Unsupported>,
    pub percentage: Option<PercentSpec>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct PercentSpec {
    pub value: f64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct MirrorSpec {
    pub destination: Option<DestinationSpec>,
    pub percentage: Option<PercentSpec>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct CorsPolicySpec {
    pub allow_origin: Vec<String>,
    pub allow_origins: Vec<StringMatchSpec>,
    pub allow_methods: Vec<String>,
    pub allow_headers: Vec<String>,
    pub expose_headers: Vec<String>,
    pub max_age: Option<String>,
    pub allow_credentials: Option<bool>,
    pub unmatched_preflights: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct HeadersSpec {
    pub request: Option<HeaderOperationsSpec>,
    pub response: Option<HeaderOperationsSpec>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct HeaderOperationsSpec {
    pub set: BTreeMap<String, String>,
    pub add: BTreeMap<String, String>,
    pub remove: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct TlsRouteSpec {
    #[serde(rename = "match")]
    pub matches: Vec<L4MatchSpec>,
    pub route: Vec<RouteDestination>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct TcpRouteSpec {
    #[serde(rename = "match")]
    pub matches: Vec<L4MatchSpec>,
    pub route: Vec<RouteDestination>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct L4MatchSpec {
    pub sni_hosts: Vec<String>,
    pub destination_subnets: Vec<String>,
    pub port: Option<u32>,
    pub source_subnet: Option<Unsupported>,
    pub source_labels: BTreeMap<String, String>,
    pub source_namespace: Option<String>,
    pub gateways: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct RouteDestination {
    pub destination: Option<DestinationSpec>,
    pub weight: Option<i32>,
}
