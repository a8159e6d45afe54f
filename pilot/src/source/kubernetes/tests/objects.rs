//! What becomes of single objects, and what reading them costs.

use super::*;

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
