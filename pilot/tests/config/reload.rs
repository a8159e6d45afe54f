//! Changes are seen however they are made, and touch what they touch.

use crate::fixture::{Fixture, SHOP, host};
use pilot::diff::Key;
use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::sync::Arc;

const ROUTES: &str = "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: catalog, namespace: shop}\nspec: {hosts: [catalog], http: [{route: [{destination: {host: catalog, subset: v1}}]}]}\n";

fn keys(keys: impl IntoIterator<Item = Key>) -> HashSet<Key> {
    keys.into_iter().collect()
}

#[test]
fn a_change_names_what_it_touches() {
    let mut fixture = Fixture::new(&[("shop.yaml", SHOP)]);
    let catalog = || host("catalog");
    let update = fixture.change("routes.yaml", ROUTES);
    assert_eq!(update.changed, keys([Key::VirtualService(catalog())]));
    let update = fixture.change("routes.yaml", &format!("# moved down\n\n{ROUTES}").replace("v1}", "v2}"));
    assert_eq!(update.changed, keys([Key::VirtualService(catalog())]));
    let update = fixture.change("shop.yaml", &SHOP.replace("addresses: [10.44.1.22]", "addresses: [10.44.1.23]"));
    assert_eq!(update.changed, keys([Key::Endpoints(catalog())]));
    let update = fixture.change("shop.yaml", SHOP);
    assert_eq!(update.changed, keys([Key::Endpoints(catalog())]));
    let update = fixture.change("shop.yaml", &SHOP.replace("version: v2}}", "version: v3}}"));
    assert_eq!(update.changed, keys([Key::DestinationRule(catalog())]));
    let policy = "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {name: a, namespace: shop}\nspec: {mtls: {mode: STRICT}}\n";
    let update = fixture.change("policy.yaml", policy);
    assert_eq!(update.changed, keys([Key::PeerAuthentication("shop".into())]));
    let update = fixture.change("policy.yaml", &policy.replace("shop", "istio-system"));
    assert_eq!(update.changed, keys([Key::PeerAuthentication("shop".into()), Key::MeshAuthentication]));
    let update = fixture.change(
        "shop.yaml",
        &SHOP.replace("version: v2}}", "version: v3}}").replace("clusterIP: 10.96.1.30", "clusterIP: 10.96.1.31"),
    );
    let addresses = ["10.96.1.30", "10.96.1.31"].map(|address| Key::Address(address.parse().unwrap()));
    assert_eq!(update.changed, keys([Key::Names, Key::Service(host("reviews"))].into_iter().chain(addresses)));
}

#[test]
fn a_wildcard_touches_the_hosts_that_it_covers() {
    let mut fixture = Fixture::new(&[("shop.yaml", SHOP)]);
    let update =
        fixture.change("routes.yaml", &ROUTES.replace("hosts: [catalog]", "hosts: [\"*.shop.svc.cluster.local\"]"));
    let hosts = ["*.shop.svc.cluster.local", "catalog", "reviews"].map(|name| Key::VirtualService(host(name)));
    assert_eq!(update.changed, keys(hosts));
}

#[test]
fn what_did_not_change_is_shared() {
    let mut fixture = Fixture::with("routes.yaml", ROUTES);
    let before = fixture.world();
    fixture.change("shop.yaml", &SHOP.replace("addresses: [10.44.1.22]", "addresses: [10.44.1.23]"));
    let after = fixture.world();
    assert!(Arc::ptr_eq(&before.services, &after.services));
    assert!(Arc::ptr_eq(&before.virtual_services, &after.virtual_services));
    assert!(Arc::ptr_eq(&before.destination_rules, &after.destination_rules));
    assert!(Arc::ptr_eq(&before.workloads, &after.workloads));
    let service = after.service("shop", &host("catalog")).unwrap();
    let (old, new) = (before.endpoints(service), after.endpoints(service));
    assert!(Arc::ptr_eq(&old[0], &new[0]), "the endpoint that stayed is the same one");
}

#[test]
fn files_may_be_replaced_as_editors_do() {
    let mut fixture = Fixture::with("routes.yaml", ROUTES);
    // Save to a hidden file and rename it over.
    fs::write(fixture.path(".routes.yaml.swp"), ROUTES.replace("v1}", "v2}")).unwrap();
    fs::rename(fixture.path(".routes.yaml.swp"), fixture.path("routes.yaml")).unwrap();
    assert!(fixture.update().changed.contains(&Key::VirtualService(host("catalog"))));
    // Move the old one away first.
    fs::rename(fixture.path("routes.yaml"), fixture.path("routes.yaml~")).unwrap();
    fs::write(fixture.path("routes.yaml"), ROUTES).unwrap();
    fixture.update();
    let world = fixture.world();
    let subset = &world.virtual_service("shop", &host("catalog")).unwrap().http[0].destinations()[0].destination.subset;
    assert_eq!(subset.as_deref(), Some("v1"), "the routes are not gone at any time: the last good ones were there");
}

