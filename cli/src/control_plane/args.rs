//! The arguments of `meltemi control-plane`, and which of them belong together.

use clap::Args;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

const DIRECTORY: &str = "From a directory";
const KUBERNETES: &str = "In a Kubernetes cluster";

/// Arguments of `meltemi control-plane`.
#[derive(Debug, Args)]
pub struct ControlPlaneArgs {
    #[command(flatten)]
    pub(super) shared: SharedArgs,
    #[command(flatten)]
    pub(super) directory: DirectoryArgs,
    #[command(flatten)]
    pub(super) kubernetes: KubernetesArgs,
}

/// What does not depend on where objects come from.
#[derive(Debug, Args)]
pub(super) struct SharedArgs {
    /// Address of the TLS port.
    #[arg(long, default_value = "[::]:15012")]
    pub(super) listen: SocketAddr,
    /// Address of the HTTP port for people: status of every object, edges, metrics. Keep it on loopback.
    #[arg(long, default_value = "127.0.0.1:15014")]
    pub(super) http: SocketAddr,
    /// Address of an HTTP port for machines, with `/ready` and `/metrics` only. None without this.
    #[arg(long)]
    pub(super) monitoring: Option<SocketAddr>,
    /// Trust domain of the mesh.
    #[arg(long, env = "TRUST_DOMAIN", default_value = "cluster.local")]
    pub(super) trust_domain: String,
    /// The longest life of a workload's certificate.
    #[arg(long, default_value = "24h", value_parser = crate::duration::parse)]
    pub(super) max_certificate_ttl: Duration,
}

/// Objects from a directory.
#[derive(Debug, Args)]
#[command(next_help_heading = DIRECTORY)]
pub(super) struct DirectoryArgs {
    /// Directory of objects: what a cluster would hold.
    #[arg(long, required_unless_present = "kubernetes", conflicts_with = "kubernetes")]
    pub(super) config_dir: Option<PathBuf>,
    /// Directory for the root key and the token key; made when missing, readable by us alone.
    #[arg(long, required_unless_present = "kubernetes", conflicts_with = "kubernetes")]
    pub(super) state_dir: Option<PathBuf>,
}

/// Objects from a cluster.
#[derive(Debug, Args)]
#[command(next_help_heading = KUBERNETES)]
pub(super) struct KubernetesArgs {
    /// Read objects from the API server: the one of the pod that this runs in, else that of KUBECONFIG.
    #[arg(long)]
    pub(super) kubernetes: bool,
    /// The revision that namespaces and pods choose by the label istio.io/rev.
    #[arg(long, default_value = "default")]
    pub(super) revision: String,
    /// Address of the HTTPS port that the API server asks for admission. None without this.
    #[arg(long, requires = "injector_config", conflicts_with_all = ["config_dir", "state_dir"])]
    pub(super) webhook: Option<SocketAddr>,
    /// File that says what is put into pods.
    #[arg(long, conflicts_with_all = ["config_dir", "state_dir"])]
    pub(super) injector_config: Option<PathBuf>,
    /// The namespace that the control plane runs in; objects in it hold for the whole mesh.
    #[arg(long, env = "POD_NAMESPACE", default_value = "meltemi-system")]
    pub(super) namespace: String,
    /// The name of the pod that this runs in: tells replicas apart when they elect a leader.
    #[arg(long, env = "POD_NAME", default_value = "meltemi")]
    pub(super) pod_name: String,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Program {
        #[command(flatten)]
        args: ControlPlaneArgs,
    }

    fn parse(arguments: &str) -> Result<ControlPlaneArgs, String> {
        let words = std::iter::once("x").chain(arguments.split_whitespace());
        Program::try_parse_from(words).map(|program| program.args).map_err(|error| error.to_string())
    }

    #[test]
    fn a_directory_or_a_cluster_and_not_both() {
        let directory = parse("--config-dir a --state-dir b").unwrap();
        assert!(!directory.kubernetes.kubernetes && directory.directory.config_dir.is_some());
        let cluster = parse("--kubernetes --webhook 0.0.0.0:15017 --injector-config c").unwrap();
        assert_eq!((cluster.kubernetes.revision.as_str(), cluster.directory.config_dir), ("default", None));
        for (arguments, told) in [
            ("", "--config-dir"),
            ("--config-dir a", "--state-dir"),
            ("--kubernetes --config-dir a", "cannot be used with"),
            ("--kubernetes --state-dir a", "cannot be used with"),
            ("--config-dir a --state-dir b --injector-config c", "cannot be used with"),
            ("--kubernetes --webhook 0.0.0.0:15017", "--injector-config"),
        ] {
            let error = parse(arguments).unwrap_err();
            assert!(error.contains(told), "{arguments}: {error}");
        }
    }
}
