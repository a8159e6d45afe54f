//! The charts by Helm alone, as somebody uses them who does not run `meltemi install`: lint, install, test, upgrade. What
//! they say of kinds that have no effect is asked of the same cluster.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use cluster::{Cluster, ClusterError, Options};
use libtest_mimic::Trial;

use crate::install::objects;
use crate::installed::{LIMIT, SYSTEM};
use crate::{Outcome, ensure, meltemi, test};

pub fn tests() -> Vec<Trial> {
    vec![test("helm::the_charts_are_linted_installed_tested_and_upgraded_without_our_program", alone)]
}

/// The oldest Kubernetes that the charts are for.
const OLDEST: &str = "1.33.0";

fn alone() -> Outcome {
    let cluster = Cluster::start(Options::default())?;
    cluster.load_meltemi(&meltemi())?;
    for chart in ["meltemi-crds", "meltemi"] {
        helm(&cluster, &["lint", "--strict", "--kube-version", OLDEST, &path(chart)])?;
    }
    cluster.kubectl(&["create", "namespace", SYSTEM])?;
    cluster.kubectl(&["label", "namespace", SYSTEM, "pod-security.kubernetes.io/enforce=restricted"])?;
    release(&cluster, "meltemi-crds", &[])?;
    release(&cluster, "meltemi", &[])?;
    tested(&cluster)?;
    no_right_is_given_that_nothing_uses(&cluster)?;
    let said = release(
        &cluster,
        "meltemi",
        &["--set", "controlPlane.replicas=2", "--set", "peerAuthentication.create=false"],
    )?;
    // The policy of the mesh does not go unnoticed.
    ensure!(said.contains("PeerAuthentication meltemi-system/default, stays in force"), "{said}");
    cluster.kubectl(&["get", "--namespace", SYSTEM, "peerauthentication/default"])?;
    tested(&cluster)?;
    fails_without_a_control_plane(&cluster)?;
    without_effect(&cluster)
}

/// That the rights suffice is seen by what works.
fn no_right_is_given_that_nothing_uses(cluster: &Cluster) -> Outcome {
    let account = format!("--as=system:serviceaccount:{SYSTEM}:meltemi");
    for (verb, what) in [
        ("create", "events.events.k8s.io"),
        ("delete", "configmaps/meltemi-ca-root-cert"),
        ("patch", "leases.coordination.k8s.io/meltemi-leader"),
        ("list", "secrets"),
        ("update", "virtualservices.networking.istio.io"),
    ] {
        let may = cluster.kubectl(&["auth", "can-i", verb, what, "--namespace", SYSTEM, &account]);
        ensure!(may.is_err(), "the control plane may {verb} {what}: {may:?}");
    }
    // The question is asked of the right account.
    cluster.kubectl(&["auth", "can-i", "patch", "configmaps/meltemi-ca-root-cert", &account]).map(drop)?;
    Ok(())
}

/// `helm test` succeeds and leaves nothing.
fn tested(cluster: &Cluster) -> Outcome {
    let before = objects(cluster)?;
    for release in ["meltemi-crds", "meltemi"] {
        helm(cluster, &["test", release, "--timeout", "90s"])?;
    }
    cluster.kubectl(&["wait", "--namespace", SYSTEM, "--for=delete", "--timeout=60s", "pod/meltemi-test"])?;
    let left: Vec<String> = objects(cluster)?.difference(&before).cloned().collect();
    ensure!(left.is_empty(), "left behind: {left:#?}");
    Ok(())
}

