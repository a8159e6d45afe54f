//! The cluster itself: what it must do before a mesh on it means anything, and that it leaves nothing behind.

use std::time::{Duration, Instant};

use cluster::{Cluster, ECHO_IMAGE, Options, echo};
use libtest_mimic::Trial;

use crate::{Outcome, ensure, test};

pub fn tests() -> Vec<Trial> {
    vec![test("basics::pods_reach_services_by_name_and_programs_run_in_them", pods)]
}

/// How long pods may take to be ready on a busy machine.
const LIMIT: Duration = Duration::from_secs(60);

fn pods() -> Outcome {
    let started = Instant::now();
    let cluster = Cluster::start(Options::default())?;
    println!("a Ready node after {:?}", started.elapsed());
    cluster.load(&echo(cluster.programs())?)?;
    let started = Instant::now();
    cluster.apply(&workload("server"))?;
    cluster.apply(&workload("client"))?;
    cluster.kubectl(&["wait", "--for=condition=Available", "--timeout=60s", "deployment", "server", "client"])?;
    println!("two pods after {:?}", started.elapsed());
    let client = cluster.kubectl(&["get", "pod", "--selector=app=client", "--output=name"])?;
    let names = ["http://server/", "http://server.default/", "http://server.default.svc.cluster.local/"];
    for url in names {
        let answer =
            cluster.wait_until(url, LIMIT, || cluster.exec("default", client.trim(), "echo", &["client", url]))?;
        ensure!(answer.contains("StatusCode=200"), "{url}: {answer}");
        ensure!(answer.contains("Hostname=server-"), "{url}: not answered by the server's pod: {answer}");
    }
    let wrong = cluster.exec("default", client.trim(), "echo", &["client", "http://nobody/"]);
    ensure!(wrong.is_err(), "a Service that does not exist answered: {wrong:?}");
    Ok(())
}

fn workload(name: &str) -> String {
    format!(
        r#"
apiVersion: apps/v1
kind: Deployment
metadata: {{name: {name}}}
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
metadata: {{name: {name}}}
spec: {{selector: {{app: {name}}}, ports: [{{name: http, port: 80, targetPort: 8080}}]}}
"#
    )
}
