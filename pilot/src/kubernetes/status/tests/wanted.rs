//! The words that objects get, and what of a status is replaced.

use super::super::wanted::{News, Wanted};
use super::super::written_kinds::{ALL, WrittenKind};
use super::*;
use crate::catalog::RefusedResource;
use serde_json::{Value, json};

const NOW: &str = "2026-11-21T12:00:00Z";

fn wanted(status: &ObjectStatus) -> Wanted {
    Wanted::of(status, WrittenKind::of(&status.object).unwrap())
}

fn written(status: &ObjectStatus, there: Value) -> Option<Value> {
    wanted(status).patch(&there, NOW)
}

/// Status, reason and message of the one condition of an object of Istio's kinds.
fn word(status: &ObjectStatus) -> (String, String, String) {
    let condition = written(status, Value::Null).unwrap()["conditions"][0].clone();
    let text = |field: &str| condition[field].as_str().unwrap().to_owned();
    (text("status"), text("reason"), text("message"))
}

fn refused_by(client: &str) -> RefusedResource {
    RefusedResource {
        client: client.into(),
        kind: xds::ResourceType::Route,
        name: "catalog:80".into(),
        error: "bad regex".into(),
        sources: Vec::new(),
    }
}

#[test]
fn an_object_says_whether_it_is_in_force_and_why_not() {
    let by = Arc::new(ObjectRef::new(NETWORKING, "VirtualService", "shop", "older"));
    let base = || virtual_service("x");
    let error = "spec.http[0].route[0].destination.host: there is no service \"nobody\"";
    let cases = [
        (base(), ("True", "InForce", "")),
        (
            ObjectStatus { findings: vec![finding(false, "spec.hosts[1]: unknown")], ..base() },
            ("True", "InForce", "spec.hosts[1]: unknown"),
        ),
        (rejected(base(), error), ("False", "Rejected", error)),
        (
            ObjectStatus {
                condition: Condition::Rejected { last_good_in_force: true },
                findings: vec![finding(false, "a warning"), finding(true, "an error")],
                ..base()
            },
            (
                "False",
                "LastGoodInForce",
                "this version is wrong, the one before it stays in force: an error; a warning",
            ),
        ),
        (
            ObjectStatus { condition: Condition::Shadowed { by }, ..base() },
            ("False", "Shadowed", "VirtualService shop/older decides in its place"),
        ),
        (
            ObjectStatus { refused: vec![refused_by("web-0.shop")], ..base() },
            ("False", "RefusedByProxies", "web-0.shop refuses RDS catalog:80: bad regex; it keeps the version before"),
        ),
        (
            ObjectStatus { refused: ["b.shop", "a.shop", "b.shop"].map(refused_by).into(), ..base() },
            (
                "False",
                "RefusedByProxies",
                "2 proxies refuse it and keep the version before, among them a.shop refuses RDS catalog:80: bad regex",
            ),
        ),
    ];
    for (status, (holds, reason, message)) in cases {
        assert_eq!(word(&status), (holds.to_owned(), reason.to_owned(), message.to_owned()), "{status}");
    }
}

#[test]
fn messages_are_bounded() {
    let many: Vec<_> = (0..9).map(|i| finding(true, &format!("error {i}"))).collect();
    let message = word(&ObjectStatus { findings: many, ..rejected(virtual_service("x"), "") }).2;
    assert_eq!(message, "error 0; error 1; error 2; error 3; error 4; and 4 more");
    let message = word(&rejected(virtual_service("x"), &"é".repeat(20_000))).2;
    assert!(message.len() <= 4096 && message.ends_with("é..."), "{} bytes", message.len());
}

