//! Leader election over a (fake) API server, with a clock that tests move.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "../../citadel/tests/fake_api/mod.rs"]
mod fake_api;

use std::time::Duration;

use fake_api::{FakeApi, Line, Mood};
use pilot::kubernetes::leader::{self, LEASE, LeaderOptions};
use record::Metrics;
use serde_json::{Value, json};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

const PATH: &str = "/apis/coordination.k8s.io/v1/namespaces/meltemi-system/leases/meltemi-leader";

struct Candidate {
    leads: watch::Receiver<bool>,
    line: Line,
    metrics: Metrics,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
}

impl Candidate {
    fn new(api: &FakeApi, identity: &str) -> Self {
        let (line, metrics) = (Line::default(), Metrics::new());
        let options = LeaderOptions {
            namespace: "meltemi-system".to_owned(),
            lease: LEASE.to_owned(),
            identity: identity.to_owned(),
        };
        let (stop, stopped) = oneshot::channel();
        let stopped = async {
            // A sender that is gone stops it too.
            let _ = stopped.await;
        };
        let (leads, election) = leader::run(api.client_over(&line), options, &metrics, stopped);
        Self { leads, line, metrics, stop: Some(stop), task: tokio::spawn(election) }
    }

    fn leads(&self) -> bool {
        *self.leads.borrow()
    }

    /// How long it takes until it leads, or no longer does.
    async fn until(&mut self, leads: bool) -> Duration {
        let started = Instant::now();
        timeout(Duration::from_secs(120), self.leads.wait_for(|now| *now == leads))
            .await
            .expect("it never does")
            .unwrap();
        started.elapsed()
    }

    async fn stop(&mut self) {
        self.stop.take().unwrap().send(()).unwrap();
        timeout(Duration::from_secs(10), &mut self.task).await.expect("it does not end").unwrap();
    }
}

fn spec(api: &FakeApi) -> Value {
    api.get(PATH).unwrap()["spec"].clone()
}

fn lease_of(holder: &str) -> Value {
    json!({
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {},
        "spec": {
            "holderIdentity": holder, "leaseDurationSeconds": 15, "leaseTransitions": 4,
            "acquireTime": "2026-01-01T00:00:00.000000Z", "renewTime": "2026-01-01T00:00:00.000000Z",
        },
    })
}

#[tokio::test(start_paused = true)]
async fn a_lone_candidate_leads_at_once_and_goes_on_leading() {
    let api = FakeApi::new();
    let mut one = Candidate::new(&api, "one");
    assert!(one.metrics.text().contains("meltemi_leader 0"));
    assert!(one.until(true).await < Duration::from_secs(1));
    assert!(one.metrics.text().contains("meltemi_leader 1"));
    let first = spec(&api);
    assert_eq!(first["holderIdentity"], "one");
    assert_eq!((&first["leaseDurationSeconds"], &first["leaseTransitions"]), (&json!(15), &json!(0)));
    let before = api.calls("PUT");
    sleep(Duration::from_secs(60)).await;
    assert!(one.leads());
    let renewals = api.calls("PUT") - before;
    assert!((29..=30).contains(&renewals), "{renewals} in 60 s, expected one every 2 s");
    assert_eq!(spec(&api)["acquireTime"], first["acquireTime"]);
    assert_ne!(spec(&api)["renewTime"], first["renewTime"]);
}

