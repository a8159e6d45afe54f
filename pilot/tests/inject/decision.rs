//! Who gets a sidecar.

use crate::fixture::{annotated, left, pod, pod_with};
use k8s_openapi::api::core::v1::Pod;
use pilot::inject::{Decision, InjectorConfig, Namespace, Reason, decide};
use serde_json::json;

/// Istio's selectors (istio-semantics: webhook entries rev.namespace, rev.object, namespace, object).
#[test]
fn labels_decide_as_istios_selectors_do() {
    let revision = |name: &str| Decision::Leave(Reason::OtherRevision(name.into()));
    let cases: &[(&str, &str, &str, Decision)] = &[
        ("", "", "default", Decision::Leave(Reason::NotAsked)),
        ("istio-injection=enabled", "", "default", Decision::Inject),
        ("istio-injection=enabled", "", "canary", revision("default")),
        ("istio-injection=enabled,istio.io/rev=canary", "", "default", Decision::Inject),
        ("istio-injection=disabled", "sidecar.istio.io/inject=true", "default", declined("disabled")),
        ("istio-injection=Enabled", "", "default", declined("Enabled")),
        ("istio.io/rev=canary", "", "canary", Decision::Inject),
        ("istio.io/rev=canary", "", "default", revision("canary")),
        ("istio.io/rev=canary", "istio.io/rev=default", "canary", Decision::Inject),
        ("", "sidecar.istio.io/inject=true", "default", Decision::Inject),
        ("", "sidecar.istio.io/inject=true", "canary", revision("default")),
        ("", "sidecar.istio.io/inject=true,istio.io/rev=canary", "canary", Decision::Inject),
        ("", "istio.io/rev=canary", "canary", Decision::Inject),
        ("istio-injection=enabled", "sidecar.istio.io/inject=false", "default", Decision::Leave(Reason::Declined)),
    ];
    for (of_namespace, of_pod, ours, expected) in cases {
        let namespace = Namespace { name: "shop".into(), labels: pairs(of_namespace), selected: false };
        let mut pod = Pod::default();
        pod.metadata.labels = Some(pairs(of_pod));
        let config = InjectorConfig { revision: (*ours).into(), ..InjectorConfig::default() };
        assert_eq!(decide(&pod, &namespace, &config), *expected, "namespace {of_namespace}; pod {of_pod}; {ours}");
    }
}

fn declined(value: &str) -> Decision {
    Decision::Leave(Reason::NamespaceDeclined(value.into()))
}

fn pairs(text: &str) -> std::collections::BTreeMap<String, String> {
    let pairs = text.split(',').filter_map(|pair| pair.split_once('='));
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

#[test]
fn the_label_beats_the_annotation() {
    let mut no_yes = annotated(&[("sidecar.istio.io/inject", "true")]);
    no_yes["metadata"]["labels"]["sidecar.istio.io/inject"] = "false".into();
    assert_eq!(left(&no_yes), Reason::Declined);
    assert_eq!(left(&annotated(&[("sidecar.istio.io/inject", "false")])), Reason::Declined);
}

#[test]
fn pods_that_no_sidecar_can_serve_are_left_alone_with_the_reason() {
    let host = pod_with(|pod| pod["spec"]["hostNetwork"] = true.into());
    assert_eq!(left(&host), Reason::HostNetwork);
    assert!(left(&host).to_string().contains("hostNetwork: true"), "{}", left(&host));
    assert_eq!(left(&pod_with(|pod| pod["spec"]["os"] = json!({ "name": "windows" }))), Reason::Windows);
    let selected = pod_with(|pod| pod["spec"]["nodeSelector"] = json!({ "kubernetes.io/os": "windows" }));
    assert_eq!(left(&selected), Reason::Windows);
    assert_eq!(left(&annotated(&[("kubernetes.io/config.mirror", "x")])), Reason::Mirror);
}

#[test]
fn the_cluster_and_the_control_plane_are_never_touched() {
    let pod: Pod = serde_json::from_value(pod()).unwrap();
    for name in ["kube-system", "kube-public", "kube-node-lease", "meltemi-system"] {
        let namespace = Namespace { name: name.into(), selected: true, ..Namespace::default() };
        let reason = Decision::Leave(Reason::SystemNamespace(name.into()));
        assert_eq!(decide(&pod, &namespace, &InjectorConfig::default()), reason, "{name}");
    }
    let elsewhere = InjectorConfig { control_plane: "meltemi.mesh.svc:15012".into(), ..InjectorConfig::default() };
    let namespace = |name: &str| Namespace { name: name.into(), selected: true, ..Namespace::default() };
    assert_ne!(decide(&pod, &namespace("mesh"), &elsewhere), Decision::Inject);
    assert_eq!(decide(&pod, &namespace("meltemi-system"), &elsewhere), Decision::Inject);
}
