//! mTLS is real: what crosses the wire is TLS 1.3 with a post-quantum key exchange, and modes mean what they say.

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use lab::Lab;
use libtest_mimic::Trial;
use x509_parser::prelude::{FromDer, GeneralName, ParsedExtension, X509Certificate};

use crate::config::Config;
use crate::waiting::until;
use crate::wire::{carries, server_hellos};
use crate::{Outcome, ensure, test};

const ECHO: ([u8; 4], u16) = ([10, 96, 2, 10], 80);
/// The pod itself, past its Service.
const ECHO_POD: ([u8; 4], u16) = ([10, 44, 2, 11], 8080);

pub fn tests() -> Vec<Trial> {
    vec![
        test("mtls::the_wire_carries_tls13_with_x25519mlkem768_and_no_plaintext", on_the_wire),
        test("mtls::a_client_without_a_certificate_is_refused_under_strict_and_served_under_permissive", modes),
        test("mtls::strict_closes_plaintext_connections_that_are_open", strict_closes),
        test("mtls::a_report_before_the_first_certificate_keeps_no_proxy_from_its_configuration", early_report),
        test("mtls::a_certificate_names_its_spiffe_id_and_nothing_else", names),
    ]
}

fn on_the_wire() -> Outcome {
    let config = Config::echo();
    config.mtls("STRICT");
    let lab = config.start()?;
    let captures = [lab.pod("echo-v1")?.capture()?, lab.pod("echo-v2")?.capture()?];
    for number in 0..20 {
        let secret = format!("the-plaintext-{number}");
        let response = lab::http::get(lab.pod("client")?.connect(ECHO)?, "echo", "/", &[("x-secret", &secret)])?;
        ensure!(response.status == 200, "status {}", response.status);
    }
    let seen: Vec<_> = captures.into_iter().flat_map(|capture| capture.stop().on_wire()).collect();
    // Between the pods: what the pods say to the control plane is not at stake here.
    let between: Vec<_> = seen
        .into_iter()
        .filter(|segment| segment.source.port() == 8080 || segment.destination.port() == 8080)
        .collect();
    let hellos = server_hellos(&between);
    println!("{} segments between the pods, ServerHellos: {hellos:x?}", between.len());
    ensure!(!hellos.is_empty(), "no TLS handshake in {} segments", between.len());
    let all_good = hellos.iter().all(|chosen| chosen.version == 0x0304 && chosen.group == 0x11ec);
    ensure!(all_good, "a handshake settled on something else: {hellos:x?}");
    for text in ["the-plaintext", "HTTP/1.1", "GET /"] {
        ensure!(!carries(&between, text.as_bytes()), "{text:?} crossed the wire in plaintext");
    }
    Ok(())
}

fn modes() -> Outcome {
    let config = Config::echo();
    config.client("outsider", 99, false);
    config.mtls("STRICT");
    let lab = config.start()?;
    let plain = || {
        lab::http::get(
            lab.pod("outsider").map_err(|error| error.to_string())?.connect(ECHO_POD).map_err(|e| e.to_string())?,
            "echo",
            "/",
            &[],
        )
        .map_err(|e| e.to_string())
    };
    let refused = plain();
    ensure!(refused.is_err(), "a client without a certificate was served under STRICT: {refused:?}");
    ensure!(meshed(&lab)? == 200, "a meshed client was refused under STRICT");
    counted(&lab, "meltemi_connections_refused_total{reason=\"no_filter_chain\"}")?;

    config.mtls("PERMISSIVE");
    let response = until("PERMISSIVE", Duration::from_secs(5), plain)?;
    ensure!(response.status == 200, "plaintext under PERMISSIVE: {}", response.status);
    ensure!(meshed(&lab)? == 200, "a meshed client was refused under PERMISSIVE");

    config.mtls("STRICT");
    until("STRICT again", Duration::from_secs(5), || match plain() {
        Err(_) => Ok(()),
        Ok(response) => Err(format!("plaintext still gets {}", response.status)),
    })?;
    Ok(())
}

fn strict_closes() -> Outcome {
    let config = Config::echo();
    config.client("outsider", 99, false);
    config.mtls("PERMISSIVE");
    let lab = config.start()?;
    let mut stream = lab.pod("outsider")?.connect(ECHO_POD)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: echo\r\n\r\n")?;
    let mut first = [0; 12];
    stream.read_exact(&mut first)?;
    ensure!(&first == b"HTTP/1.1 200", "plaintext under PERMISSIVE: {:?}", String::from_utf8_lossy(&first));
    config.mtls("STRICT");
    let changed = Instant::now();
    let mut rest = Vec::new();
    let ended = stream.read_to_end(&mut rest);
    let took = changed.elapsed();
    println!("closed {took:?} after STRICT was written: {ended:?}");
    ensure!(took < Duration::from_secs(5), "the plaintext connection was open for {took:?} under STRICT: {ended:?}");
    Ok(())
}

fn meshed(lab: &Lab) -> Result<u16, Box<dyn std::error::Error>> {
    Ok(lab::http::get(lab.pod("client")?.connect(ECHO)?, "echo", "/", &[])?.status)
}

fn counted(lab: &Lab, series: &str) -> Outcome {
    let text = lab.pod("echo-v1")?.admin("/stats/prometheus")?.text();
    ensure!(text.lines().any(|line| line.starts_with(series)), "{series} is not among the metrics");
    Ok(())
}

/// The connection of the report had no certificate, and the configuration came over the same one.
fn early_report() -> Outcome {
    let config = Config::echo();
    let mut options = config.options();
    options.proxy_args.iter_mut().filter(|argument| *argument == "1s").for_each(|every| *every = "10ms".to_owned());
    // It starts only when all sidecars are ready.
    let lab = Lab::start(options)?;
    ensure!(meshed(&lab)? == 200, "no answer");
    Ok(())
}

fn names() -> Outcome {
    let config = Config::echo();
    let lab = config.start()?;
    let shown: serde_json::Value = serde_json::from_str(&lab.pod("echo-v1")?.admin("/certs")?.text())?;
    let chain = shown["chain_pem"].as_str().unwrap_or_default();
    let (_, leaf) = x509_parser::pem::parse_x509_pem(chain.as_bytes())?;
    let (_, certificate) = X509Certificate::from_der(&leaf.contents)?;
    let names: Vec<String> = certificate
        .extensions()
        .iter()
        .filter_map(|extension| match extension.parsed_extension() {
            ParsedExtension::SubjectAlternativeName(names) => Some(&names.general_names),
            _ => None,
        })
        .flatten()
        .map(|name| match name {
            GeneralName::URI(uri) => (*uri).to_owned(),
            other => format!("{other:?}"),
        })
        .collect();
    ensure!(names == ["spiffe://cluster.local/ns/test/sa/echo"], "names {names:?}");
    ensure!(certificate.subject().iter().count() == 0, "subject {}", certificate.subject());
    Ok(())
}
