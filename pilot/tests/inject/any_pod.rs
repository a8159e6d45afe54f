//! Any JSON in the place of a pod is injected, left or refused; what is injected can be patched, is the second time
//! left alone, and keeps what the injector does not know.

use crate::fixture::{outcome, pod};
use pilot::inject::{Outcome, Reason, inject_file};
use proptest::prelude::*;
use serde_json::{Value, json};

/// A pod with something in most of the places that the injector looks at.
fn rich() -> Value {
    let probe = json!({ "httpGet": { "path": "/", "port": "web", "httpHeaders": [{ "name": "a", "value": "b" }] }, "timeoutSeconds": 1 });
    let mut rich = pod();
    rich["metadata"]["annotations"] = json!({
        "proxy.istio.io/config": "concurrency: 2", "prometheus.io/port": "1", "sidecar.istio.io/userVolume": "[]",
        "traffic.sidecar.istio.io/excludeInboundPorts": "1,2"
    });
    rich["spec"] = json!({
        "hostNetwork": false, "nodeSelector": { "a": "b" }, "os": { "name": "linux" },
        "securityContext": { "runAsUser": 1, "fsGroup": 2 }, "imagePullSecrets": [{ "name": "x" }],
        "volumes": [{ "name": "data", "emptyDir": {} }],
        "initContainers": [{ "name": "first", "restartPolicy": "Always", "livenessProbe": { "tcpSocket": { "port": 1 } } }],
        "containers": [
            {
                "name": "app", "image": "a", "ports": [{ "name": "web", "containerPort": 80 }],
                "livenessProbe": probe, "readinessProbe": probe, "startupProbe": { "grpc": { "port": 5, "service": "" } },
                "lifecycle": { "preStop": { "httpGet": { "port": 80 } } }, "securityContext": { "runAsGroup": 1 }
            },
            { "name": "istio-proxy", "image": "auto", "env": [{ "name": "A", "value": "b" }], "resources": {} }
        ]
    });
    rich
}

/// Every place in a value, the outermost last.
fn places(value: &Value, at: String, all: &mut Vec<String>) {
    match value {
        Value::Object(entries) => {
            entries.iter().for_each(|(key, value)| places(value, format!("{at}/{}", key.replace('/', "~1")), all));
        }
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(index, value)| places(value, format!("{at}/{index}"), all));
        }
        _ => {}
    }
    all.push(at);
}

fn anything() -> impl Strategy<Value = Value> {
    let text = prop_oneof![
        "[a-z0-9./:-]{0,8}",
        Just("istio-proxy".to_owned()),
        Just("istio-init".to_owned()),
        Just("true".to_owned()),
        "\\PC{0,4}",
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        prop_oneof![any::<i64>(), -1..70_000_i64, Just(1337)].prop_map(Value::from),
        text.prop_map(Value::from),
    ];
    let key = prop_oneof!["[a-z]{1,6}", Just("name".to_owned()), Just("sidecar.istio.io/inject".to_owned())];
    leaf.prop_recursive(3, 12, 3, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            prop::collection::btree_map(key.clone(), inner, 0..3).prop_map(|map| map.into_iter().collect()),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn any_json_is_injected_left_or_refused(changes in prop::collection::vec((any::<prop::sample::Index>(), anything()), 0..4)) {
        let mut pod = rich();
        for (place, value) in changes {
            let mut all = Vec::new();
            places(&pod, String::new(), &mut all);
            *pod.pointer_mut(&all[place.index(all.len())]).unwrap() = value;
        }
        if let Outcome::Injected { patch, .. } = outcome(&pod) {
            let mut after = pod.clone();
            json_patch::patch(&mut after, &patch).map_err(|error| TestCaseError::fail(format!("{error}: {pod}")))?;
            prop_assert!(matches!(outcome(&after), Outcome::Left(Reason::AlreadyInjected)), "{}", after);
            prop_assert_eq!(&after["spec"]["initContainers"][0]["name"], "istio-init");
            prop_assert_eq!(&after["spec"]["initContainers"][1]["name"], "istio-proxy");
        }
    }

    #[test]
    fn any_text_is_injected_or_kept(text in "[ -~\n]{0,60}", at in 0..400_usize) {
        let shop = include_str!("shop.yaml");
        let at = at.min(shop.len());
        let text = [&shop[..at], &text, &shop[at..]].concat();
        let once = inject_file(&text, "default", &Default::default()).text;
        prop_assert_eq!(&inject_file(&once, "default", &Default::default()).text, &once);
    }
}

#[test]
fn fifty_containers_are_no_more_than_one() {
    let mut large = pod();
    let probe = json!({ "httpGet": { "path": "/", "port": 80 } });
    let container = |number| json!({ "name": format!("c{number}"), "image": "a", "livenessProbe": probe });
    large["spec"]["containers"] = (0..50).map(container).collect();
    let Outcome::Injected { patch, .. } = outcome(&large) else { panic!("not injected") };
    json_patch::patch(&mut large, &patch).unwrap();
    let rewritten = large["spec"]["containers"].as_array().unwrap().iter();
    let rewritten = rewritten.filter(|it| it["livenessProbe"]["httpGet"]["port"] == 15020).count();
    assert_eq!(rewritten, 50);
}
