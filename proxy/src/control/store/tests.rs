use std::time::Duration;

use super::*;
use crate::http::weights::Targets;
use crate::model::{ChainMatch, FilterChain, LbPolicy, Retired, TcpProxy, Transport, UpstreamHttp, UpstreamVersion};

const SERVICE: &str = "10.96.0.1:9000";

fn address() -> SocketAddr {
    SERVICE.parse().unwrap()
}

fn tcp_listener(cluster: &str) -> Compiled {
    Compiled::Listener(Arc::new(listener(cluster, &[])))
}

/// A listener that stands for other addresses, too.
fn listener(cluster: &str, others: &[&str]) -> Listener {
    let settings = TcpProxy {
        stat_prefix: "tcp".into(),
        targets: Targets::single(cluster),
        idle_timeout: None,
        connect_attempts: 1,
    };
    let chain = FilterChain {
        name: "".into(),
        matches: ChainMatch::default(),
        tls: None,
        filter: NetworkFilter::Tcp(Arc::new(settings)),
        fingerprint: cluster.as_bytes().into(),
        retired: Retired::default(),
    };
    Listener {
        name: listener_name(address()).as_str().into(),
        address: address(),
        others: others.iter().map(|other| other.parse().unwrap()).collect(),
        bind: false,
        use_original_dst: false,
        inspect_tls: false,
        inspect_http: false,
        inspect_timeout: None,
        close_silent: true,
        chains: vec![Arc::new(chain)],
        default_chain: None,
        provenance: None,
    }
}

fn cluster(name: &str) -> Compiled {
    Compiled::Cluster(Arc::new(Cluster {
        name: name.into(),
        service: Arc::default(),
        discovery: Discovery::Eds(name.into()),
        dns_family: Default::default(),
        lb: LbPolicy::RoundRobin,
        connect_timeout: Duration::from_secs(1),
        transports: Vec::new(),
        transport: Transport::Raw,
        http: UpstreamHttp {
            version: UpstreamVersion::Http1,
            idle_timeout: None,
            stream_window: 65_535,
            connection_window: 65_535,
            max_concurrent_streams: 100,
            multiplex_above: None,
        },
        bind: Vec::new(),
        provenance: None,
    }))
}

fn endpoints() -> Compiled {
    Compiled::Endpoints(Arc::default())
}

fn names(wishes: &[Name]) -> Vec<String> {
    let mut names: Vec<String> = wishes.iter().map(|(kind, name)| format!("{kind} {name}")).collect();
    names.sort();
    names
}

/// A store in which a connection to the service can be decided.
fn settled() -> Store {
    let mut store = Store::new(15001, 15006);
    store.demand(address(), 0);
    store.wishes();
    store.accept("10.96.0.1_9000", tcp_listener("a"), 0);
    store.wishes();
    store.accept("a", cluster("a"), 0);
    store.wishes();
    store.accept("a", endpoints(), 0);
    store.settle(0);
    store
}

#[test]
fn a_demand_asks_step_by_step_for_all_that_a_connection_needs() {
    let mut store = Store::new(15001, 15006);
    store.demand(address(), 0);
    assert_eq!(names(&store.wishes().add), ["LDS 10.96.0.1_9000"]);
    store.accept("10.96.0.1_9000", tcp_listener("a"), 0);
    store.settle(0);
    assert!(!store.is_settled(address()), "its cluster is not known");
    assert_eq!(names(&store.wishes().add), ["CDS a"]);
    store.accept("a", cluster("a"), 0);
    store.settle(0);
    assert!(!store.is_settled(address()), "its endpoints are not known");
    assert_eq!(names(&store.wishes().add), ["EDS a"]);
    store.accept("a", endpoints(), 0);
    assert!(store.settle(0));
    assert!(store.is_settled(address()));
    assert!(store.tables().destinations[&address()].listener.present().is_some());
}

