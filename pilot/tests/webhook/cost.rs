//! What one review costs.

use crate::fixture::{Server, pod, pod_review};
use pilot::inject::{InjectorConfig, Namespace, Outcome, review};
use serde_json::{Value, json};
use std::time::Duration;

const REVIEWS: u32 = 50;
const MOST: Duration = Duration::from_millis(5);

/// CPU time of this thread.
fn cpu() -> Duration {
    let schedstat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(schedstat.split(' ').next().unwrap().parse().unwrap())
}

/// A pod as large as real ones, with the bookkeeping that the API server adds.
fn real_pod(containers: usize) -> Value {
    let mut pod = pod();
    let variables: Vec<_> =
        (0..20).map(|number| json!({ "name": format!("V{number}"), "value": "x".repeat(40) })).collect();
    let container = |number| {
        json!({
            "name": format!("c{number}"), "image": "registry.example/app:1.2.3", "env": variables,
            "ports": [{ "name": "http", "containerPort": 8080 }],
            "readinessProbe": { "httpGet": { "path": "/ready", "port": "http" } },
            "livenessProbe": { "httpGet": { "path": "/live", "port": 8080 } },
            "volumeMounts": [{ "name": "api", "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount" }]
        })
    };
    pod["spec"]["containers"] = (0..containers).map(container).collect();
    let fields: serde_json::Map<_, _> = (0..200).map(|number| (format!("f:field{number}"), json!({}))).collect();
    pod["metadata"]["managedFields"] = json!([{ "manager": "kubectl", "fieldsV1": fields }]);
    pod
}

/// What the webhook does between reading the body and writing the answer, without the network.
fn answer(body: &[u8]) -> usize {
    let read: Value = serde_json::from_slice(body).unwrap();
    let namespace = Namespace { name: "shop".into(), selected: true, ..Namespace::default() };
    match review(&read["request"]["object"], &namespace, None, &InjectorConfig::default()) {
        Outcome::Injected { patch, .. } => serde_json::to_vec(&patch).unwrap().len(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_review_costs_less_than_five_milliseconds_of_cpu() {
    for containers in [1, 3, 50] {
        let body = pod_review("shop", &real_pod(containers)).to_string();
        answer(body.as_bytes());
        let before = cpu();
        (0..REVIEWS).for_each(|_| _ = answer(body.as_bytes()));
        let each = (cpu() - before) / REVIEWS;
        println!("{containers} containers, {} bytes: {each:?} of CPU", body.len());
        // Fifty containers are far from any real pod; unoptimised code may take longer for them.
        let most = if containers == 50 && cfg!(debug_assertions) { 4 * MOST } else { MOST };
        assert!(each < most, "{containers} containers, {} bytes: {each:?}", body.len());
    }
}

/// 50 a second for a while, over one connection, as an API server sends them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_a_second_are_answered_in_time() {
    let server = Server::start("").await;
    let review = pod_review("shop", &real_pod(3));
    let mut connection = server.h2().await;
    let mut times = Vec::new();
    let mut ticks = tokio::time::interval(Duration::from_millis(20));
    for _ in 0..150 {
        ticks.tick().await;
        let start = std::time::Instant::now();
        connection.review("/inject", &review).await;
        times.push(start.elapsed());
    }
    times.sort();
    let (median, late) = (times[times.len() / 2], times[times.len() * 99 / 100]);
    println!("median {median:?}, p99 {late:?}");
    assert!(late < Duration::from_millis(250), "p99 {late:?}");
}
