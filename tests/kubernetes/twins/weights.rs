//! How requests are shared out among backends, over HTTP and gRPC.

use super::Twin;
use super::client::Ask;
use super::world::World;
use crate::{Outcome, ensure};

pub fn twins() -> Vec<Twin> {
    vec![
        Twin { name: "MeshHTTPRouteWeight", routes: HTTP, check: http },
        Twin { name: "MeshGRPCRouteWeight", routes: GRPC, check: grpc },
    ]
}

const HTTP: &str = "
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: weights, namespace: MESH}
spec:
  parentRefs: [{group: '', kind: Service, name: echo, port: 80}]
  rules: [{backendRefs: [{name: echo-v1, port: 8080, weight: 70}, {name: echo-v2, port: 8080, weight: 30}]}]
";

const GRPC: &str = "
apiVersion: gateway.networking.k8s.io/v1
kind: GRPCRoute
metadata: {name: weights, namespace: MESH}
spec:
  parentRefs: [{group: '', kind: Service, name: echo, port: 7070}]
  rules:
    - backendRefs:
        - {name: echo-v1, port: 7070, weight: 70}
        - {name: echo-v2, port: 7070, weight: 30}
        - {name: echo-v3, port: 7070, weight: 0}
";

/// Requests of one try. The suite makes 500 and has ten tries to be within five points.
const REQUESTS: usize = 2000;
/// How many of them version 1 gets of 70 %, give or take four standard deviations (of 20.5).
const SHARE: std::ops::RangeInclusive<usize> = 1318..=1482;

fn http(world: &World<'_>) -> Outcome {
    shared(world, "http://echo/")
}

fn grpc(world: &World<'_>) -> Outcome {
    shared(world, "grpc://echo:7070")
}

fn shared(world: &World<'_>, url: &str) -> Outcome {
    let answers = world.ask(&Ask { url, ..Ask::default() }, REQUESTS)?;
    let of = |backend: &str| answers.iter().filter(|answer| answer.backend() == backend).count();
    let (first, second) = (of("echo-v1"), of("echo-v2"));
    ensure!(first + second == REQUESTS, "{first} and {second} answers of the backends, of {REQUESTS}");
    ensure!(SHARE.contains(&first), "{first} of {REQUESTS} went to the backend that should have 70 %");
    Ok(())
}
