//! Lists, watches that fail, kinds that come and go: what is known at each moment, and what people are told.

use super::*;

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
    assert_eq!(cluster.problems().len(), served().len());
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
    // What an API server that starts refuses, before it allows anything, is no word.
    (0..9).for_each(|_| _ = cluster.fail(routes, 403, "meltemi cannot list virtualservices"));
    for watched in choose(&served()).0.iter().filter(|watched| &*watched.name != routes) {
        assert!(!cluster.reload().complete);
        cluster.list(&watched.name, Vec::new());
    }
    (0..3).for_each(|_| _ = cluster.fail(routes, 403, "meltemi cannot list virtualservices"));
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
}

/// Without pods there is no mesh, and without its policies it would let in what they refuse.
#[test]
fn no_world_is_made_where_pods_or_policies_may_not_be_listed() {
    for needed in ["pods", "peerauthentications.security.istio.io"] {
        let mut cluster = Cluster::new();
        for watched in choose(&served()).0.iter().filter(|watched| &*watched.name != needed) {
            cluster.list(&watched.name, Vec::new());
        }
        (0..9).for_each(|_| _ = cluster.fail(needed, 403, "no right"));
        assert!(
            !cluster.reload().complete && cluster.problems()[0].starts_with(&format!("{needed}: may not be listed"))
        );
        assert_eq!(cluster.store.awaited(), [needed]);
        cluster.list(needed, Vec::new());
        assert!(cluster.reload().complete && cluster.problems().is_empty());
    }
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
