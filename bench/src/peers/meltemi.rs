//! Ours: the program that ships, with its production defaults.

use super::{Peer, Way};
use anyhow::ensure;
use lab::SidecarKind;

pub const PEER: Peer = Peer {
    name: "meltemi",
    about: "the release program with its defaults, one worker; Pilot's configuration, redirected",
    program: |programs| {
        let program = &programs.meltemi;
        ensure!(program.is_file(), "no program at {}; run `make release` or give --meltemi", program.display());
        Ok(program.clone())
    },
    version: &["--version"],
    way: Way::Sidecar(|_| SidecarKind::Meltemi),
    lacks: &[],
};
