//! What authors of HTTPRoutes and GRPCRoutes are told, in the Gateway API's terms.

use crate::fixture::{Fixture, SHOP};
use pilot::model::{ConditionKind, Reason};

fn route(metadata: &str, parents: &str, backend: &str) -> String {
    format!(
        "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {{name: x, namespace: shop{metadata}}}\nspec:\n  parentRefs:\n{parents}  rules:\n  - backendRefs:\n    - {backend}\n---\n"
    )
}

const TO_CATALOG: &str = "  - {group: '', kind: Service, name: catalog}\n";
const BACKEND: &str = "{name: reviews, port: 80}";

fn status(fixture: &Fixture) -> String {
    fixture.status("HTTPRoute", "shop", "x")
}

#[test]
fn each_parent_has_its_conditions() {
    let all_is_well = "Accepted=True, ResolvedRefs=True";
    for (parents, backend, expected) in [
        (TO_CATALOG, BACKEND, format!("is in force\n  Service catalog: {all_is_well}")),
        (
            "  - {group: core, kind: Service, namespace: shop, name: catalog, port: 80}\n",
            BACKEND,
            format!("is in force\n  Service shop/catalog port 80: {all_is_well}"),
        ),
        (
            "  - {group: '', kind: Service, name: catlog}\n",
            BACKEND,
            "is rejected and not in force\n  x.yaml:6: spec.parentRefs[0]: there is no Service shop/catlog; the route is not attached to it\n  Service catlog: Accepted=False (NoMatchingParent: there is no Service shop/catlog; the route is not attached to it), ResolvedRefs=True".to_owned(),
        ),
        (
            "  - {group: '', kind: Service, name: catalog, port: 81}\n",
            BACKEND,
            "is rejected and not in force\n  x.yaml:6: spec.parentRefs[0]: Service shop/catalog has no such port, but 80 http, 9000 grpc; the route is not attached to it\n  Service catalog port 81: Accepted=False (NoMatchingParent: Service shop/catalog has no such port, but 80 http, 9000 grpc; the route is not attached to it), ResolvedRefs=True".to_owned(),
        ),
        (
            "  - {name: front}\n",
            BACKEND,
            "is in force, with warnings\n  x.yaml:6: spec.parentRefs[0]: is a Gateway, which the mesh ignores; it serves parents of kind Service\n  Gateway front: ignored, the mesh serves parents of kind Service (group \"\") only".to_owned(),
        ),
        (
            TO_CATALOG,
            "{name: gone, port: 80}",
            "is in force, with warnings\n  x.yaml:9: spec.rules[0].backendRefs[0]: there is no Service shop/gone; its share of the requests is answered with an error\n  Service catalog: Accepted=True, ResolvedRefs=False (BackendNotFound: there is no Service shop/gone)".to_owned(),
        ),
        (
            TO_CATALOG,
            "{name: reviews, port: 81}",
            "is in force, with warnings\n  x.yaml:9: spec.rules[0].backendRefs[0]: Service shop/reviews has no port 81; it has 80; its share of the requests is answered with an error\n  Service catalog: Accepted=True, ResolvedRefs=False (BackendNotFound: Service shop/reviews has no port 81; it has 80)".to_owned(),
        ),
        (
            TO_CATALOG,
            "{name: b, namespace: bank, port: 81}",
            "is in force, with warnings\n  x.yaml:9: spec.rules[0].backendRefs[0]: no ReferenceGrant in namespace bank allows HTTPRoutes of namespace shop to name Service b; its share of the requests is answered with an error\n  Service catalog: Accepted=True, ResolvedRefs=False (RefNotPermitted: no ReferenceGrant in namespace bank allows HTTPRoutes of namespace shop to name Service b)".to_owned(),
        ),
        (
            TO_CATALOG,
            "{group: acme.com, kind: Bucket, name: b}",
            "is in force, with warnings\n  x.yaml:9: spec.rules[0].backendRefs[0]: Bucket.acme.com is no kind of backend; name a Service; its share of the requests is answered with an error\n  Service catalog: Accepted=True, ResolvedRefs=False (InvalidKind: Bucket.acme.com is no kind of backend; name a Service)".to_owned(),
        ),
        (
            TO_CATALOG,
            "{name: reviews, port: 80, filters: [{type: ExtensionRef}]}",
            "is rejected and not in force\n  x.yaml:9: spec.rules[0].backendRefs[0].filters[0].type: ExtensionRef is not supported yet; remove the filter\n  Service catalog: Accepted=False (UnsupportedValue: spec.rules[0].backendRefs[0].filters[0].type: ExtensionRef is not supported yet; remove the filter), ResolvedRefs=Unknown (Pending: what the route names is looked at once it is accepted)".to_owned(),
        ),
    ] {
        let fixture = Fixture::with("x.yaml", &route("", parents, backend));
        assert_eq!(status(&fixture), format!("HTTPRoute shop/x (x.yaml:1) {expected}"));
    }
}

