//! A peer agrees: a real Envoy in place of one of our sidecars takes every resource, speaks mTLS with ours on both
//! sides, and ends the same requests the same way.

mod same_way;

use std::path::PathBuf;
use std::time::Duration;

use lab::{Lab, Pod, SidecarKind};
use libtest_mimic::Trial;

use crate::config::Config;
use crate::waiting::until;
use crate::{Outcome, ensure, meltemi, test};

const ECHO: ([u8; 4], u16) = ([10, 96, 2, 10], 80);

/// Where `make test` puts it.
const ENVOY: &str = "envoy-1.40.0/envoy/_bin/envoy";

pub fn tests() -> Vec<Trial> {
    vec![
        test("envoy::accepts_every_resource_of_the_sample", accepts),
        test("envoy::takes_part_in_mtls_on_both_sides", both_sides),
        test("envoy::ends_the_same_requests_the_same_way", same_way::run),
    ]
}

/// Envoy as a sidecar, or what to do to have it.
pub fn envoy() -> Result<SidecarKind, String> {
    let cache = std::env::var("MELTEMI_CACHE")
        .map(PathBuf::from)
        .or_else(|_| std::env::var("HOME").map(|home| PathBuf::from(home).join(".cache/meltemi")));
    let binary = cache.map_err(|_| "neither MELTEMI_CACHE nor HOME is set".to_owned())?.join(ENVOY);
    if !binary.exists() {
        return Err(format!(
            "no Envoy at {}: run `manifests/scripts/tools.sh test`, as `make test` does",
            binary.display()
        ));
    }
    Ok(SidecarKind::Envoy { binary })
}

/// Values of Envoy's statistics by name.
fn stats(pod: &Pod, filter: &str) -> Result<Vec<(String, u64)>, String> {
    let text = pod.admin(&format!("/stats?filter={filter}")).map_err(|error| error.to_string())?.text();
    Ok(text
        .lines()
        .filter_map(|line| line.split_once(": "))
        .filter_map(|(name, value)| Some((name.to_owned(), value.trim().parse().ok()?)))
        .collect())
}

/// What Envoy has refused of its configuration, by statistic.
pub fn refused(pod: &Pod) -> Result<Vec<(String, u64)>, String> {
    let all = stats(pod, "update_rejected")?;
    Ok(all.into_iter().filter(|(_, value)| *value > 0).collect())
}

fn accepts() -> Outcome {
    let shop = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../manifests/samples/shop");
    let mut options = lab::LabOptions::new(shop, meltemi());
    for pod in ["frontend", "catalog-v1", "reviews"] {
        options.sidecars.insert(pod.to_owned(), envoy()?);
    }
    let lab = Lab::start(options)?;
    for name in ["frontend", "catalog-v1", "reviews"] {
        let pod = lab.pod(name)?;
        until("Envoy's configuration", Duration::from_secs(30), || {
            let warming = stats(pod, "total_(listeners|clusters)_warming|warming_clusters|server.state")?;
            let active = stats(pod, "total_listeners_active|active_clusters")?;
            let idle = warming.iter().all(|(_, value)| *value == 0) && active.iter().all(|(_, value)| *value > 3);
            if idle { Ok(()) } else { Err(format!("{warming:?} {active:?}")) }
        })?;
        let rejected = stats(pod, "update_rejected|update_failure")?;
        let received: u64 = stats(pod, "(lds|cds|rds.*|.*eds.*)\\.update_success|\\.update_success")?
            .iter()
            .map(|(_, value)| value)
            .sum();
        println!("{name}: {received} updates taken, refused {rejected:?}");
        ensure!(!rejected.is_empty() && received > 3, "{name}: Envoy has received nothing: {received}");
        let refused = refused(pod)?;
        ensure!(refused.is_empty(), "{name} refused resources: {refused:?}");
    }
    Ok(())
}

fn both_sides() -> Outcome {
    let config = Config::echo();
    config.mtls("STRICT");
    let mut options = config.options();
    options.sidecars.insert("client".to_owned(), envoy()?);
    options.sidecars.insert("echo-v2".to_owned(), envoy()?);
    let lab = Lab::start(options)?;
    let client = lab.pod("client")?;
    let mut versions = std::collections::BTreeSet::new();
    for _ in 0..40 {
        let response = lab::http::get(client.connect(ECHO)?, "echo", "/", &[])?;
        ensure!(response.status == 200, "Envoy's client got {}: {}", response.status, response.text());
        versions.insert(response.header("x-version").unwrap_or("none").to_owned());
    }
    ensure!(versions.len() == 2, "both upstreams should answer Envoy's client: {versions:?}");
    // Ours as the client, Envoy at the server.
    let ours = lab.pod("echo-v1")?;
    let mut served_by_envoy = 0;
    for _ in 0..40 {
        let response = lab::http::get(ours.connect(ECHO)?, "echo", "/", &[])?;
        ensure!(response.status == 200, "our client got {}: {}", response.status, response.text());
        served_by_envoy += u32::from(response.header("x-version") == Some("v2"));
    }
    ensure!(served_by_envoy > 0, "our client never reached the pod behind Envoy");
    let handshakes: u64 = stats(lab.pod("echo-v2")?, "ssl.handshake")?.iter().map(|(_, value)| value).sum();
    let failures: Vec<_> =
        stats(client, "ssl.(connection_error|fail_verify)")?.into_iter().filter(|(_, value)| *value > 0).collect();
    println!("TLS handshakes of Envoy: {handshakes}, failures at the client {failures:?}");
    ensure!(handshakes > 0 && failures.is_empty(), "handshakes {handshakes}, failures {failures:?}");
    Ok(())
}
