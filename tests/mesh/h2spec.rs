//! h2spec, the conformance suite of HTTP/2, in strict mode through the proxy: every one of its cases passes, and so does the
//! one that it has got since the release that we run.

use std::fs;
use std::io::Write;
use std::net::{Ipv4Addr, TcpStream};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use citadel::ca::CertificateAuthority;
use lab::{Lab, Pod};
use libtest_mimic::Trial;

use crate::config::Config;
use crate::origin::Origin;
use crate::raw_h2::{END_HEADERS, END_STREAM, HEADERS, block, frame, get, hear, opening};
use crate::waiting::until;
use crate::{Outcome, ensure, test};

const POD: ([u8; 4], u16) = ([10, 44, 2, 13], 8080);
const SERVICE: ([u8; 4], u16) = ([10, 96, 2, 13], 80);
/// Those of version 2.2.1, strict ones included, and the one that 2.6.0 has besides.
const CASES: usize = 146 + 1;
/// The code in a GOAWAY (RFC 9113, section 7).
const COMPRESSION_ERROR: u32 = 9;

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
    for (what, mode, from, address, papers) in [
        ("plaintext", "PERMISSIVE", outsider, POD, None),
        ("two sidecars", "PERMISSIVE", client, SERVICE, None),
        // Under PERMISSIVE, TLS that offers no protocol of Istio's is the application's own.
        ("mutual TLS", "STRICT", outsider, POD, Some(&papers)),
    ] {
        config.mtls(mode);
        in_force(&lab, mode)?;
        let (mut passed, mut output) = run(&suite, from, address, papers)?;
        match name_beyond_the_tables(from, address, papers) {
            Ok(()) => passed += 1,
            Err(why) => output.push_str(&format!("hpack/2.3.3, a literal with an invalid index: {why}\n")),
        }
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

/// The files of a mesh certificate for the client's side.
struct Papers {
    certificate: PathBuf,
    key: PathBuf,
}

fn certificate(lab: &Lab) -> Result<Papers, Box<dyn std::error::Error>> {
    let trust_domain: citadel::spiffe::TrustDomain = "cluster.local".parse()?;
    let authority =
        CertificateAuthority::load_or_create(Path::new("/run/meltemi/control-plane"), trust_domain.clone())?;
    let id = trust_domain.workload("test", "outsider")?;
    let credentials = authority.sign_server(&[], &id, Duration::from_secs(3600))?;
    let folder = lab.pod("outsider")?.folder();
    let papers = Papers { certificate: folder.join("client-cert.pem"), key: folder.join("client-key.pem") };
    fs::write(&papers.certificate, credentials.chain_pem())?;
    fs::write(&papers.key, credentials.key_pem())?;
    Ok(papers)
}

/// How many cases pass, and what the suite says of the others.
fn run(
    suite: &Path,
    from: &Pod,
    (ip, port): ([u8; 4], u16),
    papers: Option<&Papers>,
) -> Result<(usize, String), Box<dyn std::error::Error>> {
    let report = from.folder().join("h2spec.xml");
    let mut command = Command::new(suite);
    command.args(["-host", &Ipv4Addr::from(ip).to_string(), "-port", &port.to_string()]);
    command.arg("-report").arg(&report);
    if let Some(Papers { certificate, key }) = papers {
        command.arg("-certificate").arg(certificate).arg("-key").arg(key);
    }
    let output = from.run(&mut command)?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    // "146 tests, 146 passed, 0 skipped, 0 failed"
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

/// hpack/2.3.3 as h2spec 2.6.0 has it besides: a field with the name of entry 70, where the static table has 61 and the
/// connection's own has none, cannot be decoded. In each form that a literal may have; h2spec sends the first.
fn name_beyond_the_tables(
    from: &Pod,
    address: ([u8; 4], u16),
    papers: Option<&Papers>,
) -> Result<(), Box<dyn std::error::Error>> {
    for (form, literal) in
        [("to be indexed", [0x7f, 0x07, 0]), ("not indexed", [0x0f, 0x37, 0]), ("never indexed", [0x1f, 0x37, 0])]
    {
        let (mut stream, _tls) = match papers {
            Some(papers) => connect_tls(from, address, papers).map(|(stream, tls)| (stream, Some(tls)))?,
            None => (from.connect(address)?, None),
        };
        undecodable(&mut stream, &literal).map_err(|why| format!("{form}: {why}"))?;
    }
    Ok(())
}

fn undecodable(stream: &mut TcpStream, literal: &[u8]) -> Result<(), Box<dyn std::error::Error>> {
    // A connection that is refused for another reason ends, too: this one is good until the literal comes.
    stream.write_all(&[opening(&[]), get(1, "/")].concat())?;
    let heard = hear(stream, |heard| heard.finished);
    if heard.ok != 1 || heard.ended {
        return Err(format!("a good request was not served: {heard:?}").into());
    }
    let block = [block(0x82, "/"), literal.to_vec()].concat();
    stream.write_all(&frame(HEADERS, END_STREAM | END_HEADERS, 3, &block))?;
    // As h2spec judges. What comes is the end: the library h2 says PROTOCOL_ERROR before it, where RFC 9113 (4.3) has the other.
    let heard = hear(stream, |heard| heard.goaway == Some(COMPRESSION_ERROR));
    if heard.goaway == Some(COMPRESSION_ERROR) || heard.ended {
        Ok(())
    } else {
        Err(format!("neither a GOAWAY with COMPRESSION_ERROR nor the end: {heard:?}").into())
    }
}

/// What makes TLS of a connection's bytes; ended with the value.
struct Tls(Child);

impl Drop for Tls {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A connection whose bytes go on over mutual TLS. openssl does that: it takes any bytes for HTTP/2, as no library would.
fn connect_tls(from: &Pod, (ip, port): ([u8; 4], u16), papers: &Papers) -> std::io::Result<(TcpStream, Tls)> {
    let inside = from.listen(([127, 0, 0, 1], 0))?;
    let near = from.connect(inside.local_addr()?)?;
    let (far, _) = inside.accept()?;
    let end = |stream: TcpStream| Stdio::from(OwnedFd::from(stream));
    let mut command = Command::new("openssl");
    command.args(["s_client", "-quiet", "-alpn", "h2", "-connect", &format!("{}:{port}", Ipv4Addr::from(ip))]);
    command.arg("-cert").arg(&papers.certificate).arg("-cert_chain").arg(&papers.certificate);
    command.arg("-key").arg(&papers.key);
    command.stdin(end(far.try_clone()?)).stdout(end(far)).stderr(Stdio::null());
    let child = from.enter(|| command.spawn())?;
    let child = child.map_err(|error| std::io::Error::new(error.kind(), format!("openssl: {error}")))?;
    Ok((near, Tls(child)))
}
