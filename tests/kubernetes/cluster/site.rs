//! What the parts of one cluster share: addresses, folder, programs, settings.

use std::fs;
use std::path::{Path, PathBuf};

use crate::addresses::Addresses;
use crate::{ClusterError, Programs};

/// How kube-proxy makes Services work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ProxyMode {
    /// By iptables, the default of Kubernetes.
    #[default]
    Iptables,
    /// By nftables.
    Nftables,
}

/// How a cluster is set up.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// How kube-proxy works.
    pub proxy_mode: ProxyMode,
    /// Whether pods, and Services that ask for it, have addresses of version 6 besides those of version 4.
    pub dual_stack: bool,
}

#[derive(Debug)]
pub struct Site {
    pub addresses: Addresses,
    pub programs: Programs,
    pub options: Options,
    /// The control group that holds all of the cluster, as kubelet names it: `/meltemi-cluster-…`.
    pub control_group: String,
    pub folder: PathBuf,
}

impl Site {
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// The same as text, for arguments and configuration files; our own names are plain ASCII.
    pub fn text(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    pub fn write(&self, name: &str, text: &str) -> Result<(), ClusterError> {
        let path = self.path(name);
        make_parent(&path)?;
        fs::write(&path, text).map_err(ClusterError::io(format!("write {}", path.display())))
    }

    pub fn make_folder(&self, name: &str) -> Result<(), ClusterError> {
        let path = self.path(name);
        fs::create_dir_all(&path).map_err(ClusterError::io(format!("create {}", path.display())))
    }

    /// What is said once for each address family of the cluster.
    pub fn families<T>(&self, v4: T, v6: T) -> Vec<T> {
        if self.options.dual_stack { vec![v4, v6] } else { vec![v4] }
    }

    /// The networks of the Services' cluster IPs, comma-separated.
    pub fn services(&self) -> String {
        self.families(self.addresses.services(), self.addresses.services_v6()).join(",")
    }

    pub fn log(&self, name: &str) -> PathBuf {
        self.path("log").join(format!("{name}.log"))
    }
}

fn make_parent(path: &Path) -> Result<(), ClusterError> {
    let Some(parent) = path.parent() else { return Ok(()) };
    fs::create_dir_all(parent).map_err(ClusterError::io(format!("create {}", parent.display())))
}

impl Drop for Site {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.folder) {
            eprintln!("left behind: {}: {error}", self.folder.display());
        }
    }
}
