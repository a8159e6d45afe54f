//! What a person does first, with the program and the images as they ship: check, install, prove, check, uninstall.

use std::collections::BTreeSet;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use cluster::{Cluster, Options};
use images::ours;
use libtest_mimic::{Failed, Trial};
use serde_json::Value;

use crate::{Outcome, ensure, meltemi, test};

pub fn tests() -> Vec<Trial> {
    vec![
        test("install::from_an_empty_cluster_to_a_proven_request_and_back_to_an_empty_cluster", there_and_back),
        test("install::a_cluster_without_the_images_is_told_what_to_do", without_images),
    ]
}

/// From an empty cluster to a proven mTLS request, images present.
const PROMISED: Duration = Duration::from_secs(60);

fn there_and_back() -> Outcome {
    let cluster = Cluster::start(Options::default())?;
    load_images(&cluster)?;
    let before = objects(&cluster)?;
    a_revision_of_digits_is_a_name(&cluster)?;
    let ready = check(&cluster, &["--pre"])?;
    ensure!(ready["ok"] == true, "not ready for an install: {ready:#}");
    missing_rights_are_told(&cluster)?;
    let missing = check(&cluster, &[])?;
    ensure!(missing["ok"] == false, "a check without Meltemi is content: {missing:#}");

    let started = Instant::now();
    let said = succeeded(run(&cluster, &["install"])?)?;
    println!("{said}");
    ensure!(started.elapsed() < PROMISED, "install took {:?}", started.elapsed());
    ensure!(said.contains("/sa/client called spiffe://"), "no proof: {said}");

    cluster.kubectl(&["create", "namespace", "shop"])?;
    cluster.kubectl(&["label", "namespace", "shop", "istio-injection=enabled"])?;
    let checked = check(&cluster, &[])?;
    ensure!(checked["ok"] == true, "not all is well: {checked:#}");
    let lines = checked["checks"].as_array().into_iter().flatten();
    let doubtful: Vec<&Value> = lines.filter(|line| line["outcome"] != "ok").collect();
    ensure!(doubtful.is_empty(), "warnings on a fresh install: {doubtful:#?}");
    pods_without_sidecar_are_told_of(&cluster)?;
    what_is_broken_is_told_of(&cluster)?;

    cluster.kubectl(&["delete", "namespace", "shop"])?;
    objects_of_others_are_left(&cluster)?;
    let started = Instant::now();
    let said = succeeded(run(&cluster, &["uninstall", "--crds"])?)?;
    println!("{said}uninstalled in {:?}", started.elapsed());
    let left: Vec<String> = objects(&cluster)?.difference(&before).cloned().collect();
    ensure!(left.is_empty(), "left behind: {left:#?}");
    Ok(())
}

/// Somebody who may only look learns what an install would be refused.
fn missing_rights_are_told(cluster: &Cluster) -> Outcome {
    cluster.kubectl(&["create", "clusterrolebinding", "looker", "--clusterrole=view", "--user=looker"])?;
    let mut config: Value = serde_json::from_str(&std::fs::read_to_string(cluster.kubeconfig_file())?)?;
    config["users"][0]["user"]["as"] = "looker".into();
    let file = cluster.folder().join("looker");
    std::fs::write(&file, config.to_string())?;
    let checked = check(cluster, &["--pre", "--kubeconfig", &file.display().to_string()])?;
    let lines: Vec<&Value> = checked["checks"].as_array().into_iter().flatten().collect();
    let rights: Vec<&str> =
        lines.iter().filter(|line| line["name"] == "rights").filter_map(|line| line["what"].as_str()).collect();
    let [needed, granting] = rights[..] else { return Err(format!("{checked:#}").into()) };
    ensure!(needed.contains("create, patch, delete networkpolicies.networking.k8s.io in meltemi-system"), "{needed}");
    ensure!(needed.contains("; create, delete pods") && !needed.contains("get pods"), "{needed}");
    ensure!(granting.contains("escalate, bind clusterroles"), "{granting}");
    cluster.kubectl(&["delete", "clusterrolebinding", "looker"])?;
    Ok(())
}

