//! The peers: what is measured beside what. One file and one line each.

mod envoy;
mod haproxy;
mod meltemi;
mod nginx;

use crate::papers::Papers;
use lab::SidecarKind;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Every peer, ours first; the table's columns have this order.
pub const PEERS: &[Peer] = &[meltemi::PEER, envoy::PEER, haproxy::PEER, nginx::PEER];

/// One data plane.
#[derive(Debug)]
pub struct Peer {
    /// As `--peers` names it.
    pub name: &'static str,
    /// How it is set up, for the table's notes.
    pub about: &'static str,
    /// Its program.
    pub program: fn(&Programs) -> anyhow::Result<PathBuf>,
    /// The arguments with which the program tells its version.
    pub version: &'static [&'static str],
    /// How it is run.
    pub way: Way,
    /// Loads that it cannot take, by name, and why.
    pub lacks: &'static [(&'static str, &'static str)],
}

/// How a peer's two instances are run.
#[derive(Debug)]
pub enum Way {
    /// As sidecars of the mesh, under Pilot's configuration and the real redirect rules.
    Sidecar(fn(PathBuf) -> SidecarKind),
    /// By hand, without redirection: the client connects to the near instance.
    ByHand {
        /// The text of the configuration file of one instance.
        config: fn(Side, &Papers) -> String,
        /// The command that runs it in the foreground, as one process.
        command: fn(&Path, &Path) -> Command,
    },
}

/// Which of the two instances.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// In the client's pod.
    Client,
    /// In the server's pod.
    Server,
}

/// Where the programs are.
#[derive(Debug, Clone)]
pub struct Programs {
    /// `meltemi`, as it ships.
    pub meltemi: PathBuf,
    /// The folder into which `manifests/scripts/tools.sh` installs.
    pub cache: PathBuf,
}

/// A program that the system's packages provide.
fn installed(program: &str) -> anyhow::Result<PathBuf> {
    lab::tools::find(program)
        .ok_or_else(|| anyhow::anyhow!("`{program}` is missing; run `manifests/scripts/tools.sh bench`"))
}
