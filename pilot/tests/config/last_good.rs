//! What is wrong is reported and does not take effect; what was right stays in force.

use crate::fixture::{Fixture, SHOP, host};
use pilot::model::{Labels, MtlsMode};
use std::fs;

fn routes(name: &str, subset: &str) -> String {
    format!(
        "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: {name}, namespace: shop}}\nspec:\n  hosts: [{name}]\n  http:\n  - route:\n    - destination: {{host: catalog, subset: {subset}}}\n"
    )
}

/// The subset that requests for a host go to.
fn subset(fixture: &Fixture, name: &str) -> Option<String> {
    let world = fixture.world();
    let rules = world.virtual_service("shop", &host(name))?;
    rules.http[0].destinations()[0].destination.subset.as_deref().map(ToOwned::to_owned)
}

#[test]
fn a_wrong_version_leaves_the_last_good_one_in_force() {
    let mut fixture = Fixture::with("routes.yaml", &routes("catalog", "v1"));
    let update = fixture.change("routes.yaml", &routes("catalog", "v3"));
    assert!(update.changed.is_empty());
    assert_eq!(subset(&fixture, "catalog").as_deref(), Some("v1"));
    assert_eq!(
        fixture.status("VirtualService", "shop", "catalog"),
        "VirtualService shop/catalog (routes.yaml:1) is rejected; its last good version stays in force\n  routes.yaml:8: spec.http[0].route[0].destination.subset: no subset \"v3\" of catalog.shop.svc.cluster.local in any DestinationRule; it has \"v1\", \"v2\""
    );
    fixture.change("routes.yaml", &routes("catalog", "v2"));
    assert_eq!(subset(&fixture, "catalog").as_deref(), Some("v2"));
    assert!(fixture.findings().is_empty());
}

#[test]
fn a_wrong_object_is_left_out_at_first_and_comes_in_when_what_it_needs_is_there() {
    let mut fixture = Fixture::with("routes.yaml", &routes("catalog", "v3"));
    assert_eq!(subset(&fixture, "catalog"), None);
    assert!(fixture.status("VirtualService", "shop", "catalog").contains("is rejected and not in force"));
    assert!(fixture.world().service("shop", &host("catalog")).is_some(), "the rest is served");
    fixture.change("shop.yaml", &SHOP.replace("name: v2, labels", "name: v3, labels"));
    assert_eq!(subset(&fixture, "catalog").as_deref(), Some("v3"));
    assert!(fixture.findings().is_empty());
}

#[test]
fn other_objects_of_the_file_take_effect() {
    let both = |first: &str, second: &str| format!("{}---\n{}", routes("catalog", first), routes("reviews", second));
    let mut fixture = Fixture::with("routes.yaml", &both("v1", "v1"));
    fixture.change("routes.yaml", &both("v9", "v2"));
    assert_eq!(subset(&fixture, "catalog").as_deref(), Some("v1"));
    assert_eq!(subset(&fixture, "reviews").as_deref(), Some("v2"));
}

#[test]
fn a_document_that_does_not_parse_keeps_what_it_was() {
    let mut fixture =
        Fixture::with("routes.yaml", &format!("{}---\n{}", routes("catalog", "v1"), routes("reviews", "v1")));
    fixture.change("routes.yaml", &format!("{}---\nkind: [\n", routes("reviews", "v2")));
    assert_eq!(subset(&fixture, "catalog").as_deref(), Some("v1"));
    assert_eq!(subset(&fixture, "reviews").as_deref(), Some("v2"));
    assert_eq!(fixture.findings().len(), 1);
    assert!(fixture.findings()[0].starts_with("routes.yaml:10: is not YAML"), "{:?}", fixture.findings());
    // A file that does not parse at all changes nothing.
    let update = fixture.change("shop.yaml", "}{");
    assert!(update.changed.is_empty(), "{:?}", update.changed);
    assert!(fixture.world().service("shop", &host("catalog")).is_some());
}

#[test]
fn removed_objects_and_files_are_gone() {
    let mut fixture =
        Fixture::with("routes.yaml", &format!("{}---\n{}", routes("catalog", "v1"), routes("reviews", "v1")));
    fixture.change("routes.yaml", &routes("catalog", "v1"));
    assert_eq!(subset(&fixture, "reviews"), None);
    fixture.remove("routes.yaml");
    fixture.update();
    assert_eq!(subset(&fixture, "catalog"), None);
    assert!(fixture.world().service("shop", &host("catalog")).is_some());
}

