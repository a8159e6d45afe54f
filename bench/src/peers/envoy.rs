//! Envoy under `meltemi agent`: the same objects, the same control plane, the same redirect rules.

use super::{Peer, Way};
use anyhow::ensure;
use lab::SidecarKind;

/// Where `manifests/scripts/tools.sh` puts it.
const PROGRAM: &str = "envoy-1.40.0/envoy/_bin/envoy";

pub const PEER: Peer = Peer {
    name: "envoy",
    about: "under `meltemi agent`, --concurrency 1, statistics on, access log off; Pilot's configuration, redirected; \
            the agent is not counted",
    program: |programs| {
        let program = programs.cache.join(PROGRAM);
        ensure!(program.is_file(), "no Envoy at {}; run `manifests/scripts/tools.sh bench`", program.display());
        Ok(program)
    },
    version: &["--version"],
    way: Way::Sidecar(|binary| SidecarKind::Envoy { binary }),
    lacks: &[],
};
