//! What the mesh tests of the Gateway API's conformance suite (v1.6.3) ask for, test by test: its routes, and for its
//! requests the answers that are right. The suite itself looks neither at paths nor at locations.

mod filters;

use super::data_plane::{Asked, Outcome, get, send};
use super::*;

const MESH: &str = "gateway-conformance-mesh";
const CONSUMER: &str = "gateway-conformance-mesh-consumer";

/// A Service of the suite.
fn service(name: &str, ip: &str, grpc: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{name: {name}, namespace: {MESH}}}\nspec:\n  clusterIP: {ip}\n  \
         selector: {{app: echo}}\n  ports:\n  - {{name: http, port: 80, appProtocol: http, targetPort: 8080}}\n  \
         - {{name: http-alt, port: 8080, appProtocol: http}}\n  - {{name: https, port: 443, targetPort: 8443}}\n  \
         - {{name: tcp, port: 9090}}\n  - {{name: grpc, port: 7070{grpc}}}\n---\n"
    )
}

/// A pod behind all of them.
const POD: &str = "apiVersion: v1\nkind: Pod\nmetadata: {name: echo-v2-0, namespace: gateway-conformance-mesh, labels: \
                   {app: echo, version: v2}}\nspec: {serviceAccountName: echo, containers: [{name: echo}]}\n\
                   status: {podIP: 10.0.8.2}\n---\n";

fn world(routes: &str) -> World {
    let services = service("echo", "10.96.8.1", ", appProtocol: kubernetes.io/h2c")
        + &service("echo-v1", "10.96.8.2", "")
        + &service("echo-v2", "10.96.8.3", ", appProtocol: grpc");
    shop_with(&(services + POD + routes))
}

fn route_in(namespace: &str, kind: &str, parent: &str, rules: &str) -> String {
    format!(
        "apiVersion: gateway.networking.k8s.io/v1\nkind: {kind}\nmetadata: {{name: x, namespace: {namespace}}}\nspec:\n  \
         parentRefs: [{{group: '', kind: Service, {parent}}}]\n  rules: {rules}\n---\n"
    )
}

/// A route for port 80 of `echo`.
fn echo(rules: &str) -> String {
    route_in(MESH, "HTTPRoute", "name: echo, port: 80", rules)
}

fn through(routes: &str, service: &str, port: u16, namespace: &str, asked: &Asked) -> Outcome {
    let name = format!("{service}.{MESH}.svc.cluster.local:{port}");
    send(&super::routes(&world(routes), &viewer(namespace, [10, 0, 8, 9]), &name), asked)
}

fn at_echo(routes: &str, asked: &Asked) -> Outcome {
    through(routes, "echo", 80, MESH, asked)
}

/// The Service behind an outcome; its status where there is none.
fn backend(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Sent { cluster, .. } => cluster.rsplit('|').next().unwrap().split('.').next().unwrap().to_owned(),
        Outcome::Answered(status) => status.to_string(),
        Outcome::Moved { status, .. } => status.to_string(),
    }
}

fn expect(routes: &str, table: Vec<(Asked, &str)>) {
    for (asked, expected) in table {
        let outcome = at_echo(routes, &asked);
        assert_eq!(backend(&outcome), expected, "{} {:?}", asked.target, asked.headers);
    }
}

/// MeshBasic, and the ports of the suite's Services: HTTP, TLS, TCP and gRPC, each declared in another way.
#[test]
fn without_routes_every_port_leads_to_its_service() {
    for service in ["echo", "echo-v1", "echo-v2"] {
        for port in [80, 8080, 7070] {
            assert_eq!(backend(&through("", service, port, MESH, &get("/"))), service, "{service}:{port}");
        }
    }
    let ip = ["10.96.8.1", "10.96.8.2", "10.96.8.3"];
    for (ip, service) in ip.into_iter().zip(["echo", "echo-v1", "echo-v2"]) {
        for port in [443, 9090] {
            let listener = listener(&world(""), &viewer(MESH, [10, 0, 8, 9]), &format!("{ip}_{port}"));
            assert_eq!(
                tcp_of(&listener.filter_chains[0]),
                format!("outbound|{port}||{service}.{MESH}.svc.cluster.local")
            );
        }
    }
}

/// MeshHTTPRouteSimpleSameNamespace and MeshTrafficSplit.
#[test]
fn a_route_leads_to_another_service() {
    expect(&echo("[{backendRefs: [{name: echo-v1, port: 8080}]}]"), vec![(get("/"), "echo-v1")]);
    let split = route_in(
        MESH,
        "HTTPRoute",
        "name: echo",
        "[{matches: [{path: {type: Exact, value: /v1}}], backendRefs: [{name: echo-v1, port: 80}]},
          {matches: [{path: {type: Exact, value: /v2}}], backendRefs: [{name: echo-v2, port: 80}]}]",
    );
    expect(&split, vec![(get("/v1"), "echo-v1"), (get("/v2"), "echo-v2"), (get("/v2/"), "404"), (get("/"), "404")]);
}

