//! Events as kube's watcher gives them go in; candidates and what is said of kinds come out.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::kinds::{Watched, choose, missing};
use super::metrics::WatchMetrics;
use super::observed::Observed;
use super::store::Store;
use super::watches::What;
use crate::api::Kind;
use crate::build::{Snapshot, build};
use crate::model::{Host, ObjectRef};
use crate::object::Placed;
use crate::source::Reload;
use crate::status::Statuses;
use crate::validate::Settings;
use kube::api::ApiResource;
use kube::core::{GroupVersionKind, Status};
use kube::runtime::watcher::{Error, Event};
use record::Metrics;
use serde_json::{Value, json};
use std::sync::Arc;

const ISTIO: &str = "networking.istio.io";

/// What a cluster with the mesh's most used kinds serves.
fn served() -> Vec<ApiResource> {
    [
        ("", "v1", "Namespace"),
        ("", "v1", "Service"),
        ("", "v1", "Pod"),
        ("", "v1", "Node"),
        ("discovery.k8s.io", "v1", "EndpointSlice"),
        (ISTIO, "v1", "VirtualService"),
        (ISTIO, "v1", "Sidecar"),
        ("gateway.networking.k8s.io", "v1alpha2", "TCPRoute"),
    ]
    .map(|(group, version, kind)| ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind)))
    .into()
}

struct Cluster {
    store: Store,
    metrics: Metrics,
}

impl Cluster {
    /// Everything is watched, nothing was heard yet.
    fn new() -> Self {
        let metrics = Metrics::new();
        let settings = Settings { from_cluster: true, ..Settings::default() };
        let mut store = Store::new(settings, WatchMetrics::new(&metrics));
        store.set_watched(&choose(&served()).0, Vec::new());
        Self { store, metrics }
    }

    /// Every kind was listed.
    fn listed(objects: &[(&str, Value)]) -> Self {
        let mut cluster = Self::new();
        for watched in choose(&served()).0 {
            let own = objects.iter().filter(|(of, _)| *of == &*watched.name).map(|(_, object)| object.clone());
            cluster.list(&watched.name, own.collect());
        }
        cluster
    }

    fn list(&mut self, of: &str, objects: Vec<Value>) {
        self.event(of, Event::Init);
        for object in objects {
            self.event(of, Event::InitApply(observed(object)));
        }
        self.event(of, Event::InitDone);
    }

    fn event(&mut self, of: &str, event: Event<Observed>) -> bool {
        self.store.take(of, What::Event(event))
    }

    fn apply(&mut self, of: &str, object: Value) -> bool {
        self.event(of, Event::Apply(observed(object)))
    }

    fn fail(&mut self, of: &str, code: u16, message: &str) -> bool {
        let status = Status { code, message: message.into(), ..Status::default() };
        self.store.take(of, What::Failed(Error::InitialListFailed(kube::Error::Api(Box::new(status)))))
    }

    fn reload(&self) -> Reload {
        self.store.reload()
    }

    fn problems(&self) -> Vec<String> {
        self.reload().problems.iter().map(|problem| format!("{}: {}", problem.place, problem.message)).collect()
    }

    fn names(&self, kind: Kind) -> Vec<String> {
        self.reload().candidates.of(kind).keys().map(|object| object.name.to_string()).collect()
    }

    fn placed(&self, kind: Kind, name: &str) -> Placed {
        let found = self.reload();
        let found = found.candidates.of(kind).iter().find(|(object, _)| &*object.name == name);
        found.expect("no such object").1.clone()
    }
}

fn observed(object: Value) -> Observed {
    // By way of text, as from an API server.
    serde_json::from_str(&object.to_string()).unwrap()
}

fn virtual_service(name: &str, generation: i64, host: &str) -> Value {
    json!({
        "apiVersion": "networking.istio.io/v1",
        "kind": "VirtualService",
        "metadata": {
            "name": name, "namespace": "shop", "generation": generation, "uid": format!("uid-{name}"),
            "resourceVersion": "1", "creationTimestamp": "2026-01-01T00:00:00Z",
            "managedFields": [{"manager": "kubectl", "fieldsV1": {"f:spec": {}}}],
        },
        "spec": {"hosts": [name], "http": [{"route": [{"destination": {"host": host}}]}]},
    })
}

