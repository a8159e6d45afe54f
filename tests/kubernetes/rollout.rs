//! What rollout tools edit takes effect in the proxies within two seconds: Argo Rollouts edits VirtualServices and
//! DestinationRules, Flagger these and HTTPRoutes. And Istio's metrics, by which they judge, tell the versions apart.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use cluster::ClusterError;
use lab::{Load, Namespaces};
use libtest_mimic::Trial;
use serde_json::{Value, json};

use crate::installed::{Installed, LIMIT, on_mesh};
use crate::{Outcome, api, ensure};

const NAMESPACE: &str = "rollout";
/// From before the edit is sent to the first answer after which no old one comes.
const WITHIN: Duration = Duration::from_secs(2);
/// So many answers in a row are taken for all that follow.
const IN_A_ROW: u32 = 100;

pub fn tests() -> Vec<Trial> {
    vec![
        on_mesh("rollout::weights_and_headers_of_a_virtual_service", virtual_service),
        on_mesh("rollout::labels_of_a_destination_rules_subsets", destination_rule),
        on_mesh("rollout::weights_of_an_http_route", http_route),
        on_mesh("rollout::metrics_tell_the_versions_apart", metrics),
    ]
}

/// The client's pod, and a service that it asks.
struct Site<'a> {
    mesh: &'a Installed,
    client: Namespaces,
    service: SocketAddr,
    authority: &'static str,
}

impl<'a> Site<'a> {
    fn ready(mesh: &'a Installed, authority: &'static str) -> Result<Site<'a>, String> {
        let told = |error: ClusterError| error.to_string();
        let first = mesh.cluster.get(&format!("/api/v1/namespaces/{NAMESPACE}")).is_err();
        if first {
            mesh.enrolled(NAMESPACE).map_err(told)?;
            mesh.apply(NAMESPACE, include_str!("rollout/pods.yaml")).map_err(told)?;
        }
        mesh.rolled_out(NAMESPACE, &["deployment/client", "deployment/web-v1", "deployment/web-v2"]).map_err(told)?;
        let site = |authority| -> Result<Site<'a>, String> {
            let client = mesh.network(NAMESPACE, "app=client")?;
            Ok(Site { mesh, client, service: mesh.address(NAMESPACE, authority, 80)?, authority })
        };
        if first {
            ["web", "shop"].map(site).into_iter().try_for_each(|site| site?.both_versions_answer())?;
        }
        site(authority)
    }

    /// Waits until the client's sidecar knows of both versions, between which all services share at first.
    fn both_versions_answer(&self) -> Result<(), String> {
        let look = || {
            let shares = self.shares(100)?;
            if shares.keys().eq(["v1", "v2"]) { Ok(()) } else { Err(format!("{shares:?}")) }
        };
        self.mesh.cluster.wait_until("both versions", LIMIT, look).map_err(|error: ClusterError| error.to_string())
    }

    /// The version that answers one request.
    fn ask(&self, headers: &[(&str, &str)]) -> Result<String, String> {
        let stream = self.client.connect(self.service, WITHIN).map_err(|error| format!("connect: {error}"))?;
        let answer = lab::http::get(stream, self.authority, "/", headers).map_err(|error| error.to_string())?;
        let body: Value = serde_json::from_slice(&answer.body).map_err(|_| format!("{answer:?}"))?;
        Ok(body["version"].as_str().unwrap_or_default().to_owned())
    }

    /// Edits an object and measures until the version for requests with these headers is the wanted one, and stays it.
    fn edit(&self, object: &str, patch: &Value, headers: &[(&str, &str)], wanted: &str) -> Outcome {
        let started = Instant::now();
        api::merge(&self.mesh.cluster, object, patch)?;
        let mut since = started.elapsed();
        let mut in_a_row = 0;
        while in_a_row < IN_A_ROW {
            let version = self.ask(headers)?;
            in_a_row = if version == wanted { in_a_row + 1 } else { 0 };
            if in_a_row == 0 {
                since = started.elapsed();
                ensure!(since < WITHIN, "{object}: {version} still answers after {since:?}, not {wanted}");
            }
        }
        println!("  {object}: in effect {} ms after the edit was sent", since.as_millis());
        Ok(())
    }

    /// How the answers to so many requests are shared.
    fn shares(&self, count: u64) -> Result<BTreeMap<String, u64>, String> {
        let (summary, ()) = Load::burst(self.service, self.authority, count).run(&self.client, || ());
        if summary.failed() > 0 { Err(summary.told()) } else { Ok(summary.versions) }
    }
}

fn object(group: &str, list: &str, name: &str) -> String {
    format!("/apis/{group}/v1/namespaces/{NAMESPACE}/{list}/{name}")
}

