//! One cluster for all tests that leave it as they found it: a test of its own namespace needs no cluster of its own.

use std::sync::OnceLock;

use cluster::{Cluster, Options, echo};

/// The cluster, with [`cluster::ECHO_IMAGE`] and the definitions of Gateway API; started by the first that asks. It lives
/// as long as the program and ends with its sandbox.
pub fn shared() -> Result<&'static Cluster, String> {
    static SHARED: OnceLock<Result<Cluster, String>> = OnceLock::new();
    SHARED.get_or_init(|| start().map_err(|error| error.to_string())).as_ref().map_err(String::clone)
}

fn start() -> Result<Cluster, cluster::ClusterError> {
    let cluster = Cluster::start(Options::default())?;
    cluster.gateway_api_crds()?;
    cluster.load(&echo(cluster.programs())?)?;
    Ok(cluster)
}
