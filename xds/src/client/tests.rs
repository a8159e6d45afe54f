//! The client's side of delta xDS without a socket, and both sides together in random sequences.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod simulation;
mod sockets;

use super::{kind::Delivery, state::ClientState};
use crate::{
    ResourceType::{self, Cluster, Listener, Route},
    discovery::{DeltaDiscoveryRequest, DeltaDiscoveryResponse, Resource as WireResource},
    fake_catalog::resource,
    node::NodeInfo,
};

fn client() -> ClientState {
    ClientState::new(NodeInfo { pod: "p".into(), namespace: "n".into(), ..NodeInfo::default() }.to_envoy())
}

fn names(names: &[&str]) -> Vec<std::sync::Arc<str>> {
    names.iter().map(|name| (*name).into()).collect()
}

fn response(kind: ResourceType, nonce: &str, resources: &[(&str, &str)], removed: &[&str]) -> DeltaDiscoveryResponse {
    let wire = |(name, version): &(&str, &str)| WireResource {
        name: (*name).into(),
        version: (*version).into(),
        resource: Some(resource(kind, name, version, 0).any),
        ..WireResource::default()
    };
    DeltaDiscoveryResponse {
        type_url: kind.type_url().into(),
        nonce: nonce.into(),
        resources: resources.iter().map(wire).collect(),
        removed_resources: removed.iter().map(|name| (*name).into()).collect(),
        ..DeltaDiscoveryResponse::default()
    }
}

/// Takes a response and answers it: with nothing refused, an acceptance.
fn take(client: &mut ClientState, response: DeltaDiscoveryResponse, refused: &[&str]) -> Delivery {
    let (kind, id, delivery) = client.received(response).unwrap();
    client.answered(kind, id, refused.iter().map(|name| ((*name).to_owned(), "bad".to_owned())).collect());
    delivery
}

/// Connects and returns the requests that open the stream.
fn connect(client: &mut ClientState) -> Vec<DeltaDiscoveryRequest> {
    client.connected();
    std::iter::from_fn(|| client.request()).collect()
}

#[test]
fn what_was_asked_for_before_the_connection_opens_the_stream() {
    let mut client = client();
    assert!(client.is_idle());
    client.subscribe(Route, names(&["r"]));
    client.subscribe(Cluster, names(&["*", "c"]));
    assert_eq!(client.request(), None);
    let requests = connect(&mut client);
    assert_eq!(requests.len(), 2);
    assert_eq!(requests[0].type_url, Cluster.type_url());
    assert_eq!(requests[0].resource_names_subscribe, ["*", "c"]);
    assert!(requests[0].node.is_some() && requests[1].node.is_none());
    assert_eq!(requests[1].resource_names_subscribe, ["r"]);
}

#[test]
fn names_asked_for_twice_are_sent_once_and_given_up_ones_taken_back() {
    let mut client = client();
    client.subscribe(Route, names(&["a"]));
    connect(&mut client);
    client.subscribe(Route, names(&["a", "b"]));
    assert_eq!(client.request().unwrap().resource_names_subscribe, ["b"]);
    client.unsubscribe(Route, names(&["a", "never"]));
    client.subscribe(Route, names(&["c"]));
    let both = client.request().unwrap();
    assert_eq!((both.resource_names_subscribe, both.resource_names_unsubscribe), (vec!["c".into()], vec!["a".into()]));
    assert_eq!(client.request(), None);
}

#[test]
fn a_response_is_acknowledged_after_the_receiver_answered() {
    let mut client = client();
    client.subscribe(Route, names(&["a", "b"]));
    connect(&mut client);
    let (kind, id, delivery) = client.received(response(Route, "7", &[("a", "1")], &["b"])).unwrap();
    assert_eq!((delivery.resources.len(), delivery.removed), (1, vec!["b".to_owned()]));
    assert_eq!(client.request(), None);
    client.answered(kind, id, Vec::new());
    let ack = client.request().unwrap();
    assert_eq!((ack.response_nonce.as_str(), ack.error_detail), ("7", None));
    assert_eq!(client.held(Route, "a"), Some("1"));
}

#[test]
fn a_refused_resource_keeps_its_old_version_and_its_neighbours_count() {
    let mut client = client();
    client.subscribe(Route, names(&["a", "b"]));
    connect(&mut client);
    take(&mut client, response(Route, "1", &[("a", "1"), ("b", "1")], &[]), &[]);
    client.request();
    take(&mut client, response(Route, "2", &[("a", "2"), ("b", "2")], &[]), &["a"]);
    let nack = client.request().unwrap();
    assert_eq!(nack.response_nonce, "2");
    assert_eq!(nack.error_detail.unwrap().message, "a: bad");
    assert_eq!((client.held(Route, "a"), client.held(Route, "b")), (Some("1"), Some("2")));
}

