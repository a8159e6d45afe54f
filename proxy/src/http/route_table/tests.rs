#![allow(clippy::unwrap_used, clippy::expect_used)]
use bytes::Bytes;
use http::{Request, StatusCode};
use proptest::prelude::*;

use super::*;
use crate::http::decide::Forward;
use crate::http::direct_response::DirectResponse;
use crate::http::matching::{PathMatch, RouteMatch};
use crate::http::mirror::Mirror;
use crate::http::timeout::Timeout;
use crate::http::weights::{Target, Targets};

fn route(name: &str, matcher: RouteMatch) -> Arc<Route> {
    let action = Action::DirectResponse(DirectResponse { status: StatusCode::OK, body: Bytes::new() });
    Arc::new(Route {
        name: name.into(),
        virtual_host: "".into(),
        provenance: None,
        matcher,
        policies: Vec::new(),
        action,
    })
}

fn host(name: &str, domains: &[&str]) -> VirtualHost {
    VirtualHost {
        name: name.into(),
        domains: domains.iter().map(|domain| (*domain).into()).collect(),
        routes: vec![route(name, RouteMatch::any())],
    }
}

fn table(hosts: Vec<VirtualHost>, ignore_port: bool) -> Result<RouteTable, String> {
    RouteTable::new("table".into(), None, hosts, ignore_port)
}

fn served<'a>(table: &'a RouteTable, authority: &str) -> Option<&'a str> {
    table.host(authority).map(|host| &*host.name)
}

/// Envoy, `route_components.proto`, `VirtualHost.domains`: exact, suffix wildcards, prefix wildcards, `*`; longest first.
#[test]
fn the_most_specific_domain_serves() {
    let hosts = vec![
        host("exact", &["www.foo.com", "foo.com:8080"]),
        host("suffix", &["*.foo.com"]),
        host("longer suffix", &["*-bar.foo.com"]),
        host("prefix", &["www.*"]),
        host("longer prefix", &["www.foo.*"]),
        host("any", &["*"]),
    ];
    let table = table(hosts, false).unwrap();
    let cases = [
        ("www.foo.com", "exact"),
        ("WWW.Foo.COM", "exact"),
        ("foo.com:8080", "exact"),
        ("foo.com", "any"),
        ("a.foo.com", "suffix"),
        ("a.b.foo.com", "suffix"),
        (".foo.com", "any"),
        ("baz-bar.foo.com", "longer suffix"),
        ("-bar.foo.com", "suffix"),
        ("www.example", "prefix"),
        ("www.foo.org", "longer prefix"),
        ("www.foo.", "prefix"),
        ("www.", "any"),
        ("www.foo.com:80", "longer prefix"),
        ("", "any"),
    ];
    for (authority, expected) in cases {
        assert_eq!(served(&table, authority), Some(expected), "{authority}");
    }
}

#[test]
fn ports_can_be_ignored() {
    let hosts = || vec![host("name", &["shop"]), host("suffix", &["*.shop"]), host("v6", &["[::1]"])];
    let strict = table(hosts(), false).unwrap();
    assert_eq!(served(&strict, "shop:80"), None);
    let lenient = table(hosts(), true).unwrap();
    assert_eq!(served(&lenient, "shop:80"), Some("name"));
    assert_eq!(served(&lenient, "a.shop:80"), Some("suffix"));
    assert_eq!(served(&lenient, "[::1]:80"), Some("v6"));
    assert_eq!(served(&lenient, "[::1]"), Some("v6"));
}

#[test]
fn domains_are_unique_and_well_formed() {
    for domains in [&["a", "A"][..], &["*", "*"], &["*.a", "*.a"], &["a.*", "a.*"], &["a*b"], &["*a*"], &[""], &["**"]]
    {
        let error = table(vec![host("h", domains)], false).unwrap_err();
        assert!(error.starts_with("virtual_hosts[0].domains["), "{error}");
    }
    let error = table(vec![host("one", &["a"]), host("two", &["b", "a"])], false).unwrap_err();
    assert_eq!(error, "virtual_hosts[1].domains[1]: \"a\" is served by an earlier virtual host or twice by this one");
}

