//! The webhooks under reviews that are sent straight to them: what one costs, how long fifty a second wait, and what
//! becomes of huge and senseless ones.

use std::time::{Duration, Instant};

use cluster::{Component, ECHO_IMAGE};
use http::Request;
use http_body_util::BodyExt;
use kube::client::Body;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use lab::CpuTime;
use libtest_mimic::Trial;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

use crate::installed::{Installed, SYSTEM, on_mesh};
use crate::{Outcome, api, ensure};

/// The most CPU time that one review may cost, on average.
const COST: Duration = Duration::from_millis(5);
/// The longest that 99 of 100 reviews may take at fifty a second.
const P99: Duration = Duration::from_millis(50);
const PER_SECOND: u32 = 50;
/// A namespace whose pods are made while a control plane ends.
const ENDING: &str = "ending";
/// For so long after its end began the way still leads to it.
const SLOW: Duration = Duration::from_secs(2);

pub fn tests() -> Vec<Trial> {
    vec![
        on_mesh("admission::a_review_costs_at_most_5_ms_of_cpu", cost),
        on_mesh("admission::fifty_a_second_are_answered_within_50_ms", latency),
        on_mesh("admission::of_three_megabytes_and_of_fifty_containers", large),
        on_mesh("admission::garbage_gets_a_clear_answer", garbage),
        on_mesh("admission::pods_can_be_made_while_a_control_plane_ends", ending),
    ]
}

/// A client of the webhooks that trusts what the API server is told to trust.
struct Webhook<'a> {
    mesh: &'a Installed,
    client: Client,
}

impl<'a> Webhook<'a> {
    fn connect(mesh: &'a Installed) -> Result<Webhook<'a>, String> {
        let path = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/meltemi-injector";
        let configuration = mesh.cluster.get(path).map_err(|error| error.to_string())?;
        let authority = &configuration["webhooks"][0]["clientConfig"]["caBundle"];
        let server = format!("https://{}", mesh.address(SYSTEM, "meltemi", 443)?);
        let file = json!({
            "clusters": [{"name": "webhook", "cluster": {
                "server": server,
                "certificate-authority-data": authority,
                "tls-server-name": format!("meltemi.{SYSTEM}.svc"),
            }}],
            "users": [{"name": "nobody", "user": {}}],
            "contexts": [{"name": "webhook", "context": {"cluster": "webhook", "user": "nobody"}}],
            "current-context": "webhook",
        });
        let file: Kubeconfig = serde_json::from_value(file).map_err(|error| error.to_string())?;
        let client = mesh.cluster.block_on(async {
            let config = Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await;
            Client::try_from(config.map_err(|error| error.to_string())?).map_err(|error| error.to_string())
        })?;
        Ok(Webhook { mesh, client })
    }

    fn ask(&self, path: &str, body: &[u8]) -> Result<(u16, String), String> {
        self.mesh.cluster.block_on(ask(self.client.clone(), path.to_owned(), body.to_vec()))
    }

    /// The response of a review that is answered as such.
    fn review(&self, path: &str, review: &Value) -> Result<Value, String> {
        let (status, text) = self.ask(path, review.to_string().as_bytes())?;
        let answer: Value = serde_json::from_str(&text).map_err(|_| format!("{status}: {text}"))?;
        let response = answer["response"].clone();
        let answered = status == 200 && response["uid"] == review["request"]["uid"];
        if answered { Ok(response) } else { Err(format!("{status}: {text}")) }
    }
}

async fn ask(client: Client, path: String, body: Vec<u8>) -> Result<(u16, String), String> {
    let request = Request::post(&path).header("content-type", "application/json").body(Body::from(body));
    let request = request.map_err(|error| error.to_string())?;
    let response = client.send(request).await.map_err(|error| format!("{path}: {error}"))?;
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.map_err(|error| format!("{path}: {error}"))?.to_bytes();
    Ok((status, String::from_utf8_lossy(&body).into_owned()))
}

fn review(resource: [&str; 3], kind: &str, object: &Value) -> Value {
    let [group, version, list] = resource;
    json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {
        "uid": "2d1a76e6-5d7f-4f0c-9d7a-6f0a5e0a11b2",
        "kind": {"group": group, "version": version, "kind": kind},
        "resource": {"group": group, "version": version, "resource": list},
        "namespace": "reviewed",
        "operation": "CREATE",
        "userInfo": {"username": "admin"},
        "object": object,
        "oldObject": null,
        "dryRun": false,
    }})
}

