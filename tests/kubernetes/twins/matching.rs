//! Which rule a request gets: paths by segments, headers, query parameters, and their precedence.

use super::Twin;
use super::world::World;
use crate::Outcome;

pub fn twins() -> Vec<Twin> {
    vec![
        Twin { name: "MeshHTTPRouteSimpleSameNamespace", routes: SIMPLE, check: simple },
        Twin { name: "MeshTrafficSplit", routes: SPLIT, check: split },
        Twin { name: "MeshHTTPRouteMatching", routes: MATCHING, check: matching },
        Twin { name: "MeshHTTPRouteNamedRule", routes: NAMED, check: named },
        Twin { name: "MeshHTTPRouteQueryParamMatching", routes: QUERIES, check: queries },
    ]
}

const SIMPLE: &str = "
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: simple, namespace: MESH}
spec:
  parentRefs: [{group: '', kind: Service, name: echo, port: 80}]
  rules: [{backendRefs: [{name: echo-v1, port: 8080}]}]
";

const SPLIT: &str = "
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: split, namespace: MESH}
spec:
  parentRefs: [{group: '', kind: Service, name: echo}]
  rules:
    - {matches: [{path: {type: Exact, value: /v1}}], backendRefs: [{name: echo-v1, port: 80}]}
    - {matches: [{path: {type: Exact, value: /v2}}], backendRefs: [{name: echo-v2, port: 80}]}
";

const MATCHING: &str = "
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: matching, namespace: MESH}
spec:
  parentRefs: [{group: '', kind: Service, name: echo, port: 80}]
  rules:
    - matches: [{path: {type: PathPrefix, value: /}}, {headers: [{name: version, value: one}]}]
      backendRefs: [{name: echo-v1, port: 8080}]
    - matches: [{path: {type: PathPrefix, value: /v2}}, {headers: [{name: version, value: two}]}]
      backendRefs: [{name: echo-v2, port: 8080}]
";

const NAMED: &str = "
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: named, namespace: MESH}
spec:
  parentRefs: [{group: '', kind: Service, name: echo, port: 80}]
  rules:
    - name: named-rule
      matches: [{path: {type: PathPrefix, value: /named}}]
      backendRefs: [{name: echo-v1, port: 8080}]
    - matches: [{path: {type: PathPrefix, value: /unnamed}}]
      backendRefs: [{name: echo-v2, port: 8080}]
";

const QUERIES: &str = "
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: queries, namespace: MESH}
spec:
  parentRefs: [{group: '', kind: Service, name: echo, port: 80}]
  rules:
    - matches: [{queryParams: [{name: animal, value: whale}]}]
      backendRefs: [{name: echo-v1, port: 8080}]
    - matches: [{queryParams: [{name: animal, value: dolphin}]}]
      backendRefs: [{name: echo-v2, port: 8080}]
    - matches: [{path: {type: PathPrefix, value: /path1}, queryParams: [{name: animal, value: whale}]}]
      backendRefs: [{name: echo-v1, port: 8080}]
    - matches: [{headers: [{name: version, value: one}], queryParams: [{name: animal, value: whale}]}]
      backendRefs: [{name: echo-v2, port: 8080}]
    - matches:
        - {path: {type: PathPrefix, value: /path3}, queryParams: [{name: animal, value: shark}]}
        - path: {type: PathPrefix, value: /path4}
          headers: [{name: version, value: three}]
          queryParams: [{name: animal, value: kraken}]
      backendRefs: [{name: echo-v1, port: 8080}]
    - matches: [{path: {type: PathPrefix, value: /path5}}]
      backendRefs: [{name: echo-v1, port: 8080}]
    - matches: [{queryParams: [{name: animal, value: hydra}]}]
      backendRefs: [{name: echo-v2, port: 8080}]
";

fn simple(world: &World<'_>) -> Outcome {
    Ok(world.all_go(&[("/", &[], "echo-v1"), ("/any/path?with=query", &[], "echo-v1")])?)
}

fn split(world: &World<'_>) -> Outcome {
    Ok(world.all_go(&[("/v1", &[], "echo-v1"), ("/v2", &[], "echo-v2"), ("/v2/", &[], "404"), ("/", &[], "404")])?)
}

fn matching(world: &World<'_>) -> Outcome {
    Ok(world.all_go(&[
        ("/", &[], "echo-v1"),
        ("/example", &[], "echo-v1"),
        ("/", &["Version:one"], "echo-v1"),
        ("/v2", &[], "echo-v2"),
        ("/v2/example", &[], "echo-v2"),
        ("/", &["Version:two"], "echo-v2"),
        ("/v2/", &[], "echo-v2"),
        ("/v2example", &[], "echo-v1"),
        ("/foo/v2/example", &[], "echo-v1"),
        ("/v2", &["Version:one"], "echo-v2"),
    ])?)
}

fn named(world: &World<'_>) -> Outcome {
    Ok(world.all_go(&[("/named", &[], "echo-v1"), ("/unnamed", &[], "echo-v2"), ("/neither", &[], "404")])?)
}

fn queries(world: &World<'_>) -> Outcome {
    Ok(world.all_go(&[
        ("/?animal=whale", &[], "echo-v1"),
        ("/?animal=dolphin", &[], "echo-v2"),
        ("/?animal=whale&otherparam=irrelevant", &[], "echo-v1"),
        ("/?animal=dolphin&color=yellow", &[], "echo-v2"),
        ("/?color=blue", &[], "404"),
        ("/?animal=dog", &[], "404"),
        ("/?animal=whaledolphin", &[], "404"),
        ("/", &[], "404"),
        ("/path1?animal=whale", &[], "echo-v1"),
        ("/?animal=whale", &["version:one"], "echo-v2"),
        ("/path3?animal=shark", &[], "echo-v1"),
        ("/path4?animal=kraken", &["version:three"], "echo-v1"),
        ("/?animal=shark", &[], "404"),
        ("/path4?animal=kraken", &[], "404"),
        ("/path5?animal=hydra", &[], "echo-v1"),
    ])?)
}