#[test]
fn the_first_route_that_matches_is_taken() {
    let prefix = |path: &str| RouteMatch { path: PathMatch::Prefix(path.into()), ..RouteMatch::any() };
    let mut only = host("h", &["*"]);
    only.routes = vec![route("v2", prefix("/api/v2")), route("api", prefix("/api")), route("never", prefix("/api/v3"))];
    let table = table(vec![only], false).unwrap();
    for (path, expected) in [("/api/v2/x", "v2"), ("/api/v3", "api"), ("/api", "api")] {
        let parts = Request::get(path).header("host", "h").body(()).unwrap().into_parts().0;
        assert_eq!(&*table.decide(&RequestView::of(&parts), 0).unwrap().name, expected);
    }
}

#[test]
fn a_request_without_a_route_is_told_where_it_failed() {
    let prefix = RouteMatch { path: PathMatch::Prefix("/api".into()), ..RouteMatch::any() };
    let mut only = host("shop", &["shop"]);
    only.routes = vec![route("api", prefix)];
    let table = table(vec![only], false).unwrap();
    let decide = |host: &str| {
        let parts = Request::get("/other").header("host", host).body(()).unwrap().into_parts().0;
        table.decide(&RequestView::of(&parts), 0).unwrap_err().to_string()
    };
    assert_eq!(decide("elsewhere"), "route configuration \"table\" has no virtual host for this authority");
    assert_eq!(decide("shop"), "no route of virtual host \"shop\" in route configuration \"table\" matches");
}

#[test]
fn all_clusters_are_told() {
    let mut only = host("h", &["*"]);
    let forward = Forward {
        targets: Targets::weighted(vec![Target::to("a", 1), Target::to("b", 0)]).unwrap(),
        timeout: Timeout::default(),
        retry: None,
        websocket: None,
        attempt_count_in_request: false,
        attempt_count_in_response: false,
    };
    let mirror =
        Mirror { cluster: "copy".into(), fraction: crate::http::fraction::Fraction::ALL, mark_authority: true };
    only.routes.push(Arc::new(Route {
        name: "".into(),
        virtual_host: "h".into(),
        provenance: None,
        matcher: RouteMatch::any(),
        policies: vec![Policy::Mirror(mirror)],
        action: Action::Forward(forward),
    }));
    let table = table(vec![only], false).unwrap();
    assert_eq!(table.clusters().map(|name| &**name).collect::<Vec<_>>(), ["a", "b", "copy"]);
}

/// What Envoy's documentation says, without any index.
fn by_walking<'a>(domains: &'a [String], authority: &str) -> Option<&'a String> {
    let longest =
        |fits: &dyn Fn(&str) -> bool| domains.iter().filter(|domain| fits(domain)).max_by_key(|domain| domain.len());
    let exact = longest(&|domain| domain == authority);
    let suffix = longest(&|domain| {
        domain.len() > 1
            && domain.strip_prefix('*').is_some_and(|fixed| authority.len() > fixed.len() && authority.ends_with(fixed))
    });
    let prefix = longest(&|domain| {
        domain.len() > 1
            && domain
                .strip_suffix('*')
                .is_some_and(|fixed| authority.len() > fixed.len() && authority.starts_with(fixed))
    });
    exact.or(suffix).or(prefix).or_else(|| longest(&|domain| domain == "*"))
}

proptest! {
    #[test]
    fn finds_what_walking_finds(
        domains in proptest::collection::btree_set("[ab.]{1,4}|\\*[ab.]{0,3}|[ab.]{1,3}\\*", 0..12),
        authority in "[ab.]{0,5}",
    ) {
        let domains: Vec<String> = domains.into_iter().collect();
        let hosts = domains.iter().map(|domain| host(domain, &[domain])).collect();
        let table = table(hosts, false).unwrap();
        prop_assert_eq!(served(&table, &authority), by_walking(&domains, &authority).map(String::as_str));
    }

    #[test]
    fn no_authority_is_too_odd(authority in ".{0,40}") {
        let table = table(vec![host("a", &["*.a", "é*", "b"])], true).unwrap();
        let _ = table.host(&authority);
    }
}
