//! The application's probes under STRICT: the kubelet asks the sidecar, which is told what to ask the application.

use crate::fixture::{annotated, injected, pod_with, variable};
use serde_json::{Value, json};

fn probed(container: Value) -> (Value, Value, Vec<String>) {
    let (pod, warnings) = injected(&pod_with(|pod| pod["spec"]["containers"][0] = container));
    let probers = variable(&pod, "ISTIO_KUBE_APP_PROBERS")
        .map_or(Value::Null, |text| serde_json::from_str(&text.replace("$$", "$")).unwrap());
    (pod["spec"]["containers"][0].clone(), probers, warnings)
}

#[test]
fn http_tcp_and_grpc_are_rewritten_and_the_rest_of_the_probe_stays() {
    let (app, probers, warnings) = probed(json!({
        "name": "app", "image": "a",
        "ports": [{ "name": "web", "containerPort": 8080 }],
        "readinessProbe": {
            "httpGet": { "path": "/ready?x=$(Y)", "port": "web", "scheme": "HTTPS", "httpHeaders": [{ "name": "A", "value": "b" }] },
            "timeoutSeconds": 7, "periodSeconds": 3, "fieldOfNextYear": 1
        },
        "livenessProbe": { "tcpSocket": { "port": 5432 } },
        "startupProbe": { "grpc": { "port": 9000, "service": "shop" }, "timeoutSeconds": 2 }
    }));
    assert_eq!(warnings, Vec::<String>::new());
    let asked = |page: &str| json!({ "path": format!("/app-health/app/{page}"), "port": 15020, "scheme": "HTTP" });
    let readiness =
        json!({ "httpGet": asked("readyz"), "timeoutSeconds": 7, "periodSeconds": 3, "fieldOfNextYear": 1 });
    assert_eq!(app["readinessProbe"], readiness);
    assert_eq!(app["livenessProbe"], json!({ "httpGet": asked("livez") }));
    assert_eq!(app["startupProbe"], json!({ "httpGet": asked("startupz"), "timeoutSeconds": 2 }));
    let expected = json!({
        "/app-health/app/readyz": {
            "httpGet": { "path": "/ready?x=$(Y)", "port": 8080, "scheme": "HTTPS", "httpHeaders": [{ "name": "A", "value": "b" }] },
            "timeoutSeconds": 7
        },
        "/app-health/app/livez": { "tcpSocket": { "port": 5432 }, "timeoutSeconds": 1 },
        "/app-health/app/startupz": { "grpc": { "port": 9000, "service": "shop" }, "timeoutSeconds": 2 }
    });
    assert_eq!(probers, expected);
}

/// The kubelet replaces `$(NAME)` in the values of variables.
#[test]
fn a_dollar_in_a_path_survives_the_kubelet() {
    let get = json!({ "httpGet": { "path": "/$(POD_NAME)", "port": 80 } });
    let (pod, _) = injected(&pod_with(|pod| pod["spec"]["containers"][0]["livenessProbe"] = get));
    assert!(variable(&pod, "ISTIO_KUBE_APP_PROBERS").unwrap().contains("/$$(POD_NAME)"));
}

#[test]
fn probes_that_need_no_help_stay() {
    for probe in [
        json!({ "exec": { "command": ["true"] } }),
        json!({ "httpGet": { "path": "/", "port": 80, "host": "192.0.2.1" } }),
        json!({ "tcpSocket": { "port": 80, "host": "192.0.2.1" } }),
        json!({ "httpGet": { "path": "/healthz/ready", "port": 15021 } }),
    ] {
        let (app, probers, _) = probed(json!({ "name": "app", "image": "a", "livenessProbe": probe }));
        assert_eq!((&app["livenessProbe"], probers), (&probe, Value::Null));
    }
    let mut off = annotated(&[("sidecar.istio.io/rewriteAppHTTPProbers", "false")]);
    off["spec"]["containers"][0]["livenessProbe"] = json!({ "httpGet": { "port": 80 } });
    assert_eq!(injected(&off).0["spec"]["containers"], off["spec"]["containers"]);
}

#[test]
fn sidecars_of_the_user_are_helped_too() {
    let probe = json!({ "tcpSocket": { "port": 80 } });
    let beside = json!([{ "name": "log", "image": "l", "restartPolicy": "Always", "startupProbe": probe }]);
    let (pod, _) = injected(&pod_with(|pod| pod["spec"]["initContainers"] = beside));
    let asked = &pod["spec"]["initContainers"][2]["startupProbe"]["httpGet"]["path"];
    assert_eq!(asked, "/app-health/log/startupz");
}

#[test]
fn a_port_name_that_does_not_exist_and_hooks_by_network_are_told() {
    let (app, _, warnings) = probed(json!({
        "name": "app", "image": "a",
        "livenessProbe": { "httpGet": { "port": "wbe" } },
        "lifecycle": { "preStop": { "httpGet": { "port": 80 } } }
    }));
    assert_eq!(app["livenessProbe"], json!({ "httpGet": { "port": "wbe" } }));
    assert!(warnings[0].contains("preStop hook is called without mTLS"), "{warnings:?}");
    assert_eq!(warnings[1], "container app: livenessProbe stays as it is: the container has no port named \"wbe\"");
}

#[test]
fn a_header_that_frames_a_request_keeps_the_probe_as_it_is() {
    let probe = json!({ "httpGet": { "port": 80, "httpHeaders": [{ "name": "Content-Length", "value": "5" }] } });
    let (app, _, warnings) = probed(json!({ "name": "app", "image": "a", "livenessProbe": probe }));
    assert_eq!(app["livenessProbe"], probe);
    assert!(warnings[0].ends_with("the sidecar cannot send its header \"Content-Length\""), "{warnings:?}");
}

#[test]
fn the_status_port_may_be_another() {
    let mut pod = annotated(&[("status.sidecar.istio.io/port", "15999")]);
    pod["spec"]["containers"][0]["livenessProbe"] = json!({ "httpGet": { "port": 80 } });
    let (pod, _) = injected(&pod);
    assert_eq!(pod["spec"]["containers"][0]["livenessProbe"]["httpGet"]["port"], 15999);
    assert_eq!(crate::fixture::flag(&pod, "istio-proxy", "--metrics").as_deref(), Some("[::]:15999"));
    assert_eq!(pod["metadata"]["annotations"]["prometheus.io/port"], "15999");
}
