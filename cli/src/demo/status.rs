//! What the control plane says: the figures of the mesh, and what is wrong with its configuration.

use anyhow::{Context, bail};
use hub::Report;
use lab::ControlPlane;
use serde::Deserialize;

/// One look at the mesh.
#[derive(Debug, Clone)]
pub struct Status {
    /// The edges and their figures.
    pub report: Report,
    /// Lines that each name a file, a place and what would be right.
    pub problems: Vec<String>,
}

#[derive(Deserialize)]
struct DebugStatus {
    problems: Vec<String>,
}

impl Status {
    /// Asks for the last `window`, such as `10s` or `all`.
    ///
    /// # Errors
    /// When the control plane does not answer.
    pub fn ask(control_plane: &ControlPlane, window: &str) -> anyhow::Result<Status> {
        let report = serde_json::from_slice(&get(control_plane, &format!("/api/edges?window={window}"))?)?;
        let status: DebugStatus = serde_json::from_slice(&get(control_plane, "/debug/status")?)?;
        Ok(Status { report, problems: status.problems })
    }
}

fn get(control_plane: &ControlPlane, path: &str) -> anyhow::Result<Vec<u8>> {
    let response = control_plane.get(path).with_context(|| format!("the control plane does not answer {path}"))?;
    if response.status != 200 {
        bail!("the control plane answers {path} with {}: {}", response.status, response.text());
    }
    Ok(response.body)
}
