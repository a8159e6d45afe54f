//! The server's side of delta xDS, request by request, without a socket.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use super::{Catalog, Change, stream::StreamState};
use crate::{
    ResourceType::{self, Address, Cluster, Endpoint, Listener, Route},
    discovery::{DeltaDiscoveryRequest, DeltaDiscoveryResponse},
    fake_catalog::FakeCatalog,
    refusal, rpc,
};

/// A client that answers when the test says so.
struct Peer {
    catalog: Arc<FakeCatalog>,
    state: StreamState<FakeCatalog>,
    /// The last response of each kind: its nonce.
    nonces: Vec<(String, String)>,
}

impl Peer {
    fn of(catalog: &Arc<FakeCatalog>, warms_clusters: bool) -> Self {
        let state = StreamState::new(catalog.clone(), Arc::new(()), "test".into(), warms_clusters);
        Self { catalog: catalog.clone(), state, nonces: Vec::new() }
    }

    fn new() -> Self {
        Self::of(&FakeCatalog::new(), false)
    }

    /// Sends a request and returns what comes, written as `CDS a@1 b@1 -c`.
    fn send(&mut self, request: DeltaDiscoveryRequest) -> Vec<String> {
        self.state.request(request);
        self.read()
    }

    fn read(&mut self) -> Vec<String> {
        let responses = self.state.responses();
        responses.into_iter().map(|response| self.note(&response)).collect()
    }

    fn note(&mut self, response: &DeltaDiscoveryResponse) -> String {
        self.nonces.retain(|(type_url, _)| *type_url != response.type_url);
        self.nonces.push((response.type_url.clone(), response.nonce.clone()));
        let mut text = ResourceType::from_type_url(&response.type_url).unwrap().to_string();
        for resource in &response.resources {
            text += &format!(" {}@{}", resource.name, resource.version);
        }
        for name in &response.removed_resources {
            text += &format!(" -{name}");
        }
        text
    }

    fn changed(&mut self, change: Arc<Change>) -> Vec<String> {
        self.state.changed(&change);
        self.read()
    }

    fn subscribe(&mut self, kind: ResourceType, names: &[&str]) -> Vec<String> {
        self.send(DeltaDiscoveryRequest { resource_names_subscribe: strings(names), ..request(kind) })
    }

    fn unsubscribe(&mut self, kind: ResourceType, names: &[&str]) -> Vec<String> {
        self.send(DeltaDiscoveryRequest { resource_names_unsubscribe: strings(names), ..request(kind) })
    }

    fn nonce(&self, kind: ResourceType) -> String {
        self.nonces.iter().find(|(type_url, _)| type_url == kind.type_url()).unwrap().1.clone()
    }

    fn ack(&mut self, kind: ResourceType) -> Vec<String> {
        let response_nonce = self.nonce(kind);
        self.send(DeltaDiscoveryRequest { response_nonce, ..request(kind) })
    }

    fn nack(&mut self, kind: ResourceType, error: rpc::Status) -> Vec<String> {
        let response_nonce = self.nonce(kind);
        self.send(DeltaDiscoveryRequest { response_nonce, error_detail: Some(error), ..request(kind) })
    }
}

fn request(kind: ResourceType) -> DeltaDiscoveryRequest {
    DeltaDiscoveryRequest { type_url: kind.type_url().into(), ..Default::default() }
}