/// MeshHTTPRouteMatching.
#[test]
fn paths_match_by_segments_and_headers_go_before_the_rest() {
    let route = echo(
        "[{matches: [{path: {value: /}}, {headers: [{name: version, value: one}]}],
           backendRefs: [{name: echo-v1, port: 8080}]},
          {matches: [{path: {value: /v2}}, {headers: [{name: version, value: two}]}],
           backendRefs: [{name: echo-v2, port: 8080}]}]",
    );
    expect(
        &route,
        vec![
            (get("/"), "echo-v1"),
            (get("/example"), "echo-v1"),
            (get("/").with("Version", "one"), "echo-v1"),
            (get("/v2"), "echo-v2"),
            (get("/v2/example"), "echo-v2"),
            (get("/").with("Version", "two"), "echo-v2"),
            (get("/v2/"), "echo-v2"),
            (get("/v2example"), "echo-v1"),
            (get("/foo/v2/example"), "echo-v1"),
            (get("/v2").with("Version", "one"), "echo-v2"),
        ],
    );
}

/// MeshHTTPRouteQueryParamMatching.
#[test]
fn query_parameters_match_after_paths_and_headers() {
    let route = echo(
        "[{matches: [{queryParams: [{name: animal, value: whale}]}], backendRefs: [{name: echo-v1, port: 8080}]},
          {matches: [{queryParams: [{name: animal, value: dolphin}]}], backendRefs: [{name: echo-v2, port: 8080}]},
          {matches: [{path: {value: /path1}, queryParams: [{name: animal, value: whale}]}],
           backendRefs: [{name: echo-v1, port: 8080}]},
          {matches: [{headers: [{name: version, value: one}], queryParams: [{name: animal, value: whale}]}],
           backendRefs: [{name: echo-v2, port: 8080}]},
          {matches: [{path: {value: /path3}, queryParams: [{name: animal, value: shark}]},
                     {path: {value: /path4}, headers: [{name: version, value: three}],
                      queryParams: [{name: animal, value: kraken}]}],
           backendRefs: [{name: echo-v1, port: 8080}]},
          {matches: [{path: {value: /path5}}], backendRefs: [{name: echo-v1, port: 8080}]},
          {matches: [{queryParams: [{name: animal, value: hydra}]}], backendRefs: [{name: echo-v2, port: 8080}]}]",
    );
    expect(
        &route,
        vec![
            (get("/?animal=whale"), "echo-v1"),
            (get("/?animal=dolphin"), "echo-v2"),
            (get("/?animal=whale&otherparam=irrelevant"), "echo-v1"),
            (get("/?animal=dolphin&color=yellow"), "echo-v2"),
            (get("/?color=blue"), "404"),
            (get("/?animal=dog"), "404"),
            (get("/?animal=whaledolphin"), "404"),
            (get("/"), "404"),
            (get("/path1?animal=whale"), "echo-v1"),
            (get("/?animal=whale").with("version", "one"), "echo-v2"),
            (get("/path3?animal=shark"), "echo-v1"),
            (get("/path4?animal=kraken").with("version", "three"), "echo-v1"),
            (get("/?animal=shark"), "404"),
            (get("/path4?animal=kraken"), "404"),
            (get("/path5?animal=hydra"), "echo-v1"),
        ],
    );
}

/// MeshHTTPRouteNamedRule.
#[test]
fn rules_may_have_names() {
    let route = echo(
        "[{name: named-rule, matches: [{path: {value: /named}}], backendRefs: [{name: echo-v1, port: 8080}]},
          {matches: [{path: {value: /unnamed}}], backendRefs: [{name: echo-v2, port: 8080}]}]",
    );
    expect(&route, vec![(get("/named"), "echo-v1"), (get("/unnamed"), "echo-v2")]);
}

/// MeshHTTPRouteWeight and MeshGRPCRouteWeight, whose third backend does not exist and has no weight.
#[test]
fn weights_are_exact() {
    let backends = |port: u16| {
        format!(
            "[{{backendRefs: [{{name: echo-v1, port: {port}, weight: 70}}, {{name: echo-v2, port: {port}, weight: 30}}, \
             {{name: echo-v3, port: {port}, weight: 0}}]}}]"
        )
    };
    let share = |route: &str, port: u16| {
        let outcome = |random| through(route, "echo", port, MESH, &Asked { random, ..get("/grpc.Echo/Echo") });
        (0..100).filter(|random| backend(&outcome(*random)) == "echo-v1").count()
    };
    assert_eq!(share(&echo(&backends(8080)), 80), 70);
    assert_eq!(share(&route_in(MESH, "GRPCRoute", "name: echo, port: 7070", &backends(7070)), 7070), 70);
}

