//! Pods that would be outside the mesh without anybody noticing, or that could not start, are refused or warned of.

use crate::fixture::{injected, pod_with, refused};
use pilot::inject::{InjectorConfig, Namespace, Outcome, review};
use serde_json::{Value, json};

#[test]
fn an_application_with_the_sidecars_ids_would_bypass_it() {
    for (field, context) in [("runAsUser", json!({ "runAsUser": 1337 })), ("runAsGroup", json!({ "runAsGroup": 1337 }))]
    {
        let of_pod = pod_with(|pod| pod["spec"]["securityContext"] = context.clone());
        let of_container = pod_with(|pod| pod["spec"]["containers"][0]["securityContext"] = context.clone());
        for pod in [of_pod, of_container] {
            let problems = refused(&pod);
            assert_eq!(problems.len(), 1, "{problems:?}");
            assert!(problems[0].contains(&format!("container app: {field} 1337")), "{problems:?}");
        }
    }
    let own_id = pod_with(|pod| {
        pod["spec"]["securityContext"] = json!({ "runAsUser": 1337 });
        pod["spec"]["containers"][0]["securityContext"] = json!({ "runAsUser": 1000 });
    });
    injected(&own_id);
}

/// A known way around Istio's older sidecars, which started after them.
#[test]
fn an_init_container_with_them_is_warned_of() {
    let context = json!({ "runAsUser": 1337 });
    let migrate = json!([{ "name": "migrate", "image": "m:1", "securityContext": context }]);
    let (_, warnings) = injected(&pod_with(|pod| pod["spec"]["initContainers"] = migrate));
    assert!(warnings[0].contains("init container migrate") && warnings[0].contains("no longer needed"), "{warnings:?}");
    let beside = json!([{ "name": "log", "image": "m:1", "restartPolicy": "Always", "securityContext": context }]);
    assert!(refused(&pod_with(|pod| pod["spec"]["initContainers"] = beside))[0].contains("container log"));
}

#[test]
fn a_pod_that_demands_non_root_gets_its_rules_all_the_same() {
    let (pod, _) = injected(&pod_with(|pod| {
        pod["spec"]["securityContext"] = json!({ "runAsNonRoot": true, "fsGroup": 2000 });
    }));
    assert_eq!(pod["spec"]["initContainers"][0]["securityContext"]["runAsNonRoot"], false);
    assert_eq!(pod["spec"]["securityContext"], json!({ "runAsNonRoot": true, "fsGroup": 2000 }));
}

#[test]
fn names_that_are_taken_are_named() {
    let volume = pod_with(|pod| pod["spec"]["volumes"] = json!([{ "name": "istio-token", "emptyDir": {} }]));
    assert!(refused(&volume)[0].contains("volume istio-token"), "{:?}", refused(&volume));
    let gateway = pod_with(|pod| pod["spec"]["containers"] = json!([{ "name": "istio-proxy", "image": "auto" }]));
    assert!(refused(&gateway)[0].contains("no container of its own"), "{:?}", refused(&gateway));
    let arguments = json!({ "name": "istio-proxy", "image": "auto", "args": ["x"] });
    let overridden = pod_with(|pod| pod["spec"]["containers"].as_array_mut().unwrap().push(arguments));
    assert!(
        refused(&overridden)[0].contains("\"args\" cannot be overridden; there are image"),
        "{:?}",
        refused(&overridden)
    );
    let hook = json!({ "name": "istio-proxy", "lifecycle": { "preStop": { "exec": { "command": ["sleep", "5"] } } } });
    let overridden = pod_with(|pod| pod["spec"]["containers"].as_array_mut().unwrap().push(hook));
    assert!(refused(&overridden)[0].contains("lifecycle runs a command"), "{:?}", refused(&overridden));
}

#[test]
fn ports_of_the_sidecar_are_warned_of() {
    let ports = json!([{ "containerPort": 15021 }, { "containerPort": 8080 }]);
    let (_, warnings) = injected(&pod_with(|pod| pod["spec"]["containers"][0]["ports"] = ports));
    assert_eq!(warnings, ["container app: the sidecar listens on port 15021 itself; use another one"]);
}

#[test]
fn a_namespace_that_forbids_the_rules_is_named_before_the_api_server_refuses() {
    for (level, warned) in [("baseline", true), ("restricted", true), ("privileged", false)] {
        let labels = [("pod-security.kubernetes.io/enforce".to_owned(), level.to_owned())].into();
        let namespace = Namespace { name: "shop".into(), labels, selected: true };
        let outcome = review(&crate::fixture::pod(), &namespace, None, &InjectorConfig::default());
        let Outcome::Injected { warnings, .. } = outcome else { panic!("{outcome:?}") };
        let expected = format!("namespace shop enforces Pod Security \"{level}\", which forbids NET_ADMIN");
        assert_eq!(warnings.iter().any(|warning| warning.starts_with(&expected)), warned, "{warnings:?}");
    }
}

#[test]
fn what_is_no_pod_is_refused_with_its_field() {
    let problems = refused(&pod_with(|pod| pod["spec"]["containers"][0]["ports"] = json!([{ "containerPort": "80" }])));
    assert!(problems[0].contains("spec.containers[0].ports[0].containerPort: expected a number"), "{problems:?}");
    for nothing in [Value::Null, json!([]), json!({}), json!("pod")] {
        assert_eq!(refused(&nothing).len(), 1, "{nothing}");
    }
}
