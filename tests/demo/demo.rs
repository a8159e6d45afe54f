//! The demo as a newcomer runs it: figures, and nothing left behind however it ends.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use libtest_mimic::Trial;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::waiting::until;
use crate::{Outcome, ensure, meltemi, test};

pub fn tests() -> Vec<Trial> {
    vec![
        test("demo::prints_the_figures_of_every_edge_as_json", json),
        test("demo::leaves_nothing_behind_when_killed", killed),
        test("demo::leaves_nothing_behind_after_ctrl_c_during_start_up", interrupted),
    ]
}

fn demo(args: &[&str]) -> Command {
    let mut command = Command::new(meltemi());
    command.arg("demo").args(args).current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    // This test runs in a sandbox itself; the demo makes its own.
    for name in ["MELTEMI_SANDBOX", "MELTEMI_SANDBOX_PUBLISHED"] {
        command.env_remove(name);
    }
    command
}

/// Edges of the sample, with the protocol that each speaks.
const EDGES: [(&str, &str, &str); 5] = [
    ("visitors", "frontend", "http"),
    ("frontend", "catalog", "http"),
    ("catalog", "reviews", "http"),
    ("reviews", "ratings", "grpc"),
    ("catalog", "stock", "tcp"),
];

fn json() -> Outcome {
    let output = demo(&["--for", "20s", "--output", "json"]).stdin(Stdio::null()).output()?;
    let told = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{}: {told}", output.status);
    let figures: Value = serde_json::from_slice(&output.stdout)?;
    println!("{figures:#}");
    let seconds = figures["seconds"].as_f64().unwrap_or(0.0);
    ensure!((18.0..30.0).contains(&seconds), "{seconds} seconds");
    for (source, destination, protocol) in EDGES {
        let edges = figures["edges"].as_array().ok_or("no edges")?;
        let edge = edges.iter().find(|edge| edge["source"] == source && edge["destination"] == destination);
        let edge = edge.ok_or_else(|| format!("no edge {source} → {destination} in {figures:#}"))?;
        let good = edge["protocol"] == protocol
            && edge["requests"].as_u64().is_some_and(|requests| requests > 50)
            && edge["success_rate"] == 1.0
            && edge["mtls"] == true
            && edge["p50_ms"].as_f64() <= edge["p99_ms"].as_f64();
        ensure!(good, "{source} → {destination}: {edge:#}");
    }
    let edges = figures["edges"].as_array().ok_or("no edges")?;
    let canary = edges.iter().find(|edge| edge["destination"] == "catalog").ok_or("no catalog")?;
    let wanted: Vec<f64> =
        canary["shares"].as_array().into_iter().flatten().filter_map(|share| share["wanted"].as_f64()).collect();
    ensure!(wanted == [0.9, 0.1], "the catalog's shares are {:#}", canary["shares"]);
    let observed: f64 =
        canary["shares"].as_array().into_iter().flatten().filter_map(|share| share["observed"].as_f64()).sum();
    ensure!((observed - 1.0).abs() < 0.001, "observed shares add up to {observed}");
    Ok(())
}

/// Every running process of the program, by its command line: no other test has one while this one runs.
fn processes() -> Vec<String> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let ours =
        entries.filter(|entry| std::fs::read_link(entry.path().join("exe")).is_ok_and(|program| program == meltemi()));
    ours.map(|entry| {
        let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        format!("{:?} {}", entry.file_name(), String::from_utf8_lossy(&line).replace('\0', " "))
    })
    .collect()
}

/// Interfaces, and rules of the namespace that the demo was started from.
fn surroundings() -> String {
    let show = |program: &str, args: &[&str]| {
        lab::tools::run(program, args, "").unwrap_or_else(|error| format!("{program}: {error}"))
    };
    format!(
        "{}\n{}\n{}",
        show("ip", &["-brief", "link"]),
        show("nft", &["list", "ruleset"]),
        show("ip", &["netns", "list"])
    )
}

fn started() -> std::io::Result<Child> {
    demo(&["--for", "60s", "--output", "json"]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()
}

fn nothing_left(before: &str) -> Outcome {
    until("the end of every process", Duration::from_secs(10), || {
        let left = processes();
        if left.is_empty() { Ok(()) } else { Err(format!("{left:#?}")) }
    })?;
    let after = surroundings();
    ensure!(before == after, "before:\n{before}\nafter:\n{after}");
    Ok(())
}

fn killed() -> Outcome {
    let before = surroundings();
    let mut child = started()?;
    until("a running demo", Duration::from_secs(30), || {
        let running = processes().len();
        if running > 4 { Ok(()) } else { Err(format!("{running} processes")) }
    })?;
    child.kill()?;
    child.wait()?;
    nothing_left(&before)
}

fn interrupted() -> Outcome {
    let before = surroundings();
    for processes_first in [1, 3, 8] {
        let mut child = started()?;
        until("start-up", Duration::from_secs(30), || {
            let running = processes().len();
            if running >= processes_first { Ok(()) } else { Err(format!("{running} processes")) }
        })?;
        kill(Pid::from_raw(i32::try_from(child.id())?), Signal::SIGINT)?;
        child.wait()?;
        nothing_left(&before)?;
    }
    Ok(())
}