#[test]
fn a_condition_of_ours_leaves_the_others_and_keeps_its_time() {
    let there = json!({
        "conditions": [
            { "type": "Reconciled", "status": "True", "lastTransitionTime": "2020-01-01T00:00:00Z" },
            { "type": "Ready", "status": "True", "reason": "InForce", "message": "", "observedGeneration": 1,
              "lastTransitionTime": "2025-01-01T00:00:00Z" },
        ],
        "observedGeneration": 1,
        "validationMessages": [{ "level": "INFO" }],
    });
    let status = virtual_service("x");
    assert_eq!(written(&status, there.clone()), None, "it says all that");
    let second = ObjectStatus { generation: Some(2), ..status };
    let patch = written(&second, there.clone()).unwrap();
    assert_eq!(patch["observedGeneration"], 2);
    assert_eq!(patch["conditions"][0], there["conditions"][0]);
    assert_eq!(patch["conditions"][1]["observedGeneration"], 2);
    assert_eq!(patch["conditions"][1]["lastTransitionTime"], "2025-01-01T00:00:00Z", "the status is what it was");
    assert_eq!(patch.get("validationMessages"), None, "what is not ours is not part of the patch");
    let wrong = written(&rejected(second, "no"), there).unwrap();
    assert_eq!(wrong["conditions"][1]["lastTransitionTime"], NOW, "it fell just now");
}

#[test]
fn what_has_no_effect_says_so_without_claiming_to_speak_for_an_istio() {
    let policy = rejected(object("security.istio.io", "AuthorizationPolicy", "x"), "kind: is not supported yet");
    let conditions = written(&policy, Value::Null).unwrap()["conditions"].clone();
    let told = [&conditions[0]["type"], &conditions[0]["status"], &conditions[0]["reason"]];
    assert_eq!(told, ["meltemi.dev/InForce", "False", "NotSupported"]);
}

#[test]
fn nothing_is_written_to_kinds_of_kubernetes() {
    for (group, kind) in
        [("", "Service"), ("", "Pod"), ("discovery.k8s.io", "EndpointSlice"), (GATEWAY_API, "ReferenceGrant")]
    {
        assert!(WrittenKind::of(&ObjectRef::new(group, kind, "shop", "x")).is_none(), "{kind}");
    }
    assert_eq!(
        WrittenKind::of(&ObjectRef::new(GATEWAY_API, "HTTPRoute", "shop", "x")).map(std::ptr::from_ref),
        Some(&raw const ALL[0])
    );
}

/// Flagger writes `group: core` and waits until an entry with exactly its own reference is accepted.
#[test]
fn a_route_gets_one_entry_for_each_parent_with_the_reference_as_it_is_written() {
    let numbered = ParentRef { port: Some(80), namespace: Some("shop".into()), ..service("b", "") };
    let gateway = ParentRef { group: None, kind: None, ..service("g", "") };
    let mut status = route("x", &[service("a", "core"), numbered]);
    status.parents.push(at(&gateway, &[]));
    let parents = written(&status, Value::Null).unwrap()["parents"].clone();
    let condition = |kind: &str, reason: &str| {
        json!({ "type": kind, "status": "True", "reason": reason, "message": "", "observedGeneration": 1,
                "lastTransitionTime": NOW })
    };
    let conditions = json!([
        condition("Accepted", "Accepted"),
        condition("ResolvedRefs", "ResolvedRefs"),
        condition("meltemi.dev/InForce", "InForce"),
    ]);
    let entry = |reference: Value| json!({ "parentRef": reference, "controllerName": "meltemi.dev/mesh-controller", "conditions": conditions });
    assert_eq!(
        parents,
        json!([
            entry(json!({ "group": "core", "kind": "Service", "name": "a" })),
            entry(json!({ "group": "", "kind": "Service", "namespace": "shop", "name": "b", "port": 80 })),
        ]),
        "a Gateway is another controller's business"
    );
}