/// Helm takes digits for a number unless it is told that they are text.
fn a_revision_of_digits_is_a_name(cluster: &Cluster) -> Outcome {
    let said = succeeded(run(cluster, &["install", "--dry-run", "--revision", "2026"])?)?;
    ensure!(said.contains("name: meltemi-2026\n") && said.contains("istio.io/rev: \"2026\""), "{said}");
    Ok(())
}

/// A pod that was there before its namespace opted in has no sidecar, and a check fails until it is restarted. One in its
/// node's network never gets one, which is worth a warning.
fn pods_without_sidecar_are_told_of(cluster: &Cluster) -> Outcome {
    cluster.kubectl(&["create", "namespace", "late"])?;
    let image = format!("meltemi/meltemi:{}", ours::VERSION);
    let runs = ["--namespace", "late", "--image", &image, "--overrides"];
    for (name, spec) in [("bare", "{}"), ("on-host", r#"{"spec": {"hostNetwork": true}}"#)] {
        cluster.kubectl(&[&["run", name], &runs[..], &[spec, "--", "shop", "echo"]].concat())?;
    }
    cluster.kubectl(&["label", "namespace", "late", "istio-injection=enabled"])?;
    let checked = check(cluster, &[])?;
    let lines: Vec<&Value> = checked["checks"].as_array().into_iter().flatten().collect();
    let of = |outcome: &str| -> Vec<&str> {
        let those = lines.iter().filter(|line| line["outcome"] == outcome);
        those.map(|line| line["what"].as_str().unwrap_or_default()).collect()
    };
    let wanted = ["1 pods of the namespace late should have a sidecar and have none"];
    ensure!(of("failed") == wanted, "{checked:#}");
    let wanted = ["pods in their node's network, where no sidecar can be added: late/on-host"];
    ensure!(of("warning") == wanted, "{checked:#}");
    cluster.kubectl(&["delete", "namespace", "late"])?;
    Ok(())
}

/// Each part that is gone has its line, and a remedy. `helm test` fails, too.
fn what_is_broken_is_told_of(cluster: &Cluster) -> Outcome {
    cluster.kubectl(&["delete", "validatingwebhookconfiguration", "meltemi-validator"])?;
    cluster.apply(UNREADABLE)?;
    let refused = "--for=jsonpath={.status.conditions[?(@.type==\"Ready\")].status}=False";
    cluster.kubectl(&["wait", refused, "--timeout=60s", "virtualservice/unreadable"])?;
    let system = ["--namespace", "meltemi-system"];
    let all = |words: &[&str]| cluster.kubectl(&[words, &system].concat());
    all(&["scale", "deployment/meltemi", "--replicas=0"])?;
    all(&["wait", "--for=delete", "--timeout=60s", "pod", "--selector=app=meltemi"])?;
    all(&["delete", "secret/meltemi-ca"])?;
    cluster.kubectl(&["delete", "--namespace", "shop", "configmap/meltemi-ca-root-cert"])?;
    let helm = cluster.programs().get("helm")?;
    let tested = cluster.run(helm, &[&["test", "meltemi", "--timeout", "5s"], &system[..]].concat(), "");
    ensure!(tested.is_err(), "a test without control plane succeeded: {tested:?}");
    let checked = check(cluster, &[])?;
    let lines = checked["checks"].as_array().into_iter().flatten();
    let failed: Vec<&str> =
        lines.filter(|line| line["outcome"] == "failed").filter_map(|line| line["name"].as_str()).collect();
    let wanted = ["control plane", "leader", "authority", "roots", "injector", "validator", "objects"];
    ensure!(failed == wanted, "{failed:?}: {checked:#}");
    Ok(())
}

/// A policy of the whole mesh lives in the control plane's namespace, and so may a volume.
fn objects_of_others_are_left(cluster: &Cluster) -> Outcome {
    cluster.apply(THEIRS)?;
    let said = succeeded(run(cluster, &["uninstall"])?)?;
    ensure!(said.contains("removed  Pod meltemi-system/meltemi-test"), "the failed test was not removed: {said}");
    ensure!(said.contains("removed  PeerAuthentication meltemi-system/default"), "{said}");
    let left = "namespace meltemi-system: it still holds DestinationRule theirs, PersistentVolumeClaim theirs\n";
    ensure!(said.contains(left), "{said}");
    cluster.kubectl(&["delete", "--namespace", "meltemi-system", "destinationrule/theirs", "pvc/theirs"])?;
    Ok(())
}

const THEIRS: &str = "
{apiVersion: networking.istio.io/v1, kind: DestinationRule, metadata: {name: theirs, namespace: meltemi-system},
 spec: {host: web.shop.svc.cluster.local}}
---
{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: theirs, namespace: meltemi-system},
 spec: {accessModes: [ReadWriteOnce], storageClassName: none, resources: {requests: {storage: 1Mi}}}}
