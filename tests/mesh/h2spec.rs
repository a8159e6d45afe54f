//! h2spec, the conformance suite of HTTP/2, in strict mode through the proxy: every one of its cases passes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use citadel::ca::CertificateAuthority;
use lab::{Lab, Pod};
use libtest_mimic::Trial;

use crate::config::Config;
use crate::origin::Origin;
use crate::waiting::until;
use crate::{Outcome, ensure, test};

const POD: ([u8; 4], u16) = ([10, 44, 2, 13], 8080);
const SERVICE: ([u8; 4], u16) = ([10, 96, 2, 13], 80);
/// All cases of version 2.2.1, strict ones included; the one that later sources have besides passes, too.
const CASES: usize = 146;

pub fn tests() -> Vec<Trial> {
    vec![test("h2spec::passes_in_strict_mode_on_plaintext_and_tls_and_through_two_sidecars", conformance)]
}

/// Where `make test` puts it: its Go module is tests/h2spec.
const SUITE: &str = "h2spec-2.2.1";

fn suite() -> Result<PathBuf, String> {
    let cache = std::env::var("MELTEMI_CACHE")
        .map(PathBuf::from)
        .or_else(|_| std::env::var("HOME").map(|home| PathBuf::from(home).join(".cache/meltemi")));
    let binary = cache.map_err(|_| "neither MELTEMI_CACHE nor HOME is set".to_owned())?.join(SUITE);
    if !binary.exists() {
        let how = "run `manifests/scripts/tools.sh test`, as `make test` does";
        return Err(format!("no h2spec at {}: {how}", binary.display()));
    }
    Ok(binary)
}

fn conformance() -> Outcome {
    let suite = suite()?;
    let config = Config::new();
    config.client("client", 2, true);
    config.client("outsider", 99, false);
    config.client("origin", 13, true);
    let ports = [("http2", 80, 8080)];
    let service = crate::config::service("origin", "10.96.2.13", &ports)
        + &crate::config::endpoints("origin", &ports, [("origin", 13)].into_iter());
    config.write("origin-service.yaml", &service);
    let lab = config.start()?;
    let _origin = Origin::start(lab.pod("origin")?, 8080)?;
    let client = lab.pod("client")?;
    until("the origin", Duration::from_secs(10), || match client.get(SERVICE, "/") {
        Ok(response) if response.status == 200 => Ok(()),
        other => Err(format!("{other:?}")),
    })?;
    let outsider = lab.pod("outsider")?;
    let papers = certificate(&lab)?;
    let mut failed = Vec::new();
    for (what, mode, from, address, arguments) in [
        ("plaintext", "PERMISSIVE", outsider, POD, &[][..]),
        ("two sidecars", "PERMISSIVE", client, SERVICE, &[]),
        // Under PERMISSIVE, TLS that offers no protocol of Istio's is the application's own.
        ("mutual TLS", "STRICT", outsider, POD, &papers[..]),
    ] {
        config.mtls(mode);
        in_force(&lab, mode)?;
        let (passed, output) = run(&suite, from, address, arguments)?;
        println!("{what}: {passed} of {CASES} pass");
        if passed != CASES {
            failed.push(format!("{what}: {passed} of {CASES} pass\n{output}"));
        }
    }
    ensure!(failed.is_empty(), "{}", failed.join("\n"));
    Ok(())
}

/// Waits until the origin's sidecar lets plaintext in, or no longer does.
fn in_force(lab: &Lab, mode: &str) -> Outcome {
    let outsider = lab.pod("outsider")?;
    until(mode, Duration::from_secs(10), || match (mode, outsider.get(POD, "/")) {
        ("STRICT", Err(_)) => Ok(()),
        ("PERMISSIVE", Ok(response)) if response.status == 200 => Ok(()),
        (_, other) => Err(format!("plaintext: {other:?}")),
    })?;
    Ok(())
}

/// Arguments that name a mesh certificate for the client's side.
fn certificate(lab: &Lab) -> Result<Vec<String>, Box<dyn std::error::Error>> {
    let trust_domain: citadel::spiffe::TrustDomain = "cluster.local".parse()?;
    let authority =
        CertificateAuthority::load_or_create(Path::new("/run/meltemi/control-plane"), trust_domain.clone())?;
    let id = trust_domain.workload("test", "outsider")?;
    let credentials = authority.sign_server(&[], &id, Duration::from_secs(3600))?;
    let folder = lab.pod("outsider")?.folder();
    let mut arguments = Vec::new();
    for (flag, name, pem) in [
        ("-certificate", "client-cert.pem", credentials.chain_pem()),
        ("-key", "client-key.pem", credentials.key_pem()),
    ] {
        let file = folder.join(name);
        fs::write(&file, pem)?;
        arguments.extend([flag.to_owned(), file.display().to_string()]);
    }
    Ok(arguments)
}

/// How many cases pass, and what the suite says of the others.
fn run(
    suite: &Path,
    from: &Pod,
    (ip, port): ([u8; 4], u16),
    arguments: &[String],
) -> Result<(usize, String), Box<dyn std::error::Error>> {
    let report = from.folder().join("h2spec.xml");
    let mut command = Command::new(suite);
    command.args(["-host", &std::net::Ipv4Addr::from(ip).to_string(), "-port", &port.to_string()]);
    command.arg("-report").arg(&report).args(arguments);
    let output = from.run(&mut command)?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    // "147 tests, 147 passed, 0 skipped, 0 failed"
    let passed = text
        .lines()
        .rev()
        .find_map(|line| line.split(", ").find_map(|part| part.strip_suffix(" passed")?.parse().ok()));
    let failures: String = text.split_once("Failures:").map(|(_, failures)| failures.to_owned()).unwrap_or_default();
    match passed {
        Some(passed) => Ok((passed, failures)),
        None => Err(format!("h2spec did not finish: {text}{}", String::from_utf8_lossy(&output.stderr)).into()),
    }
}
