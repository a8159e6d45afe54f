//! Pods with addresses of IPv6, alone or beside IPv4.

use super::*;
use crate::generate::Families;

/// The families of a pod by its addresses.
fn families(addresses: &[&str]) -> Families {
    Families::of(addresses.iter().map(|address| address.parse().unwrap()))
}

fn listens(listener: &Listener) -> Vec<(String, u32)> {
    let more = listener.additional_addresses.iter().map(|more| socket(more.address.as_ref().unwrap()));
    std::iter::once(bound_to(listener)).chain(more).collect()
}

#[test]
fn what_a_pods_addresses_say() {
    assert_eq!(families(&["10.0.0.1"]), Families::V4);
    assert_eq!(families(&["fd00::1"]), Families::V6);
    assert_eq!(families(&["fd00::1", "10.0.0.1"]), Families::Both);
    assert_eq!(families(&["10.0.0.1", "fe80::1", "::1"]), Families::V4, "these are on every machine");
    assert_eq!(families(&["::ffff:10.0.0.1"]), Families::V4);
}

/// A data plane whose kernel has no IPv6 refuses a listener with such an address.
#[test]
fn capture_and_any_address_stand_in_the_families_of_the_pod() {
    for (name, port) in [("virtualOutbound", 15001), ("virtualInbound", 15006), ("0.0.0.0_80", 80)] {
        let of = |families| {
            let found = listener(&shop(), &Viewer { families, ..frontend() }, name);
            assert_eq!(found.name, name, "whatever the families are, it has one name");
            listens(&found)
        };
        let at = |ip: &str| (ip.to_owned(), port);
        assert_eq!(of(Families::V4), [at("0.0.0.0")]);
        assert_eq!(of(Families::V6), [at("::")]);
        assert_eq!(of(Families::Both), [at("0.0.0.0"), at("::")]);
    }
}

#[test]
fn the_workload_is_called_from_an_address_of_the_same_family() {
    let of = |families, name: &str| {
        let own = Viewer { families, ..viewer("shop", [10, 0, 1, 1]) };
        let bind = cluster(&shop(), &own, name).upstream_bind_config.unwrap();
        let extra = bind.extra_source_addresses.iter().map(|extra| extra.address.clone().unwrap().address);
        let all: Vec<String> = bind.source_address.iter().map(|own| own.address.clone()).chain(extra).collect();
        all
    };
    for name in ["inbound|8080||", "InboundPassthroughCluster"] {
        assert_eq!(of(Families::V4, name), ["127.0.0.6"]);
        assert_eq!(of(Families::V6, name), ["::6"]);
        assert_eq!(of(Families::Both, name), ["127.0.0.6", "::6"]);
    }
}

#[test]
fn a_pod_without_ipv4_looks_up_addresses_that_it_can_reach() {
    use xds::cluster::cluster::DnsLookupFamily;
    let of = |families| {
        let found = cluster(&shop(), &Viewer { families, ..frontend() }, "outbound|443||api.example.com");
        DnsLookupFamily::try_from(found.dns_lookup_family).unwrap()
    };
    assert_eq!(of(Families::V4), DnsLookupFamily::V4Preferred);
    assert_eq!(of(Families::Both), DnsLookupFamily::V4Preferred);
    assert_eq!(of(Families::V6), DnsLookupFamily::V6Only);
}

/// The same resource for all proxies that it is the same for.
#[test]
fn what_names_no_address_is_the_same_for_every_family() {
    let generated = generate(&shop(), &frontend(), ResourceType::Route, "catalog.shop.svc.cluster.local:80");
    assert!(generated.resource.is_some() && !generated.varies.by_families);
    assert!(generate(&shop(), &frontend(), ResourceType::Listener, "virtualOutbound").varies.by_families);
}
