//! `bench instructions`: how many instructions a request takes in each of our two sidecars, counted by valgrind's callgrind.
//!
//! It differs by about one per cent from run to run, far less than CPU time, and so judges between two versions of ours.
//! What differs is work by the clock, which fewer requests share on a busy machine. It knows nothing of what the kernel
//! does, of caches or of AVX-512, which valgrind lacks: it does not compare us with other proxies.

use crate::bed::{Bed, Cpus};
use crate::limits;
use crate::peers::{PEERS, Programs, Side};
use crate::service::Service;
use anyhow::{Context, bail, ensure};
use clap::Args;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

/// Arguments of `bench instructions`.
#[derive(Debug, Clone, Args)]
pub struct InstructionsArgs {
    /// The release program `meltemi` to measure; it is also the control plane.
    #[arg(long, env = "MELTEMI", default_value = "meltemi")]
    meltemi: PathBuf,
    /// How long requests are counted for each protocol; a few hundred pass in a second.
    #[arg(long, default_value_t = 10.0)]
    seconds: f64,
}

/// What is sent: one request after the other on one connection, 1 KiB up and down.
const SCENES: [(&str, Service, &str); 2] = [
    ("HTTP/1.1", Service::Http1, "--kind http1 --connections 1"),
    ("HTTP/2", Service::Http2, "--kind http2 --connections 1 --streams 1"),
];
/// Seconds: a first connection between the sidecars takes more than one of them under valgrind.
const WARM_UP: f64 = 4.0;
/// The shorter of two loads, as a part of the longer: their difference is without what a connection costs.
const SHORT: f64 = 0.2;
const SIDES: [Side; 2] = [Side::Client, Side::Server];

/// Counts inside a sandbox; call it before any thread exists.
pub fn in_sandbox(arguments: InstructionsArgs) -> ExitCode {
    let outcome = lab::sandbox::run(&[], |_| match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("cannot count: {error:#}");
            ExitCode::FAILURE
        }
    });
    outcome.unwrap_or_else(|error| {
        eprintln!("cannot run: {error}");
        ExitCode::FAILURE
    })
}

fn run(arguments: &InstructionsArgs) -> anyhow::Result<()> {
    limits::raise_open_files()?;
    let folder = tempfile::tempdir()?;
    let meltemi = fs::canonicalize(&arguments.meltemi);
    let meltemi = meltemi.with_context(|| format!("no program at {}", arguments.meltemi.display()))?;
    let programs = Programs { meltemi: under_valgrind(&meltemi, folder.path())?, cache: PathBuf::new() };
    let ours = PEERS.first().context("no peer")?;
    let bed = Bed::start(ours, &programs, Cpus { proxies: 0, rest: 1 })?;
    for (name, service, flags) in SCENES {
        // The connection between the sidecars is made, and every path has been walked, before the count begins.
        send(&bed, service, flags, WARM_UP)?;
        let short = window(&bed, folder.path(), service, flags, arguments.seconds * SHORT)?;
        let long = window(&bed, folder.path(), service, flags, arguments.seconds)?;
        ensure!(long.requests > short.requests, "too few requests to say anything; give more --seconds");
        let requests = long.requests - short.requests;
        for (number, side) in SIDES.into_iter().enumerate() {
            let more = long.instructions[number].saturating_sub(short.instructions[number]);
            let per = more as f64 / requests as f64;
            println!("{name}, sidecar of the {side:?}: {per:.0} instructions per request, over {requests}");
        }
    }
    Ok(())
}

/// One load and what it took.
struct Window {
    requests: u64,
    /// Of the client's sidecar and the server's.
    instructions: [u64; 2],
}

fn window(bed: &Bed, folder: &Path, service: Service, flags: &str, seconds: f64) -> anyhow::Result<Window> {
    for side in SIDES {
        tell(folder, bed.pid(side)?, "zero")?;
    }
    let requests = send(bed, service, flags, seconds)?;
    let [client, server] = SIDES.map(|side| counted(folder, bed.pid(side)?));
    Ok(Window { requests, instructions: [client?, server?] })
}

/// A program that runs `meltemi`, its proxies under callgrind.
fn under_valgrind(meltemi: &Path, folder: &Path) -> anyhow::Result<PathBuf> {
    let valgrind = lab::tools::find("valgrind");
    let valgrind = valgrind.context("`valgrind` is missing; run `manifests/scripts/tools.sh instructions`")?;
    let (meltemi, valgrind, own) = (meltemi.display(), valgrind.display(), folder.display());
    let text = format!(
        "#!/bin/sh\n[ \"$1\" = proxy ] || exec '{meltemi}' \"$@\"\n\
         exec '{valgrind}' --tool=callgrind --vgdb-prefix='{own}/vgdb' --callgrind-out-file='{own}/count.%p' '{meltemi}' \"$@\"\n"
    );
    let wrapper = folder.join("meltemi");
    fs::write(&wrapper, text)?;
    fs::set_permissions(&wrapper, fs::Permissions::from_mode(0o755))?;
    Ok(wrapper)
}

/// How many requests were answered.
fn send(bed: &Bed, service: Service, flags: &str, seconds: f64) -> anyhow::Result<u64> {
    let mut arguments: Vec<String> = flags.split_whitespace().map(str::to_owned).collect();
    arguments.extend(["--warm-up", "0", "--seconds", &seconds.to_string()].map(str::to_owned));
    let report = bed.load(service, &arguments)?;
    ensure!(report.failed == 0, "{} requests failed: {}", report.failed, report.first_failure.unwrap_or_default());
    ensure!(report.finished > 0, "no request was answered");
    Ok(report.finished)
}

/// Gives valgrind in a process a command of callgrind's.
fn tell(folder: &Path, pid: i32, command: &str) -> anyhow::Result<()> {
    let mut vgdb = Command::new("vgdb");
    vgdb.arg(format!("--vgdb-prefix={}/vgdb", folder.display())).arg(format!("--pid={pid}")).arg(command);
    // Both ends make the names of their pipes from the user and the host of their environment: as empty as a sidecar's.
    let output = vgdb.env_clear().env("PATH", lab::tools::search_path()).output().context("run vgdb")?;
    if !output.status.success() {
        bail!("vgdb {command} ended with {}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}

/// Instructions of a process since its count was set to zero.
fn counted(folder: &Path, pid: i32) -> anyhow::Result<u64> {
    let dump = |number: u32| folder.join(format!("count.{pid}.{number}"));
    tell(folder, pid, "dump")?;
    let newest = (1..).take_while(|number| dump(*number).exists()).last().context("callgrind has written nothing")?;
    let text = fs::read_to_string(dump(newest))?;
    let total = text.lines().find_map(|line| line.strip_prefix("totals: ")?.trim().parse().ok());
    total.with_context(|| format!("no total in {}", dump(newest).display()))
}
