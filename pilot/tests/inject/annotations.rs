//! Istio's annotations: each does what Istio's documentation says, a wrong value refuses the pod with the right one
//! beside it, and what does nothing is told.

use crate::fixture::{added, annotated, flag, injected, pod_with, refused, variable};
use serde_json::{Value, json};

#[test]
fn capture_annotations_become_istio_iptables_flags() {
    for (name, value, flag_name, expected) in [
        ("traffic.sidecar.istio.io/includeOutboundIPRanges", "10.0.0.0/8, 192.0.2.7", "-i", "10.0.0.0/8,192.0.2.7"),
        ("traffic.sidecar.istio.io/includeOutboundIPRanges", "", "-i", ""),
        ("traffic.sidecar.istio.io/excludeOutboundIPRanges", "2001:db8::/32", "-x", "2001:db8::/32"),
        ("traffic.sidecar.istio.io/includeInboundPorts", "80,443", "-b", "80,443"),
        ("traffic.sidecar.istio.io/includeInboundPorts", "*", "-b", "*"),
        ("traffic.sidecar.istio.io/excludeInboundPorts", "9000,9001", "-d", "15090,15021,15020,9000,9001"),
        ("traffic.sidecar.istio.io/includeOutboundPorts", "5432", "-q", "5432"),
        ("traffic.sidecar.istio.io/excludeOutboundPorts", "3306", "-o", "3306"),
        ("traffic.sidecar.istio.io/excludeInterfaces", "net1,eth1", "-c", "net1,eth1"),
        ("traffic.sidecar.istio.io/kubevirtInterfaces", "k6t", "-k", "k6t"),
        ("istio.io/reroute-virtual-interfaces", "k6t", "-k", "k6t"),
        ("status.sidecar.istio.io/port", "15999", "-d", "15090,15021,15999"),
    ] {
        let (pod, warnings) = injected(&annotated(&[(name, value)]));
        assert_eq!(flag(&pod, "istio-init", flag_name).as_deref(), Some(expected), "{name}: {value}");
        assert_eq!(warnings, Vec::<String>::new(), "{name}");
    }
}

