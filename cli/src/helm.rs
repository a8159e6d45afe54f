//! Helm as a child process: found, run, and its errors passed on.

use crate::cluster::ClusterArgs;
use crate::names::SYSTEM;
use anyhow::{Context, bail};
use lab::tools;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Without a cluster to ask, Helm takes one of its own age, for which the charts may be too new.
const OLDEST_KUBERNETES: &str = "1.33.0";

/// The program `helm`, with the flags that choose the cluster.
#[derive(Debug, Clone)]
pub struct Helm {
    program: PathBuf,
    flags: Vec<String>,
}

/// How an uninstall went.
#[derive(Debug, PartialEq, Eq)]
pub enum Removal {
    /// The release is gone, with what it made.
    Done,
    /// There was no such release.
    NoRelease,
}

impl Helm {
    /// `program`, else the `helm` of PATH.
    pub fn find(program: Option<&Path>, cluster: &ClusterArgs) -> anyhow::Result<Helm> {
        let program = program.map(Path::to_owned).or_else(|| tools::find("helm")).context(
            "helm is needed and is not in PATH; install Helm 3 (https://helm.sh/docs/intro/install) or give --helm FILE",
        )?;
        Ok(Helm { program, flags: cluster.helm_flags() })
    }

    /// What the program says of its version.
    pub fn version(&self) -> anyhow::Result<String> {
        Ok(self.run(["version", "--short"])?.trim().to_owned())
    }

    /// Installs or upgrades a release in the control plane's namespace. Values that were given at an earlier time hold unless
    /// they are given again; all others are the chart's.
    pub fn apply(&self, release: &str, chart: &Path, values: &[String]) -> anyhow::Result<()> {
        let chart = chart.to_string_lossy();
        let kept = "--reset-then-reuse-values";
        let words = ["upgrade", "--install", release, &chart, "--namespace", SYSTEM, "--create-namespace", kept];
        self.run(words.into_iter().chain(values.iter().map(String::as_str))).map(drop)
    }

    /// The objects of a release, as YAML, without asking the cluster anything.
    pub fn render(&self, release: &str, chart: &Path, values: &[String]) -> anyhow::Result<String> {
        let chart = chart.to_string_lossy();
        let words = ["template", release, &chart, "--namespace", SYSTEM, "--kube-version", OLDEST_KUBERNETES];
        self.run(words.into_iter().chain(values.iter().map(String::as_str)))
    }

    /// The objects of a release, as YAML, as they were last applied.
    pub fn manifest(&self, release: &str) -> anyhow::Result<String> {
        self.run(["get", "manifest", release, "--namespace", SYSTEM])
    }

    /// Removes a release and waits until its objects are gone.
    pub fn remove(&self, release: &str) -> anyhow::Result<Removal> {
        match self.run(["uninstall", release, "--namespace", SYSTEM, "--wait", "--timeout", "120s"]) {
            Ok(_) => Ok(Removal::Done),
            Err(error) if error.to_string().contains("not found") => Ok(Removal::NoRelease),
            Err(error) => Err(error),
        }
    }

    fn run<'a>(&self, words: impl IntoIterator<Item = &'a str>) -> anyhow::Result<String> {
        let words: Vec<&str> = words.into_iter().collect();
        let mut command = Command::new(&self.program);
        command.args(&words).args(self.flags.iter().map(OsStr::new));
        let output = command.output().with_context(|| format!("cannot run {}", self.program.display()))?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            bail!("`helm {} {}` failed: {}", words[0], words.get(1).unwrap_or(&""), said.trim());
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}