fn virtual_service(mesh: &Installed) -> Outcome {
    let site = Site::ready(mesh, "web")?;
    let path = object("networking.istio.io", "virtualservices", "web");
    let split = |stable: u32, canary: u32| {
        let to =
            |subset: &str, weight: u32| json!({"destination": {"host": "web", "subset": subset}, "weight": weight});
        json!({"name": "primary", "route": [to("stable", stable), to("canary", canary)]})
    };
    let routes = |routes: &[Value]| json!({"spec": {"http": routes}});
    site.edit(&path, &routes(&[split(100, 0)]), &[], "v1")?;
    site.edit(&path, &routes(&[split(0, 100)]), &[], "v2")?;
    site.edit(&path, &routes(&[split(100, 0)]), &[], "v1")?;
    let canary = json!({
        "name": "canary",
        "match": [{"headers": {"x-canary": {"exact": "yes"}}}],
        "route": [{"destination": {"host": "web", "subset": "canary"}}],
    });
    site.edit(&path, &routes(&[canary, split(100, 0)]), &[("x-canary", "yes")], "v2")?;
    ensure!(site.ask(&[])? == "v1", "without the header another version");
    // Half and half: of 1000, 440 to 560 are within four standard deviations of 16.
    api::merge(&mesh.cluster, &path, &routes(&[split(50, 50)]))?;
    let halves = mesh.cluster.wait_until("half and half", WITHIN, || {
        let shares = site.shares(1000)?;
        let even = (440..=560).contains(shares.get("v2").unwrap_or(&0));
        if even { Ok(shares) } else { Err(format!("{shares:?}")) }
    })?;
    println!("  weights 50 and 50: {halves:?}");
    site.edit(&path, &routes(&[split(100, 0)]), &[], "v1")
}

fn destination_rule(mesh: &Installed) -> Outcome {
    let site = Site::ready(mesh, "web")?;
    let path = object("networking.istio.io", "destinationrules", "web");
    let stable = |version: &str| {
        let subset = |name: &str, version: &str| json!({"name": name, "labels": {"version": version}});
        json!({"spec": {"subsets": [subset("stable", version), subset("canary", "v2")]}})
    };
    let all = json!({"spec": {"http": [{"route": [{"destination": {"host": "web", "subset": "stable"}}]}]}});
    site.edit(&object("networking.istio.io", "virtualservices", "web"), &all, &[], "v1")?;
    site.edit(&path, &stable("v2"), &[], "v2")?;
    site.edit(&path, &stable("v1"), &[], "v1")
}

fn http_route(mesh: &Installed) -> Outcome {
    let site = Site::ready(mesh, "shop")?;
    let path = object("gateway.networking.k8s.io", "httproutes", "shop");
    let split = |primary: u32, canary: u32| {
        let to = |name: &str, weight: u32| json!({"name": name, "port": 80, "weight": weight});
        json!({"spec": {"rules": [{"backendRefs": [to("shop-primary", primary), to("shop-canary", canary)]}]}})
    };
    site.edit(&path, &split(0, 100), &[], "v2")?;
    site.edit(&path, &split(100, 0), &[], "v1")
}

fn metrics(mesh: &Installed) -> Outcome {
    let site = Site::ready(mesh, "web")?;
    let path = object("networking.istio.io", "virtualservices", "web");
    let to = |subset: &str| json!({"destination": {"host": "web", "subset": subset}, "weight": 50});
    site.edit(&path, &json!({"spec": {"http": [{"route": [to("stable")]}]}}), &[], "v1")?;
    let before = requests(mesh)?;
    let shares = site.shares(200)?;
    site.edit(&path, &json!({"spec": {"http": [{"route": [to("canary")]}]}}), &[], "v2")?;
    ensure!(shares.keys().eq(["v1"]), "{shares:?}");
    let middle = requests(mesh)?;
    site.shares(300)?;
    let after = requests(mesh)?;
    for side in ["source", "destination"] {
        let more = |version: &str, from: &Requests, to: &Requests| {
            let key = (side.to_owned(), format!("web-{version}"), version.to_owned());
            to.get(&key).unwrap_or(&0.0) - from.get(&key).unwrap_or(&0.0)
        };
        ensure!(more("v1", &before, &middle) >= 200.0, "{side}: {before:?} then {middle:?}");
        let (old, new) = (more("v1", &middle, &after), more("v2", &middle, &after));
        ensure!((old, new) == (0.0, 300.0), "{side}: {old} and {new} more, not 0 and 300: {after:?}");
    }
    Ok(())
}

/// Requests with status 200 to the service, by reporter, workload and version: what Flagger and Argo Rollouts ask
/// Prometheus for.
type Requests = BTreeMap<(String, String, String), f64>;

fn requests(mesh: &Installed) -> Result<Requests, String> {
    let path = format!("/api/v1/namespaces/{NAMESPACE}/pods");
    let pods = mesh.cluster.get(&path).map_err(|error| error.to_string())?;
    let mut sums = Requests::new();
    for pod in pods["items"].as_array().into_iter().flatten().filter_map(|pod| pod["metadata"]["name"].as_str()) {
        for line in mesh.metrics(NAMESPACE, pod)?.lines() {
            let Some((labels, value)) =
                line.strip_prefix("istio_requests_total{").and_then(|rest| rest.rsplit_once("} "))
            else {
                continue;
            };
            let label = |name: &str| {
                let start = labels.find(&format!("{name}=\""))? + name.len() + 2;
                labels[start..].split('"').next().map(str::to_owned)
            };
            let wanted = label("response_code").as_deref() == Some("200")
                && label("destination_workload_namespace").as_deref() == Some(NAMESPACE);
            let key = (label("reporter"), label("destination_workload"), label("destination_version"));
            if let ((Some(reporter), Some(workload), Some(version)), true) = (key, wanted) {
                *sums.entry((reporter, workload, version)).or_default() += value.parse::<f64>().unwrap_or(0.0);
            }
        }
    }
    Ok(sums)
}