#[test]
fn what_does_not_exist_is_settled_too() {
    let mut store = Store::new(15001, 15006);
    store.demand(address(), 0);
    store.wishes();
    store.remove(ResourceType::Listener, "10.96.0.1_9000");
    store.settle(0);
    assert!(!store.is_settled(address()), "there may be hosts without an address");
    assert_eq!(names(&store.wishes().add), ["LDS 0.0.0.0_9000"]);
    store.remove(ResourceType::Listener, "0.0.0.0_9000");
    store.settle(0);
    assert!(store.is_settled(address()));
    assert!(matches!(store.tables().destinations[&address()].listener, Known::Absent));
}

#[test]
fn a_service_that_goes_makes_way_for_hosts_without_an_address() {
    let mut store = settled();
    store.remove(ResourceType::Listener, "10.96.0.1_9000");
    store.settle(1);
    assert!(!store.is_settled(address()));
    assert_eq!(names(&store.wishes().add), ["LDS 0.0.0.0_9000"]);
    store.accept("0.0.0.0_9000", tcp_listener("a"), 1);
    store.settle(1);
    assert!(!store.is_settled(address()), "its cluster is not known any more");
    store.wishes();
    store.accept("a", cluster("a"), 1);
    store.wishes();
    store.accept("a", endpoints(), 1);
    store.settle(1);
    assert!(store.is_settled(address()));
}

#[test]
fn a_change_waits_until_what_it_names_is_known_and_the_old_serves_meanwhile() {
    let mut store = settled();
    let serving = |store: &Store| {
        let destination = store.tables().destinations[&address()].clone();
        let listener = destination.listener.present().unwrap().clone();
        listener.chains[0].fingerprint.to_vec()
    };
    store.accept("10.96.0.1_9000", tcp_listener("b"), 1);
    store.settle(1);
    assert_eq!(serving(&store), b"a");
    assert_eq!(names(&store.wishes().add), ["CDS b"]);
    store.accept("b", cluster("b"), 1);
    store.wishes();
    store.accept("b", endpoints(), 1);
    store.settle(1);
    assert_eq!(serving(&store), b"b");
    assert_eq!(names(&store.wishes().drop), ["CDS a"]);
    assert_eq!(names(&store.wishes().drop), ["EDS a"]);
}

/// To have it let go, the control plane answers that it is gone. That must not stand for an answer to a later question.
#[test]
fn a_change_back_waits_for_what_was_let_go() {
    let mut store = settled();
    store.accept("10.96.0.1_9000", tcp_listener("b"), 1);
    store.settle(1);
    store.wishes();
    store.accept("b", cluster("b"), 1);
    store.wishes();
    store.accept("b", endpoints(), 1);
    store.settle(1);
    assert_eq!(names(&store.wishes().drop), ["CDS a"]);
    store.remove(ResourceType::Cluster, "a");
    store.wishes();
    store.accept("10.96.0.1_9000", tcp_listener("a"), 2);
    store.settle(2);
    let destination = store.tables().destinations[&address()].clone();
    assert_eq!(&*destination.listener.present().unwrap().chains[0].fingerprint, b"b", "in force without its cluster");
    assert_eq!(names(&store.wishes().add), ["CDS a"]);
}

#[test]
fn a_destination_that_lapsed_is_asked_for_again() {
    let mut store = settled();
    store.lapse(4000, 3600);
    store.wishes();
    store.remove(ResourceType::Listener, "10.96.0.1_9000");
    store.settle(4000);
    assert!(store.tables().destinations.is_empty(), "taken for an address of nobody");
    assert!(!store.is_settled(address()));
}

#[test]
fn a_refused_change_leaves_the_last_good_in_force() {
    let mut store = settled();
    store.refuse(ResourceType::Listener, "10.96.0.1_9000", "nonsense");
    store.settle(1);
    assert!(store.is_settled(address()));
    assert!(store.tables().destinations[&address()].listener.present().is_some());
}

#[test]
fn a_listener_refused_from_the_start_is_known_as_refused() {
    let mut store = Store::new(15001, 15006);
    store.demand(address(), 0);
    store.wishes();
    store.refuse(ResourceType::Listener, "10.96.0.1_9000", "nonsense");
    store.settle(0);
    assert!(store.is_settled(address()));
    let Known::Refused(reason) = &store.tables().destinations[&address()].listener else { panic!("not refused") };
    assert_eq!(&**reason, "nonsense");
}