/// A pod with so many containers, each with probes, and an environment variable of so many bytes.
fn pod(containers: usize, bytes: usize) -> Value {
    let containers: Vec<Value> = (0..containers)
        .map(|number| {
            json!({
                "name": format!("app-{number}"),
                "image": ECHO_IMAGE,
                "env": [{"name": "TEXT", "value": "x".repeat(bytes)}],
                "readinessProbe": {"httpGet": {"path": "/ready", "port": 8080}},
                "livenessProbe": {"tcpSocket": {"port": 8080}},
            })
        })
        .collect();
    let metadata = json!({"name": "web", "namespace": "reviewed", "labels": {"app": "web", "version": "v1"}});
    let object = json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"containers": containers}});
    review(["", "v1", "pods"], "Pod", &object)
}

fn route() -> Value {
    let object = json!({
        "apiVersion": "networking.istio.io/v1",
        "kind": "VirtualService",
        "metadata": {"name": "web", "namespace": "reviewed"},
        "spec": {"hosts": ["web"], "http": [{
            "match": [{"uri": {"prefix": "/shop"}}],
            "retries": {"attempts": 3},
            "route": [{"destination": {"host": "web"}, "weight": 90}, {"destination": {"host": "new"}, "weight": 10}],
        }]},
    });
    review(["networking.istio.io", "v1", "virtualservices"], "VirtualService", &object)
}

fn cost(mesh: &Installed) -> Outcome {
    const REVIEWS: u32 = 200;
    let webhook = Webhook::connect(mesh)?;
    let process = mesh.control_plane()?;
    for (path, review) in [("/inject", pod(2, 10)), ("/validate", route())] {
        webhook.review(path, &review)?;
        let before = CpuTime::of(process)?;
        for _ in 0..REVIEWS {
            webhook.review(path, &review)?;
        }
        let used = CpuTime::of(process)?.since(&before);
        let each = (used.user + used.system) / REVIEWS;
        println!("  {path}: {} us of CPU time for each of {REVIEWS} reviews", each.as_micros());
        ensure!(each <= COST, "{path}: {each:?} for each review");
    }
    Ok(())
}

/// The machine's other work may disturb a run, not each of three.
fn latency(mesh: &Installed) -> Outcome {
    let webhook = Webhook::connect(mesh)?;
    let mut told = String::new();
    for _ in 0..3 {
        let (median, p99) = paced(mesh, &webhook)?;
        told = format!("{PER_SECOND} reviews a second: median {median:?}, p99 {p99:?}");
        println!("  {told}");
        if p99 < P99 {
            return Ok(());
        }
    }
    Err(told.into())
}

/// Median and p99 of four seconds.
fn paced(mesh: &Installed, webhook: &Webhook) -> Result<(Duration, Duration), String> {
    const SECONDS: u32 = 4;
    let body = pod(2, 10).to_string().into_bytes();
    let mut times = mesh.cluster.block_on(async {
        let mut ticks = tokio::time::interval(Duration::from_secs(1) / PER_SECOND);
        let mut under_way = tokio::task::JoinSet::new();
        for _ in 0..PER_SECOND * SECONDS {
            ticks.tick().await;
            let (client, body) = (webhook.client.clone(), body.clone());
            under_way.spawn(async move {
                let started = Instant::now();
                let answer = ask(client, "/inject".to_owned(), body).await?;
                if answer.0 == 200 { Ok(started.elapsed()) } else { Err(format!("{answer:?}")) }
            });
        }
        under_way.join_all().await.into_iter().collect::<Result<Vec<Duration>, String>>()
    })?;
    times.sort();
    Ok((times[times.len() / 2], times[times.len() * 99 / 100]))
}

fn large(mesh: &Installed) -> Outcome {
    let webhook = Webhook::connect(mesh)?;
    for (what, review) in [("3 MB", pod(1, 3_000_000)), ("50 containers", pod(50, 10))] {
        let started = Instant::now();
        let response = webhook.review("/inject", &review)?;
        println!("  {what}: answered in {:?}", started.elapsed());
        ensure!(response["allowed"] == true, "{what}: {response}");
        ensure!(response["patch"].as_str().is_some_and(|patch| !patch.is_empty()), "{what}: no sidecar: {response}");
    }
    // More than any object of the API server can be.
    let (status, text) = webhook.ask("/inject", pod(1, 8_000_000).to_string().as_bytes())?;
    ensure!(status == 413 && text.contains("bytes"), "8 MB: {status}: {text}");
    Ok(())
}

