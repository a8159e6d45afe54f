//! Whom a route is for: the Service, port and namespace that were dialled, whatever the Host header says.

use super::Twin;
use super::client::{Answer, Ask};
use super::world::World;
use crate::Outcome;

pub fn twins() -> Vec<Twin> {
    vec![
        Twin { name: "MeshBasic", routes: "", check: basic },
        Twin { name: "MeshFrontend", routes: FRONTEND, check: frontend },
        Twin { name: "MeshFrontendHostname", routes: FRONTEND, check: frontend_hostname },
        Twin { name: "MeshPorts", routes: PORTS, check: ports },
        Twin { name: "MeshConsumerRoute", routes: CONSUMER, check: consumer },
    ]
}

const FRONTEND: &str = "
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: frontend, namespace: MESH}
spec:
  parentRefs: [{group: '', kind: Service, name: echo-v2}]
  rules:
    - filters: [{type: ResponseHeaderModifier, responseHeaderModifier: {set: [{name: X-Header-Set, value: set}]}}]
      backendRefs: [{name: echo-v2, port: 80}]
";

const PORTS: &str = "
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: one-port, namespace: MESH}
spec:
  parentRefs: [{group: '', kind: Service, name: echo-v1, port: 80}]
  rules:
    - filters: [{type: ResponseHeaderModifier, responseHeaderModifier: {set: [{name: X-Header-Set, value: v1}]}}]
      backendRefs: [{name: echo-v1, port: 80}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: all-ports, namespace: MESH}
spec:
  parentRefs: [{group: '', kind: Service, name: echo-v2}]
  rules:
    - filters: [{type: ResponseHeaderModifier, responseHeaderModifier: {set: [{name: X-Header-Set, value: v2}]}}]
      backendRefs: [{name: echo-v2, port: 80}]
";

const CONSUMER: &str = "
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: consumer, namespace: CONSUMER}
spec:
  parentRefs: [{group: '', kind: Service, name: echo-v1, namespace: MESH}]
  rules:
    - filters: [{type: ResponseHeaderModifier, responseHeaderModifier: {set: [{name: X-Header-Set, value: set}]}}]
      backendRefs: [{name: echo-v1, namespace: MESH, port: 80}]
";

/// Whether a pod of a Deployment answered, and what it was made to say.
fn said(answer: &Answer, backend: &str, expected: &[&str]) -> bool {
    answer.status == 200 && answer.backend() == backend && answer.back("X-Header-Set") == expected
}

/// The suite is content when somebody answers. That can only be the mesh when the server knows who asked.
fn basic(world: &World<'_>) -> Outcome {
    let identity = format!("URI=spiffe://cluster.local/ns/{}/sa/default", world.namespace);
    world.all(Ask { url: "http://echo/", ..Ask::default() }, |answer| {
        let proved = answer.seen("X-Forwarded-Client-Cert").iter().any(|value| value.contains(&identity));
        answer.status == 200 && answer.path == "/" && proved
    })?;
    Ok(())
}

fn frontend(world: &World<'_>) -> Outcome {
    world.all(Ask { url: "http://echo-v2/", ..Ask::default() }, |answer| said(answer, "echo-v2", &["set"]))?;
    let pod = format!("http://{}:8080/", world.pod_ip("v2")?);
    world.all(Ask { url: &pod, ..Ask::default() }, |answer| said(answer, "echo-v2", &[]))?;
    Ok(())
}

fn frontend_hostname(world: &World<'_>) -> Outcome {
    let wrong = Ask { url: "http://echo-v2/", headers: &["Host:echo-v1"], ..Ask::default() };
    world.all(wrong, |answer| said(answer, "echo-v2", &["set"]))?;
    let other = Ask { url: "http://echo-v1/", headers: &["Host:echo-v2"], ..Ask::default() };
    world.all(other, |answer| said(answer, "echo-v1", &[]))?;
    Ok(())
}

fn ports(world: &World<'_>) -> Outcome {
    for (url, backend, expected) in [
        ("http://echo-v1/", "echo-v1", &["v1"][..]),
        ("http://echo-v1:8080/", "echo-v1", &[]),
        ("http://echo-v2/", "echo-v2", &["v2"]),
        ("http://echo-v2:8080/", "echo-v2", &["v2"]),
    ] {
        world.all(Ask { url, ..Ask::default() }, |answer| said(answer, backend, expected))?;
    }
    Ok(())
}

fn consumer(world: &World<'_>) -> Outcome {
    let url = &format!("http://echo-v1.{}/", world.namespace);
    let from_consumer = Ask { url, as_consumer: true, ..Ask::default() };
    world.all(from_consumer, |answer| said(answer, "echo-v1", &["set"]))?;
    world.all(Ask { url, ..Ask::default() }, |answer| said(answer, "echo-v1", &[]))?;
    Ok(())
}