fn service(name: &str, spec: Value) -> Value {
    json!({"metadata": {"name": name, "namespace": "shop", "uid": name}, "spec": spec})
}

/// A pod as an API server sends it, with a status that is mostly not the mesh's business.
fn pod(name: &str, ip: &str, ready: &str) -> Value {
    json!({
        "metadata": {
            "name": name, "namespace": "shop", "uid": name, "labels": {"app": "catalog"},
            "annotations": {"sidecar.istio.io/status": "{}", "kubernetes.io/limit-ranger": "x"},
        },
        "spec": {
            "serviceAccountName": "catalog", "nodeName": "node1", "futureField": {"of": "a newer cluster"},
            "containers": [{"name": "app", "image": "catalog:1", "ports": [{"name": "web", "containerPort": 8080}]}],
        },
        "status": {
            "phase": "Running", "podIP": ip, "podIPs": [{"ip": ip}],
            "conditions": [{"type": "Ready", "status": ready, "lastProbeTime": null}],
        },
    })
}

fn slice(name: &str, of: &str, address: &str, pod: &str) -> Value {
    json!({
        "metadata": {"name": name, "namespace": "shop", "labels": {"kubernetes.io/service-name": of}},
        "addressType": "IPv4",
        "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
        "endpoints": [{
            "addresses": [address], "nodeName": "node1", "zone": "b",
            "conditions": {"ready": true, "serving": true, "terminating": false},
            "targetRef": {"kind": "Pod", "namespace": "shop", "name": pod},
        }],
    })
}

#[test]
fn nothing_is_told_before_every_kind_was_listed_to_its_end() {
    let mut cluster = Cluster::new();
    let kinds = choose(&served()).0;
    for watched in &kinds {
        assert!(!cluster.reload().complete, "before {}", watched.name);
        cluster.event(&watched.name, Event::Init);
        if &*watched.name == "services" {
            cluster.event("services", Event::InitApply(observed(service("catalog", json!({"clusterIP": "None"})))));
        }
        assert!(cluster.names(Kind::Service).is_empty(), "half of the cluster is told at {}", watched.name);
        cluster.event(&watched.name, Event::InitDone);
    }
    assert!(cluster.reload().complete);
    assert_eq!(cluster.names(Kind::Service), ["catalog"]);
}

#[test]
fn what_makes_no_difference_is_no_change_but_a_generation_is_told() {
    let routes = "virtualservices.networking.istio.io";
    let mut cluster =
        Cluster::listed(&[(routes, virtual_service("a", 1, "b")), ("pods", pod("p", "10.0.0.1", "False"))]);
    let (first, runs) = (cluster.placed(Kind::VirtualService, "a"), cluster.placed(Kind::Pod, "p"));
    assert_eq!((first.generation(), first.uid().map(|uid| &**uid)), (Some(1), Some("uid-a")));

    let mut written = virtual_service("a", 1, "b");
    written["status"] = json!({"conditions": [{"type": "Ready"}]});
    written["metadata"]["resourceVersion"] = json!("2");
    written["metadata"]["annotations"] = json!({"kubectl.kubernetes.io/last-applied-configuration": "{}"});
    assert!(!cluster.apply(routes, written.clone()), "a status is no change");
    assert!(!cluster.apply("pods", pod("p", "10.0.0.1", "True")), "readiness is told by slices");
    assert!(Arc::ptr_eq(&runs.object, &cluster.placed(Kind::Pod, "p").object));

    written["metadata"]["generation"] = json!(2);
    let before = cluster.reload().candidates;
    assert!(cluster.apply(routes, written));
    let now = cluster.placed(Kind::VirtualService, "a");
    assert!(Arc::ptr_eq(&first.object, &now.object), "nothing of it is read anew");
    assert_eq!(now.generation(), Some(2));
    let after = cluster.reload().candidates;
    assert_eq!((after.changed_since(&before).len(), after.touched_since(&before).len()), (0, 1));

    assert!(cluster.apply(routes, virtual_service("a", 3, "c")));
    assert!(!Arc::ptr_eq(&first.object, &cluster.placed(Kind::VirtualService, "a").object));
    assert_eq!(cluster.reload().candidates.changed_since(&before).len(), 1);
}