fn garbage(mesh: &Installed) -> Outcome {
    let webhook = Webhook::connect(mesh)?;
    let process = mesh.control_plane()?;
    let deep = "[".repeat(100_000);
    let other = json!({"apiVersion": "v1", "kind": "Pod"}).to_string();
    let empty = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview"}).to_string();
    let bodies: [&[u8]; 7] =
        [b"", b"{", b"null", b"\xff\xfe\x00\x01", deep.as_bytes(), other.as_bytes(), empty.as_bytes()];
    for path in ["/inject", "/validate"] {
        for body in bodies {
            let (status, text) = webhook.ask(path, body)?;
            let shown = String::from_utf8_lossy(&body[..body.len().min(30)]).into_owned();
            ensure!(status == 400 && text.contains("AdmissionReview"), "{path} {shown}: {status}: {text}");
        }
    }
    // Reviews whose object is no object are answered as reviews, and refuse or let pass in words.
    for (path, object) in [("/inject", json!("pod")), ("/inject", json!({"spec": 7})), ("/validate", json!([1]))] {
        let resource =
            if path == "/inject" { ["", "v1", "pods"] } else { ["networking.istio.io", "v1", "virtualservices"] };
        let response = webhook.review(path, &review(resource, "Pod", &object))?;
        let clear =
            response["allowed"] == true || response["status"]["message"].as_str().is_some_and(|text| text.len() > 20);
        ensure!(clear, "{path} {object}: {response}");
    }
    ensure!(mesh.control_plane()? == process, "the control plane has restarted");
    Ok(())
}

/// One of two control planes ends, and kube-proxy is slow to learn of it: no pod is refused for want of an injector.
fn ending(mesh: &Installed) -> Outcome {
    mesh.enrolled(ENDING)?;
    let scale =
        |replicas: &str| mesh.cluster.kubectl(&["scale", "--namespace", SYSTEM, "deployment/meltemi", replicas]);
    let ends = mesh.pod(SYSTEM, "app=meltemi")?;
    scale("--replicas=2")?;
    mesh.rolled_out(SYSTEM, &["deployment/meltemi"])?;
    let kube_proxy = Pid::from_raw(mesh.cluster.process(Component::KubeProxy).ok_or("kube-proxy does not run")?);
    kill(kube_proxy, Signal::SIGSTOP)?;
    let delete = mesh.cluster.kubectl(&["delete", "pod", "--namespace", SYSTEM, "--wait=false", &ends]);
    let started = Instant::now();
    let made = delete.map_err(|error| error.to_string()).and_then(|_| make_pods(mesh, || started.elapsed() < SLOW));
    kill(kube_proxy, Signal::SIGCONT)?;
    println!("  {} pods in {:?}", made?, started.elapsed());
    mesh.cluster.kubectl(&["wait", "--namespace", SYSTEM, "--for=delete", "--timeout=60s", &format!("pod/{ends}")])?;
    scale("--replicas=1")?;
    mesh.rolled_out(SYSTEM, &["deployment/meltemi"])?;
    mesh.cluster.kubectl(&["delete", "namespace", ENDING, "--wait=false"])?;
    Ok(())
}

/// Makes pods, of which none is kept, as long as it shall; how many there were. Fails when one is refused.
fn make_pods(mesh: &Installed, on: impl Fn() -> bool) -> Result<usize, String> {
    let container = json!({"name": "app", "image": ECHO_IMAGE});
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"generateName": "made-"},
                     "spec": {"containers": [container]}});
    let pods = vec![pod; 20];
    let path = format!("/api/v1/namespaces/{ENDING}/pods?dryRun=All");
    let mut made = 0;
    while on() {
        let failures = api::create_all(&mesh.cluster, &path, &pods, 4);
        if !failures.is_empty() {
            return Err(format!("after {made} pods: {failures:?}"));
        }
        made += pods.len();
    }
    Ok(made)
}