#[test]
fn an_object_that_loses_what_it_names_stays_in_force_and_says_so() {
    let mut fixture = Fixture::with("routes.yaml", &routes("catalog", "v2"));
    fixture.change("shop.yaml", &SHOP.replace("  - {name: v2, labels: {version: v2}}\n", ""));
    assert_eq!(subset(&fixture, "catalog").as_deref(), Some("v2"));
    assert_eq!(
        fixture.status("VirtualService", "shop", "catalog"),
        "VirtualService shop/catalog (routes.yaml:1) is in force, with warnings\n  routes.yaml:8: spec.http[0].route[0].destination.subset: no subset \"v2\" of catalog.shop.svc.cluster.local in any DestinationRule; it has \"v1\" (it was there when this object was loaded; the object stays in force, and requests that need it are answered with 503 until it is back)"
    );
}

#[test]
fn an_unreadable_file_keeps_what_it_held() {
    let mut fixture = Fixture::with("routes.yaml", &routes("catalog", "v1"));
    // Not text: nothing that is in it can be read.
    fs::write(fixture.path("routes.yaml"), b"\xff\xfe\x00").unwrap();
    let update = fixture.update();
    assert!(update.changed.is_empty());
    assert_eq!(subset(&fixture, "catalog").as_deref(), Some("v1"));
    assert!(fixture.findings()[0].starts_with("routes.yaml: cannot be read: "), "{:?}", fixture.findings());
}

fn policy(name: &str, namespace: &str, spec: &str) -> String {
    format!(
        "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {{name: {name}, namespace: {namespace}}}\nspec: {spec}\n---\n"
    )
}

/// What port 80 of an app accepts.
fn mode(fixture: &Fixture, namespace: &str, app: &str) -> MtlsMode {
    fixture.world().mtls_mode(namespace, &[("app", app)].into_iter().collect::<Labels>(), 80)
}

#[test]
fn a_wrong_peer_authentication_without_a_last_good_one_is_strict_in_its_scope() {
    let wrong = "{mtls: {mode: STRCT}}";
    let selecting = "{selector: {matchLabels: {app: a}}, mtls: {mode: [STRICT]}}";
    let text = policy("default", "shop", wrong)
        + &policy("a", "bank", selecting)
        + &policy("untold", "park", "{selector: {labels: {app: a}}, mtls: {mode: STRICT}}")
        + &policy("misspelt", "zoo", "{selectr: {matchLabels: {app: a}}, mtls: {mode: STRICT}}");
    let mut fixture = Fixture::with("x.yaml", &text);
    for (namespace, app, expected) in [
        ("shop", "a", MtlsMode::Strict),
        ("bank", "a", MtlsMode::Strict),
        ("bank", "b", MtlsMode::Permissive),
        ("park", "a", MtlsMode::Permissive),
        ("zoo", "b", MtlsMode::Permissive),
        ("elsewhere", "a", MtlsMode::Permissive),
    ] {
        assert_eq!(mode(&fixture, namespace, app), expected, "{namespace} {app}");
    }
    assert!(fixture.status("PeerAuthentication", "shop", "default").contains("STRICT is in force"));
    assert!(fixture.status("PeerAuthentication", "park", "untold").contains("plain text is served"));

    fixture.change("x.yaml", &policy("default", "shop", "{mtls: {mode: PERMISSIVE}}"));
    assert_eq!(mode(&fixture, "shop", "a"), MtlsMode::Permissive);
    assert!(fixture.findings().is_empty(), "{:?}", fixture.findings());
    fixture.change("x.yaml", &policy("default", "shop", wrong));
    assert_eq!(mode(&fixture, "shop", "a"), MtlsMode::Permissive, "the last good one stays in force");
    assert_eq!(fixture.findings().len(), 1, "{:?}", fixture.findings());
}

#[test]
fn a_wrong_peer_authentication_of_the_root_namespace_makes_the_mesh_strict() {
    let fixture = Fixture::with("x.yaml", &policy("mesh", "istio-system", "{mtls: STRICT}"));
    assert_eq!(mode(&fixture, "anywhere", "a"), MtlsMode::Strict);
}

#[test]
fn a_file_that_does_not_parse_at_first_says_that_its_policies_are_not_in_force() {
    let broken = policy("default", "shop", "{mtls: {mode: STRICT}").replace("---\n", "");
    let mut fixture = Fixture::with("x.yaml", &broken);
    assert!(fixture.findings()[0].contains("nothing of it is in force"), "{:?}", fixture.findings());
    fixture.change("x.yaml", &policy("default", "shop", "{mtls: {mode: STRICT}}"));
    fixture.change("x.yaml", &broken);
    assert!(!fixture.findings()[0].contains("nothing of it is in force"), "{:?}", fixture.findings());
    assert_eq!(mode(&fixture, "shop", "a"), MtlsMode::Strict);
}
