//! Thousands of VirtualServices at once, a tenth of them wrong: every wrong one is named on itself, the others are in force,
//! and when they are gone the control plane is as small as before.

use std::time::{Duration, Instant};

use lab::Memory;
use libtest_mimic::Trial;
use serde_json::{Value, json};

use crate::installed::{Installed, LIMIT, on_mesh};
use crate::{Outcome, api, ensure, heavy};

const NAMESPACE: &str = "many";
const LIST: &str = "/apis/networking.istio.io/v1/namespaces/many/virtualservices";
const ENTRIES: &str = "/apis/networking.istio.io/v1/namespaces/many/serviceentries";
const WEBHOOKS: &str = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/meltemi-validator";
/// Every so many-th is wrong.
const WRONG: usize = 10;
/// How long all may take to be told, and then to be forgotten.
const PATIENCE: Duration = Duration::from_secs(120);
/// Requests to the API server at once.
const AT_ONCE: usize = 20;

pub fn tests() -> Vec<Trial> {
    vec![on_mesh("many::virtual_services_a_tenth_wrong_at_once", many)]
}

fn many(mesh: &Installed) -> Outcome {
    let count = if heavy() { 5000 } else { 500 };
    mesh.enrolled(NAMESPACE)?;
    mesh.apply(NAMESPACE, include_str!("many/pods.yaml"))?;
    mesh.rolled_out(NAMESPACE, &["deployment/client", "deployment/web"])?;
    let failures = api::create_all(&mesh.cluster, ENTRIES, &entries(count), AT_ONCE);
    ensure!(failures.is_empty(), "{failures:?}");
    // A first round lets the memory that the allocator keeps come into being, and is not counted.
    round(mesh, count)?;
    let before = memory(mesh)?;
    let during = round(mesh, count)?;
    let near = |now: u64| now.abs_diff(before) * 5 <= before;
    let look = || memory(mesh).and_then(|now| if near(now) { Ok(now) } else { Err(mebibytes(now)) });
    let after = mesh.cluster.wait_until(&format!("memory back at {}", mebibytes(before)), PATIENCE, look)?;
    println!("  {count}: {} before, {} with them, {} after", mebibytes(before), mebibytes(during), mebibytes(after));
    mesh.cluster.kubectl(&["delete", "namespace", NAMESPACE, "--wait=false"])?;
    Ok(())
}

/// Brings all, looks at each, and takes them away; returns the control plane's memory while they were there.
fn round(mesh: &Installed, count: usize) -> Result<u64, String> {
    let objects: Vec<Value> = (0..count).map(route).collect();
    let started = Instant::now();
    validation(mesh, false)?;
    let failures = api::create_all(&mesh.cluster, LIST, &objects, AT_ONCE);
    validation(mesh, true)?;
    if !failures.is_empty() {
        return Err(format!("{} were refused: {:?}", failures.len(), failures.first()));
    }
    let created = started.elapsed();
    let told = || all_told(mesh, count);
    mesh.cluster.wait_until("a word on every object", PATIENCE, told).map_err(|error| error.to_string())?;
    println!(
        "  {count} created in {:.1} s, all told after {:.1} s",
        created.as_secs_f32(),
        started.elapsed().as_secs_f32()
    );
    mesh.cluster
        .wait_until("the right ones in force", TAKES_EFFECT, || in_force(mesh))
        .map_err(|error| error.to_string())?;
    let during = memory(mesh)?;
    // Some at a time, so that each answer comes before a client takes it for lost.
    let gone = || api::delete_all(&mesh.cluster, &format!("{LIST}?limit=500")).and_then(|_| none_left(mesh));
    mesh.cluster.wait_until("none left", PATIENCE, gone).map_err(|error| error.to_string())?;
    Ok(during)
}

/// What is written of an Istio object is Pilot's word; sidecars may have it a moment later.
const TAKES_EFFECT: Duration = Duration::from_secs(5);
/// Two of the hosts are Services, which a client can call.
const CALLED: [usize; 2] = [1, 499];
/// ServiceEntries with so many hosts each.
const ENTRY: usize = 250;

/// The host of its own that a VirtualService has.
fn host(number: usize) -> String {
    if CALLED.contains(&number) { format!("web-{number}") } else { format!("web-{number}.many.example") }
}