#[test]
fn a_file_that_is_written_in_pieces_ends_up_whole() {
    let mut fixture = Fixture::with("routes.yaml", ROUTES);
    let text = ROUTES.replace("v1}", "v2}");
    for end in [0, 40, 90, 130, text.len()] {
        fixture.write("routes.yaml", &text[..end]);
    }
    let update = fixture.update();
    let rules = update.world.virtual_service("shop", &host("catalog")).unwrap();
    assert_eq!(rules.http[0].destinations()[0].destination.subset.as_deref(), Some("v2"));
    assert!(fixture.findings().is_empty(), "{:?}", fixture.findings());
}

#[test]
fn directories_and_links_are_followed_also_when_they_come_later() {
    let mut fixture = Fixture::new(&[("a/shop.yaml", SHOP)]);
    fs::create_dir_all(fixture.path("b/c")).unwrap();
    fixture.write("b/c/routes.yml", ROUTES);
    assert!(fixture.update().changed.contains(&Key::VirtualService(host("catalog"))));
    // As kubelet mounts a ConfigMap: links through a hidden directory that is switched.
    let elsewhere = tempfile::tempdir().unwrap();
    for (version, subset) in [("..one", "v1"), ("..two", "v2")] {
        fs::create_dir(elsewhere.path().join(version)).unwrap();
        let text = ROUTES
            .replace("catalog", "reviews")
            .replace("{host: reviews, subset: v1}", &format!("{{host: catalog, subset: {subset}}}"));
        fs::write(elsewhere.path().join(version).join("r.yaml"), text).unwrap();
    }
    symlink(elsewhere.path().join("..one"), elsewhere.path().join("..data")).unwrap();
    symlink("..data/r.yaml", elsewhere.path().join("r.yaml")).unwrap();
    symlink(elsewhere.path(), fixture.path("mounted")).unwrap();
    assert!(fixture.update().changed.contains(&Key::VirtualService(host("reviews"))));
    symlink(elsewhere.path().join("..two"), elsewhere.path().join("..data_tmp")).unwrap();
    fs::rename(elsewhere.path().join("..data_tmp"), elsewhere.path().join("..data")).unwrap();
    assert!(fixture.update().changed.contains(&Key::VirtualService(host("reviews"))));
    let findings = fixture.findings();
    assert!(findings.is_empty(), "{findings:?}");
}

#[test]
fn links_in_a_circle_end() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("shop.yaml"), SHOP).unwrap();
    fs::create_dir(dir.path().join("sub")).unwrap();
    symlink(dir.path(), dir.path().join("sub/up")).unwrap();
    let fixture = Fixture::over(dir);
    assert!(fixture.findings().is_empty(), "{:?}", fixture.findings());
    assert!(fixture.world().service("shop", &host("catalog")).is_some());
}

#[test]
fn a_directory_that_vanishes_leaves_everything_in_force() {
    let mut fixture = Fixture::new(&[("shop.yaml", SHOP), ("more/routes.yaml", ROUTES)]);
    let parked = tempfile::tempdir().unwrap();
    let root = fixture.path("");
    fs::rename(&root, parked.path().join("x")).unwrap();
    fs::create_dir(&root).unwrap();
    fixture.write("shop.yaml", SHOP);
    let update = fixture.update();
    assert!(update.world.service("shop", &host("catalog")).is_some());
}

#[test]
fn a_directory_that_is_not_there_is_an_error_at_the_start() {
    let options = pilot::PilotOptions {
        source: pilot::SourceOptions::Directory("/nowhere/at/all".into()),
        mesh: Default::default(),
    };
    let Err(error) = pilot::Pilot::start(options, &record::Metrics::new()) else { panic!("it started") };
    assert_eq!(
        error.to_string(),
        "cannot read the configuration directory /nowhere/at/all: No such file or directory (os error 2); create it, or name another one"
    );
}

#[test]
fn a_list_holds_objects() {
    let item = ROUTES.replace('\n', "\n  ");
    let fixture = Fixture::with("routes.yaml", &format!("apiVersion: v1\nkind: List\nitems:\n- {}\n", item.trim_end()));
    assert!(fixture.world().virtual_service("shop", &host("catalog")).is_some(), "{:?}", fixture.findings());
    assert_eq!(
        fixture.status("VirtualService", "shop", "catalog"),
        "VirtualService shop/catalog (routes.yaml:4) is in force"
    );
}

#[test]
fn the_sample_shop_is_right() {
    let sample = concat!(env!("CARGO_MANIFEST_DIR"), "/../manifests/samples/shop");
    let options =
        pilot::PilotOptions { source: pilot::SourceOptions::Directory(sample.into()), mesh: Default::default() };
    let pilot = pilot::Pilot::start(options, &record::Metrics::new()).unwrap();
    let findings: Vec<_> = pilot.findings().iter().map(ToString::to_string).collect();
    assert!(findings.is_empty(), "{findings:#?}");
}