#[test]
fn the_sidecar_follows_its_annotations() {
    let (pod, _) = injected(&annotated(&[
        ("sidecar.istio.io/proxyImage", "registry.example/own:3"),
        ("sidecar.istio.io/proxyCPU", "250m"),
        ("sidecar.istio.io/proxyMemoryLimit", "96Mi"),
        ("sidecar.istio.io/logLevel", "warning"),
        ("sidecar.istio.io/discoveryAddress", "istiod.istio-system.svc.cluster.local:15012"),
        ("readiness.status.sidecar.istio.io/initialDelaySeconds", "2"),
        ("readiness.status.sidecar.istio.io/periodSeconds", "5"),
        ("readiness.status.sidecar.istio.io/failureThreshold", "9"),
        ("sidecar.istio.io/userVolume", r#"{"certs": {"secret": {"secretName": "c"}}}"#),
        ("sidecar.istio.io/userVolumeMount", r#"[{"name": "certs", "mountPath": "/certs"}]"#),
    ]));
    let proxy = added(&pod, "istio-proxy");
    assert_eq!(proxy["image"], "registry.example/own:3");
    // As in Istio: one of them takes the place of all that is configured.
    assert_eq!(proxy["resources"], json!({ "requests": { "cpu": "250m" }, "limits": { "memory": "96Mi" } }));
    assert_eq!(variable(&pod, "RUST_LOG").as_deref(), Some("warn"));
    assert_eq!(variable(&pod, "CA_ADDR").as_deref(), Some("istiod.istio-system.svc.cluster.local:15012"));
    assert_eq!(flag(&pod, "istio-proxy", "--control-plane-name").as_deref(), Some("istiod.istio-system.svc"));
    let readiness = &proxy["readinessProbe"];
    let count = |name: &str| readiness[name].as_i64().unwrap();
    assert_eq!((count("initialDelaySeconds"), count("periodSeconds"), count("failureThreshold")), (2, 5, 9));
    assert_eq!(pod["spec"]["volumes"][2], json!({ "name": "certs", "secret": { "secretName": "c" } }));
    assert_eq!(proxy["volumeMounts"][2], json!({ "name": "certs", "mountPath": "/certs" }));
}

#[test]
fn proxy_config_is_read_and_the_rest_of_it_is_warned_of() {
    let config = "concurrency: 2\nterminationDrainDuration: 1m30s\nholdApplicationUntilProxyStarts: true\n\
                  proxyMetadata:\n  MINIMUM_DRAIN_DURATION: 2s\n  ISTIO_META_DNS_CAPTURE: 'true'\n\
                  tracing: {sampling: 10}\nconcurency: 3\n";
    let (pod, warnings) = injected(&annotated(&[("proxy.istio.io/config", config)]));
    assert_eq!(variable(&pod, "ISTIO_PROXY_CONCURRENCY").as_deref(), Some("2"));
    assert_eq!(variable(&pod, "TERMINATION_DRAIN_DURATION").as_deref(), Some("90s"));
    assert_eq!(variable(&pod, "MINIMUM_DRAIN_DURATION").as_deref(), Some("2s"));
    assert_eq!(
        warnings,
        [
            "annotation proxy.istio.io/config: tracing has no effect on this sidecar",
            "annotation proxy.istio.io/config: concurency does not exist and has no effect; did you mean concurrency?",
            "annotation proxy.istio.io/config: proxyMetadata.ISTIO_META_DNS_CAPTURE has no effect: the sidecar does not read it",
        ]
    );
}

#[test]
fn a_wrong_value_is_refused_with_the_right_one() {
    for (name, value, wanted) in [
        ("sidecar.istio.io/inject", "yes", "is neither \"true\" nor \"false\""),
        ("sidecar.istio.io/proxyCPU", "1x", "is no amount; write such as 100m"),
        ("sidecar.istio.io/proxyImage", "two words", "is no image; write such as"),
        ("sidecar.istio.io/logLevel", "loud", "is no level; use trace, debug"),
        ("sidecar.istio.io/interceptionMode", "TPROXY", "is not supported; use REDIRECT"),
        ("sidecar.istio.io/interceptionMode", "NONE", "label it sidecar.istio.io/inject: \"false\""),
        ("sidecar.istio.io/rewriteAppHTTPProbers", "1", "is neither \"true\" nor \"false\""),
        ("sidecar.istio.io/userVolume", "[{\"secret\": {}}]", "that have a name"),
        ("sidecar.istio.io/userVolumeMount", "{", "is no JSON"),
        ("sidecar.istio.io/nativeSidecar", "maybe", "is neither \"true\" nor \"false\""),
        ("sidecar.istio.io/discoveryAddress", "istiod", "write host:port"),
        ("traffic.sidecar.istio.io/includeOutboundIPRanges", "10.0.0.0/40", "no range of addresses"),
        ("traffic.sidecar.istio.io/excludeOutboundIPRanges", "*", "no range of addresses"),
        ("traffic.sidecar.istio.io/excludeInboundPorts", "http", "no port; write numbers"),
        ("traffic.sidecar.istio.io/excludeOutboundPorts", "70000", "no port; write numbers"),
        ("traffic.sidecar.istio.io/excludeInterfaces", "a-name-that-is-too-long", "no name of a network interface"),
        ("status.sidecar.istio.io/port", "0", "is no port"),
        ("readiness.status.sidecar.istio.io/periodSeconds", "0", "write at least 1"),
        ("inject.istio.io/templates", "gateway", "asks for a template that does not exist here"),
        ("proxy.istio.io/config", "concurrency: many", "concurrency: expected a whole number"),
        (
            "proxy.istio.io/config",
            "proxyMetadata: {SECRET_TTL: soon}",
            "proxyMetadata.SECRET_TTL: \"soon\" is no duration",
        ),
        ("proxy.istio.io/config", "interceptionMode: TPROXY", "\"TPROXY\" is not supported"),
        ("proxy.istio.io/config", "a: [", "is not YAML"),
    ] {
        let problems = refused(&annotated(&[(name, value)]));
        assert_eq!(problems.len(), 1, "{name}: {problems:?}");
        assert!(problems[0].contains(name) && problems[0].contains(wanted), "{name}: {value}: {problems:?}");
    }
}

#[test]
fn all_wrong_values_are_told_at_once() {
    let wrong = [("sidecar.istio.io/proxyCPU", "?"), ("status.sidecar.istio.io/port", "x")];
    assert_eq!(refused(&annotated(&wrong)).len(), 2);
}

#[test]
fn what_does_nothing_is_told() {
    for (name, value, wanted) in [
        ("sidecar.istio.io/proxyCpu", "1", "did you mean sidecar.istio.io/proxyCPU?"),
        ("traffic.istio.io/excludeInboundPorts", "1", "did you mean traffic.sidecar.istio.io/excludeInboundPorts?"),
        ("sidecar.istio.io/whatever", "1", "is not known on a pod and has no effect"),
        ("sidecar.istio.io/bootstrapOverride", "x", "has no effect: it configures Envoy"),
        ("sidecar.istio.io/componentLogLevel", "misc:error", "use sidecar.istio.io/logLevel"),
        ("sidecar.istio.io/nativeSidecar", "false", "always a native one"),
        ("security.istio.io/tlsMode", "istio", "it is a label"),
        ("proxy.istio.io/config", "holdApplicationUntilProxyStarts: false", "always starts before the application"),
        ("proxy.istio.io/config", "concurrency: 0", "is not supported; the sidecar has 1"),
    ] {
        let (_, warnings) = injected(&annotated(&[(name, value)]));
        assert!(warnings.iter().any(|warning| warning.contains(wanted)), "{name}: {warnings:?}");
    }
    let (_, warnings) = injected(&pod_with(|pod| {
        pod["metadata"]["labels"] =
            json!({ "traffic.sidecar.istio.io/excludeInboundPorts": "80", "sidecar.istio.io/injct": "true" });
    }));
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    assert!(warnings[0].contains("did you mean sidecar.istio.io/inject?"), "{warnings:?}");
    assert!(warnings[1].contains("it is an annotation"), "{warnings:?}");
    let (_, warnings) = injected(&annotated(&[("example.com/istio.io", "x"), ("notistio.io/x", "y")]));
    assert_eq!(warnings, Vec::<String>::new());
}

#[test]
fn prometheus_keeps_what_the_author_told_it() {
    let own = [("prometheus.io/port", "9102"), ("prometheus.io/scrape", "true")];
    let (pod, warnings) = injected(&annotated(&own));
    assert_eq!(pod["metadata"]["annotations"]["prometheus.io/port"], "9102");
    assert_eq!(pod["metadata"]["annotations"]["prometheus.io/path"], Value::Null);
    assert!(warnings[0].contains("not merged yet"), "{warnings:?}");
    for silent in [("prometheus.io/scrape", "false"), ("prometheus.istio.io/merge-metrics", "false")] {
        let (pod, warnings) = injected(&annotated(&[silent]));
        assert_eq!(pod["metadata"]["annotations"]["prometheus.io/port"], Value::Null);
        assert_eq!(warnings, Vec::<String>::new());
    }
}