/// What it says means something: it does not succeed by itself.
fn fails_without_a_control_plane(cluster: &Cluster) -> Outcome {
    let scale = |replicas: &str| cluster.kubectl(&["scale", "--namespace", SYSTEM, "deployment/meltemi", replicas]);
    scale("--replicas=0")?;
    cluster.kubectl(&[
        "wait",
        "--namespace",
        SYSTEM,
        "--for=delete",
        "--timeout=60s",
        "pod",
        "--selector=app=meltemi",
    ])?;
    let answer = helm(cluster, &["test", "meltemi", "--timeout", "10s"]);
    ensure!(answer.is_err(), "a test without control plane succeeded: {answer:?}");
    let log = cluster.kubectl(&["logs", "--namespace", SYSTEM, "meltemi-test", "--container=sidecar"])?;
    ensure!(log.contains("meltemi.meltemi-system.svc:15012"), "the log does not say what is missing: {log}");
    scale("--replicas=1")?;
    cluster.kubectl(&["rollout", "status", "--namespace", SYSTEM, "--timeout=90s", "deployment/meltemi"])?;
    // The pod of the test that failed, which stays to be looked at, makes room for the next one.
    helm(cluster, &["test", "meltemi", "--timeout", "90s"])?;
    cluster.kubectl(&["wait", "--namespace", SYSTEM, "--for=delete", "--timeout=60s", "pod/meltemi-test"])?;
    Ok(())
}

/// Who writes an object of a kind that has no effect is told so, once, whoever brought its definition.
fn without_effect(cluster: &Cluster) -> Outcome {
    release(cluster, "meltemi-crds", &["--set", "acceptWithoutEffect={Gateway}"])?;
    cluster.apply(ISTIOS_DEFINITION)?;
    cluster.kubectl(&["wait", "--for=condition=Established", "--timeout=60s", "crd", "--all"])?;
    for (object, told) in [
        (
            "{apiVersion: networking.istio.io/v1, kind: Gateway, metadata: {name: g}, spec: {}}",
            "Warning: Meltemi: Gateway is not supported yet: it has no effect",
        ),
        (
            "{apiVersion: security.istio.io/v1, kind: AuthorizationPolicy, metadata: {name: a}, spec: {}}",
            "Warning: Meltemi: AuthorizationPolicy is not supported yet: nothing enforces it, and requests that it forbids \
             are served",
        ),
    ] {
        // The leader has written the webhook's caBundle before long.
        cluster.wait_until(told, LIMIT, || match warnings(cluster, object) {
            Ok(said) if said == [told] => Ok(()),
            other => Err(format!("{other:?}")),
        })?;
    }
    Ok(())
}

/// A definition that another mesh has brought.
const ISTIOS_DEFINITION: &str = "
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: authorizationpolicies.security.istio.io}
spec:
  group: security.istio.io
  scope: Namespaced
  names: {kind: AuthorizationPolicy, listKind: AuthorizationPolicyList, plural: authorizationpolicies}
  versions:
    - name: v1
      served: true
      storage: true
      schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
";

/// What `kubectl apply` prints on standard error for an object that is taken and not kept.
fn warnings(cluster: &Cluster, object: &str) -> Result<Vec<String>, String> {
    let file = cluster.folder().join("warned.yaml");
    std::fs::write(&file, object).map_err(|error| error.to_string())?;
    let mut command = cluster.command("kubectl");
    command.args(["apply", "--dry-run=server", "-f"]).arg(&file).stdin(Stdio::null());
    let output = command.output().map_err(|error| error.to_string())?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    if output.status.success() { Ok(said.lines().map(str::to_owned).collect()) } else { Err(said) }
}

/// Installs or upgrades a release of the chart of the same name.
fn release(cluster: &Cluster, chart: &str, values: &[&str]) -> Result<String, ClusterError> {
    let path = path(chart);
    helm(cluster, &[&["upgrade", "--install", chart, &path, "--wait", "--timeout", "120s"], values].concat())
}

fn helm(cluster: &Cluster, words: &[&str]) -> Result<String, ClusterError> {
    cluster.run(cluster.programs().get("helm")?, &[words, &["--namespace", SYSTEM]].concat(), "")
}

fn path(chart: &str) -> String {
    let charts: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("manifests").join("charts");
    charts.join(chart).display().to_string()
}