#[test]
fn a_new_list_takes_away_what_is_gone_when_it_ends_and_nothing_before() {
    let routes = "virtualservices.networking.istio.io";
    let both = [(routes, virtual_service("a", 1, "x")), (routes, virtual_service("b", 1, "x"))];
    let mut cluster = Cluster::listed(&both);
    let kept = cluster.placed(Kind::VirtualService, "b").object;
    cluster.event(routes, Event::Init);
    assert!(!cluster.event(routes, Event::InitApply(observed(virtual_service("b", 1, "x")))));
    assert_eq!(cluster.names(Kind::VirtualService), ["a", "b"]);
    // The list broke off and begins again.
    cluster.event(routes, Event::Init);
    cluster.event(routes, Event::InitApply(observed(virtual_service("b", 1, "x"))));
    assert!(cluster.event(routes, Event::InitDone));
    assert_eq!(cluster.names(Kind::VirtualService), ["b"]);
    assert!(Arc::ptr_eq(&kept, &cluster.placed(Kind::VirtualService, "b").object));
    assert!(cluster.event(routes, Event::Delete(observed(virtual_service("b", 1, "x")))));
    assert!(cluster.names(Kind::VirtualService).is_empty());
}

#[test]
fn a_watch_that_fails_takes_nothing_away_and_it_is_said_when_it_fails_again_and_again() {
    let mut cluster = Cluster::listed(&[("pods", pod("p", "10.0.0.1", "True"))]);
    assert!(!(0..3).any(|_| cluster.fail("pods", 503, "away")));
    assert!(cluster.problems().is_empty());
    assert!(cluster.fail("pods", 503, "away"));
    assert!(!cluster.fail("pods", 503, "away"), "nothing new is to be said");
    assert_eq!(
        cluster.problems(),
        [
            "pods: cannot be watched: away; what was known of them stays in force, and it is tried again every few seconds"
        ]
    );
    assert_eq!(cluster.names(Kind::Pod), ["p"]);
    assert!(cluster.store.take("pods", What::Recovered));
    assert!(cluster.problems().is_empty());
    // The version to go on from is too old: everything is listed anew, which is part of watching.
    assert!(!cluster.fail("pods", 410, "too old") && !cluster.fail("pods", 410, "too old"));
    assert!(cluster.problems().is_empty());
}

#[test]
fn an_api_server_that_is_away_is_one_finding_and_not_one_for_each_kind() {
    let mut cluster = Cluster::listed(&[("pods", pod("p", "10.0.0.1", "True"))]);
    for watched in choose(&served()).0 {
        (0..5).for_each(|_| _ = cluster.fail(&watched.name, 503, "away"));
    }
    assert_eq!(cluster.problems().len(), 8);
    assert!(cluster.store.set_silent("connection refused".into()));
    assert!(!cluster.store.set_silent("connection refused".into()));
    assert_eq!(
        cluster.problems(),
        [
            "API server: does not say what it serves: connection refused; what was known of the cluster stays in force, and \
             it is asked again every few seconds"
        ]
    );
    assert_eq!(cluster.names(Kind::Pod), ["p"]);
    assert!(cluster.store.set_watched(&choose(&served()).0, Vec::new()));
    assert!(cluster.problems().is_empty(), "what failed for want of an answer is counted anew");
}

#[test]
fn a_kind_that_may_not_be_listed_is_reported_and_stops_no_other() {
    let routes = "virtualservices.networking.istio.io";
    let mut cluster = Cluster::new();
    (0..3).for_each(|_| _ = cluster.fail(routes, 403, "meltemi cannot list virtualservices"));
    for watched in choose(&served()).0.iter().filter(|watched| &*watched.name != routes) {
        assert!(!cluster.reload().complete);
        cluster.list(&watched.name, Vec::new());
    }
    assert!(!cluster.reload().complete, "an API server that starts may refuse for a moment");
    assert!(cluster.fail(routes, 403, "meltemi cannot list virtualservices") && cluster.reload().complete);
    assert_eq!(
        cluster.problems(),
        [
            "virtualservices.networking.istio.io: may not be listed and watched: meltemi cannot list virtualservices; grant \
          the verbs list and watch on it to the control plane's service account (its ClusterRole); none of these objects \
          is in force"
        ]
    );
    // Without pods there is no mesh.
    let mut cluster = Cluster::new();
    for watched in choose(&served()).0.iter().filter(|watched| &*watched.name != "pods") {
        cluster.list(&watched.name, Vec::new());
    }
    (0..9).for_each(|_| _ = cluster.fail("pods", 403, "meltemi cannot list pods"));
    assert!(!cluster.reload().complete && cluster.problems()[0].starts_with("pods: may not be listed"));
    assert_eq!(cluster.store.awaited(), ["pods"]);
    cluster.list("pods", Vec::new());
    assert!(cluster.reload().complete && cluster.problems().is_empty());
}