fn strings(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn versions(held: &[(&str, &str)]) -> std::collections::HashMap<String, String> {
    held.iter().map(|(name, version)| ((*name).to_owned(), (*version).to_owned())).collect()
}

fn envoy_error(text: &str) -> rpc::Status {
    rpc::Status { code: 13, message: text.into(), details: Vec::new() }
}

fn nothing() -> Vec<String> {
    Vec::new()
}

#[test]
fn a_first_request_without_names_means_everything() {
    let mut peer = Peer::new();
    peer.catalog.set(Cluster, "a", "1");
    peer.catalog.put(Cluster, "unseen", "1", 0);
    assert_eq!(peer.send(request(Cluster)), ["CDS a@1"]);
    assert_eq!(peer.ack(Cluster), nothing());
    assert_eq!(peer.changed(peer.catalog.set(Cluster, "b", "1")), ["CDS b@1"]);
}

#[test]
fn a_later_request_without_names_means_nothing() {
    let mut peer = Peer::new();
    peer.catalog.set(Cluster, "a", "1");
    peer.catalog.set(Cluster, "b", "1");
    assert_eq!(peer.subscribe(Cluster, &["a"]), ["CDS a@1"]);
    peer.ack(Cluster);
    assert_eq!(peer.send(request(Cluster)), nothing());
    assert_eq!(peer.subscribe(Cluster, &["*"]), ["CDS b@1"]);
}

#[test]
fn names_asked_for_after_everything_come_too() {
    let mut peer = Peer::new();
    peer.catalog.set(Cluster, "a", "1");
    peer.catalog.put(Cluster, "unseen", "1", 0);
    assert_eq!(peer.send(request(Cluster)), ["CDS a@1"]);
    peer.ack(Cluster);
    assert_eq!(peer.subscribe(Cluster, &["unseen"]), ["CDS unseen@1"]);
    peer.ack(Cluster);
    assert_eq!(peer.changed(peer.catalog.put(Cluster, "unseen", "2", 0)), ["CDS unseen@2"]);
}

#[test]
fn a_name_asked_for_again_comes_again() {
    let mut peer = Peer::new();
    peer.catalog.set(Route, "r", "1");
    assert_eq!(peer.subscribe(Route, &["r"]), ["RDS r@1"]);
    assert_eq!(peer.ack(Route), nothing());
    assert_eq!(peer.subscribe(Route, &["r"]), ["RDS r@1"]);
    assert_eq!(peer.catalog.calls(), ["subscribed RDS +[r] -[]", "acknowledged RDS r"]);
}

#[test]
fn a_name_that_does_not_exist_is_said_to_be_removed_until_it_comes() {
    let mut peer = Peer::new();
    assert_eq!(peer.subscribe(Listener, &["l"]), ["LDS -l"]);
    peer.ack(Listener);
    let everything = Arc::new(Change { everything: true, ..Change::default() });
    assert_eq!(peer.changed(everything), nothing());
    assert_eq!(peer.subscribe(Listener, &["l"]), ["LDS -l"]);
    peer.ack(Listener);
    assert_eq!(peer.changed(peer.catalog.set(Listener, "l", "1")), ["LDS l@1"]);
    peer.ack(Listener);
    assert_eq!(peer.changed(peer.catalog.remove(Listener, "l")), ["LDS -l"]);
    peer.ack(Listener);
    assert_eq!(peer.changed(peer.catalog.set(Listener, "l", "2")), ["LDS l@2"]);
}

#[test]
fn a_name_given_up_is_forgotten() {
    let mut peer = Peer::new();
    peer.catalog.set(Endpoint, "e", "1");
    peer.subscribe(Endpoint, &["e"]);
    peer.ack(Endpoint);
    assert_eq!(peer.unsubscribe(Endpoint, &["e", "never-asked-for"]), nothing());
    assert_eq!(peer.changed(peer.catalog.set(Endpoint, "e", "2")), nothing());
    assert_eq!(peer.subscribe(Endpoint, &["e"]), ["EDS e@2"]);
}

#[test]
fn a_name_given_up_beside_everything_is_answered() {
    let mut peer = Peer::new();
    peer.catalog.set(Cluster, "covered", "1");
    peer.catalog.put(Cluster, "other", "1", 0);
    assert_eq!(peer.subscribe(Cluster, &["*", "covered", "other"]), ["CDS covered@1 other@1"]);
    peer.ack(Cluster);
    assert_eq!(peer.unsubscribe(Cluster, &["covered", "other"]), ["CDS covered@1 -other"]);
    peer.ack(Cluster);
    assert_eq!(peer.changed(peer.catalog.put(Cluster, "other", "2", 0)), nothing());
    assert_eq!(peer.changed(peer.catalog.set(Cluster, "covered", "2")), ["CDS covered@2"]);
}

#[test]
fn giving_up_everything_keeps_what_is_asked_for_by_name() {
    let mut peer = Peer::new();
    peer.catalog.set(Cluster, "a", "1");
    peer.catalog.set(Cluster, "b", "1");
    peer.subscribe(Cluster, &["*", "a"]);
    peer.ack(Cluster);
    assert_eq!(peer.unsubscribe(Cluster, &["*"]), nothing());
    assert_eq!(peer.changed(peer.catalog.set(Cluster, "b", "2")), nothing());
    assert_eq!(peer.changed(peer.catalog.set(Cluster, "a", "2")), ["CDS a@2"]);
}

#[test]
fn what_everything_does_not_stand_for_any_more_is_removed() {
    let mut peer = Peer::new();
    peer.catalog.set(Listener, "a", "1");
    peer.catalog.set(Listener, "b", "1");
    peer.subscribe(Listener, &["*", "b"]);
    peer.ack(Listener);
    assert_eq!(peer.changed(peer.catalog.hide(Listener, "a")), ["LDS -a"]);
    peer.ack(Listener);
    assert_eq!(peer.changed(peer.catalog.hide(Listener, "b")), nothing());
}

#[test]
fn a_slow_client_gets_the_latest_state_and_not_its_history() {
    let mut peer = Peer::new();
    peer.catalog.set(Cluster, "a", "1");
    peer.subscribe(Cluster, &["*"]);
    for version in ["2", "3", "4"] {
        assert_eq!(peer.changed(peer.catalog.set(Cluster, "a", version)), nothing());
    }
    assert_eq!(peer.changed(peer.catalog.set(Cluster, "b", "1")), nothing());
    assert_eq!(peer.ack(Cluster), ["CDS a@4 b@1"]);
    assert_eq!(peer.ack(Cluster), nothing());
}

#[test]
fn a_stale_nonce_acknowledges_nothing_but_its_subscriptions_count() {
    let mut peer = Peer::new();
    peer.catalog.set(Route, "a", "1");
    peer.catalog.set(Route, "b", "1");
    peer.subscribe(Route, &["a"]);
    peer.catalog.calls();
    let stale = DeltaDiscoveryRequest {
        response_nonce: "no such nonce".into(),
        resource_names_subscribe: strings(&["b"]),
        error_detail: Some(envoy_error("a")),
        ..request(Route)
    };
    assert_eq!(peer.send(stale), nothing());
    assert_eq!(peer.catalog.calls(), ["subscribed RDS +[b] -[]"]);
    assert_eq!(peer.ack(Route), ["RDS b@1"]);
    assert_eq!(peer.catalog.calls(), ["acknowledged RDS a"]);
}

#[test]
fn a_refused_resource_waits_for_its_next_version_and_costs_no_neighbour() {
    let mut peer = Peer::new();
    for name in ["bad", "good"] {
        peer.catalog.set(Route, name, "1");
    }
    peer.subscribe(Route, &["bad", "good"]);
    peer.ack(Route);
    assert_eq!(peer.changed(peer.catalog.set(Route, "bad", "2")), ["RDS bad@2"]);
    peer.changed(peer.catalog.set(Route, "good", "2"));
    peer.catalog.calls();
    let refusal = refusal::to_status(&[("bad".into(), "no such cluster".into())]);
    assert_eq!(peer.nack(Route, refusal), ["RDS good@2"]);
    assert_eq!(peer.catalog.calls(), ["rejected RDS bad: no such cluster"]);
    peer.ack(Route);
    let everything = Arc::new(Change { everything: true, ..Change::default() });
    assert_eq!(peer.changed(everything), nothing());
    // Back to what the client still holds: nothing to send.
    assert_eq!(peer.changed(peer.catalog.set(Route, "bad", "1")), nothing());
    assert_eq!(peer.changed(peer.catalog.set(Route, "bad", "2")), ["RDS bad@2"]);
}

#[test]
fn each_refused_resource_comes_with_its_own_reason_and_the_others_count_as_taken() {
    let mut peer = Peer::new();
    for name in ["a", "b", "c"] {
        peer.catalog.set(Cluster, name, "1");
    }
    peer.subscribe(Cluster, &["*"]);
    let refusal = refusal::to_status(&[("c".into(), "why c".into()), ("a".into(), "why a".into())]);
    assert_eq!(peer.nack(Cluster, refusal), nothing());
    assert_eq!(peer.catalog.calls(), ["acknowledged CDS b", "rejected CDS a: why a", "rejected CDS c: why c"]);
}

#[test]
fn after_envoys_refusal_suspects_go_alone_and_the_others_together() {
    let mut peer = Peer::new();
    for name in ["a.b:80", "b:80", "c:80", "d:80"] {
        peer.catalog.set(Route, name, "1");
    }
    peer.subscribe(Route, &["a.b:80", "b:80", "c:80", "d:80"]);
    peer.catalog.calls();
    let text = "bad route in a.b:80, beside c:80";
    assert_eq!(peer.nack(Route, envoy_error(text)), ["RDS a.b:80@1"]);
    assert_eq!(peer.nack(Route, envoy_error("bad route in a.b:80")), ["RDS c:80@1"]);
    assert_eq!(peer.ack(Route), ["RDS b:80@1 d:80@1"]);
    assert_eq!(peer.ack(Route), nothing());
    assert_eq!(
        peer.catalog.calls(),
        ["rejected RDS a.b:80: bad route in a.b:80", "acknowledged RDS c:80", "acknowledged RDS b:80 d:80"],
    );
}

#[test]
fn a_refusal_that_names_nobody_is_resolved_one_by_one() {
    let mut peer = Peer::new();
    for name in ["a", "b", "c"] {
        peer.catalog.set(Route, name, "1");
    }
    peer.subscribe(Route, &["a", "b", "c"]);
    peer.catalog.calls();
    assert_eq!(peer.nack(Route, envoy_error("validation failed")), ["RDS a@1"]);
    assert_eq!(peer.ack(Route), ["RDS b@1"]);
    assert_eq!(peer.nack(Route, envoy_error("validation failed")), ["RDS c@1"]);
    assert_eq!(peer.ack(Route), nothing());
    assert_eq!(peer.catalog.calls(), ["acknowledged RDS a", "rejected RDS b: validation failed", "acknowledged RDS c"],);
}

#[test]
fn a_reconnecting_client_gets_only_what_changed() {
    let mut peer = Peer::new();
    for (name, version) in [("same", "1"), ("changed", "2"), ("new", "1")] {
        peer.catalog.set(Cluster, name, version);
    }
    let first = DeltaDiscoveryRequest {
        resource_names_subscribe: strings(&["*"]),
        initial_resource_versions: versions(&[("same", "1"), ("changed", "1"), ("gone", "1")]),
        ..request(Cluster)
    };
    assert_eq!(peer.send(first), ["CDS changed@2 new@1", "CDS -gone"].map(str::to_owned)[..1]);
    assert_eq!(peer.catalog.calls(), ["held CDS changed gone same", "acknowledged CDS same"]);
    assert_eq!(peer.ack(Cluster), ["CDS -gone"]);
    assert_eq!(peer.ack(Cluster), nothing());
}

#[test]
fn a_reconnecting_client_that_asks_by_name_gets_only_what_changed() {
    let mut peer = Peer::new();
    for (name, version) in [("same", "1"), ("changed", "2"), ("given-up", "1")] {
        peer.catalog.set(Listener, name, version);
    }
    let first = DeltaDiscoveryRequest {
        resource_names_subscribe: strings(&["same", "changed", "gone", "never-was"]),
        initial_resource_versions: versions(&[("same", "1"), ("changed", "1"), ("gone", "1"), ("given-up", "1")]),
        ..request(Listener)
    };
    assert_eq!(peer.send(first), ["LDS changed@2 -gone -never-was"]);
    peer.ack(Listener);
    assert_eq!(peer.changed(peer.catalog.set(Listener, "same", "2")), ["LDS same@2"]);
}

#[test]
fn one_change_is_sent_make_before_break() {
    let mut peer = Peer::new();
    for kind in [Cluster, Endpoint, Listener, Route] {
        peer.catalog.set(kind, "old", "1");
        peer.subscribe(kind, &["*"]);
        peer.ack(kind);
    }
    for kind in [Route, Listener, Endpoint, Cluster] {
        peer.state.changed(&peer.catalog.set(kind, "new", "1"));
        peer.state.changed(&peer.catalog.remove(kind, "old"));
    }
    assert_eq!(peer.read(), ["CDS new@1", "EDS new@1", "LDS new@1 -old", "RDS new@1 -old"]);
    assert_eq!(peer.ack(Endpoint), ["EDS -old"]);
    assert_eq!(peer.ack(Cluster), ["CDS -old"]);
}

#[test]
fn a_route_waits_for_the_cluster_that_it_refers_to() {
    let mut peer = Peer::new();
    peer.catalog.set(Cluster, "a", "1");
    peer.catalog.set(Route, "r", "1");
    peer.subscribe(Cluster, &["*"]);
    peer.subscribe(Route, &["r"]);
    peer.ack(Route);
    // The first clusters are not acknowledged yet, so that the second cannot be sent.
    assert_eq!(peer.changed(peer.catalog.set(Cluster, "b", "1")), nothing());
    assert_eq!(peer.changed(peer.catalog.set(Route, "r", "2")), nothing());
    assert_eq!(peer.ack(Cluster), ["CDS b@1", "RDS r@2"]);
}

#[test]
fn a_cluster_stays_until_the_route_that_refers_to_it_is_gone() {
    let mut peer = Peer::new();
    peer.catalog.set(Cluster, "c", "1");
    peer.catalog.set(Route, "r", "1");
    peer.subscribe(Cluster, &["*"]);
    peer.ack(Cluster);
    peer.subscribe(Route, &["r"]);
    // The first route is not acknowledged yet, so that the second cannot be sent, and the cluster cannot go.
    assert_eq!(peer.changed(peer.catalog.set(Route, "r", "2")), nothing());
    assert_eq!(peer.changed(peer.catalog.remove(Cluster, "c")), nothing());
    assert_eq!(peer.ack(Route), ["RDS r@2", "CDS -c"]);
}

#[test]
fn envoy_gets_the_endpoints_again_after_their_cluster() {
    let catalog = FakeCatalog::new();
    for (envoy, expected) in [(true, vec!["CDS c@2", "EDS c@1"]), (false, vec!["CDS c@2"])] {
        catalog.set(Cluster, "c", "1");
        catalog.set(Endpoint, "c", "1");
        let mut peer = Peer::of(&catalog, envoy);
        peer.subscribe(Cluster, &["*"]);
        peer.ack(Cluster);
        peer.subscribe(Endpoint, &["c"]);
        peer.ack(Endpoint);
        assert_eq!(peer.changed(catalog.set(Cluster, "c", "2")), expected);
    }
}

#[test]
fn envoy_gets_the_endpoints_again_after_their_cluster_changed_while_it_was_away() {
    let catalog = FakeCatalog::new();
    catalog.set(Cluster, "changed", "2");
    catalog.set(Cluster, "same", "1");
    catalog.set(Endpoint, "changed", "1");
    catalog.set(Endpoint, "same", "1");
    let mut peer = Peer::of(&catalog, true);
    let held = versions(&[("changed", "1"), ("same", "1")]);
    let clusters = DeltaDiscoveryRequest { initial_resource_versions: held.clone(), ..request(Cluster) };
    assert_eq!(peer.send(clusters), ["CDS changed@2"]);
    let endpoints = DeltaDiscoveryRequest {
        resource_names_subscribe: strings(&["changed", "same"]),
        initial_resource_versions: held,
        ..request(Endpoint)
    };
    assert_eq!(peer.send(endpoints), ["EDS changed@1"]);
}

#[test]
fn a_large_answer_is_split_and_a_larger_resource_goes_alone() {
    let mut peer = Peer::new();
    for (name, size) in [("a", 1 << 20), ("b", (1 << 20) - 100), ("c", 3 << 20), ("d", 10), ("e", 10)] {
        peer.catalog.put(Address, name, "1", size);
    }
    assert_eq!(peer.subscribe(Address, &["a", "b", "c", "d", "e"]), ["Address a@1 b@1"]);
    assert_eq!(peer.ack(Address), ["Address c@1"]);
    assert_eq!(peer.ack(Address), ["Address d@1 e@1"]);
}

#[test]
fn unknown_types_are_ignored() {
    let mut peer = Peer::new();
    let unknown = "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig";
    let request = DeltaDiscoveryRequest { type_url: unknown.into(), ..Default::default() };
    assert_eq!(peer.send(request), nothing());
}

#[test]
fn names_beyond_the_limit_are_ignored_and_the_stream_goes_on() {
    let mut peer = Peer::new();
    let names = |from: u32| (from..from + 25_000).map(|n| n.to_string()).collect();
    let ask = |from| DeltaDiscoveryRequest { resource_names_subscribe: names(from), ..request(Address) };
    for from in [0, 25_000, 0, 50_000] {
        peer.state.request(ask(from));
    }
    peer.read();
    let told = peer.catalog.calls().iter().filter(|call| call.contains("50000")).count();
    assert_eq!(told, 0, "the catalog hears of no name beyond the limit");
    peer.catalog.set(Route, "r", "1");
    assert_eq!(peer.subscribe(Route, &["r"]), nothing(), "there is no room");
    peer.unsubscribe(Address, &["7"]);
    assert_eq!(peer.subscribe(Route, &["r"]), ["RDS r@1"], "there is again");
}

#[test]
fn a_name_that_is_too_long_is_ignored_and_the_others_are_answered() {
    let mut peer = Peer::new();
    peer.catalog.set(Route, "r", "1");
    assert_eq!(peer.subscribe(Route, &["x".repeat(1025).as_str(), "r"]), ["RDS r@1"]);
}

#[test]
fn an_answer_to_what_was_given_up_meanwhile_is_not_taken_for_the_new_subscription() {
    let mut peer = Peer::new();
    peer.catalog.set(Route, "r", "1");
    peer.subscribe(Route, &["r"]);
    peer.unsubscribe(Route, &["r"]);
    assert_eq!(peer.subscribe(Route, &["r"]), nothing());
    assert_eq!(peer.ack(Route), ["RDS r@1"]);
}

#[tokio::test]
async fn a_client_that_acknowledges_what_it_has_not_read_is_cut_off() {
    let catalog = FakeCatalog::new();
    catalog.set(Route, "r", "1");
    let state = StreamState::new(catalog.clone(), Arc::new(()), "test".into(), false);
    let ask = |response_nonce: String| DeltaDiscoveryRequest {
        resource_names_subscribe: strings(&["r"]),
        response_nonce,
        ..request(Route)
    };
    let guesses = futures::stream::iter((1..100).map(|nonce: u32| Ok(ask(nonce.to_string()))));
    let (queue, _unread) = tokio::sync::mpsc::channel(16);
    let ended = super::drive(state, catalog.changes(), ask(String::new()), guesses, &queue).await;
    assert_eq!(ended.unwrap_err().code(), tonic::Code::ResourceExhausted);
}

#[test]
fn a_change_is_settled_when_all_that_came_of_it_is_answered() {
    let mut peer = Peer::new();
    peer.catalog.set(Cluster, "c", "1");
    peer.catalog.set(Route, "r", "1");
    assert_eq!(peer.subscribe(Cluster, &["*"]), ["CDS c@1"]);
    peer.ack(Cluster);
    peer.subscribe(Route, &["r"]);
    peer.ack(Route);
    let unknown = peer.catalog.set(Endpoint, "nobody asked for it", "1");
    assert_eq!(peer.changed(unknown), nothing());
    assert_eq!(peer.catalog.settled_up_to(), 3, "there is nothing to answer");
    assert_eq!(peer.changed(peer.catalog.set(Cluster, "c", "2")), ["CDS c@2"]);
    assert_eq!(peer.changed(peer.catalog.set(Route, "r", "2")), ["RDS r@2"]);
    peer.ack(Cluster);
    assert_eq!(peer.catalog.settled_up_to(), 3, "the route is still on its way");
    peer.nack(Route, envoy_error("r: no"));
    assert_eq!(peer.catalog.settled_up_to(), 5, "a refusal is an answer");
}