const SETS: &str =
    "filters: [{type: ResponseHeaderModifier, responseHeaderModifier: {set: [{name: X-Header-Set, value: set}]}}]";

fn is_set(outcome: &Outcome) -> bool {
    let Outcome::Sent { back, .. } = outcome else { panic!("it is sent") };
    back == &["x-header-set: set"]
}

/// MeshFrontend and MeshFrontendHostname: the address that was dialled decides.
#[test]
fn a_route_follows_the_address_and_not_the_host() {
    let route = route_in(
        MESH,
        "HTTPRoute",
        "name: echo-v2",
        &format!("[{{{SETS}, backendRefs: [{{name: echo-v2, port: 80}}]}}]"),
    );
    let at = |service, host| through(&route, service, 80, MESH, &Asked { host, ..get("/") });
    assert!(is_set(&at("echo-v2", "echo-v2")));
    assert!(is_set(&at("echo-v2", "echo-v1")));
    assert!(!is_set(&at("echo-v1", "echo-v2")));
}

/// MeshFrontend, a pod's own address: past the route, and under STRICT by mTLS.
#[test]
fn a_pods_own_address_knows_no_routes() {
    let route = route_in(
        MESH,
        "HTTPRoute",
        "name: echo-v2",
        &format!("[{{{SETS}, backendRefs: [{{name: echo-v2, port: 80}}]}}]"),
    );
    let strict = "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {name: default, namespace: \
                  istio-system}\nspec: {mtls: {mode: STRICT}}\n---\n";
    let (world, client) = (world(&(route + strict)), viewer(MESH, [10, 0, 8, 9]));
    let http = listener(&world, &client, "10.0.8.2_8080");
    let Some(RouteSpecifier::RouteConfig(routes)) = manager_of(&http.filter_chains[0]).route_specifier else {
        panic!("routes of its own")
    };
    let Outcome::Sent { cluster: name, back, .. } = send(&routes, &get("/")) else { panic!("it is sent") };
    assert_eq!((name.as_str(), back), ("workload|8080||10.0.8.2", vec![]));
    let cluster = cluster(&world, &client, &name);
    let tls: xds::tls::UpstreamTlsContext = socket_config(cluster.transport_socket.as_ref().unwrap());
    assert_eq!(tls.sni, format!("outbound_.8080_._.echo-v2-0.{MESH}.pod.cluster.local"));
    assert_eq!(tcp_of(&listener(&world, &client, "10.0.8.2_9090").filter_chains[0]), "workload|9090||10.0.8.2");
    assert_eq!(tcp_of(&listener(&world, &client, "10.0.8.2_1").filter_chains[0]), "workload|1||10.0.8.2");
}

/// MeshPorts.
#[test]
fn a_parent_with_a_port_leaves_the_others_alone() {
    let rules = |service: &str| format!("[{{{SETS}, backendRefs: [{{name: {service}, port: 80}}]}}]");
    let one = route_in(MESH, "HTTPRoute", "name: echo-v1, port: 80", &rules("echo-v1"));
    let all = route_in(MESH, "HTTPRoute", "name: echo-v2", &rules("echo-v2"));
    let at = |routes: &str, service, port| is_set(&through(routes, service, port, MESH, &get("/")));
    assert_eq!([at(&one, "echo-v1", 80), at(&one, "echo-v1", 8080)], [true, false]);
    assert_eq!([at(&all, "echo-v2", 80), at(&all, "echo-v2", 8080)], [true, true]);
}

/// MeshConsumerRoute. Its backend is the parent itself, in another namespace, and no ReferenceGrant is there.
#[test]
fn a_consumers_route_changes_its_own_namespace_alone() {
    let parent = format!("name: echo-v1, namespace: {MESH}");
    let to = |service: &str| format!("[{{{SETS}, backendRefs: [{{name: {service}, namespace: {MESH}, port: 80}}]}}]");
    let route = route_in(CONSUMER, "HTTPRoute", &parent, &to("echo-v1"));
    let of = |namespace| through(&route, "echo-v1", 80, namespace, &get("/"));
    assert!(is_set(&of(CONSUMER)));
    assert_eq!(backend(&of(CONSUMER)), "echo-v1");
    assert!(!is_set(&of(MESH)));
    let elsewhere = route_in(CONSUMER, "HTTPRoute", &parent, &to("echo-v2"));
    assert_eq!(through(&elsewhere, "echo-v1", 80, CONSUMER, &get("/")), Outcome::Answered(500), "that needs a grant");
}
