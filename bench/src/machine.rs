//! What a figure must be read with: the machine, and the versions of what was measured.

use crate::peers::{Peer, Programs};
use anyhow::Context;
use serde::Serialize;
use std::fs;
use std::process::Command;

/// The machine.
#[derive(Debug, Clone, Serialize)]
pub struct Machine {
    /// As the CPU names itself.
    pub cpu: String,
    /// Those that this process may use.
    pub cores: usize,
    /// The kernel's release.
    pub kernel: String,
}

impl Machine {
    /// This one.
    pub fn here() -> Machine {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let info = read("/proc/cpuinfo");
        let field = |name: &str| {
            let line = info.lines().find(|line| line.split(':').next().is_some_and(|field| field.trim() == name))?;
            Some(line.split_once(':')?.1.trim().to_owned())
        };
        Machine {
            cpu: field("model name").unwrap_or_else(|| std::env::consts::ARCH.to_owned()),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
        }
    }
}

/// What the peer's program says of itself, in one line.
///
/// # Errors
/// When there is no such program.
pub fn version(peer: &Peer, programs: &Programs) -> anyhow::Result<String> {
    let program = (peer.program)(programs)?;
    let output = Command::new(&program).args(peer.version).output();
    let output = output.with_context(|| format!("run {}", program.display()))?;
    // nginx tells it on standard error.
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    let line = text.lines().find(|line| !line.trim().is_empty()).unwrap_or("unknown version").trim();
    // Envoy and HAProxy put where they live before and after it.
    let line = line.rsplit_once("version: ").map_or(line, |(_, version)| version);
    let line = line.split(" - http").next().unwrap_or(line);
    Ok(match line.split_once('/').filter(|(hash, _)| hash.len() == 40) {
        Some((_, version)) => version.to_owned(),
        None => line.to_owned(),
    })
}
