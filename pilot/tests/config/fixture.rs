//! A configuration directory with a small shop in it, and a Pilot that reads it.

use pilot::model::Host;
use pilot::world::{Mesh, World};
use pilot::{Pilot, PilotOptions, Update};
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tokio::sync::broadcast::Receiver;

/// Two services of the namespace shop; catalog has two versions.
pub const SHOP: &str = include_str!("shop.yaml");

/// A running Pilot over a directory of its own.
pub struct Fixture {
    dir: TempDir,
    pub pilot: Pilot,
    updates: Receiver<Arc<Update>>,
}

impl Fixture {
    /// Starts with these files.
    pub fn new(files: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            fs::create_dir_all(dir.path().join(name).parent().unwrap()).unwrap();
            fs::write(dir.path().join(name), text).unwrap();
        }
        Self::over(dir)
    }

    /// Starts over a directory.
    pub fn over(dir: TempDir) -> Self {
        let options =
            PilotOptions { source: pilot::SourceOptions::Directory(dir.path().to_owned()), mesh: Mesh::default() };
        let pilot = Pilot::start(options, &record::Metrics::new()).unwrap();
        let updates = pilot.updates();
        Self { dir, pilot, updates }
    }

    /// Starts with the shop and one more file.
    pub fn with(name: &str, text: &str) -> Self {
        Self::new(&[("shop.yaml", SHOP), (name, text)])
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Writes a file in place.
    pub fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    pub fn remove(&self, name: &str) {
        fs::remove_file(self.path(name)).unwrap();
    }

    /// Waits for the next reload that changes something.
    pub fn update(&mut self) -> Arc<Update> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let next = async { tokio::time::timeout(Duration::from_secs(20), self.updates.recv()).await };
        runtime.block_on(next).expect("no update within 20 s").unwrap()
    }

    /// Writes a file and waits until it is read.
    pub fn change(&mut self, name: &str, text: &str) -> Arc<Update> {
        self.write(name, text);
        self.update()
    }

    pub fn world(&self) -> Arc<World> {
        self.pilot.world()
    }

    /// What is reported, in order.
    pub fn findings(&self) -> Vec<String> {
        let mut findings = self.pilot.findings();
        findings.sort();
        findings.iter().map(ToString::to_string).collect()
    }

    /// What is said of one object.
    pub fn status(&self, kind: &str, namespace: &str, name: &str) -> String {
        let statuses = self.pilot.status();
        let is = |object: &pilot::model::ObjectRef| {
            (&*object.kind, &*object.namespace, &*object.name) == (kind, namespace, name)
        };
        statuses.iter().find(|status| is(&status.object)).map(ToString::to_string).expect("no such object")
    }
}

pub fn host(name: &str) -> Host {
    Host::resolve(name, "shop", "cluster.local").unwrap()
}

/// What is reported about one file beside the shop.
pub fn findings_of(text: &str) -> Vec<String> {
    Fixture::with("x.yaml", text).findings()
}

/// Checks a table of texts of which each gives exactly these findings.
pub fn each_gives(table: &[(&str, &[&str])]) {
    for (text, expected) in table {
        assert_eq!(findings_of(text), *expected, "of\n{text}");
    }
}
