//! Pods of Istio's echo for the tests: a server behind a Service, which is also a client.

use std::time::Duration;

use cluster::{Cluster, ClusterError, ECHO_IMAGE};

/// How long pods may take to be ready on a busy machine.
pub const LIMIT: Duration = Duration::from_secs(60);

/// A Deployment of one pod and a Service, port 80, both called `name`; ready when this returns.
pub fn echo(cluster: &Cluster, namespace: &str, name: &str) -> Result<(), ClusterError> {
    cluster.apply(&manifest(namespace, name))?;
    let deployment = format!("deployment/{name}");
    cluster.kubectl(&["rollout", "status", "--namespace", namespace, "--timeout=60s", &deployment]).map(drop)
}

fn manifest(namespace: &str, name: &str) -> String {
    format!(
        r#"
apiVersion: v1
kind: Namespace
metadata: {{name: {namespace}}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {{name: {name}, namespace: {namespace}}}
spec:
  selector: {{matchLabels: {{app: {name}}}}}
  template:
    metadata: {{labels: {{app: {name}}}}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
        - name: echo
          image: {ECHO_IMAGE}
          args: ["--port=8080"]
          readinessProbe: {{httpGet: {{port: 8080}}, periodSeconds: 1}}
---
apiVersion: v1
kind: Service
metadata: {{name: {name}, namespace: {namespace}}}
spec: {{selector: {{app: {name}}}, ports: [{{name: http, port: 80, targetPort: 8080}}]}}
"#
    )
}

/// The one pod of a Deployment of [`echo`].
pub fn pod(cluster: &Cluster, namespace: &str, name: &str) -> Result<String, ClusterError> {
    let selector = format!("--selector=app={name}");
    let path = "--output=jsonpath={.items[0].metadata.name}";
    cluster.kubectl(&["get", "pods", "--namespace", namespace, &selector, path])
}

/// One request from a pod; the answer as lines such as `StatusCode=200` and `Hostname=<pod>`.
pub fn call(cluster: &Cluster, namespace: &str, pod: &str, url: &str) -> Result<String, ClusterError> {
    cluster.exec(namespace, pod, "echo", &["client", url])
}

/// Calls until a pod whose name begins with `server` has answered with 200.
pub fn reaches(cluster: &Cluster, namespace: &str, pod: &str, url: &str, server: &str) -> Result<(), ClusterError> {
    let hostname = format!("Hostname={server}");
    cluster.wait_until(&format!("{server} answers {url}"), LIMIT, || {
        let answer = call(cluster, namespace, pod, url).map_err(|error| error.to_string())?;
        let right = answer.contains("StatusCode=200") && answer.contains(&hostname);
        if right { Ok(()) } else { Err(answer) }
    })
}