#[test]
fn what_nobody_uses_lapses_with_all_that_it_needed() {
    let mut store = settled();
    store.lapse(100, 3600);
    assert_eq!(store.wishes(), Wishes::default());
    store.lapse(4000, 3600);
    let dropped: Vec<String> = (0..3).flat_map(|_| names(&store.wishes().drop)).collect();
    assert_eq!(dropped, ["LDS 10.96.0.1_9000", "CDS a", "EDS a"]);
    assert!(store.tables().destinations.is_empty() && store.tables().clusters.is_empty());
}

#[test]
fn connections_of_an_unchanged_chain_are_not_told_of_a_new_version() {
    let mut store = settled();
    let old = store.tables().destinations[&address()].listener.present().unwrap().clone();
    store.accept("10.96.0.1_9000", tcp_listener("a"), 1);
    store.settle(1);
    for (old, new) in store.take_replaced() {
        old.retire_for(new.as_deref());
    }
    assert!(!old.chains[0].retired.is_set());
    store.remove(ResourceType::Listener, "10.96.0.1_9000");
    for (old, new) in store.take_replaced() {
        old.retire_for(new.as_deref());
    }
    assert!(old.chains[0].retired.is_set());
}

#[test]
fn a_port_scan_does_not_grow_the_subscriptions_without_bound() {
    let mut store = settled();
    for port in 1..=20_000_u16 {
        let scanned = SocketAddr::from(([10, 97, 0, 1], port));
        store.demand(scanned, u64::from(port));
        store.remove(ResourceType::Listener, &listener_name(scanned));
        store.remove(ResourceType::Listener, &listener_name(any_address(scanned)));
        store.ask_workload(IpAddr::from([10, 1, (port >> 8) as u8, port as u8]), 1);
    }
    assert!(store.demanded.len() <= MAX_DEMANDED + 1);
    assert!(store.demanded.contains_key(&SocketAddr::from(([10, 97, 0, 1], 20_000))));
    assert!(store.asked_workloads.len() <= MAX_WORKLOADS);
}

#[test]
fn a_destination_with_an_open_connection_does_not_lapse() {
    let mut store = settled();
    let open = store.tables().destinations[&address()].usage.open();
    store.lapse(10_000, 3600);
    assert_eq!(store.wishes(), Wishes::default(), "the connection still routes by it");
    drop(open);
    store.lapse(20_000, 3600);
    assert_eq!(names(&store.wishes().drop), ["LDS 10.96.0.1_9000"]);
}

#[test]
fn a_destination_under_discovery_does_not_lapse_however_old_the_proxy_is() {
    let mut store = Store::new(15001, 15006);
    store.demand(address(), 100_000);
    store.wishes();
    store.accept("10.96.0.1_9000", tcp_listener("a"), 100_000);
    store.settle(100_000);
    store.lapse(100_001, 3600);
    assert!(names(&store.wishes().drop).is_empty());
}

/// Istio writes one listener for both addresses of a service.
#[test]
fn a_listener_of_both_families_comes_and_goes_at_both_addresses() {
    let mut store = Store::new(15001, 15006);
    let at = |store: &Store, address: &str| store.tables().destinations.contains_key(&address.parse().unwrap());
    let accept = |store: &mut Store, others: &[&str]| {
        store.accept("10.96.0.1_9000", Compiled::Listener(Arc::new(listener("a", others))), 0);
        store.settle(PATIENCE_SECONDS);
    };
    accept(&mut store, &["[fd00::1]:9000"]);
    assert!(at(&store, SERVICE) && at(&store, "[fd00::1]:9000"));
    accept(&mut store, &["[fd00::2]:9000"]);
    assert!(at(&store, "[fd00::2]:9000") && !at(&store, "[fd00::1]:9000"), "it moved");
    store.remove(ResourceType::Listener, "10.96.0.1_9000");
    assert!(!at(&store, SERVICE) && !at(&store, "[fd00::2]:9000"));
}