#[tokio::test(start_paused = true)]
async fn of_several_that_start_at_once_one_leads() {
    let api = FakeApi::new();
    let candidates: Vec<Candidate> = (0..5).map(|number| Candidate::new(&api, &format!("pod-{number}"))).collect();
    for _ in 0..600 {
        sleep(Duration::from_millis(100)).await;
        assert_eq!(candidates.iter().filter(|candidate| candidate.leads()).count(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_is_cut_off_steps_down_before_another_may_lead() {
    let api = FakeApi::new();
    let mut one = Candidate::new(&api, "one");
    one.until(true).await;
    let mut two = Candidate::new(&api, "two");
    sleep(Duration::from_secs(5)).await;
    one.line.cut();
    let down = one.until(false).await;
    assert!(down > Duration::from_secs(7) && down <= Duration::from_secs(10), "{down:?}");
    assert!(!two.leads());
    let up = two.until(true).await;
    // 15 s after the last renewal was seen, which was within the 2 s between two looks.
    assert!(up > Duration::from_secs(3) && down + up <= Duration::from_millis(17_100), "{down:?} {up:?}");
    one.line.mend();
    sleep(Duration::from_secs(30)).await;
    assert!(!one.leads() && two.leads());
    assert_eq!(spec(&api)["leaseTransitions"], 1);
}

#[tokio::test(start_paused = true)]
async fn a_short_outage_of_the_api_server_changes_no_leader() {
    let api = FakeApi::new();
    let mut one = Candidate::new(&api, "one");
    one.until(true).await;
    let two = Candidate::new(&api, "two");
    for mood in [Mood::Away, Mood::Forbidding] {
        api.mood(mood);
        for _ in 0..70 {
            sleep(Duration::from_millis(100)).await;
            assert!(one.leads() && !two.leads());
        }
        api.mood(Mood::Well);
        sleep(Duration::from_secs(5)).await;
    }
    api.mood(Mood::Away);
    one.until(false).await;
    api.mood(Mood::Well);
    let back = one.until(true).await;
    assert!(back < Duration::from_secs(5), "the Lease is still its own: {back:?}");
}

#[tokio::test(start_paused = true)]
async fn one_that_stops_gives_the_lease_up() {
    let api = FakeApi::new();
    let mut one = Candidate::new(&api, "one");
    one.until(true).await;
    let mut two = Candidate::new(&api, "two");
    sleep(Duration::from_secs(3)).await;
    one.stop().await;
    assert!(!one.leads());
    assert_eq!(spec(&api)["holderIdentity"], "");
    let up = two.until(true).await;
    assert!(up <= Duration::from_secs(2), "{up:?}");
    two.line.cut();
    two.stop().await;
    assert!(!two.leads());
}

#[tokio::test(start_paused = true)]
async fn the_same_pod_goes_on_after_a_crash_and_another_waits() {
    let api = FakeApi::new();
    api.put(PATH, lease_of("one"));
    let mut two = Candidate::new(&api, "two");
    let waited = two.until(true).await;
    // However old the times in it are: the clock that wrote them may be wrong.
    assert!(waited >= Duration::from_secs(15) && waited < Duration::from_secs(16), "{waited:?}");
    assert_eq!(spec(&api)["leaseTransitions"], 5);

    let api = FakeApi::new();
    api.put(PATH, lease_of("one"));
    let mut one = Candidate::new(&api, "one");
    assert!(one.until(true).await < Duration::from_secs(1));
    assert_eq!(spec(&api)["leaseTransitions"], 4);
}

#[tokio::test(start_paused = true)]
async fn work_is_done_while_leading_and_dropped_at_once_after() {
    struct Running(watch::Sender<i32>);
    impl Running {
        fn new(count: &watch::Sender<i32>) -> Self {
            count.send_modify(|running| *running += 1);
            Self(count.clone())
        }
    }
    impl Drop for Running {
        fn drop(&mut self) {
            self.0.send_modify(|running| *running -= 1);
        }
    }
    let (leads, receiver) = watch::channel(false);
    let (count, mut running) = watch::channel(0);
    let task = tokio::spawn(leader::while_leading(receiver, move || {
        let running = Running::new(&count);
        async move {
            let _running = running;
            std::future::pending::<()>().await;
        }
    }));
    for _ in 0..3 {
        leads.send_replace(true);
        running.wait_for(|running| *running == 1).await.unwrap();
        leads.send_replace(false);
        running.wait_for(|running| *running == 0).await.unwrap();
    }
    drop(leads);
    timeout(Duration::from_secs(1), task).await.expect("it goes on without an election").unwrap();
}