#[test]
fn one_parent_of_two_is_enough() {
    let parents = format!("{TO_CATALOG}  - {{group: '', kind: Service, name: gone}}\n");
    let fixture = Fixture::with("x.yaml", &route("", &parents, BACKEND));
    let statuses = fixture.pilot.status();
    let found = statuses.iter().find(|status| &*status.object.name == "x").unwrap();
    let conditions: Vec<Vec<_>> =
        found.parents.iter().map(|parent| parent.conditions.iter().map(|c| (c.kind, c.reason)).collect()).collect();
    let resolved = (ConditionKind::ResolvedRefs, Reason::ResolvedRefs);
    assert_eq!(
        conditions,
        [
            [(ConditionKind::Accepted, Reason::Accepted), resolved],
            [(ConditionKind::Accepted, Reason::NoMatchingParent), resolved]
        ]
    );
    assert!(fixture.findings()[0].contains("spec.parentRefs[1]: there is no Service shop/gone"));
    assert!(status(&fixture).contains("is in force, with warnings"));
}

#[test]
fn a_parent_and_a_backend_that_come_later_are_found() {
    let mut fixture =
        Fixture::with("x.yaml", &route("", "  - {group: '', kind: Service, name: late}\n", "{name: late, port: 80}"));
    assert!(status(&fixture).contains("NoMatchingParent"));
    let late = SHOP.replace("name: reviews", "name: late").replace("10.96.1.30", "10.96.1.31");
    fixture.change("late.yaml", late.split("---").find(|text| text.contains("10.96.1.31")).unwrap());
    assert_eq!(
        status(&fixture),
        "HTTPRoute shop/x (x.yaml:1) is in force\n  Service late: Accepted=True, ResolvedRefs=True"
    );
}

#[test]
fn a_wrong_version_leaves_the_last_good_one_in_force() {
    let mut fixture = Fixture::with("x.yaml", &route("", TO_CATALOG, BACKEND));
    fixture.change("x.yaml", &route("", TO_CATALOG, "{name: reviews}"));
    assert_eq!(
        status(&fixture),
        "HTTPRoute shop/x (x.yaml:1) is rejected; its last good version stays in force\n  x.yaml:9: spec.rules[0].backendRefs[0].port: is missing; a Service is named with a port\n  Service catalog: Accepted=False (UnsupportedValue: spec.rules[0].backendRefs[0].port: is missing; a Service is named with a port), ResolvedRefs=Unknown (Pending: what the route names is looked at once it is accepted)"
    );
    let world = fixture.world();
    let rules = world.virtual_service("lab", &crate::fixture::host("catalog")).unwrap();
    assert_eq!(rules.http[0].destinations()[0].destination.port, Some(80));
}

fn virtual_service(created: &str, extra: &str) -> String {
    format!(
        "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: v, namespace: shop, creationTimestamp: \"{created}\"}}\nspec:\n  hosts: [catalog]\n  {extra}\n  http: [{{route: [{{destination: {{host: catalog}}}}]}}]\n---\n"
    )
}

