//! The suite's world in namespaces of our own: three Services over two versions of echo, and a consumer in a namespace beside.

use std::fmt::Write;
use std::time::Duration;

use cluster::{Cluster, ClusterError, ECHO_IMAGE};
use serde_json::Value;

/// How long pods may take to be ready, and routes to be accepted, on a busy machine.
const LIMIT: Duration = Duration::from_secs(60);
const CONTROLLER: &str = "meltemi.dev/mesh-controller";

/// The world in a namespace and the one of its consumer.
pub struct World<'a> {
    pub cluster: &'a Cluster,
    pub namespace: String,
    pub consumer: String,
    /// The pods that ask: version 1 of echo, and the consumer's.
    pub client: String,
    pub consumer_client: String,
}

/// Makes the namespaces with their pods and Services; ready when this returns.
pub fn create(cluster: &Cluster, namespace: &str, injected: bool) -> Result<(), ClusterError> {
    let consumer = format!("{namespace}-consumer");
    let injection = if injected { "enabled" } else { "disabled" };
    let mut yaml = String::new();
    for name in [namespace, &consumer] {
        let labels = format!("{{istio-injection: {injection}}}");
        let _ =
            write!(yaml, "{{apiVersion: v1, kind: Namespace, metadata: {{name: {name}, labels: {labels}}}}}\n---\n");
    }
    for (namespace, version) in [(namespace, "v1"), (namespace, "v2"), (&consumer, "v1")] {
        yaml += &deployment(namespace, version);
    }
    for (service, selector, grpc) in [
        ("echo", "{app: echo}", ", appProtocol: kubernetes.io/h2c"),
        ("echo-v1", "{app: echo, version: v1}", ""),
        ("echo-v2", "{app: echo, version: v2}", ""),
    ] {
        yaml += &self::service(namespace, service, selector, grpc);
    }
    cluster.apply(&yaml)?;
    for (namespace, name) in [(namespace, "echo-v1"), (namespace, "echo-v2"), (&consumer, "echo-v1")] {
        let deployment = format!("deployment/{name}");
        cluster.kubectl(&["rollout", "status", "--namespace", namespace, "--timeout=120s", &deployment])?;
    }
    Ok(())
}

fn deployment(namespace: &str, version: &str) -> String {
    format!(
        r#"apiVersion: apps/v1
kind: Deployment
metadata: {{name: echo-{version}, namespace: {namespace}}}
spec:
  selector: {{matchLabels: {{app: echo, version: {version}}}}}
  template:
    metadata: {{labels: {{app: echo, version: {version}}}}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
        - name: echo
          image: {ECHO_IMAGE}
          args: [--tcp=9090, --port=8080, --grpc=7070, --port=8443, --tls=8443, --crt=/cert.crt, --key=/cert.key]
          readinessProbe: {{httpGet: {{port: 8080}}, periodSeconds: 1}}
---
"#
    )
}

fn service(namespace: &str, name: &str, selector: &str, grpc: &str) -> String {
    format!(
        r#"apiVersion: v1
kind: Service
metadata: {{name: {name}, namespace: {namespace}}}
spec:
  selector: {selector}
  ports:
    - {{name: http, port: 80, appProtocol: http, targetPort: 8080}}
    - {{name: http-alt, port: 8080, appProtocol: http}}
    - {{name: https, port: 443, targetPort: 8443}}
    - {{name: tcp, port: 9090}}
    - {{name: grpc, port: 7070{grpc}}}
---
"#
    )
}

impl<'a> World<'a> {
    /// The world that [`create`] made.
    pub fn new(cluster: &'a Cluster, namespace: &str) -> Result<Self, ClusterError> {
        let consumer = format!("{namespace}-consumer");
        let client = pod(cluster, namespace, "v1", "{.items[0].metadata.name}")?;
        let consumer_client = pod(cluster, &consumer, "v1", "{.items[0].metadata.name}")?;
        Ok(Self { cluster, namespace: namespace.to_owned(), consumer, client, consumer_client })
    }

    /// The address of the one pod of a version.
    pub fn pod_ip(&self, version: &str) -> Result<String, ClusterError> {
        pod(self.cluster, &self.namespace, version, "{.items[0].status.podIP}")
    }

    /// Runs `look` while routes are there, from the moment that all of them are accepted. The outer error is one of
    /// the routes themselves.
    pub fn with<T>(&self, routes: &str, look: impl FnOnce(&Self) -> T) -> Result<T, ClusterError> {
        let yaml = routes.replace("CONSUMER", &self.consumer).replace("MESH", &self.namespace);
        if yaml.is_empty() {
            return Ok(look(self));
        }
        self.cluster.apply(&yaml)?;
        let accepted = self.accepted();
        let seen = accepted.map(|()| look(self));
        for namespace in [&self.namespace, &self.consumer] {
            self.cluster.kubectl(&["delete", "httproutes,grpcroutes", "--all", "--namespace", namespace])?;
        }
        seen
    }

    fn accepted(&self) -> Result<(), ClusterError> {
        self.cluster.wait_until("the routes are accepted", LIMIT, || {
            for namespace in [&self.namespace, &self.consumer] {
                let listed =
                    self.cluster.kubectl(&["get", "httproutes,grpcroutes", "--namespace", namespace, "--output=json"]);
                let listed: Value = serde_json::from_str(&listed.map_err(|error| error.to_string())?)
                    .map_err(|error| error.to_string())?;
                let routes = listed["items"].as_array().ok_or("no list")?;
                routes.iter().try_for_each(is_accepted)?;
            }
            Ok::<_, String>(())
        })
    }
}

/// Every parent has an entry of ours with exactly the reference that the route has, and the route as it is now is accepted.
fn is_accepted(route: &Value) -> Result<(), String> {
    let parents = route["spec"]["parentRefs"].as_array().ok_or("no parents")?;
    let entries = route["status"]["parents"].as_array().ok_or("no status yet")?;
    for parent in parents {
        let entry = entries
            .iter()
            .find(|entry| entry["parentRef"] == *parent && entry["controllerName"] == CONTROLLER)
            .ok_or_else(|| format!("no entry for {parent} in {entries:?}"))?;
        let conditions = entry["conditions"].as_array().ok_or("no conditions")?;
        let accepted = conditions.iter().find(|condition| condition["type"] == "Accepted").ok_or("no Accepted")?;
        let current = accepted["observedGeneration"] == route["metadata"]["generation"];
        if accepted["status"] != "True" || !current {
            return Err(accepted.to_string());
        }
    }
    Ok(())
}

fn pod(cluster: &Cluster, namespace: &str, version: &str, path: &str) -> Result<String, ClusterError> {
    let (selector, path) = (format!("--selector=app=echo,version={version}"), format!("--output=jsonpath={path}"));
    cluster.kubectl(&["get", "pods", "--namespace", namespace, &selector, &path])
}
