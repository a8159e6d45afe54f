//! The objects of the proof: a namespace, two service accounts, a Service, and two pods that run this very program.

use crate::install::rollout::ControlPlane;
use crate::names::REVISION;
use k8s_openapi::api::core::v1::{Namespace, Pod, Service, ServiceAccount};
use serde_json::{Value, json};

/// Name of the client's pod, container and service account.
pub const CLIENT: &str = "client";
/// Name of the server's pod, container, service account and Service.
pub const SERVER: &str = "server";

/// A name that no other run has.
pub fn namespace_name() -> String {
    format!("meltemi-proof-{:08x}", fastrand::u32(..))
}

/// The sidecar's init container needs NET_ADMIN, which a cluster may forbid where a namespace does not say otherwise.
pub fn namespace(name: &str, revision: &str) -> serde_json::Result<Namespace> {
    let labels = json!({ REVISION: revision, "app.kubernetes.io/managed-by": "meltemi-install",
                         "pod-security.kubernetes.io/enforce": "privileged" });
    serde_json::from_value(json!({ "metadata": { "name": name, "labels": labels } }))
}

/// Each pod has an account of its own, so that the certificate tells which of the two it is.
pub fn account(name: &str) -> serde_json::Result<ServiceAccount> {
    serde_json::from_value(json!({ "metadata": { "name": name } }))
}

/// The server's Service.
pub fn service() -> serde_json::Result<Service> {
    let port = json!({ "name": "http", "port": 80, "targetPort": 8080 });
    serde_json::from_value(
        json!({ "metadata": { "name": SERVER }, "spec": { "selector": { "app": SERVER }, "ports": [port] } }),
    )
}

/// Answers with the headers that it saw.
pub fn server(plane: &ControlPlane) -> serde_json::Result<Pod> {
    let probe = json!({ "tcpSocket": { "port": 8080 }, "periodSeconds": 1 });
    pod(plane, SERVER, &["shop", "echo"], json!({ "ports": [{ "containerPort": 8080 }], "readinessProbe": probe }))
}

/// Asks once the server can be reached, prints the answer and ends.
pub fn client(plane: &ControlPlane, namespace: &str) -> serde_json::Result<Pod> {
    let target = format!("{SERVER}.{namespace}");
    pod(plane, CLIENT, &["shop", "ask", "--target", &target, "--within", "60s"], json!({}))
}

fn pod(plane: &ControlPlane, name: &str, args: &[&str], more: Value) -> serde_json::Result<Pod> {
    let mut container = json!({
        "name": name,
        "image": plane.image,
        "imagePullPolicy": plane.pull_policy,
        "args": args,
        "securityContext": { "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "runAsNonRoot": true,
                             "runAsUser": 65532, "runAsGroup": 65532, "capabilities": { "drop": ["ALL"] },
                             "seccompProfile": { "type": "RuntimeDefault" } },
    });
    if let (Some(container), Value::Object(more)) = (container.as_object_mut(), more) {
        container.extend(more);
    }
    let secrets: Vec<Value> = plane.pull_secrets.iter().map(|secret| json!({ "name": secret })).collect();
    serde_json::from_value(json!({
        "metadata": { "name": name, "labels": { "app": name } },
        "spec": {
            "serviceAccountName": name,
            "automountServiceAccountToken": false,
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 5,
            "imagePullSecrets": secrets,
            "containers": [container],
        },
    }))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::{CLIENT, client, namespace};
    use crate::install::rollout::ControlPlane;

    /// The sidecar's own connections are told by its user: an application that ran as 1337 would slip past the capture.
    #[test]
    fn the_pods_run_the_control_planes_image_as_another_user_than_the_sidecar() {
        let plane = ControlPlane {
            name: "meltemi-blue".to_owned(),
            ready: 1,
            wanted: 1,
            revision: "blue".to_owned(),
            trust_domain: "cluster.local".to_owned(),
            image: "r/meltemi:2".to_owned(),
            pull_policy: Some("Never".to_owned()),
            pull_secrets: vec!["s".to_owned()],
        };
        let pod = client(&plane, "ns").unwrap();
        let spec = pod.spec.unwrap();
        let container = &spec.containers[0];
        assert_eq!(container.image.as_deref(), Some("r/meltemi:2"));
        assert_eq!(container.image_pull_policy.as_deref(), Some("Never"));
        assert_ne!(container.security_context.as_ref().unwrap().run_as_user, Some(1337));
        assert_eq!(spec.image_pull_secrets.unwrap()[0].name, "s");
        assert_eq!(spec.service_account_name.as_deref(), Some(CLIENT));
        assert_eq!(namespace("x", "blue").unwrap().metadata.labels.unwrap()["istio.io/rev"], "blue");
    }
}
