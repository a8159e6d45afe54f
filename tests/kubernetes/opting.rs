//! Which pods get a sidecar: Istio's labels of namespaces and pods, in Istio's order, as the API server and the webhook
//! decide it together. Pods are made as a dry run, which asks the webhooks and stores nothing.

use cluster::ECHO_IMAGE;
use libtest_mimic::Trial;
use serde_json::{Value, json};

use crate::installed::{Installed, on_mesh};
use crate::{Outcome, api, ensure};

pub fn tests() -> Vec<Trial> {
    vec![
        on_mesh("opting::labels_of_namespaces_and_pods_decide", labels),
        on_mesh("opting::kubernetes_and_the_control_plane_are_never_touched", never),
    ]
}

/// A namespace by its label, and for each kind of pod whether it gets a sidecar.
type Row = (&'static str, &'static str, [bool; 5]);

/// In the order of a row: says nothing, `inject=true`, `inject=false`, the same as an annotation, `istio.io/rev=default`.
fn pods() -> [Value; 5] {
    [
        json!({}),
        json!({"labels": {"sidecar.istio.io/inject": "true"}}),
        json!({"labels": {"sidecar.istio.io/inject": "false"}}),
        json!({"annotations": {"sidecar.istio.io/inject": "false"}}),
        json!({"labels": {"istio.io/rev": "default"}}),
    ]
}

/// Istio's table (its documentation of injection, "Controlling the injection policy").
const ROWS: [Row; 5] = [
    ("opt-enabled", "istio-injection: enabled", [true, true, false, false, true]),
    ("opt-revision", "istio.io/rev: default", [true, true, false, false, true]),
    ("opt-nothing", "", [false, true, false, false, true]),
    ("opt-disabled", "istio-injection: disabled", [false, false, false, false, false]),
    ("opt-other", "istio.io/rev: other", [false, false, false, false, false]),
];

fn labels(mesh: &Installed) -> Outcome {
    let mut wrong = Vec::new();
    for (name, label, wanted) in ROWS {
        mesh.namespace(name, label)?;
        for (metadata, wanted) in pods().into_iter().zip(wanted) {
            let injected = has_sidecar(mesh, name, &metadata)?;
            if injected != wanted {
                wrong.push(format!("{name} ({label}), pod {metadata}: a sidecar is {injected}"));
            }
        }
        mesh.cluster.kubectl(&["delete", "namespace", name, "--wait=false"])?;
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

fn never(mesh: &Installed) -> Outcome {
    for namespace in ["kube-system", "kube-public", "meltemi-system"] {
        ensure!(!has_sidecar(mesh, namespace, &pods()[1])?, "a pod of {namespace} got a sidecar");
    }
    Ok(())
}

fn has_sidecar(mesh: &Installed, namespace: &str, metadata: &Value) -> Result<bool, String> {
    let mut pod = json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": metadata,
        "spec": {
            "securityContext": {
                "runAsNonRoot": true, "runAsUser": 1000, "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [{"name": "app", "image": ECHO_IMAGE, "securityContext": {
                "allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]},
            }}],
        },
    });
    pod["metadata"]["name"] = "dry".into();
    let path = format!("/api/v1/namespaces/{namespace}/pods?dryRun=All");
    let made = api::create(&mesh.cluster, &path, &pod).map_err(|error| format!("{namespace}: {metadata}: {error}"))?;
    let added = made["spec"]["initContainers"].as_array().into_iter().flatten();
    Ok(added.into_iter().any(|container| container["name"] == "istio-proxy"))
}