/// The other hosts, so that each route leads somewhere.
fn entries(count: usize) -> Vec<Value> {
    let numbers: Vec<usize> = (0..count).filter(|number| !CALLED.contains(number)).collect();
    let entry = |(index, numbers): (usize, &[usize])| {
        json!({
            "apiVersion": "networking.istio.io/v1",
            "kind": "ServiceEntry",
            "metadata": {"name": format!("entry-{index}")},
            "spec": {
                "hosts": numbers.iter().map(|number| host(*number)).collect::<Vec<_>>(),
                "ports": [{"name": "http", "number": 80, "protocol": "HTTP"}],
                "resolution": "STATIC",
                "endpoints": [{"address": "192.0.2.1"}],
            },
        })
    };
    numbers.chunks(ENTRY).enumerate().map(entry).collect()
}

/// Each puts its own number into answers.
fn route(number: usize) -> Value {
    let uri = if number.is_multiple_of(WRONG) { "(" } else { ".*" };
    json!({
        "apiVersion": "networking.istio.io/v1",
        "kind": "VirtualService",
        "metadata": {"name": format!("vs-{number}")},
        "spec": {"hosts": [host(number)], "http": [{
            "match": [{"uri": {"regex": uri}}],
            "headers": {"response": {"set": {"vs": number.to_string()}}},
            "route": [{"destination": {"host": host(number)}}],
        }]},
    })
}

/// The webhook would refuse the wrong ones, which is right and not what is tested here.
fn validation(mesh: &Installed, on: bool) -> Result<(), String> {
    let found = mesh.cluster.get(WEBHOOKS).map_err(|error| error.to_string())?;
    let mut webhooks = found["webhooks"].clone();
    let exception = json!({"matchExpressions": [
        {"key": "kubernetes.io/metadata.name", "operator": "NotIn", "values": [NAMESPACE]},
    ]});
    for webhook in webhooks.as_array_mut().into_iter().flatten() {
        webhook["namespaceSelector"] = if on { json!({}) } else { exception.clone() };
    }
    api::merge(&mesh.cluster, WEBHOOKS, &json!({"webhooks": webhooks}))?;
    // The API server itself hears of it a moment later.
    let heard = || match api::create(&mesh.cluster, &format!("{LIST}?dryRun=All"), &route(0)) {
        Err(refused) if on && refused.contains("denied") => Ok(()),
        Ok(_) if !on => Ok(()),
        other => Err(format!("{other:?}")),
    };
    mesh.cluster.wait_until("a webhook that heard of its change", LIMIT, heard).map_err(|error| error.to_string())
}

/// Every wrong one says what is wrong with it, every other one that it is in force.
fn all_told(mesh: &Installed, count: usize) -> Result<(), String> {
    let list = mesh.cluster.get(LIST).map_err(|error| error.to_string())?;
    let all = list["items"].as_array().cloned().unwrap_or_default();
    let (mut right, mut wrong, mut other) = (0, 0, None);
    for object in &all {
        let name = object["metadata"]["name"].as_str().unwrap_or_default();
        let number: usize = name.trim_start_matches("vs-").parse().unwrap_or_default();
        let conditions = object["status"]["conditions"].as_array();
        let ready = conditions.into_iter().flatten().find(|one| one["type"] == "Ready").cloned().unwrap_or_default();
        let names_the_field =
            ready["message"].as_str().is_some_and(|text| text.contains("spec.http[0].match[0].uri.regex"));
        match (number.is_multiple_of(WRONG), ready["status"].as_str()) {
            (true, Some("False")) if names_the_field => wrong += 1,
            (false, Some("True")) => right += 1,
            _ => other = Some(format!("{name}: {ready}")),
        }
    }
    if (right, wrong) == (count - count / WRONG, count / WRONG) {
        return Ok(());
    }
    Err(format!("{right} in force and {wrong} named of {}; {}", all.len(), other.unwrap_or_default()))
}

/// Two of them, seen by a client.
fn in_force(mesh: &Installed) -> Result<(), String> {
    for number in CALLED {
        let answer = mesh.call(NAMESPACE, "client", &[&format!("http://web-{number}/")])?;
        if !answer.to_string().contains(&format!("ResponseHeader=Vs:{number}\n")) {
            return Err(format!("vs-{number} is not in force: {answer}"));
        }
    }
    Ok(())
}

fn none_left(mesh: &Installed) -> Result<(), String> {
    let list = mesh.cluster.get(&format!("{LIST}?limit=1")).map_err(|error| error.to_string())?;
    let left = list["items"].as_array().map_or(0, Vec::len);
    if left == 0 { Ok(()) } else { Err("some are left".to_owned()) }
}

fn memory(mesh: &Installed) -> Result<u64, String> {
    Memory::of(mesh.control_plane()?).map(|memory| memory.rss).map_err(|error| error.to_string())
}

fn mebibytes(bytes: u64) -> String {
    format!("{} MiB", bytes >> 20)
}
