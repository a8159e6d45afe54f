//! A cluster leaves nothing behind: not when it is dropped, not on Ctrl-C, and not when its program is killed.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use cluster::{Cluster, Options, Programs, echo};
use libtest_mimic::{Failed, Trial};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::{Outcome, ensure, test, workloads};

pub fn tests() -> Vec<Trial> {
    vec![
        test("leftovers::a_dropped_cluster_leaves_nothing", dropped),
        test("leftovers::an_interrupted_program_leaves_nothing_and_removes_what_a_killed_one_left", interrupted),
        test("leftovers::programs_of_two_sandboxes_do_not_wait_for_each_other", two_sandboxes),
    ]
}

/// How long the kernel and child processes may take to be gone.
const LIMIT: Duration = Duration::from_secs(15);

/// What the name of every cluster begins with.
const PREFIX: &str = "meltemi-cluster-";

fn dropped() -> Outcome {
    let before = traces()?;
    let cluster = Cluster::start(Options::default())?;
    cluster.load(&echo(cluster.programs())?)?;
    workloads::echo(&cluster, "default", "server")?;
    ensure!(traces()?.len() > before.len() + 20, "this test does not see what a cluster consists of");
    let name = cluster.name().to_owned();
    drop(cluster);
    gone(&before, &[name])
}

fn interrupted() -> Outcome {
    let before = traces()?;
    let mut killed = Started::wait(start(&[])?)?;
    kill(Pid::from_raw(killed.child.id().try_into()?), Signal::SIGKILL)?;
    killed.child.wait()?;
    let interrupted = Started::wait(start(&[])?)?;
    let names = [killed.name, interrupted.name.clone()];
    interrupted.interrupt()?;
    gone(&before, &names)
}

/// Both have the same port, each on a loopback of its own.
fn two_sandboxes() -> Outcome {
    let before = traces()?;
    let elsewhere = ["unshare", "--net", "sh", "-c", "ip link set lo up && exec \"$0\""];
    let both = [start(&[])?, start(&elsewhere)?];
    let both = both.into_iter().map(Started::wait).collect::<Result<Vec<Started>, _>>()?;
    let names: Vec<String> = both.iter().map(|program| program.name.clone()).collect();
    ensure!(names[0] != names[1], "one kubeconfig for two clusters: {}", names[0]);
    let folder = Programs::find()?.folder().join("kubeconfig");
    for name in &names {
        let config: Value = serde_json::from_str(&fs::read_to_string(folder.join(name))?)?;
        let server = &config["clusters"][0]["cluster"]["server"];
        ensure!(server == "https://127.0.0.1:6443", "the ports differ, which proves nothing: {server}");
    }
    both.into_iter().try_for_each(Started::interrupt)?;
    gone(&before, &names)
}

/// The program behind `make cluster`, run by another one if there are `words`.
fn start(words: &[&str]) -> std::io::Result<Child> {
    let program = env!("CARGO_BIN_EXE_cluster");
    let words = [words, &[program]].concat();
    let mut command = Command::new(words[0]);
    // It shall make a sandbox of its own.
    command.args(&words[1..]).env_remove("MELTEMI_SANDBOX").env("MELTEMI", "none");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()
}

/// The program, once it has said how to use its cluster.
struct Started {
    child: Child,
    output: BufReader<ChildStdout>,
    /// Of the cluster, and of its kubeconfig.
    name: String,
}

impl Started {
    fn wait(mut child: Child) -> Result<Started, Failed> {
        let mut output = BufReader::new(child.stdout.take().expect("piped"));
        let mut said = String::new();
        while !said.contains("Ctrl-C") {
            ensure!(output.read_line(&mut said)? > 0, "the program ended: {said}");
        }
        let named = said.split_once(PREFIX).and_then(|(_, rest)| rest.split_whitespace().next());
        let name = format!("{PREFIX}{}", named.ok_or_else(|| format!("no kubeconfig: {said}"))?);
        Ok(Started { child, output, name })
    }

    /// Ctrl-C; fails unless the program ends well.
    fn interrupt(mut self) -> Outcome {
        kill(Pid::from_raw(self.child.id().try_into()?), Signal::SIGINT)?;
        let mut said = String::new();
        self.output.read_to_string(&mut said)?;
        let status = self.child.wait()?;
        ensure!(status.success(), "{status}: {said}");
        Ok(())
    }
}

/// Fails unless everything that was not there before is gone soon. Clusters of other names are those of somebody else, who
/// may start and end them at any time.
fn gone(before: &BTreeSet<String>, own: &[String]) -> Outcome {
    let started = Instant::now();
    let foreign = |trace: &str| trace.contains(PREFIX) && !own.iter().any(|name| trace.contains(name));
    loop {
        let left: Vec<String> = traces()?.difference(before).filter(|trace| !foreign(trace)).cloned().collect();
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
