//! `virtualOutbound`: the socket that captured outbound connections arrive at. It hands each to the listener of its
//! original destination; what no listener knows is passed through or refused.

use xds::core::TrafficDirection;
use xds::listener::{FilterChain, FilterChainMatch, Listener};

use super::names::{BLACK_HOLE_CLUSTER, OUTBOUND_CAPTURE_PORT, PASSTHROUGH_CLUSTER, VIRTUAL_OUTBOUND};
use super::tcp_route;
use super::view::View;
use super::wrappers::{boolean, uint32};

/// The listener.
pub(super) fn generate(view: &View<'_>) -> Listener {
    let unknown = if view.mesh().allow_any { PASSTHROUGH_CLUSTER } else { BLACK_HOLE_CLUSTER };
    let mut listener = Listener {
        name: VIRTUAL_OUTBOUND.into(),
        traffic_direction: TrafficDirection::Outbound as i32,
        use_original_dst: boolean(true),
        filter_chains: vec![to_itself()],
        default_filter_chain: Some(FilterChain {
            name: "virtualOutbound-catchall-tcp".into(),
            filters: vec![tcp_route::to_cluster(unknown)],
            ..FilterChain::default()
        }),
        ..Listener::default()
    };
    view.families().stand_for_any(OUTBOUND_CAPTURE_PORT, &mut listener);
    listener
}

/// A connection to the capture port itself would come back for ever.
fn to_itself() -> FilterChain {
    FilterChain {
        name: "virtualOutbound-blackhole".into(),
        filter_chain_match: Some(FilterChainMatch {
            destination_port: uint32(u32::from(OUTBOUND_CAPTURE_PORT)),
            ..FilterChainMatch::default()
        }),
        filters: vec![tcp_route::to_cluster(BLACK_HOLE_CLUSTER)],
        ..FilterChain::default()
    }
}
