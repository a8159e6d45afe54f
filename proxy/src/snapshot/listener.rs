//! `Listener`.

use std::net::SocketAddr;
use std::time::Duration;

use xds::core::TrafficDirection;
use xds::listener::listener_filter_chain_match_predicate::Rule;
use xds::listener::{AdditionalAddress, Listener as XdsListener, ListenerFilter, listener_filter};

use super::field::{limit, socket_address, truth};
use super::reason::{Reason, Under, none_set, type_name};
use super::{chain, each, metadata, same_name};
use crate::model::{Listener, destination};

/// Envoy's default for `listener_filters_timeout`.
const INSPECT_TIMEOUT: Duration = Duration::from_secs(15);
/// Most filter chains of a listener: connections walk them.
const MAX_CHAINS: usize = 10_000;

/// Compiles a listener.
pub(super) fn compile(name: &str, config: &XdsListener) -> Result<Listener, Reason> {
    same_name(name, &config.name)?;
    refuse_unknown(config)?;
    if config.filter_chains.len() > MAX_CHAINS {
        let why = format!("{} chains; at most {MAX_CHAINS} are taken", config.filter_chains.len());
        return Err(Reason::at("filter_chains", why));
    }
    let inbound = config.traffic_direction == TrafficDirection::Inbound as i32;
    let chains = each("filter_chains", &config.filter_chains, |chain| chain::compile(chain, inbound))?;
    let default_chain = config.default_filter_chain.as_ref().map(|chain| chain::compile(chain, inbound));
    let inspect = inspect(&config.listener_filters)?;
    let address = destination(socket_address(config.address.as_ref()).under("address")?);
    let mut others = each("additional_addresses", &config.additional_addresses, additional)?;
    others.retain(|other| *other != address);
    Ok(Listener {
        name: name.into(),
        address,
        others,
        bind: binds(config),
        use_original_dst: truth(config.use_original_dst.as_ref(), false),
        inspect_tls: inspect.tls,
        inspect_http: inspect.http,
        inspect_timeout: limit("listener_filters_timeout", config.listener_filters_timeout.as_ref(), INSPECT_TIMEOUT)?,
        close_silent: !config.continue_on_listener_filters_timeout,
        chains: chains.into_iter().map(Into::into).collect(),
        default_chain: default_chain.transpose().under("default_filter_chain")?.map(Into::into),
        provenance: metadata::provenance(config.metadata.as_ref()),
    })
}

fn refuse_unknown(config: &XdsListener) -> Result<(), Reason> {
    none_set(&[
        ("fcds_config", config.fcds_config.is_some()),
        ("filter_chain_matcher", config.filter_chain_matcher.is_some()),
        ("transparent", truth(config.transparent.as_ref(), false)),
        ("udp_listener_config", config.udp_listener_config.is_some()),
        ("api_listener", config.api_listener.is_some()),
        ("listener_specifier", config.listener_specifier.is_some()),
    ])
}

fn additional(more: &AdditionalAddress) -> Result<SocketAddr, Reason> {
    none_set(&[("socket_options", more.socket_options.is_some()), ("tcp_keepalive", more.tcp_keepalive.is_some())])?;
    socket_address(more.address.as_ref()).map(destination).under("address")
}

// Istio still writes `deprecated_v1` for older Envoys.
#[allow(deprecated)]
fn binds(config: &XdsListener) -> bool {
    let old = config.deprecated_v1.as_ref().and_then(|old| old.bind_to_port.as_ref());
    truth(config.bind_to_port.as_ref().or(old), true)
}

#[derive(Default)]
struct Inspect {
    tls: bool,
    http: bool,
}

/// Listener filters. That one is off for some ports needs no word here: which first bytes are waited for follows from what the
/// chains of the port ask for.
fn inspect(filters: &[ListenerFilter]) -> Result<Inspect, Reason> {
    let mut inspect = Inspect::default();
    for (index, filter) in filters.iter().enumerate() {
        let off = filter.filter_disabled.as_ref().is_some_and(|when| when.rule == Some(Rule::AnyMatch(true)));
        if !off {
            add(&mut inspect, filter).under(format_args!("listener_filters[{index}]"))?;
        }
    }
    Ok(inspect)
}

fn add(inspect: &mut Inspect, filter: &ListenerFilter) -> Result<(), Reason> {
    let known = match &filter.config_type {
        Some(listener_filter::ConfigType::TypedConfig(any)) => type_name(any),
        Some(listener_filter::ConfigType::ConfigDiscovery(_)) => return Err(Reason::unsupported("config_discovery")),
        None => filter.name.as_str(),
    };
    match known {
        "envoy.extensions.filters.listener.original_dst.v3.OriginalDst" | "envoy.filters.listener.original_dst" => {}
        "envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector" | "envoy.filters.listener.tls_inspector" => {
            inspect.tls = true;
        }
        "envoy.extensions.filters.listener.http_inspector.v3.HttpInspector"
        | "envoy.filters.listener.http_inspector" => {
            inspect.http = true;
        }
        other => return Err(Reason::new(format!("type {other} is not supported by this proxy"))),
    }
    Ok(())
}