#[test]
fn a_new_stream_says_what_is_held_and_wanted() {
    let mut client = client();
    client.subscribe(Listener, names(&["a", "b", "c"]));
    connect(&mut client);
    take(&mut client, response(Listener, "1", &[("a", "1"), ("b", "1"), ("c", "1")], &[]), &[]);
    take(&mut client, response(Listener, "2", &[], &["b"]), &[]);
    client.disconnected();
    client.unsubscribe(Listener, names(&["c"]));
    let requests = connect(&mut client);
    assert_eq!(requests.len(), 1);
    assert_eq!(requests[0].resource_names_subscribe, ["a", "b"]);
    assert_eq!(requests[0].resource_names_unsubscribe, Vec::<String>::new());
    assert_eq!(requests[0].initial_resource_versions, [("a".to_owned(), "1".to_owned())].into());
    assert!(requests[0].node.is_some());
}

#[test]
fn an_answer_that_comes_after_the_stream_ended_counts_but_is_not_sent() {
    let mut client = client();
    client.subscribe(Listener, names(&["a"]));
    connect(&mut client);
    let (kind, id, _) = client.received(response(Listener, "1", &[("a", "1")], &[])).unwrap();
    client.disconnected();
    client.connected();
    client.answered(kind, id, Vec::new());
    let opening = client.request().unwrap();
    assert_eq!(opening.response_nonce, "");
    assert_eq!(opening.initial_resource_versions, [("a".to_owned(), "1".to_owned())].into());
    assert_eq!(client.request(), None);
}

#[test]
fn what_the_receiver_has_not_answered_is_held_in_no_version() {
    let mut client = client();
    client.subscribe(Listener, names(&["a", "b"]));
    connect(&mut client);
    take(&mut client, response(Listener, "1", &[("a", "1"), ("b", "1")], &[]), &[]);
    client.received(response(Listener, "2", &[("a", "2")], &["b"])).unwrap();
    client.disconnected();
    let requests = connect(&mut client);
    let unsettled = [("a".to_owned(), String::new()), ("b".to_owned(), String::new())];
    assert_eq!(requests[0].initial_resource_versions, unsettled.into());
}

#[test]
fn answers_out_of_order_are_sent_in_order() {
    let mut client = client();
    client.subscribe(Listener, names(&["a"]));
    connect(&mut client);
    let (_, first, _) = client.received(response(Listener, "1", &[("a", "1")], &[])).unwrap();
    let (_, second, _) = client.received(response(Listener, "2", &[("a", "2")], &[])).unwrap();
    client.answered(Listener, second, Vec::new());
    assert_eq!(client.request(), None);
    client.answered(Listener, first, Vec::new());
    let nonces: Vec<String> = std::iter::from_fn(|| client.request()).map(|ack| ack.response_nonce).collect();
    assert_eq!(nonces, ["1", "2"]);
    assert_eq!(client.held(Listener, "a"), Some("2"));
}

#[test]
fn what_was_not_asked_for_is_acknowledged_and_not_handed_over() {
    let mut client = client();
    client.subscribe(Listener, names(&["a"]));
    connect(&mut client);
    assert_eq!(client.received(response(Listener, "1", &[("other", "1")], &["another"])), None);
    assert_eq!(client.request().unwrap().response_nonce, "1");
    assert_eq!(client.held(Listener, "other"), None);
}

#[test]
fn what_cannot_be_right_is_refused_before_the_receiver_sees_it() {
    let mut client = client();
    client.subscribe(Listener, names(&["*"]));
    connect(&mut client);
    let mut mixed = response(Listener, "1", &[("good", "1"), ("bad", "1")], &[]);
    mixed.resources[1].resource.as_mut().unwrap().value = vec![0xff; 5];
    let delivery = take(&mut client, mixed, &[]);
    assert_eq!(delivery.resources.len(), 1);
    let nack = client.request().unwrap();
    assert!(nack.error_detail.unwrap().message.starts_with("bad: the bytes are no valid message"));
    assert_eq!((client.held(Listener, "good"), client.held(Listener, "bad")), (Some("1"), None));
}

#[test]
fn unknown_types_are_ignored() {
    let mut client = client();
    client.subscribe(Listener, names(&["*"]));
    connect(&mut client);
    let unknown = DeltaDiscoveryResponse { type_url: "x/y".into(), nonce: "1".into(), ..Default::default() };
    assert_eq!(client.received(unknown), None);
    assert_eq!(client.request(), None);
}

#[test]
fn giving_up_everything_forgets_what_is_not_asked_for_by_name() {
    let mut client = client();
    client.subscribe(Cluster, names(&["*", "a"]));
    connect(&mut client);
    take(&mut client, response(Cluster, "1", &[("a", "1"), ("b", "1")], &[]), &[]);
    client.unsubscribe(Cluster, names(&["*"]));
    assert_eq!((client.held(Cluster, "a"), client.held(Cluster, "b")), (Some("1"), None));
}

#[test]
fn large_subscriptions_are_split_over_requests() {
    let mut client = client();
    let many: Vec<std::sync::Arc<str>> = (0..40_000).map(|n| format!("{n:0100}").into()).collect();
    client.subscribe(Route, many);
    let requests = connect(&mut client);
    assert!(requests.len() > 1);
    let total: usize = requests.iter().map(|request| request.resource_names_subscribe.len()).sum();
    assert_eq!(total, 40_000);
    assert!(requests.iter().all(|request| prost::Message::encoded_len(request) < 4 << 20));
}
