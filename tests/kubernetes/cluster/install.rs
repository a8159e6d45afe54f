//! Meltemi on the cluster: its images, made from a program that cargo has built, and `meltemi install`.

use std::path::Path;

use crate::{Cluster, ClusterError};

impl Cluster {
    /// Loads Meltemi's two images, made from `program`.
    ///
    /// # Errors
    /// When they cannot be made, or containerd refuses them.
    pub fn load_meltemi(&self, program: &Path) -> Result<(), ClusterError> {
        // A debug build is mostly symbols, which would be in memory several times.
        let stripped = self.site.text("meltemi");
        lab::tools::run("strip", &["-o", &stripped, &program.display().to_string()], "")?;
        let stripped = Path::new(&stripped);
        self.load(&images::ours::meltemi(stripped)?.uncompressed())?;
        self.load(&images::ours::init(stripped)?.uncompressed())
    }

    /// Loads the images and runs `meltemi install` with more arguments; returns what it prints.
    ///
    /// # Errors
    /// When it fails; its own words are in the error.
    pub fn install_meltemi(&self, program: &Path, arguments: &[&str]) -> Result<String, ClusterError> {
        self.load_meltemi(program)?;
        self.run(program, &[&["install"], arguments].concat(), "")
    }
}
