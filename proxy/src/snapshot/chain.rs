//! `FilterChain` and `FilterChainMatch`.

use std::sync::Arc;

use xds::google::Any;
use xds::hcm::HttpConnectionManager;
use xds::listener::filter_chain_match::ConnectionSourceType;
use xds::listener::{Filter, FilterChain as XdsChain, FilterChainMatch, filter};
use xds::tcp_proxy::TcpProxy;
use xds::unpack;

use super::field::{self, truth};
use super::reason::{Reason, Under, none_set, type_name};
use super::{each, hcm, http_filters, tcp_proxy, transport};
use crate::model::{ChainMatch, FilterChain, NetworkFilter, Retired, Wire};

/// Compiles one chain.
#[allow(deprecated)]
pub(super) fn compile(chain: &XdsChain, inbound: bool) -> Result<FilterChain, Reason> {
    none_set(&[("use_proxy_proto", truth(chain.use_proxy_proto.as_ref(), false))])?;
    let tls =
        chain.transport_socket.as_ref().map(transport::downstream).transpose().under("transport_socket")?.flatten();
    Ok(FilterChain {
        name: chain.name.as_str().into(),
        matches: chain
            .filter_chain_match
            .as_ref()
            .map(condition)
            .transpose()
            .under("filter_chain_match")?
            .unwrap_or_default(),
        tls,
        filter: filters(&chain.filters, inbound)?,
        fingerprint: xds::Message::encode_to_vec(chain).into(),
        retired: Retired::default(),
    })
}

fn condition(condition: &FilterChainMatch) -> Result<ChainMatch, Reason> {
    none_set(&[
        ("address_suffix", !condition.address_suffix.is_empty() || condition.suffix_len.is_some()),
        ("direct_source_prefix_ranges", !condition.direct_source_prefix_ranges.is_empty()),
        ("source_type", condition.source_type != ConnectionSourceType::Any as i32),
        ("source_prefix_ranges", !condition.source_prefix_ranges.is_empty()),
        ("source_ports", !condition.source_ports.is_empty()),
    ])?;
    let port = condition.destination_port.as_ref().map(|port| field::port(port.value));
    Ok(ChainMatch {
        destination_port: port.transpose().under("destination_port")?,
        destination: each("prefix_ranges", &condition.prefix_ranges, field::network)?,
        server_names: each("server_names", &condition.server_names, |name| server_name(name))?,
        wire: wire(&condition.transport_protocol).under("transport_protocol")?,
        application_protocols: condition.application_protocols.iter().map(|name| name.as_str().into()).collect(),
    })
}

fn wire(name: &str) -> Result<Option<Wire>, Reason> {
    match name {
        "" => Ok(None),
        "raw_buffer" => Ok(Some(Wire::Raw)),
        "tls" => Ok(Some(Wire::Tls)),
        other => Err(Reason::new(format!("{other:?} is not supported by this proxy"))),
    }
}

/// A name, `*.suffix`, or `*`, which accepts every name and is the same as saying nothing. Envoy, too, takes lower case only.
fn server_name(name: &str) -> Result<Box<str>, Reason> {
    let fixed = name.strip_prefix("*.").unwrap_or(name);
    if fixed.is_empty() || (fixed.contains('*') && name != "*") {
        return Err(Reason::new(format!("{name:?}: a `*` may only stand before the first dot")));
    }
    Ok(name.to_ascii_lowercase().into())
}

/// The last filter serves the connection; before it only filters are accepted that decide nothing.
fn filters(filters: &[Filter], inbound: bool) -> Result<NetworkFilter, Reason> {
    let Some((last, others)) = filters.split_last() else { return Err(Reason::at("filters", "is empty")) };
    for (index, filter) in others.iter().enumerate() {
        let any = config(filter).under(format_args!("filters[{index}]"))?;
        if !http_filters::is_harmless(type_name(any)) && !is_statistics(filter, any) {
            return Err(Reason::unsupported_type(any)).under(format_args!("filters[{index}]"));
        }
    }
    serving(last, inbound).under(format_args!("filters[{}]", others.len()))
}

/// Istio's statistics come as an untyped struct.
fn is_statistics(filter: &Filter, any: &Any) -> bool {
    filter.name == "istio.stats" && type_name(any).ends_with(".TypedStruct")
}

fn config(filter: &Filter) -> Result<&Any, Reason> {
    match &filter.config_type {
        Some(filter::ConfigType::TypedConfig(any)) => Ok(any),
        Some(filter::ConfigType::ConfigDiscovery(_)) => Err(Reason::unsupported("config_discovery")),
        None => Err(Reason::at("typed_config", "is missing")),
    }
}

fn serving(filter: &Filter, inbound: bool) -> Result<NetworkFilter, Reason> {
    let any = config(filter)?;
    match type_name(any) {
        "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager" => {
            let manager: HttpConnectionManager = unpack(any)?;
            Ok(NetworkFilter::Http(Arc::new(hcm::compile(&manager, inbound)?)))
        }
        "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy" => {
            let proxy: TcpProxy = unpack(any)?;
            Ok(NetworkFilter::Tcp(Arc::new(tcp_proxy::compile(&proxy)?)))
        }
        _ => Err(Reason::unsupported_type(any)),
    }
}
