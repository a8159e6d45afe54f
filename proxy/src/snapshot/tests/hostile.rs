//! Bytes of a control plane that is broken or hostile: they are refused or accepted, and nothing panics.

use proptest::prelude::*;
use xds::cluster::cluster::DiscoveryType;
use xds::route::RouteMatch;
use xds::route::route_match::PathSpecifier;

use super::*;

const KINDS: [ResourceType; 6] = ResourceType::ALL;

/// One good resource of each kind, as bytes.
fn good() -> Vec<(ResourceType, Vec<u8>)> {
    let chain = listener::FilterChain {
        filters: vec![listener::Filter {
            name: "f".into(),
            config_type: Some(listener::filter::ConfigType::TypedConfig(pack(&listeners::manager()))),
        }],
        ..listener::FilterChain::default()
    };
    vec![
        (ResourceType::Listener, listeners::listener_of(vec![chain]).encode_to_vec()),
        (ResourceType::Route, routes::table_of(vec![routes::route_of(routes::to("c"))]).encode_to_vec()),
        (ResourceType::Cluster, clusters::cluster_of(DiscoveryType::Eds).encode_to_vec()),
        (ResourceType::Endpoint, endpoints::assignment(&[("10.0.0.1", 80)]).encode_to_vec()),
    ]
}

/// So many predicates, each the `not_match` (field 3) of the one around it.
fn deep(depth: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    for _ in 0..depth {
        // The field's key, the length as a varint, the content.
        let mut outer = vec![0x1a];
        let mut length = bytes.len();
        loop {
            let low = u8::try_from(length & 0x7f).unwrap();
            length >>= 7;
            outer.push(if length == 0 { low } else { low | 0x80 });
            if length == 0 {
                break;
            }
        }
        outer.extend_from_slice(&bytes);
        bytes = outer;
    }
    bytes
}

#[test]
fn nesting_is_bounded() {
    let predicate = deep(500);
    let refused = listener::ListenerFilterChainMatchPredicate::decode(predicate.as_slice());
    assert!(refused.is_err());
    assert!(compile(ResourceType::Listener, "l", &predicate).is_err());
}

#[test]
fn numbers_of_things_are_bounded() {
    let many = routes::table_of(vec![routes::route_of(routes::to("c")); 100_001]);
    let refusal = refusal(ResourceType::Route, &many.name, &many);
    assert!(refusal.ends_with("virtual_hosts: 100001 routes; at most 100000 are taken"), "{refusal}");

    let endpoints = endpoints::assignment(&vec![("10.0.0.1", 80); 100_001]);
    let refusal = compile(ResourceType::Endpoint, &endpoints.cluster_name, &endpoints.encode_to_vec()).unwrap_err();
    assert!(refusal.ends_with("at most 100000 are taken"), "{refusal}");

    let refusal = compile(ResourceType::Cluster, "c", &vec![0; (32 << 20) + 1]).unwrap_err();
    assert!(refusal.contains("at most 33554432 are read"), "{refusal}");
}

#[test]
fn expressions_are_bounded() {
    for regex in [r"(\w{1000}){1000}", &"(".repeat(5000), &"a".repeat(4097)] {
        let mut table = routes::table_of(vec![routes::route_of(routes::to("c"))]);
        let regex = xds::matcher::RegexMatcher { regex: regex.to_owned(), engine_type: None };
        table.virtual_hosts[0].routes[0].r#match =
            Some(RouteMatch { path_specifier: Some(PathSpecifier::SafeRegex(regex)), ..RouteMatch::default() });
        let refusal = refusal(ResourceType::Route, &table.name, &table);
        assert!(refusal.contains(".match.safe_regex.regex: regular expression"), "{refusal}");
    }
}

#[test]
fn their_number_is_bounded() {
    let with = |count: usize| {
        let regex = xds::matcher::RegexMatcher { regex: r"/\w".into(), engine_type: None };
        let mut route = routes::route_of(routes::to("c"));
        route.r#match =
            Some(RouteMatch { path_specifier: Some(PathSpecifier::SafeRegex(regex)), ..RouteMatch::default() });
        let table = routes::table_of(vec![route; count]);
        compile(ResourceType::Route, &table.name, &table.encode_to_vec())
    };
    assert!(with(500).is_ok());
    let refusal = with(501).unwrap_err();
    assert!(refusal.ends_with("more than 500 regular expressions in one resource"), "{refusal}");
    assert!(with(1).is_ok());
}

fn mutated() -> impl Strategy<Value = (ResourceType, Vec<u8>)> {
    let edits = proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0_u8..3), 1..6);
    (proptest::sample::select(good()), edits).prop_map(|((kind, mut bytes), edits)| {
        for (index, value, what) in edits {
            if bytes.is_empty() {
                break;
            }
            let at = index.index(bytes.len());
            match what {
                0 => bytes[at] = value,
                1 => bytes.truncate(at),
                _ => bytes.insert(at, value),
            }
        }
        (kind, bytes)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn random_bytes_do_no_harm(kind in proptest::sample::select(&KINDS[..]), bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = compile(kind, "x", &bytes);
    }

    #[test]
    fn mutated_resources_do_no_harm((kind, bytes) in mutated()) {
        for name in ["10.96.3.7_80", "reviews.shop.svc.cluster.local:80", "x"] {
            let _ = compile(kind, name, &bytes);
        }
    }

    #[test]
    fn a_table_that_is_accepted_decides(bytes in proptest::collection::vec(any::<u8>(), 0..300), path in "/[a-z/]{0,10}") {
        let (_, mut good) = good().swap_remove(1);
        good.extend(bytes);
        if let Ok(Compiled::Routes(table)) = compile(ResourceType::Route, "reviews.shop.svc.cluster.local:80", &good) {
            let parts = http::Request::get(path).header("host", "h").body(()).unwrap().into_parts().0;
            let _ = table.decide(&crate::http::decide::RequestView::of(&parts), 0);
        }
    }
}
