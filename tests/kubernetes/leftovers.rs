//! A cluster leaves nothing behind: not when it is dropped, not on Ctrl-C, and not when its program is killed.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use cluster::{Cluster, Options, Programs, echo};
use libtest_mimic::Trial;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::{Outcome, ensure, test, workloads};

pub fn tests() -> Vec<Trial> {
    vec![
        test("leftovers::a_dropped_cluster_leaves_nothing", dropped),
        test("leftovers::an_interrupted_program_leaves_nothing_and_removes_what_a_killed_one_left", interrupted),
    ]
}

/// How long the kernel and child processes may take to be gone.
const LIMIT: Duration = Duration::from_secs(15);

fn dropped() -> Outcome {
    let before = traces()?;
    let cluster = Cluster::start(Options::default())?;
    cluster.load(&echo(cluster.programs())?)?;
    workloads::echo(&cluster, "default", "server")?;
    ensure!(traces()?.len() > before.len() + 20, "this test does not see what a cluster consists of");
    drop(cluster);
    gone(&before)
}

fn interrupted() -> Outcome {
    let before = traces()?;
    let mut killed = start()?;
    kill(Pid::from_raw(killed.id().try_into()?), Signal::SIGKILL)?;
    killed.wait()?;
    let mut interrupted = start()?;
    kill(Pid::from_raw(interrupted.id().try_into()?), Signal::SIGINT)?;
    let mut said = String::new();
    interrupted.stdout.take().expect("piped").read_to_string(&mut said)?;
    let status = interrupted.wait()?;
    ensure!(status.success(), "{status}: {said}");
    gone(&before)
}

/// The program behind `make cluster`, up to the moment at which it says how to use it.
fn start() -> Result<Child, Box<dyn std::error::Error>> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cluster"));
    // It shall make a sandbox of its own.
    command.env_remove("MELTEMI_SANDBOX").env("MELTEMI", "none").stdin(Stdio::null()).stdout(Stdio::piped());
    let mut child = command.spawn()?;
    let mut output = BufReader::new(child.stdout.take().expect("piped"));
    let mut said = String::new();
    while !said.contains("Ctrl-C") {
        if output.read_line(&mut said)? == 0 {
            return Err(format!("the program ended: {said}").into());
        }
    }
    child.stdout = Some(output.into_inner());
    Ok(child)
}

/// Fails unless everything that was not there before is gone soon.
fn gone(before: &BTreeSet<String>) -> Outcome {
    let started = Instant::now();
    loop {
        let left: Vec<String> = traces()?.difference(before).cloned().collect();
        if left.is_empty() {
            return Ok(());
        }
        ensure!(started.elapsed() < LIMIT, "left behind: {left:#?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Whatever a cluster makes that could outlive it: processes, mounts, interfaces, routes, control groups, files.
fn traces() -> Result<BTreeSet<String>, Box<dyn std::error::Error>> {
    let mut traces = BTreeSet::new();
    for name in names("/proc").into_iter().filter(|name| name.parse::<u32>().is_ok()) {
        let command = fs::read_to_string(format!("/proc/{name}/cmdline")).unwrap_or_default().replace('\0', " ");
        traces.insert(format!("process {name} {command}"));
    }
    for line in fs::read_to_string("/proc/self/mountinfo")?.lines() {
        traces.insert(format!("mount {line}"));
    }
    for what in ["link", "route"] {
        let listing = lab::tools::run("ip", &["-brief", what], "")?;
        traces.extend(listing.lines().map(|line| format!("{what} {line}")));
    }
    for hierarchy in ["/sys/fs/cgroup".to_owned()].into_iter().chain(paths("/sys/fs/cgroup")) {
        traces.extend(paths(&hierarchy).into_iter().filter(|path| path.contains("meltemi")));
    }
    traces.extend(paths(&Programs::find()?.folder().join("kubeconfig").display().to_string()));
    // In /run, which the sandbox has for itself, containerd and mount share a folder among all clusters.
    traces.extend(paths("/run").into_iter().filter(|path| path.contains("kubernetes")));
    for folder in ["/", "/etc", "/opt", "/usr/libexec", "/var/lib", "/var/log", "/etc/cni"] {
        traces.extend(paths(folder));
    }
    Ok(traces)
}

fn paths(folder: &str) -> Vec<String> {
    names(folder).into_iter().map(|name| format!("{folder}/{name}")).collect()
}

fn names(folder: &str) -> Vec<String> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}
