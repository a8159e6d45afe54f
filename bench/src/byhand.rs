//! The two instances of a peer that is set up by hand: configuration written, processes kept.

use crate::papers::Papers;
use crate::peers::Side;
use anyhow::Context;
use lab::{Lab, Process};
use std::cell::RefCell;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// How long one may take to stop.
const GRACE: Duration = Duration::from_secs(2);

/// Both instances and how each is started.
pub struct ByHand {
    program: PathBuf,
    command: fn(&Path, &Path) -> Command,
    client: RefCell<Option<Process>>,
    server: RefCell<Option<Process>>,
}

impl ByHand {
    /// Writes both configurations; nothing runs yet.
    ///
    /// # Errors
    /// When certificates or files cannot be written.
    pub fn prepare(
        lab: &Lab,
        program: PathBuf,
        config: fn(Side, &Papers) -> String,
        command: fn(&Path, &Path) -> Command,
    ) -> anyhow::Result<ByHand> {
        let papers = Papers::make(lab.pod(pod(Side::Client))?.folder())?;
        for side in [Side::Client, Side::Server] {
            let file = lab.pod(pod(side))?.folder().join("peer.conf");
            fs::write(&file, config(side, &papers)).with_context(|| format!("write {}", file.display()))?;
        }
        Ok(ByHand { program, command, client: RefCell::default(), server: RefCell::default() })
    }

    /// Starts one instance, in the place of the one before.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(&self, lab: &Lab, side: Side) -> anyhow::Result<()> {
        self.stop(side);
        let pod = lab.pod(pod(side))?;
        let process = pod.spawn("proxy", (self.command)(&self.program, &pod.folder().join("peer.conf")))?;
        *self.slot(side).borrow_mut() = Some(process);
        Ok(())
    }

    /// Stops one instance.
    pub fn stop(&self, side: Side) {
        if let Some(process) = self.slot(side).take() {
            process.stop(GRACE);
        }
    }

    /// The process of one instance.
    ///
    /// # Errors
    /// With the end of its log when it has ended.
    pub fn pid(&self, side: Side) -> anyhow::Result<i32> {
        let slot = self.slot(side).borrow();
        let process = slot.as_ref().context("the proxy has not been started")?;
        if let Some(status) = process.exited() {
            anyhow::bail!("{} ended with {status}:\n{}", process.name(), process.log_tail(15));
        }
        Ok(process.pid())
    }

    fn slot(&self, side: Side) -> &RefCell<Option<Process>> {
        match side {
            Side::Client => &self.client,
            Side::Server => &self.server,
        }
    }
}

/// Its name in `mesh.yaml`.
pub fn pod(side: Side) -> &'static str {
    match side {
        Side::Client => "client",
        Side::Server => "server",
    }
}