";

/// An expression that does not end: only the control plane knows.
const UNREADABLE: &str = r#"{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {name: unreadable},
    spec: {hosts: [web], http: [{match: [{uri: {regex: "a("}}], route: [{destination: {host: web}}]}]}}"#;

fn without_images() -> Outcome {
    let cluster = Cluster::start(Options::default())?;
    let output = run(&cluster, &["install", "--set", "imagePullPolicy=Never", "--timeout", "20s"])?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(!output.status.success(), "an install without images succeeded");
    let image = format!("meltemi/meltemi:{}", ours::VERSION);
    ensure!(said.contains("ErrImageNeverPull") && said.contains(&image), "{said}");
    Ok(())
}

fn load_images(cluster: &Cluster) -> Outcome {
    for image in [ours::meltemi(&meltemi())?, ours::init(&meltemi())?] {
        cluster.load(&image.uncompressed())?;
    }
    Ok(())
}

/// Runs the program as the administrator of the cluster.
fn run(cluster: &Cluster, arguments: &[&str]) -> Result<Output, std::io::Error> {
    let path = format!("{}:{}", cluster.programs().folder().display(), lab::tools::search_path());
    let mut command = Command::new(meltemi());
    command.args(arguments).env_clear().env("PATH", path).env("HOME", cluster.folder());
    command.env("KUBECONFIG", cluster.kubeconfig_file()).output()
}

fn succeeded(output: Output) -> Result<String, String> {
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        return Ok(said);
    }
    Err(format!("{}: {said}{}", output.status, String::from_utf8_lossy(&output.stderr)))
}

/// What `meltemi check` says. Whatever is not well has a remedy.
fn check(cluster: &Cluster, more: &[&str]) -> Result<Value, Failed> {
    let output = run(cluster, &[&["check", "-o", "json"], more].concat())?;
    let checked: Value = serde_json::from_slice(&output.stdout)?;
    ensure!(output.status.success() == (checked["ok"] == true), "{}: {checked:#}", output.status);
    for line in checked["checks"].as_array().into_iter().flatten() {
        let remedy = line["remedy"].as_str().unwrap_or_default();
        ensure!(remedy.is_empty() == (line["outcome"] == "ok"), "a remedy is missing or needless: {line:#}");
    }
    Ok(checked)
}

/// Every object of the cluster by kind, version, namespace and name, but events, and what the kubelet writes when it likes.
pub fn objects(cluster: &Cluster) -> Result<BTreeSet<String>, Box<dyn std::error::Error>> {
    let resources = cluster.kubectl(&["api-resources", "--verbs=list", "--output=name"])?;
    let come_and_go = ["events", "events.events.k8s.io", "componentstatuses"];
    let resources: Vec<&str> = resources.lines().filter(|name| !come_and_go.contains(name)).collect();
    let columns =
        "--output=custom-columns=KIND:.kind,API:.apiVersion,NAMESPACE:.metadata.namespace,NAME:.metadata.name";
    let found = cluster.kubectl(&[
        "get",
        &resources.join(","),
        "--all-namespaces",
        "--ignore-not-found",
        "--no-headers",
        columns,
    ])?;
    let found = found.lines().filter(|line| !line.contains(" kube-node-lease "));
    Ok(found.map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect())
}