#[test]
fn kinds_are_watched_in_the_best_version_that_both_know() {
    let resource =
        |group: &str, version: &str, kind: &str| ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
    let cluster = [
        resource(ISTIO, "v1alpha3", "VirtualService"),
        resource(ISTIO, "v1beta1", "VirtualService"),
        resource(ISTIO, "v2", "DestinationRule"),
        resource(ISTIO, "v1", "EnvoyFilter"),
        resource("networking.k8s.io", "v1", "Ingress"),
        resource("gateway.networking.k8s.io", "v1", "Gateway"),
        resource("apps", "v1", "Deployment"),
    ];
    let (watched, problems) = choose(&cluster);
    let names = |list: &[Watched]| -> Vec<String> {
        list.iter().map(|watched| format!("{} {}", watched.resource.version, watched.name)).collect()
    };
    assert_eq!(
        names(&watched),
        ["v1beta1 virtualservices.networking.istio.io", "v1 envoyfilters.networking.istio.io"],
        "what others act on is not called without effect"
    );
    let [problem] = problems.as_slice() else { panic!("{problems:?}") };
    assert_eq!(problem.place.to_string(), "destinationrules.networking.istio.io");
    assert!(problem.message.contains("served as v2") && problem.message.contains("reads v1, v1beta1, v1alpha3"));
    let missing: Vec<_> = missing(watched.iter()).map(|problem| problem.place.to_string()).collect();
    assert_eq!(missing, ["Namespace", "Service", "EndpointSlice discovery.k8s.io", "Pod"]);
    assert_eq!(missing.len(), 4);
}

#[test]
fn a_kind_that_is_not_served_any_more_takes_its_objects_with_it() {
    let routes = "virtualservices.networking.istio.io";
    let mut cluster = Cluster::listed(&[(routes, virtual_service("a", 1, "b"))]);
    let mut watched = choose(&served()).0;
    // Another version of it is the same kind: what is known stays.
    watched.iter_mut().filter(|w| &*w.name == routes).for_each(|w| w.resource.version = "v1beta1".into());
    cluster.store.set_watched(&watched, Vec::new());
    assert_eq!(cluster.names(Kind::VirtualService), ["a"]);
    watched.retain(|watched| &*watched.name != routes);
    assert!(cluster.store.set_watched(&watched, Vec::new()));
    assert!(cluster.names(Kind::VirtualService).is_empty() && cluster.reload().complete);
}

#[test]
fn kinds_without_effect_are_told_to_those_who_may_expect_one() {
    let route = |name: &str, parent: &str| json!({"metadata": {"name": name, "namespace": "shop"}, "spec": {"parentRefs": [{"kind": parent, "name": "x"}]}});
    let (sidecars, routes) = ("sidecars.networking.istio.io", "tcproutes.gateway.networking.k8s.io");
    let sidecar = json!({"metadata": {"name": "s", "namespace": "shop", "generation": 4}});
    let cluster = Cluster::listed(&[
        (sidecars, sidecar),
        (routes, route("of-mesh", "Service")),
        (routes, route("other", "Gateway")),
    ]);
    let (reload, mut said) = (cluster.reload(), Vec::new());
    for placed in reload.candidates.of(Kind::Unsupported).values() {
        said.extend(placed.object.problems.iter().map(|problem| format!("{}: {}", placed.place(), problem.message)));
    }
    assert_eq!(
        said,
        [
            "TCPRoute shop/of-mesh: TCPRoute is not supported yet: it has no effect",
            "Sidecar shop/s: Sidecar is not supported yet: it has no effect",
        ]
    );
}