#[test]
fn a_grpc_route_has_conditions_too() {
    let text = route("", TO_CATALOG, "{name: gone, port: 80}").replace("HTTPRoute", "GRPCRoute");
    assert_eq!(
        Fixture::with("x.yaml", &text).status("GRPCRoute", "shop", "x"),
        "GRPCRoute shop/x (x.yaml:1) is in force, with warnings\n  x.yaml:9: spec.rules[0].backendRefs[0]: there is no Service shop/gone; its share of the requests is answered with an error\n  Service catalog: Accepted=True, ResolvedRefs=False (BackendNotFound: there is no Service shop/gone)"
    );
}

/// What a canary controller edits touches the routes of one host.
#[test]
fn a_changed_weight_changes_one_host() {
    let backends = |weight: u32| {
        let list = format!("[{{name: reviews, port: 80, weight: {weight}}}, {{name: catalog, port: 80, weight: 50}}]");
        route("", TO_CATALOG, BACKEND).replace(&format!("\n    - {BACKEND}"), &format!(" {list}"))
    };
    let mut fixture = Fixture::with("x.yaml", &backends(50));
    let update = fixture.change("x.yaml", &backends(10));
    let changed: Vec<_> = update.changed.iter().cloned().collect();
    assert_eq!(changed, [pilot::diff::Key::VirtualService(crate::fixture::host("catalog"))]);
    fixture.remove("x.yaml");
    let update = fixture.update();
    assert!(update.world.virtual_service("shop", &crate::fixture::host("catalog")).is_none());
}

/// As in Istio: see `VirtualServices::get`.
#[test]
fn who_loses_against_whom_is_told() {
    let aged = |created: &str| route(&format!(", creationTimestamp: \"{created}\""), TO_CATALOG, BACKEND);
    let (old, new) = ("2020-01-01T00:00:00Z", "2025-01-01T00:00:00Z");

    let fixture = Fixture::with("x.yaml", &(aged(old) + &virtual_service(new, "")));
    assert!(
        fixture
            .status("VirtualService", "shop", "v")
            .starts_with("VirtualService shop/v (x.yaml:11) is not in force: HTTPRoute shop/x decides in its place\n  x.yaml:15: spec.hosts[0]: HTTPRoute shop/x is older and decides")
    );
    assert!(status(&fixture).contains("is in force\n"));

    let fixture = Fixture::with("x.yaml", &(aged(new) + &virtual_service(old, "")));
    assert!(status(&fixture).contains(
        "is in force, with warnings\n  x.yaml:5: spec.parentRefs: VirtualService shop/v is older and decides for catalog.shop.svc.cluster.local and clients outside namespace shop"
    ));

    assert_eq!(
        fixture.status("VirtualService", "shop", "v"),
        "VirtualService shop/v (x.yaml:11) is in force, with warnings\n  x.yaml:15: spec.hosts[0]: HTTPRoute shop/x decides for catalog.shop.svc.cluster.local and clients in namespace shop; remove one of them"
    );

    let fixture = Fixture::with("x.yaml", &(aged(old) + &virtual_service(new, "exportTo: [\".\"]")));
    assert!(
        status(&fixture)
            .contains("VirtualService shop/v decides for catalog.shop.svc.cluster.local and clients in namespace shop")
    );

    let consumer = aged(old)
        .replace("namespace: shop,", "namespace: bank,")
        .replace("name: catalog}", "namespace: shop, name: catalog}");
    let private = virtual_service(new, "exportTo: [\".\"]")
        .replace("namespace: shop,", "namespace: bank,")
        .replace("hosts: [catalog]", "hosts: [catalog.shop.svc.cluster.local]")
        .replace("host: catalog}", "host: catalog.shop.svc.cluster.local}");
    let fixture = Fixture::with("x.yaml", &(consumer + &private));
    assert!(
        fixture
            .status("HTTPRoute", "bank", "x")
            .contains("is not in force: VirtualService bank/v decides in its place")
    );
}