#[test]
fn entries_of_other_controllers_are_carried_along_and_ours_go_with_their_parents() {
    let foreign = json!({ "parentRef": { "name": "gateway" }, "controllerName": "istio.io/gateway-controller",
                          "conditions": [{ "type": "Accepted", "status": "True" }] });
    let two = route("x", &[service("a", ""), service("b", "")]);
    let first = written(&two, json!({ "parents": [foreign] })).unwrap();
    assert_eq!(first["parents"].as_array().unwrap().len(), 3);
    assert_eq!(first["parents"][0], foreign);
    assert_eq!(written(&two, first.clone()), None, "it says all that");
    let one = written(&route("x", &[service("b", "")]), first.clone()).unwrap();
    assert_eq!(one["parents"], json!([foreign, first["parents"][2]]));
    let none = written(&route("x", &[]), one).unwrap();
    assert_eq!(none["parents"], json!([foreign]));
    assert_eq!(written(&route("x", &[]), Value::Null), None, "nothing to say where nothing was said");
}

#[test]
fn no_more_entries_than_the_api_allows_and_others_go_first() {
    let foreign: Vec<_> = (0..20).map(|i| json!({ "controllerName": format!("c{i}") })).collect();
    let parents: Vec<_> = (0..32).map(|i| service(&format!("s{i}"), "")).collect();
    let patch = written(&route("x", &parents), json!({ "parents": foreign })).unwrap();
    let all = patch["parents"].as_array().unwrap();
    assert_eq!(all.len(), 32);
    assert_eq!(all[..20], foreign);
}

#[test]
fn a_parent_that_does_not_take_a_route_says_so_and_the_other_does_not() {
    let refused =
        RouteCondition { reason: Reason::NoMatchingParent, message: "there is no Service".into(), ..accepted() };
    let mut status = route("x", &[service("a", "")]);
    status.parents.push(at(&service("b", ""), &[refused, resolved()]));
    let parents = written(&status, Value::Null).unwrap()["parents"].clone();
    let told = |parent: usize, condition: usize| {
        let condition = &parents[parent]["conditions"][condition];
        ["type", "status", "reason", "message"].map(|field| condition[field].as_str().unwrap().to_owned())
    };
    assert_eq!(told(0, 2), ["meltemi.dev/InForce", "True", "InForce", ""]);
    assert_eq!(told(1, 0), ["Accepted", "False", "NoMatchingParent", "there is no Service"]);
    assert_eq!(told(1, 1), ["ResolvedRefs", "True", "ResolvedRefs", ""]);
    assert_eq!(told(1, 2), ["meltemi.dev/InForce", "False", "NotAccepted", "there is no Service"]);
}

/// The API server would refuse reasons and types of another form, and with them the whole status.
#[test]
fn reasons_and_types_have_the_form_that_the_api_demands() {
    let reason = regex::Regex::new("^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$").unwrap();
    let kind = regex::Regex::new(
        r"^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])$",
    )
    .unwrap();
    let by = Arc::new(ObjectRef::new(NETWORKING, "VirtualService", "shop", "older"));
    let of = |condition: Condition| ObjectStatus { condition, ..route("x", &[service("a", "")]) };
    for status in [
        of(Condition::InForce),
        of(Condition::Shadowed { by }),
        of(Condition::Rejected { last_good_in_force: true }),
        of(Condition::Rejected { last_good_in_force: false }),
        ObjectStatus { refused: vec![refused_by("a.b")], ..of(Condition::InForce) },
    ] {
        let patch = written(&status, Value::Null).unwrap();
        for condition in patch["parents"][0]["conditions"].as_array().unwrap() {
            assert!(reason.is_match(condition["reason"].as_str().unwrap()), "{condition}");
            assert!(kind.is_match(condition["type"].as_str().unwrap()), "{condition}");
        }
    }
}

#[test]
fn bad_news_goes_first() {
    let warned = ObjectStatus { findings: vec![finding(false, "a warning")], ..virtual_service("x") };
    assert_eq!(wanted(&rejected(virtual_service("x"), "no")).news(), News::Bad);
    assert_eq!(wanted(&warned).news(), News::Remarks);
    assert_eq!(wanted(&virtual_service("x")).news(), News::Good);
    assert!(News::Bad < News::Remarks && News::Remarks < News::Good);
}
