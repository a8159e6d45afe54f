//! `bench run`: every load through every peer in turn, several times, then one table.

use crate::bed::{Bed, Cpus};
use crate::limits;
use crate::loads::{LOADS, Load, Sample, Stage};
use crate::machine::{self, Machine};
use crate::peers::{PEERS, Programs};
use crate::report::{Results, Run};
use crate::table;
use anyhow::{Context, ensure};
use clap::Args;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

/// Arguments of `bench run`.
#[derive(Debug, Clone, Args)]
pub struct RunArgs {
    /// The program `meltemi` to measure; it is also the control plane.
    #[arg(long, env = "MELTEMI", default_value = "meltemi")]
    meltemi: PathBuf,
    /// The folder into which `manifests/scripts/tools.sh bench` has installed; ~/.cache/meltemi when not given.
    #[arg(long, env = "MELTEMI_CACHE")]
    cache: Option<PathBuf>,
    /// How often each load goes through each peer.
    #[arg(long, default_value_t = 5)]
    runs: u32,
    /// How long each part of a load is measured.
    #[arg(long, default_value_t = 5.0)]
    seconds: f64,
    /// Loads by name, comma-separated; all of them when not given.
    #[arg(long, value_delimiter = ',')]
    loads: Vec<String>,
    /// Peers by name, comma-separated; all of them when not given.
    #[arg(long, value_delimiter = ',')]
    peers: Vec<String>,
    /// The CPU of both proxies.
    #[arg(long, default_value_t = 0)]
    proxy_cpu: usize,
    /// The CPU of load, server and control plane.
    #[arg(long, default_value_t = 1)]
    load_cpu: usize,
    /// Writes every run as JSON.
    #[arg(long)]
    json: Option<PathBuf>,
    /// Writes the table as Markdown.
    #[arg(long)]
    markdown: Option<PathBuf>,
}

/// Runs it all inside a sandbox; call it before any thread exists.
pub fn in_sandbox(arguments: RunArgs) -> ExitCode {
    let outcome = lab::sandbox::run(&[], |_| match run(&arguments) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => {
            eprintln!("requests failed; the table says which");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("cannot measure: {error:#}");
            ExitCode::FAILURE
        }
    });
    outcome.unwrap_or_else(|error| {
        eprintln!("cannot run: {error}");
        ExitCode::FAILURE
    })
}

/// Whether no request failed.
fn run(arguments: &RunArgs) -> anyhow::Result<bool> {
    limits::raise_open_files()?;
    let machine = Machine::here();
    ensure!(machine.cores >= 2, "proxies and load need a CPU each; this machine gives us {}", machine.cores);
    ensure!(arguments.proxy_cpu != arguments.load_cpu, "--proxy-cpu and --load-cpu are the same");
    let peers = chosen(PEERS, |peer| peer.name, &arguments.peers, "peer")?;
    let loads = chosen(LOADS, |load| load.name, &arguments.loads, "load")?;
    let programs = Programs { meltemi: absolute(&arguments.meltemi)?, cache: cache(arguments)? };
    let cpus = Cpus { proxies: arguments.proxy_cpu, rest: arguments.load_cpu };
    let mut named = Vec::new();
    for peer in peers {
        named.push((peer, machine::version(peer, &programs)?));
    }
    let mut beds = Vec::new();
    for (peer, version) in &named {
        eprintln!("starting {}: {version}", peer.name);
        beds.push(Bed::start(peer, &programs, cpus).with_context(|| format!("peer {}", peer.name))?);
    }
    let (seconds, wanted) = (arguments.seconds, arguments.runs);
    let mut results = Results { machine, peers: named, loads, seconds, wanted, runs: Vec::new() };
    for load in results.loads.clone() {
        for number in 1..=wanted {
            for bed in &beds {
                results.runs.extend(once(load, bed, number, arguments)?);
            }
        }
        // After each load, so that a long run that is broken off leaves what it had.
        save(&results, arguments)?;
    }
    println!("{}", table::terminal(&results));
    Ok(!results.any_failure())
}

fn once(load: &'static Load, bed: &Bed, number: u32, arguments: &RunArgs) -> anyhow::Result<Option<Run>> {
    let peer = bed.peer.name;
    if bed.peer.lacks.iter().any(|(lacked, _)| *lacked == load.name) {
        return Ok(None);
    }
    let started = Instant::now();
    let stage = Stage { bed, seconds: arguments.seconds };
    let sample = (load.run)(&stage).with_context(|| format!("{} through {peer}", load.name))?;
    let took = started.elapsed().as_secs_f64();
    eprintln!("run {number} of {}, {} through {peer}, {took:.0} s: {}", arguments.runs, load.name, told(load, &sample));
    Ok(Some(Run { load: load.name, peer, number, sample }))
}

fn told(load: &Load, sample: &Sample) -> String {
    let unit = |name: &str| load.figures.iter().find(|figure| figure.name == name).map_or("", |figure| figure.unit);
    let mut parts: Vec<String> =
        sample.values.iter().map(|(name, value)| format!("{:.1} {}", value.value, unit(name))).collect();
    if let Some(busy) = sample.busy {
        parts.push(format!("proxies busy {:.0} %", busy * 100.0));
    }
    if sample.failed > 0 {
        parts.push(format!("{} FAILED ({})", sample.failed, sample.first_failure.as_deref().unwrap_or("unknown")));
    }
    parts.join(", ")
}

fn save(results: &Results, arguments: &RunArgs) -> anyhow::Result<()> {
    let write = |path: &Path, text: String| fs::write(path, text).with_context(|| format!("write {}", path.display()));
    if let Some(path) = &arguments.json {
        write(path, format!("{:#}\n", results.json()))?;
    }
    if let Some(path) = &arguments.markdown {
        write(path, table::markdown(results))?;
    }
    Ok(())
}

/// Entries of a table by their names, in the table's order; all of them when no name is given.
fn chosen<T>(
    table: &'static [T],
    name: fn(&T) -> &'static str,
    names: &[String],
    what: &str,
) -> anyhow::Result<Vec<&'static T>> {
    let known: Vec<&str> = table.iter().map(name).collect();
    if let Some(unknown) = names.iter().find(|one| !known.contains(&one.as_str())) {
        anyhow::bail!("no {what} {unknown:?}; there are {}", known.join(", "));
    }
    Ok(table.iter().filter(|entry| names.is_empty() || names.iter().any(|one| one == name(entry))).collect())
}

fn cache(arguments: &RunArgs) -> anyhow::Result<PathBuf> {
    let own = || std::env::home_dir().map(|home| home.join(".cache/meltemi"));
    arguments.cache.clone().or_else(own).context("neither --cache nor HOME is given")
}

fn absolute(program: &Path) -> anyhow::Result<PathBuf> {
    fs::canonicalize(program).with_context(|| format!("no program at {}", program.display()))
}
