//! Envoy's v3 protobuf types under short names. The crate that provides them is named here and nowhere else.

use envoy_types::pb;

pub use pb::envoy::config::accesslog::v3 as accesslog;
pub use pb::envoy::config::bootstrap::v3 as bootstrap;
pub use pb::envoy::config::cluster::v3 as cluster;
pub use pb::envoy::config::common::mutation_rules::v3 as mutation_rules;
pub use pb::envoy::config::core::v3 as core;
pub use pb::envoy::config::endpoint::v3 as endpoint;
pub use pb::envoy::config::listener::v3 as listener;
pub use pb::envoy::config::rbac::v3 as rbac;
pub use pb::envoy::config::route::v3 as route;
pub use pb::envoy::config::trace::v3 as trace;
pub use pb::envoy::r#type::matcher::v3 as matcher;
pub use pb::envoy::r#type::metadata::v3 as metadata;
pub use pb::envoy::r#type::tracing::v3 as tracing;
pub use pb::envoy::r#type::v3 as typ;

pub use pb::envoy::extensions::access_loggers::file::v3 as file_access_log;
pub use pb::envoy::extensions::access_loggers::stream::v3 as stream_access_log;

pub use pb::envoy::extensions::filters::common::fault::v3 as fault_common;
pub use pb::envoy::extensions::filters::http::cors::v3 as cors;
pub use pb::envoy::extensions::filters::http::fault::v3 as fault;
pub use pb::envoy::extensions::filters::http::grpc_stats::v3 as grpc_stats;
pub use pb::envoy::extensions::filters::http::rbac::v3 as http_rbac;
pub use pb::envoy::extensions::filters::http::router::v3 as router;

pub use pb::envoy::extensions::filters::listener::http_inspector::v3 as http_inspector;
pub use pb::envoy::extensions::filters::listener::original_dst::v3 as original_dst;
pub use pb::envoy::extensions::filters::listener::tls_inspector::v3 as tls_inspector;

pub use pb::envoy::extensions::filters::network::http_connection_manager::v3 as hcm;
pub use pb::envoy::extensions::filters::network::rbac::v3 as network_rbac;
pub use pb::envoy::extensions::filters::network::tcp_proxy::v3 as tcp_proxy;

pub use pb::envoy::extensions::load_balancing_policies::common::v3 as load_balancing_common;
pub use pb::envoy::extensions::load_balancing_policies::least_request::v3 as least_request;
pub use pb::envoy::extensions::load_balancing_policies::maglev::v3 as maglev;
pub use pb::envoy::extensions::load_balancing_policies::random::v3 as random;
pub use pb::envoy::extensions::load_balancing_policies::ring_hash::v3 as ring_hash;
pub use pb::envoy::extensions::load_balancing_policies::round_robin::v3 as round_robin;

pub use pb::envoy::extensions::retry::host::previous_hosts::v3 as previous_hosts;
pub use pb::envoy::extensions::transport_sockets::raw_buffer::v3 as raw_buffer;
pub use pb::envoy::extensions::transport_sockets::tls::v3 as tls;
pub use pb::envoy::extensions::upstreams::http::v3 as http_protocol_options;

pub use pb::envoy::service::discovery::v3 as discovery;
pub use pb::envoy::service::secret::v3 as secret_discovery;

/// Protobuf's well-known types, as this family of generated types uses them (not those of `prost_types`).
pub use pb::google::protobuf as google;
pub use pb::google::rpc;
