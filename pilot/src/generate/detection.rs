//! Listener filters: what a listener finds out about a connection before it chooses a filter chain.

use std::time::Duration;

use xds::http_inspector::HttpInspector;
use xds::listener::listener_filter::ConfigType;
use xds::listener::{
    FilterChainMatch, Listener, ListenerFilter, ListenerFilterChainMatchPredicate,
    listener_filter_chain_match_predicate::{MatchSet, Rule},
};
use xds::original_dst::OriginalDst;
use xds::tls_inspector::TlsInspector;
use xds::typ::Int32Range;
use xds::{google::Any, pack};

use super::wrappers::duration;

/// How long a silent client holds up the choice. Then the connection is plain TCP, so that protocols whose server
/// speaks first work on ports that declare nothing.
const TIMEOUT: Duration = Duration::from_secs(1);

/// The detected protocols that are HTTP.
pub(super) const HTTP: [&str; 3] = ["http/1.0", "http/1.1", "h2c"];

/// Sets the filters of a listener, which wait no longer than [`TIMEOUT`].
pub(super) fn apply(filters: Vec<ListenerFilter>, listener: &mut Listener) {
    listener.listener_filters = filters;
    listener.listener_filters_timeout = duration(TIMEOUT);
    listener.continue_on_listener_filters_timeout = true;
}

/// Restores the address that the client dialled.
pub(super) fn original_destination() -> ListenerFilter {
    listener_filter("envoy.filters.listener.original_dst", pack(&OriginalDst {}))
}

/// Sees TLS, its SNI and ALPN.
pub(super) fn tls() -> ListenerFilter {
    listener_filter("envoy.filters.listener.tls_inspector", pack(&TlsInspector::default()))
}

/// Sees HTTP in plain text.
pub(super) fn http() -> ListenerFilter {
    listener_filter("envoy.filters.listener.http_inspector", pack(&HttpInspector {}))
}

/// Sees HTTP in plain text on these destination ports alone; elsewhere nobody waits for the client's first byte.
pub(super) fn http_on(ports: &[u16]) -> ListenerFilter {
    ListenerFilter { filter_disabled: Some(other_than(ports)), ..http() }
}

/// The part of a chain's match that takes plain-text HTTP.
pub(super) fn plain_http() -> FilterChainMatch {
    FilterChainMatch {
        transport_protocol: "raw_buffer".into(),
        application_protocols: HTTP.iter().map(ToString::to_string).collect(),
        ..FilterChainMatch::default()
    }
}

fn other_than(ports: &[u16]) -> ListenerFilterChainMatchPredicate {
    let one = |port: &u16| {
        let (start, end) = (i32::from(*port), i32::from(*port) + 1);
        predicate(Rule::DestinationPortRange(Int32Range { start, end }))
    };
    let any = match ports {
        [port] => one(port),
        several => predicate(Rule::OrMatch(MatchSet { rules: several.iter().map(one).collect() })),
    };
    predicate(Rule::NotMatch(Box::new(any)))
}

fn predicate(rule: Rule) -> ListenerFilterChainMatchPredicate {
    ListenerFilterChainMatchPredicate { rule: Some(rule) }
}

fn listener_filter(name: &str, config: Any) -> ListenerFilter {
    ListenerFilter {
        name: name.into(),
        config_type: Some(ConfigType::TypedConfig(config)),
        ..ListenerFilter::default()
    }
}
