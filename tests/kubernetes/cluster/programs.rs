//! Where the programs of the cluster are. They are built once, outside the checkout, by `manifests/scripts/tools.sh`.

use std::path::{Path, PathBuf};

use crate::ClusterError;

/// The version of Kubernetes.
const VERSION: &str = "1.37.1";

/// The folder of the programs that were built for the cluster.
#[derive(Debug, Clone)]
pub struct Programs {
    folder: PathBuf,
}

impl Programs {
    /// Looks for them below `MELTEMI_CACHE`, or `.cache/meltemi` of the home folder.
    ///
    /// # Errors
    /// When they have not been built.
    pub fn find() -> Result<Programs, ClusterError> {
        let programs = Programs { folder: cache()?.join(format!("kubernetes-{VERSION}")) };
        ["kube", "kubectl", "coredns", "pause"].into_iter().try_for_each(|name| programs.get(name).map(drop))?;
        Ok(programs)
    }

    /// One of them: a part of Kubernetes, `coredns`, `pause`, `echo-server`, `echo-client`, `conformance` or `helm`.
    ///
    /// # Errors
    /// When it has not been built.
    pub fn get(&self, name: &str) -> Result<PathBuf, ClusterError> {
        let path = self.folder.join(name);
        if path.exists() { Ok(path) } else { Err(ClusterError::NotBuilt(path)) }
    }

    /// The folder, to stand first in a search path: it has `kubectl` and `helm`.
    pub fn folder(&self) -> &Path {
        &self.folder
    }
}

/// What is built once and kept outside the checkout.
pub(crate) fn cache() -> Result<PathBuf, ClusterError> {
    let given = std::env::var_os("MELTEMI_CACHE").map(PathBuf::from);
    let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache/meltemi"));
    given.or_else(home).ok_or_else(|| ClusterError::Machine("neither MELTEMI_CACHE nor HOME is set".to_owned()))
}
