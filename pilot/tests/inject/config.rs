//! `injector.yaml`.

use crate::fixture::{added, flag, injected_with, pod, variable};
use pilot::inject::InjectorConfig;
use serde_json::json;

#[test]
fn every_key_reaches_the_pod() {
    let text = "image: r/m:1\ninitImage: r/i:1\nimagePullPolicy: Always\nimagePullSecrets: [pull]\nrevision: canary\n\
                trustDomain: example.org\nclusterId: west\ncontrolPlane: meltemi-canary.mesh.svc:15012\nrootConfigMap: roots\n\
                resources: {requests: {cpu: 1, memory: 10Mi}, limits: {cpu: 2}}\ninitResources: {limits: {cpu: 5m}}\n\
                concurrency: 4\ndrain: 20s\nminimumDrain: 1500ms\naccessLog: stdout\nlogLevel: info,proxy=debug\n\
                includeOutboundIPRanges: 10.0.0.0/8\nexcludeOutboundIPRanges: [10.1.0.0/16, 10.2.0.0/16]\n\
                excludeInboundPorts: 9000\nexcludeOutboundPorts: '25,587'\nholdApplication: true\n";
    let config = InjectorConfig::read(text).unwrap();
    let (pod, _) = injected_with(&pod(), &config);
    let (proxy, init) = (added(&pod, "istio-proxy"), added(&pod, "istio-init"));
    assert_eq!((&proxy["image"], &init["image"]), (&json!("r/m:1"), &json!("r/i:1")));
    assert_eq!((&proxy["imagePullPolicy"], &init["imagePullPolicy"]), (&json!("Always"), &json!("Always")));
    assert_eq!(proxy["resources"], json!({ "requests": { "cpu": "1", "memory": "10Mi" }, "limits": { "cpu": "2" } }));
    assert_eq!(init["resources"], json!({ "limits": { "cpu": "5m" } }));
    assert_eq!(pod["spec"]["imagePullSecrets"], json!([{ "name": "pull" }]));
    assert_eq!(pod["metadata"]["annotations"]["istio.io/rev"], "canary");
    assert_eq!(pod["spec"]["volumes"][1]["configMap"]["name"], "roots");
    for (name, value) in [
        ("TRUST_DOMAIN", "example.org"),
        ("ISTIO_META_CLUSTER_ID", "west"),
        ("CA_ADDR", "meltemi-canary.mesh.svc:15012"),
        ("ISTIO_PROXY_CONCURRENCY", "4"),
        ("TERMINATION_DRAIN_DURATION", "20s"),
        ("MINIMUM_DRAIN_DURATION", "1500ms"),
        ("RUST_LOG", "info,proxy=debug"),
    ] {
        assert_eq!(variable(&pod, name).as_deref(), Some(value), "{name}");
    }
    assert_eq!(flag(&pod, "istio-proxy", "--control-plane-name").as_deref(), Some("meltemi-canary.mesh.svc"));
    assert_eq!(flag(&pod, "istio-proxy", "--access-log").as_deref(), Some("stdout"));
    for (name, value) in
        [("-i", "10.0.0.0/8"), ("-x", "10.1.0.0/16,10.2.0.0/16"), ("-d", "15090,15021,15020,9000"), ("-o", "25,587")]
    {
        assert_eq!(flag(&pod, "istio-init", name).as_deref(), Some(value), "{name}");
    }
}

#[test]
fn what_is_left_out_or_empty_has_its_default() {
    for text in ["", "# nothing\n", "{}", "revision: ''\nclusterId:\nexcludeInboundPorts: ''\n"] {
        assert_eq!(InjectorConfig::read(text).unwrap(), InjectorConfig::default(), "{text:?}");
    }
}

#[test]
fn all_that_is_wrong_is_told_with_its_line() {
    let text =
        "imge: x\ndrain: soon\nresources:\n  limits: {cpu: lots}\nholdApplication: false\nimagePullPolicy: never\n";
    let error = InjectorConfig::read(text).unwrap_err().to_string();
    for part in [
        "line 1: imge: no such field; did you mean \"image\"?",
        "line 2: drain: \"soon\" is no duration",
        "line 4: resources.limits.cpu: \"lots\" is no amount",
        "line 5: holdApplication: cannot be false",
        "line 6: imagePullPolicy: \"never\" is no pull policy",
    ] {
        assert!(error.contains(part), "{part}: {error}");
    }
    for text in
        ["concurrency: -1", "concurrency: 0", "image: [a]", "a: 1\n---\nb: 2", "x", "[", "excludeInboundPorts: true"]
    {
        assert!(InjectorConfig::read(text).is_err(), "{text}");
    }
}