#[test]
fn findings_name_the_object_and_the_field() {
    let routes = "virtualservices.networking.istio.io";
    let mut wrong = virtual_service("reviews", 7, "reviews");
    wrong["spec"]["http"][0]["route"][0]["weight"] = json!("many");
    let cluster = Cluster::listed(&[(routes, wrong)]);
    let Reload { candidates, problems, .. } = cluster.reload();
    let changed = candidates.changed_since(&Default::default());
    let snapshot = build(&candidates, &changed, &Snapshot::default());
    let statuses = Statuses::new(Arc::new(snapshot), Arc::new(candidates), problems);
    let told: Vec<_> = statuses.findings().iter().map(ToString::to_string).collect();
    assert_eq!(
        told,
        ["VirtualService shop/reviews: spec.http[0].route[0].weight: expected a whole number, found the text \"many\""]
    );
    let status = statuses.object(&ObjectRef::new(ISTIO, "VirtualService", "shop", "reviews"), &[]).unwrap();
    assert_eq!(status.generation, Some(7));
    assert!(status.to_string().starts_with("VirtualService shop/reviews is rejected and not in force\n"), "{status}");
}

#[test]
fn a_cluster_becomes_a_world_with_localities_and_sidecars() {
    let node = json!({"metadata": {"name": "node1", "labels": {
        "topology.kubernetes.io/region": "r", "topology.kubernetes.io/zone": "a", "topology.istio.io/subzone": "rack",
        "kubernetes.io/hostname": "node1"}}});
    let catalog = service(
        "catalog",
        json!({
        "clusterIP": "10.96.0.5", "clusterIPs": ["10.96.0.5"], "selector": {"app": "catalog"}, "newField": 1,
        "ports": [{"name": "http", "port": 80, "targetPort": "web"}]}),
    );
    let cluster = Cluster::listed(&[
        ("nodes", node),
        ("services", catalog),
        ("endpointslices.discovery.k8s.io", slice("catalog-x", "catalog", "10.0.0.1", "p")),
        ("pods", pod("p", "10.0.0.1", "True")),
    ]);
    let reload = cluster.reload();
    let changed = reload.candidates.changed_since(&Default::default());
    let world = build(&reload.candidates, &changed, &Snapshot::empty(Arc::default())).world;
    for (object, placed) in reload.candidates.iter() {
        assert!(placed.object.problems.is_empty(), "{object}: {:?}", placed.object.problems);
    }
    let service = world.service("shop", &Host::parse("catalog.shop.svc.cluster.local").unwrap()).unwrap();
    let [endpoint] = world.endpoints(service) else { panic!("one endpoint") };
    let locality = &endpoint.locality;
    assert_eq!((&*locality.region, &*locality.zone, &*locality.sub_zone), ("r", "a", "rack"));
    assert!(endpoint.mtls, "an annotation says that it has a sidecar");
    let info = world.workload_info("10.0.0.1".parse().unwrap()).unwrap();
    assert_eq!((&info.workload.locality, info.inbound[0].number), (locality, 8080));
    assert!(Arc::ptr_eq(&info.workload, endpoint.workload.as_ref().unwrap()));
}

/// Work by numbers, not by time: each of 5,000 objects is read once, whatever else happens, and nothing is left of them.
#[test]
fn five_thousand_objects_are_read_once_each_and_leave_nothing() {
    const OBJECTS: usize = 5_000;
    let routes = "virtualservices.networking.istio.io";
    let mut cluster = Cluster::listed(&[]);
    for index in 0..OBJECTS {
        assert!(cluster.apply(routes, virtual_service(&format!("v{index}"), 1, "x")));
    }
    for index in 0..OBJECTS {
        assert!(!cluster.apply(routes, virtual_service(&format!("v{index}"), 1, "x")));
    }
    let count = |cluster: &Cluster, event: &str| -> usize {
        let line = format!("pilot_k8s_cfg_events{{type=\"VirtualService\",event=\"{event}\"}} ");
        let text = cluster.metrics.text();
        text.lines().find_map(|known| known.strip_prefix(&line)?.parse().ok()).unwrap_or(0)
    };
    assert_eq!(
        (count(&cluster, "add"), count(&cluster, "updatesame"), count(&cluster, "update")),
        (OBJECTS, OBJECTS, 0)
    );
    assert_eq!(cluster.names(Kind::VirtualService).len(), OBJECTS);
    for index in 0..OBJECTS {
        cluster.event(routes, Event::Delete(observed(virtual_service(&format!("v{index}"), 1, "x"))));
    }
    assert_eq!(count(&cluster, "delete"), OBJECTS);
    assert_eq!(cluster.reload().candidates.iter().count(), 0);
}
