//! `networking.istio.io/v1` DestinationRule (istio/api networking/v1alpha3/destination_rule.proto).
#![allow(missing_docs, reason = "the fields are those of the API; their meaning is documented there and in the model")]

use super::{Unsupported, WorkloadSelector};
use crate::api::virtual_service::PortSelector;
use serde::Deserialize;
use std::collections::BTreeMap;

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct DestinationRuleSpec {
    pub host: String,
    pub traffic_policy: Option<TrafficPolicySpec>,
    pub subsets: Vec<SubsetSpec>,
    pub export_to: Vec<String>,
    pub workload_selector: Option<WorkloadSelector>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct SubsetSpec {
    pub name: String,
    pub labels: BTreeMap<String, String>,
    pub traffic_policy: Option<TrafficPolicySpec>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct TrafficPolicySpec {
    pub load_balancer: Option<LoadBalancerSettings>,
    pub connection_pool: Option<ConnectionPoolSettings>,
    pub outlier_detection: Option<Unsupported>,
    pub tls: Option<ClientTlsSettings>,
    pub port_level_settings: Vec<PortPolicy>,
    pub tunnel: Option<Unsupported>,
    pub proxy_protocol: Option<Unsupported>,
    pub retry_budget: Option<Unsupported>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct PortPolicy {
    pub port: Option<PortSelector>,
    pub load_balancer: Option<LoadBalancerSettings>,
    pub connection_pool: Option<ConnectionPoolSettings>,
    pub outlier_detection: Option<Unsupported>,
    pub tls: Option<ClientTlsSettings>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct LoadBalancerSettings {
    pub simple: Option<String>,
    pub consistent_hash: Option<Unsupported>,
    pub locality_lb_setting: Option<Unsupported>,
    pub zone_aware_lb_setting: Option<Unsupported>,
    pub warmup: Option<Unsupported>,
    pub warmup_duration_secs: Option<Unsupported>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ConnectionPoolSettings {
    pub tcp: Option<TcpSettings>,
    pub http: Option<Unsupported>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct TcpSettings {
    pub connect_timeout: Option<String>,
    pub max_connections: Option<Unsupported>,
    pub tcp_keepalive: Option<Unsupported>,
    pub max_connection_duration: Option<Unsupported>,
    pub idle_timeout: Option<Unsupported>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ClientTlsSettings {
    pub mode: Option<String>,
    pub client_certificate: Option<String>,
    pub private_key: Option<String>,
    pub ca_certificates: Option<String>,
    pub credential_name: Option<Unsupported>,
    pub subject_alt_names: Vec<String>,
    pub sni: Option<String>,
    pub insecure_skip_verify: Option<bool>,
    pub ca_crl: Option<Unsupported>,
}
